//! Nodes that are dead, cut off, silent or stuck.

use std::time::Duration;

use pve_simulator::{Options, SAMPLE_PERIOD, Simulator};
use serde_json::Value;
use tokio::time::timeout;

use super::{ALL, RESOURCES, STATUS, cluster, ids, inject};
use crate::client::{Connection, get, quick, row, rows};

/// How long a test waits for an answer that must not come.
const NEVER: Duration = Duration::from_millis(100);

/// A cluster that gives up on a hung node after a moment.
async fn impatient() -> Simulator {
    let moment = Duration::from_millis(50);
    Simulator::start(Options {
        hung_node_delay: moment,
        export_node_delay: moment,
        ..quick()
    })
    .await
    .unwrap()
}

async fn quorate(simulator: &Simulator, node: &str) -> Value {
    row(&rows(simulator, node, STATUS).await, "cluster")["quorate"].clone()
}

/// A guest that runs on a node without the care of HA, and its id.
fn running_on(simulator: &Simulator, node: &str) -> (u32, String) {
    let guests = simulator.guests();
    let guest = guests
        .iter()
        .find(|guest| guest.node == node && guest.running && guest.settings.hastate.is_none())
        .unwrap();
    (guest.vmid, format!("{}/{}", guest.kind.as_str(), guest.vmid))
}

#[tokio::test]
async fn offline() {
    let simulator = cluster().await;
    let mut open = Connection::open(&simulator, "pve2").await.unwrap();
    open.get("/version").await.unwrap();
    let id = inject(&simulator, "offline:pve2").await;
    assert!(open.is_closed().await);
    assert!(Connection::open(&simulator, "pve2").await.is_err());

    let resources = rows(&simulator, "pve1", RESOURCES).await;
    let node = row(&resources, "node/pve2");
    assert_eq!((&node["status"], node.get("mem")), (&"offline".into(), None));
    let guest = row(&resources, &running_on(&simulator, "pve2").1);
    assert_eq!(
        (&guest["status"], guest.get("name"), guest.get("mem")),
        (&"unknown".into(), None, None)
    );
    assert_eq!(row(&resources, "storage/pve2/local")["status"], "unknown");
    assert_eq!(row(&rows(&simulator, "pve1", STATUS).await, "node/pve2")["online"], 0);
    assert_eq!(quorate(&simulator, "pve1").await, 1);

    let proxied = get(&simulator, "pve1", "/nodes/pve2/status").await;
    assert_eq!(
        (proxied.status_line.as_str(), proxied.body.len()),
        ("HTTP/1.1 595 No route to host", 0)
    );
    simulator.reset_calls();
    assert!(!ids(&rows(&simulator, "pve1", ALL).await).contains(&"node/pve2"));
    assert_eq!(
        simulator.calls().executed_by("pve2"),
        0,
        "only nodes that are online are asked"
    );

    assert!(simulator.clear(id) && !simulator.clear(id));
    simulator.settled().await;
    assert_eq!(get(&simulator, "pve2", "/version").await.status(), 200);
    assert_eq!(
        row(&rows(&simulator, "pve1", RESOURCES).await, "node/pve2")["status"],
        "online"
    );
}

#[tokio::test]
async fn offline_is_noticed_late() {
    let options = Options {
        stale_after: Duration::from_secs(25),
        ..quick()
    };
    let simulator = Simulator::start(options).await.unwrap();
    inject(&simulator, "offline:pve2").await;
    simulator.advance(Duration::from_secs(24));
    let resources = rows(&simulator, "pve1", RESOURCES).await;
    assert_eq!(row(&resources, "node/pve2")["status"], "online");
    assert_eq!(row(&resources, &running_on(&simulator, "pve2").1)["status"], "running");
    assert_eq!(get(&simulator, "pve1", "/nodes/pve2/status").await.status(), 595);
    assert!(!ids(&rows(&simulator, "pve1", ALL).await).contains(&"node/pve2"));
    simulator.advance(Duration::from_secs(1));
    assert_eq!(
        row(&rows(&simulator, "pve1", RESOURCES).await, "node/pve2")["status"],
        "offline"
    );
}

#[tokio::test]
async fn offline_costs_the_fan_out_nothing() {
    let hour = Duration::from_secs(3_600);
    let options = Options {
        dead_node_delay: hour,
        export_node_delay: hour,
        ..quick()
    };
    let simulator = Simulator::start(options).await.unwrap();
    inject(&simulator, "offline:pve2").await;
    let metrics = timeout(Duration::from_secs(10), rows(&simulator, "pve1", ALL))
        .await
        .unwrap();
    assert!(ids(&metrics).contains(&"node/pve3"));
}

#[tokio::test]
async fn dead_but_running() {
    let simulator = cluster().await;
    inject(&simulator, "dead-but-running:pve2").await;
    let (_, id) = running_on(&simulator, "pve2");
    let first = row(&rows(&simulator, "pve1", RESOURCES).await, &id).clone();
    simulator.advance(Duration::from_secs(299));
    let resources = rows(&simulator, "pve1", RESOURCES).await;
    assert_eq!(row(&resources, "node/pve2")["status"], "offline");
    assert_eq!((row(&resources, &id), &first["status"]), (&first, &"running".into()));
    simulator.advance(Duration::from_secs(11));
    let late = row(&rows(&simulator, "pve1", RESOURCES).await, &id).clone();
    assert_eq!(
        (&late["status"], late.get("name"), late.get("cpu")),
        (&"unknown".into(), None, None)
    );
}

