//! What is set for the cluster as a whole: votes, users, firewall, metric servers.

use pve_simulator::{Fault, Options, Simulator};

use crate::{
    client::{get, quick, rows},
    recorded::{assert_rows_agree, recorded, recorded_rows},
};

#[tokio::test]
async fn votes_are_told_as_recorded() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let nodes = rows(&simulator, "pve1", "/cluster/config/nodes").await;
    assert_eq!(nodes.len(), simulator.nodes().len());
    assert_rows_agree("nodes", &recorded_rows("cluster__config__nodes"), &nodes, |_| {
        "node".to_owned()
    });
    let qdevice = get(&simulator, "pve1", "/cluster/config/qdevice").await.json();
    assert_eq!(qdevice, recorded("cluster__config__qdevice"));
    let with_device = Simulator::start(Options {
        qdevice: true,
        ..quick()
    });
    let device = get(&with_device.await.unwrap(), "pve1", "/cluster/config/qdevice")
        .await
        .data();
    assert_eq!(
        (&device["Model"], &device["State"]),
        (&"Net".into(), &"Connected".into())
    );
    let alone = Simulator::start(Options {
        standalone: true,
        nodes: 1,
        ..quick()
    })
    .await
    .unwrap();
    assert!(rows(&alone, "pve1", "/cluster/config/nodes").await.is_empty());
}

#[tokio::test]
async fn users_have_the_keys_of_pve_and_are_hidden_without_the_privilege() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let path = "/access/users?full=1";
    let users = rows(&simulator, "pve1", path).await;
    let mut known = recorded_rows("access__users@full=1");
    // By PVE's source: a user without tokens has an empty list.
    let mut without = known[0].clone();
    without["tokens"] = serde_json::json!([]);
    known.push(without);
    assert_rows_agree("users", &known, &users, |_| "user".to_owned());
    let (user, token) = simulator.token_id().split_once('!').unwrap();
    let own = users.iter().find(|row| row["userid"] == user).unwrap();
    assert_eq!(own["tokens"][0]["tokenid"], token);
    assert!(
        rows(&simulator, "pve1", "/access/users").await[0]
            .get("tokens")
            .is_none()
    );
    simulator.inject("no-permission".parse::<Fault>().unwrap());
    assert!(rows(&simulator, "pve1", path).await.is_empty());
}

#[tokio::test]
async fn the_firewall_of_nodes_is_as_by_default() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let options = |path: &'static str| {
        let simulator = &simulator;
        async move { get(simulator, "pve1", path).await.json()["data"].take() }
    };
    assert_eq!(options("/cluster/firewall/options").await["enable"], 1);
    assert!(options("/nodes/pve2/firewall/options").await.get("enable").is_none());
    let servers = rows(&simulator, "pve1", "/cluster/metrics/server").await;
    assert_eq!(servers.iter().filter(|row| row.get("disable").is_none()).count(), 1);
}
