//! Every fault, as a client meets it.

use std::time::{Duration, Instant};

use pve_simulator::{Fault, FaultId, FaultKind, Options, SAMPLE_PERIOD, Simulator};
use serde_json::Value;
use tokio::time::timeout;

use crate::client::{Answer, Connection, get, quick, row, rows};

const RESOURCES: &str = "/cluster/resources";
const STATUS: &str = "/cluster/status";
const ALL: &str = "/cluster/metrics/export";

/// How long a test waits for an answer that must not come.
const NEVER: Duration = Duration::from_millis(100);

async fn cluster() -> Simulator {
    Simulator::start(quick()).await.unwrap()
}

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

async fn inject(simulator: &Simulator, fault: &str) -> FaultId {
    let id = simulator.inject(fault.parse::<Fault>().unwrap());
    simulator.settled().await;
    id
}

async fn quorate(simulator: &Simulator, node: &str) -> Value {
    row(&rows(simulator, node, STATUS).await, "cluster")["quorate"].clone()
}

/// A guest that runs on a node, and its id.
fn running_on(simulator: &Simulator, node: &str) -> (u32, String) {
    let guests = simulator.guests();
    let guest = guests.iter().find(|guest| guest.node == node && guest.running).unwrap();
    (guest.vmid, format!("{}/{}", guest.kind.as_str(), guest.vmid))
}