#[tokio::test]
async fn proxy_down() {
    let simulator = cluster().await;
    inject(&simulator, "proxy-down:pve2").await;
    assert!(Connection::open(&simulator, "pve2").await.is_err());
    let proxied = get(&simulator, "pve1", "/nodes/pve2/status").await;
    assert_eq!(proxied.status_line, "HTTP/1.1 595 Connection refused");
    assert_eq!(
        row(&rows(&simulator, "pve1", RESOURCES).await, "node/pve2")["status"],
        "online"
    );
    let metrics = rows(&simulator, "pve1", ALL).await;
    assert!(!ids(&metrics).contains(&"node/pve2") && ids(&metrics).contains(&"node/pve3"));
}

#[tokio::test]
async fn hang() {
    let simulator = impatient().await;
    inject(&simulator, "hang:pve2").await;
    let mut direct = Connection::open(&simulator, "pve2").await.unwrap();
    assert!(timeout(NEVER, direct.get("/version")).await.is_err());
    let proxied = get(&simulator, "pve1", "/nodes/pve2/status").await;
    assert_eq!(
        (proxied.status_line.as_str(), proxied.body.len()),
        ("HTTP/1.1 596 Connection timed out", 0)
    );
    let metrics = rows(&simulator, "pve1", ALL).await;
    assert!(!ids(&metrics).contains(&"node/pve2") && ids(&metrics).contains(&"node/pve3"));
    assert_eq!(get(&simulator, "pve1", "/version").await.status(), 200);
}

#[tokio::test]
async fn black_hole() {
    let simulator = impatient().await;
    let id = inject(&simulator, "black-hole:pve2").await;
    assert!(timeout(NEVER, Connection::open(&simulator, "pve2")).await.is_err());
    assert_eq!(get(&simulator, "pve1", "/nodes/pve2/status").await.status(), 596);
    simulator.clear(id);
    assert_eq!(get(&simulator, "pve2", "/version").await.status(), 200);
}

#[tokio::test]
async fn frozen_pvestatd() {
    let simulator = cluster().await;
    inject(&simulator, "frozen-pvestatd:pve2").await;
    let (_, frozen) = running_on(&simulator, "pve2");
    let (_, lively) = running_on(&simulator, "pve1");
    let before = rows(&simulator, "pve1", RESOURCES).await;
    let metrics = rows(&simulator, "pve1", &format!("{ALL}?node-list=pve2")).await;
    simulator.advance(10 * SAMPLE_PERIOD);
    let after = rows(&simulator, "pve1", RESOURCES).await;
    for id in ["node/pve2", &frozen] {
        assert_eq!(row(&before, id), row(&after, id), "{id}");
    }
    for id in ["node/pve1", &lively] {
        assert_ne!(row(&before, id), row(&after, id), "{id}");
    }
    assert_eq!(
        rows(&simulator, "pve1", &format!("{ALL}?node-list=pve2")).await,
        metrics
    );
    simulator.advance(Duration::from_secs(250));
    let late = rows(&simulator, "pve1", RESOURCES).await;
    assert_eq!(
        (&row(&late, &frozen)["status"], &row(&late, "node/pve2")["status"]),
        (&"unknown".into(), &"online".into())
    );
}

#[tokio::test]
async fn partition() {
    let simulator = cluster().await;
    inject(&simulator, "partition:pve1").await;
    let minority = rows(&simulator, "pve1", STATUS).await;
    assert_eq!(
        (
            &row(&minority, "cluster")["quorate"],
            &row(&minority, "node/pve1")["online"]
        ),
        (&0.into(), &1.into())
    );
    assert_eq!(row(&minority, "node/pve2")["online"], 0);
    let majority = rows(&simulator, "pve2", STATUS).await;
    assert_eq!(
        (
            &row(&majority, "cluster")["quorate"],
            &row(&majority, "node/pve1")["online"]
        ),
        (&1.into(), &0.into())
    );
    assert_eq!(get(&simulator, "pve2", "/nodes/pve1/status").await.status(), 595);
    assert_eq!(get(&simulator, "pve2", "/nodes/pve3/status").await.status(), 200);
    assert_eq!(get(&simulator, "pve1", RESOURCES).await.status(), 200);
}

#[tokio::test]
async fn standalone() {
    let simulator = cluster().await;
    inject(&simulator, "standalone").await;
    let status = rows(&simulator, "pve2", STATUS).await;
    assert_eq!(
        (status.len(), &status[0]["name"], &status[0]["nodeid"]),
        (1, &"pve2".into(), &0.into())
    );
    let resources = rows(&simulator, "pve2", RESOURCES).await;
    assert!(
        resources
            .iter()
            .all(|row| row.get("node").is_none_or(|node| node == "pve2"))
    );
    assert_eq!(get(&simulator, "pve2", "/nodes/pve1/status").await.status(), 500);
}
