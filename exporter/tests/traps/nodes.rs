//! Nodes, storages, pools, networks; clusters of one node and of two versions; tokens without rights.

use pve_simulator::{Options, Version};
use serde_json::{Value, json};

use crate::bodies::{Bodies, machine, node, storage};
use crate::support::simulated::{Simulated, options, sources_down};
use crate::support::strict::Exposition;

fn sampled(name: &str, metric: &str, timestamp: u64, value: f64) -> Value {
    json!({"id": format!("node/{name}"), "metric": metric, "timestamp": timestamp, "type": "gauge", "value": value})
}

fn sum(seen: &Exposition, name: &str) -> f64 {
    seen.samples(name).map(|sample| sample.value).sum()
}

#[tokio::test]
async fn a_generation_at_time_0_is_no_sample() {
    let pve = Bodies::new().await;
    let rows = [
        sampled("pve1", "cpu_avg1", 0, 0.0),
        sampled("pve1", "net_in", 0, 0.0),
        sampled("pve2", "cpu_avg1", 1_786_800_000, 1.5),
    ];
    pve.reply("/cluster/metrics/export", &json!({"data": {"data": rows}}));
    pve.reply(
        "/nodes/pve1/status",
        &json!({"data": {"loadavg": ["0.75", "0.5", "0.25"]}}),
    );
    let seen = pve.resources(&[node("pve1", "online"), node("pve2", "online")]).await;
    assert_eq!(seen.samples("pve_node_sample_timestamp_seconds").count(), 1);
    assert_eq!(seen.samples("pve_node_network_receive_bytes_total").count(), 0);
    assert_eq!(
        seen.value("pve_node_load1", &[("node", "pve1")]),
        Some(0.75),
        "the node's own status stands in"
    );
    assert_eq!(seen.value("pve_node_load1", &[("node", "pve2")]), Some(1.5));
}

#[tokio::test]
async fn an_offline_node_has_no_figures_but_its_last_sample_in_a_file() {
    let pve = Bodies::new().await;
    pve.reply(
        "/cluster/metrics/export",
        &json!({"data": {"data": [sampled("pve1", "cpu_avg1", 1_786_800_000, 1.5)]}}),
    );
    let seen = pve
        .resources(&[json!({"id": "node/pve1", "type": "node", "node": "pve1", "status": "offline"})])
        .await;
    assert_eq!(seen.value("pve_node_up", &[("node", "pve1")]), Some(0.0));
    for absent in [
        "pve_node_load1",
        "pve_node_sample_timestamp_seconds",
        "pve_node_uptime_seconds",
        "pve_node_cpus",
    ] {
        assert_eq!(seen.samples(absent).count(), 0, "{absent}");
    }
    let seen = pve
        .resources(&[json!({"id": "node/pve1", "type": "node", "node": "pve1", "status": "unknown"})])
        .await;
    assert_eq!(seen.samples("pve_node_up").count(), 0, "unknown is no sample");
}

#[tokio::test]
async fn a_shared_storage_counts_once_from_the_freshest_node() {
    let pve = Bodies::new().await;
    let rows = [
        node("pve1", "online"),
        node("pve2", "online"),
        storage("nas", "pve1", true, 400),
        storage("nas", "pve2", true, 500),
        storage("local", "pve1", false, 10),
        storage("local", "pve2", false, 20),
    ];
    for (newest, used) in [("pve1", 400.0), ("pve2", 500.0)] {
        let time = |node| if node == newest { 1_786_800_010 } else { 1_786_800_000 };
        let samples = ["pve1", "pve2"].map(|node| sampled(node, "cpu_avg1", time(node), 1.0));
        pve.reply("/cluster/metrics/export", &json!({"data": {"data": samples}}));
        let seen = pve.resources(&rows).await;
        assert_eq!(seen.samples("pve_storage_up").count(), 4);
        assert_eq!(sum(&seen, "pve_storage_size_bytes"), 3000.0);
        assert_eq!(
            sum(&seen, "pve_storage_usage_bytes"),
            30.0 + used,
            "{newest} has the newest sample"
        );
        let nas = seen
            .samples("pve_storage_usage_bytes")
            .find(|sample| sample.label("storage") == Some("nas"));
        assert_eq!(nas.unwrap().label("node"), None);
    }
}

#[tokio::test]
async fn a_storage_of_unknown_status_or_on_an_offline_node_has_no_figures() {
    let pve = Bodies::new().await;
    let mut lost = storage("nas", "pve1", true, 400);
    lost["status"] = "unknown".into();
    let stale = storage("nas", "pve2", true, 999);
    let good = storage("nas", "pve3", true, 500);
    let nodes = [node("pve1", "online"), node("pve2", "offline"), node("pve3", "online")];
    let seen = pve.resources(&[&nodes[..], &[lost, stale, good]].concat()).await;
    assert_eq!(seen.value("pve_storage_up", &[("node", "pve1")]), Some(0.0));
    assert_eq!(seen.value("pve_storage_up", &[("node", "pve2")]), None);
    assert_eq!(seen.value("pve_storage_up", &[("node", "pve3")]), Some(1.0));
    assert_eq!(seen.value("pve_storage_usage_bytes", &[]), Some(500.0));
}