fn ids(metrics: &[Value]) -> Vec<&str> {
    metrics.iter().filter_map(|row| row["id"].as_str()).collect()
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
async fn slow() {
    let simulator = cluster().await;
    inject(&simulator, "slow=60ms:pve2:/nodes/*/status").await;
    let started = Instant::now();
    assert_eq!(get(&simulator, "pve1", "/nodes/pve2/status").await.status(), 200);
    assert!(started.elapsed() >= Duration::from_millis(60));
}

#[tokio::test]
async fn status() {
    let simulator = cluster().await;
    inject(&simulator, "status=500 got no worker upid:/cluster/resources").await;
    inject(&simulator, "status=595:/version").await;
    let answer = get(&simulator, "pve1", RESOURCES).await;
    assert_eq!(answer.status_line, "HTTP/1.1 500 got no worker upid");
    assert_eq!(answer.json()["message"], "got no worker upid\n");
    let bare = get(&simulator, "pve1", "/version").await;
    assert_eq!(
        (bare.status_line.as_str(), bare.body.len()),
        ("HTTP/1.1 595 No route to host", 0)
    );
    assert_eq!(get(&simulator, "pve1", STATUS).await.status(), 200);
    simulator.clear_all();
    assert_eq!(get(&simulator, "pve1", RESOURCES).await.status(), 200);
}

#[tokio::test]
async fn truncated() {
    let simulator = cluster().await;
    inject(&simulator, "truncated:/cluster/resources").await;
    let mut connection = Connection::open(&simulator, "pve1").await.unwrap();
    let (status_line, length, body) = connection.get_truncated(RESOURCES).await.unwrap();
    assert_eq!(status_line, "HTTP/1.1 200 OK");
    assert_eq!(body.len(), length / 2);
    assert!(body.starts_with(b"{\"data\":["));
}

fn numbers(row: &Value) -> Vec<&Value> {
    ["uptime", "cpu", "mem", "maxmem"]
        .iter()
        .filter_map(|key| row.get(key))
        .collect()
}

#[tokio::test]
async fn wrong_types() {
    let simulator = cluster().await;
    let id = inject(&simulator, "string-numbers:/cluster/resources").await;
    let resources = rows(&simulator, "pve1", RESOURCES).await;
    assert!(resources.iter().flat_map(numbers).all(Value::is_string));
    simulator.clear(id);
    inject(&simulator, "wrong-types").await;
    let resources = rows(&simulator, "pve1", RESOURCES).await;
    let bad = resources
        .iter()
        .filter(|row| numbers(row).iter().any(|value| value.is_object()))
        .count();
    let good = resources.iter().filter(|row| !numbers(row).is_empty()).count() - bad;
    assert!(bad > 0 && good > bad, "{bad} bad rows, {good} good ones");
    let status = get(&simulator, "pve1", "/nodes/pve1/status").await.json();
    assert!(status["data"]["uptime"].is_object());
}

#[tokio::test]
async fn garbage_rows() {
    let simulator = cluster().await;
    let good = rows(&simulator, "pve1", RESOURCES).await;
    inject(&simulator, "garbage-rows").await;
    let mixed = rows(&simulator, "pve1", RESOURCES).await;
    assert!(
        good.iter().all(|row| mixed.contains(row)),
        "the good rows are all there"
    );
    assert!(mixed.iter().any(Value::is_null) && mixed.iter().any(Value::is_array));
}

#[tokio::test]
async fn huge_and_garbage() {
    let simulator = cluster().await;
    inject(&simulator, "huge=3000000:/version").await;
    let answer = get(&simulator, "pve1", "/version").await;
    assert_eq!(
        (answer.body.len(), &answer.json()["data"]["release"]),
        (3_000_000, &"9.2".into())
    );
    simulator.clear_all();
    inject(&simulator, "garbage:/version").await;
    let answer = get(&simulator, "pve1", "/version").await;
    assert_eq!(
        (answer.status(), answer.header("content-type")),
        (200, Some("application/json;charset=UTF-8"))
    );
    assert!(serde_json::from_slice::<Value>(&answer.body).is_err());
}

#[tokio::test]
async fn no_permission_for_one_endpoint() {
    let simulator = cluster().await;
    inject(&simulator, "no-permission:/cluster/status").await;
    assert_eq!(get(&simulator, "pve1", STATUS).await.status(), 403);
    assert_eq!(get(&simulator, "pve1", ALL).await.status(), 200);
}

#[tokio::test]
async fn revoked() {
    let simulator = cluster().await;
    let mut connection = Connection::open(&simulator, "pve1").await.unwrap();
    assert_eq!(connection.get("/version").await.unwrap().status(), 200);
    inject(&simulator, "revoked").await;
    let Answer { status_line, body, .. } = connection.get("/version").await.unwrap();
    assert_eq!(
        (status_line.as_str(), body.len()),
        ("HTTP/1.1 401 Authentication failed!", 0)
    );
}

#[tokio::test]
async fn qmp_timeout() {
    let simulator = cluster().await;
    let disks = async || -> Vec<(String, u64)> {
        let resources = rows(&simulator, "pve1", RESOURCES).await;
        let running = resources.iter().filter(|row| row["status"] == "running");
        let disk = |row: &Value| row["diskread"].as_u64().unwrap() + row["diskwrite"].as_u64().unwrap();
        running
            .map(|row| (row["id"].as_str().unwrap().to_owned(), disk(row)))
            .collect()
    };
    let id = inject(&simulator, "qmp-timeout=100").await;
    assert!(disks().await.iter().all(|(id, sum)| (*sum == 0) == (id == "qemu/100")));
    simulator.clear(id);
    inject(&simulator, "qmp-timeout").await;
    assert!(
        disks()
            .await
            .iter()
            .all(|(id, sum)| (*sum == 0) == id.starts_with("qemu/"))
    );
    let metrics = rows(&simulator, "pve1", ALL).await;
    let disk = |row: &&Value| row["id"] == "qemu/100" && row["metric"] == "disk_write";
    assert_eq!(metrics.iter().find(disk).unwrap()["value"], 0);
}

#[tokio::test]
async fn vanished() {
    let simulator = cluster().await;
    inject(&simulator, "vanished=100").await;
    for path in [RESOURCES, ALL] {
        assert!(
            !ids(&rows(&simulator, "pve1", path).await).contains(&"qemu/100"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn storage_unavailable() {
    let simulator = cluster().await;
    inject(&simulator, "storage-unavailable=nas:pve2").await;
    let resources = rows(&simulator, "pve1", RESOURCES).await;
    assert_eq!(row(&resources, "storage/pve1/nas")["status"], "available");
    let lost = row(&resources, "storage/pve2/nas");
    assert_eq!((&lost["status"], lost.get("maxdisk")), (&"unknown".into(), None));
    let metrics = rows(&simulator, "pve1", ALL).await;
    let sizes = metrics
        .iter()
        .filter(|row| row["id"] == "storage/pve2/nas")
        .map(|row| row["value"].clone());
    assert_eq!(sizes.collect::<Vec<_>>(), [Value::from(0), Value::from(0)]);
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
async fn zero_timestamp() {
    let simulator = cluster().await;
    inject(&simulator, "zero-timestamp:pve2").await;
    let metrics = rows(&simulator, "pve1", ALL).await;
    for row in &metrics {
        let broken = row["id"] == "node/pve2";
        assert_eq!(row["timestamp"] == 0, broken, "{row}");
        assert!(!broken || row["value"] == 0, "{row}");
    }
    assert!(ids(&metrics).contains(&"node/pve2"));
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
async fn close_idle() {
    let simulator = cluster().await;
    inject(&simulator, "close-idle").await;
    let mut connection = Connection::open(&simulator, "pve1").await.unwrap();
    let answer = connection.get("/version").await.unwrap();
    assert_eq!((answer.status(), answer.header("connection")), (200, None));
    assert!(connection.is_closed().await);
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

#[tokio::test]
async fn faults_of_a_kind_add_up_and_are_cleared_one_by_one() {
    let simulator = cluster().await;
    let first = simulator.inject(Fault::new(FaultKind::Vanished(100)));
    simulator.inject(FaultKind::Vanished(101));
    simulator.clear(first);
    let resources = rows(&simulator, "pve1", RESOURCES).await;
    assert!(ids(&resources).contains(&"qemu/100") && !ids(&resources).contains(&"qemu/101"));
}