#[tokio::test]
async fn pools_and_networks_of_pve_8_and_9() {
    let pve = Bodies::new().await;
    let rows = [
        node("pve1", "online"),
        node("pve2", "offline"),
        json!({"id": "/pool/prod", "type": "pool", "pool": "prod", "cpu": 0.5, "maxcpu": 4, "mem": 10, "maxmem": 20}),
        json!({"id": "/pool/empty", "type": "pool", "pool": "empty"}),
        json!({"id": "sdn/pve1/old", "type": "sdn", "sdn": "old", "node": "pve1", "status": "ok"}),
        json!({"id": "network/pve1/zone/z", "type": "network", "network": "z", "network-type": "zone", "zone-type": "vxlan",
            "node": "pve1", "status": "available"}),
        json!({"id": "network/pve1/fabric/f", "type": "network", "network": "f", "network-type": "fabric",
            "protocol": "openfabric", "node": "pve1", "status": "error"}),
        json!({"id": "network/pve1/zone/p", "type": "network", "network": "p", "network-type": "zone", "node": "pve1",
            "status": "pending"}),
        json!({"id": "network/pve2/zone/z", "type": "network", "network": "z", "network-type": "zone", "node": "pve2",
            "status": "ok"}),
    ];
    let seen = pve.resources(&rows).await;
    assert_eq!(seen.samples("pve_pool_info").count(), 2);
    assert_eq!(
        seen.value("pve_pool_cpus", &[]),
        Some(4.0),
        "a pool in which nothing runs has no figures"
    );
    let up = |id| seen.value("pve_network_up", &[("id", id)]);
    assert_eq!(up("sdn/pve1/old"), Some(1.0));
    assert_eq!(up("network/pve1/zone/z"), Some(1.0));
    assert_eq!(up("network/pve1/fabric/f"), Some(0.0));
    assert_eq!(up("network/pve1/zone/p"), None);
    assert_eq!(
        up("network/pve2/zone/z"),
        None,
        "what an offline node said last is not believed"
    );
    let fabric = [("kind", "fabric"), ("protocol", "openfabric"), ("network", "f")];
    assert_eq!(seen.value("pve_network_info", &fabric), Some(1.0));
    assert_eq!(
        seen.value("pve_network_info", &[("network", "old"), ("kind", "zone")]),
        Some(1.0)
    );
}

#[tokio::test]
async fn rows_of_a_kind_not_known_yet_are_passed_over() {
    let pve = Bodies::new().await;
    let later = json!({"id": "gpu/pve1/0", "type": "gpu", "node": "pve1", "status": "ok", "extra": {"deep": [1, 2]}});
    let seen = pve.resources(&[later, json!(null), json!([]), machine(100)]).await;
    assert_eq!(seen.samples("pve_guest_up").count(), 1);
    assert_eq!(
        seen.value("pve_source_damaged_rows", &[("source", "resources")]),
        Some(2.0)
    );
}

#[tokio::test]
async fn a_standalone_node_is_a_cluster_without_a_name() {
    let alone = Options {
        nodes: 1,
        standalone: true,
        ..options()
    };
    let pve = Simulated::with(alone, |_| {}).await;
    let seen = pve.scrape().await;
    assert_eq!(sources_down(&seen), []);
    assert_eq!(
        seen.samples("pve_cluster_info").count() + seen.samples("pve_cluster_quorate").count(),
        0
    );
    assert_eq!(seen.value("pve_cluster_nodes_online", &[]), Some(1.0));
    assert_eq!(seen.value("pve_cluster_up", &[]), Some(1.0));
    assert_eq!(seen.value("pve_node_up", &[("node", "pve1")]), Some(1.0));
    assert_eq!(seen.samples("pve_guest_uptime_seconds").count(), 24);
}

#[tokio::test]
async fn two_versions_in_one_cluster_have_load_and_swap_from_either_side() {
    for entry in 0..2 {
        let mixed = Options {
            nodes: 2,
            versions: vec![Version::new(8, 2, 0), Version::new(9, 2, 11)],
            ..options()
        };
        let pve = Simulated::with(mixed, |config| {
            config.clusters.get_mut("main").unwrap().endpoints.rotate_left(entry);
        })
        .await;
        for seen in [pve.scrape().await, pve.scrape_after(15).await] {
            assert_eq!(sources_down(&seen), [], "entry {entry}");
            for name in [
                "pve_node_load1",
                "pve_node_swap_size_bytes",
                "pve_node_up",
                "pve_node_system_info",
            ] {
                assert_eq!(seen.samples(name).count(), 2, "{name}, entry {entry}");
            }
            let sampled = seen.value("pve_node_sample_timestamp_seconds", &[("node", "pve2")]);
            assert_eq!(sampled.is_some(), entry == 1, "8.2 has no export");
            assert_eq!(seen.samples("pve_network_up").count(), 2);
        }
    }
}

#[tokio::test]
async fn a_token_without_rights_is_told_aloud() {
    let pve = Simulated::start().await;
    pve.inject("no-permission").await;
    let seen = pve.scrape().await;
    let granted: Vec<_> = seen
        .samples("pve_permission_granted")
        .map(|sample| sample.value)
        .collect();
    assert!(
        granted.len() > 4 && granted.iter().all(|value| *value == 0.0),
        "{granted:?}"
    );
    assert_eq!(seen.value("pve_cluster_up", &[]), Some(1.0), "PVE answers");
    assert_eq!(seen.samples("pve_node_up").count(), 3);
    assert_eq!(seen.samples("pve_guest_info").count(), 0);
    pve.clear().await;
    let seen = pve.scrape_after(3600).await;
    let seen = if sources_down(&seen).is_empty() {
        seen
    } else {
        pve.until_aging(1, "granted", |seen| sources_down(seen).is_empty())
            .await
    };
    assert_eq!(seen.samples("pve_guest_info").count(), 24);
    pve.until("told", |seen| {
        seen.samples("pve_permission_granted").all(|sample| sample.value == 1.0)
    })
    .await;
}
