//! What the numbers do as time goes on, and what can be done to guests.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use pve_simulator::{Clock, GuestKind, NewGuest, Options, Simulator};
use serde_json::Value;

use crate::client::{get, quick, row, rows};

const COUNTERS: [&str; 4] = ["diskread", "diskwrite", "netin", "netout"];
const RESOURCES: &str = "/cluster/resources";

async fn guest(simulator: &Simulator, vmid: u32) -> Value {
    let rows = rows(simulator, "pve1", RESOURCES).await;
    rows.into_iter().find(|row| row["vmid"] == vmid).unwrap()
}

fn counters(guest: &Value) -> [u64; 4] {
    COUNTERS.map(|key| guest[key].as_u64().unwrap())
}

async fn bodies(options: Options) -> Vec<Value> {
    let simulator = Simulator::start(options).await.unwrap();
    let mut bodies = Vec::new();
    for _ in 0..3 {
        simulator.advance(Duration::from_secs(600));
        for path in [
            RESOURCES,
            "/cluster/status",
            "/cluster/metrics/export",
            "/nodes/pve2/status",
            "/nodes/pve2/qemu?full=1",
            "/nodes/pve2/lxc",
            "/nodes/pve2/replication",
            "/cluster/ha/status/manager_status",
        ] {
            bodies.push(get(&simulator, "pve1", path).await.json());
        }
    }
    bodies
}

#[tokio::test]
async fn the_same_seed_gives_the_same_cluster() {
    let lively = |seed| Options {
        seed,
        events: true,
        ..quick()
    };
    assert_eq!(bodies(lively(7)).await, bodies(lively(7)).await);
    assert_ne!(bodies(lively(7)).await, bodies(lively(8)).await);
}

#[tokio::test]
async fn values_change_only_with_a_sample() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let first = get(&simulator, "pve1", RESOURCES).await.body;
    simulator.advance(Duration::from_millis(9_900));
    assert_eq!(get(&simulator, "pve1", RESOURCES).await.body, first);
    simulator.advance(Duration::from_millis(200));
    assert_ne!(get(&simulator, "pve1", RESOURCES).await.body, first);
}

#[tokio::test]
async fn counters_of_running_guests_only_grow() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let mut before = rows(&simulator, "pve1", RESOURCES).await;
    for _ in 0..30 {
        simulator.advance(Duration::from_secs(10));
        let now = rows(&simulator, "pve1", RESOURCES).await;
        for guest in now.iter().filter(|row| row["status"] == "running") {
            let old = row(&before, guest["id"].as_str().unwrap());
            assert_eq!(guest["uptime"].as_u64().unwrap(), old["uptime"].as_u64().unwrap() + 10);
            assert!(
                counters(guest).iter().zip(counters(old)).all(|(now, old)| *now >= old),
                "{old} then {guest}"
            );
            assert!(counters(guest).iter().sum::<u64>() > counters(old).iter().sum::<u64>());
            assert!((0.0..=1.0).contains(&guest["cpu"].as_f64().unwrap()));
        }
        before = now;
    }
}

#[tokio::test]
async fn resources_and_metrics_agree_about_a_guest() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let guest = guest(&simulator, 100).await;
    let metrics = rows(&simulator, "pve2", "/cluster/metrics/export").await;
    for (metric, key) in [
        ("net_in", "netin"),
        ("cpu_current", "cpu"),
        ("mem_used", "mem"),
        ("uptime", "uptime"),
    ] {
        let found = metrics
            .iter()
            .find(|row| row["id"] == "qemu/100" && row["metric"] == metric)
            .unwrap();
        assert_eq!(found["value"], guest[key], "{metric}");
        assert_eq!(found["timestamp"], 1_786_800_000);
    }
}

#[tokio::test]
async fn a_restart_and_a_migration_begin_at_zero() {
    let simulator = Simulator::start(quick()).await.unwrap();
    for change in ["restart", "migrate"] {
        assert!(counters(&guest(&simulator, 100).await).iter().all(|value| *value > 0));
        match change {
            "restart" => assert!(simulator.restart(100)),
            _ => assert!(simulator.migrate(100, "pve3")),
        }
        let reset = guest(&simulator, 100).await;
        assert_eq!(
            (reset["uptime"].as_u64(), counters(&reset)),
            (Some(0), [0; 4]),
            "{change}"
        );
        simulator.advance(Duration::from_secs(100));
        let later = guest(&simulator, 100).await;
        assert_eq!(
            (&later["id"], &later["uptime"]),
            (&"qemu/100".into(), &100.into()),
            "{change}"
        );
        assert!(counters(&later).iter().all(|value| *value > 0));
    }
    assert_eq!(guest(&simulator, 100).await["node"], "pve3");
    assert!(!simulator.migrate(100, "pve9") && !simulator.restart(9_999));
}

#[tokio::test]
async fn a_stopped_guest_has_zeros_until_it_starts() {
    let simulator = Simulator::start(quick()).await.unwrap();
    assert!(simulator.stop(100));
    let stopped = guest(&simulator, 100).await;
    assert_eq!(
        (&stopped["status"], &stopped["mem"], counters(&stopped)),
        (&"stopped".into(), &0.into(), [0; 4])
    );
    assert!(simulator.start_guest(100));
    assert_eq!(guest(&simulator, 100).await["status"], "running");
}

#[tokio::test]
async fn guests_can_be_set_added_and_removed() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let changed = simulator.set_guest(100, |guest| {
        guest.name = "renamed \"x\"".to_owned();
        guest.tags = Some("a;b".to_owned());
        guest.pool = Some("staging".to_owned());
        guest.lock = Some("migrate".to_owned());
        guest.run_state = Some("io-error".to_owned());
    });
    assert!(changed);
    let held = guest(&simulator, 100).await;
    for (key, value) in [
        ("name", "renamed \"x\""),
        ("tags", "a;b"),
        ("pool", "staging"),
        ("lock", "migrate"),
        ("status", "io-error"),
    ] {
        assert_eq!(held[key], value);
    }
    simulator.advance(Duration::from_secs(60));
    let later = guest(&simulator, 100).await;
    assert_eq!((counters(&later), &later["cpu"]), (counters(&held), &0.into()));
    assert!(later["uptime"].as_u64() > held["uptime"].as_u64());

    let new = NewGuest {
        kind: GuestKind::Lxc,
        node: "pve2".to_owned(),
        name: "new".to_owned(),
        running: true,
    };
    let vmid = simulator.add_guest(new).unwrap();
    let added = guest(&simulator, vmid).await;
    assert_eq!(
        (&added["id"], &added["uptime"]),
        (&format!("lxc/{vmid}").into(), &0.into())
    );
    assert!(simulator.remove(vmid) && !simulator.remove(vmid));
    assert!(
        rows(&simulator, "pve1", RESOURCES)
            .await
            .iter()
            .all(|row| row["vmid"] != vmid)
    );
}

#[tokio::test]
async fn rows_are_in_no_order_that_a_client_could_rely_on() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let order = async |node: &str| -> Vec<String> {
        rows(&simulator, node, RESOURCES)
            .await
            .iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect()
    };
    let (first, second) = (order("pve1").await, order("pve2").await);
    let set = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(set(&first), set(&second));
    assert_ne!(first, second);
    let kinds: Vec<&str> = first.iter().filter_map(|id| id.split('/').next()).collect();
    let changes = kinds.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(changes > 15, "{changes} changes of kind in {} rows", kinds.len());
}

#[tokio::test]
async fn a_lively_cluster_lives() {
    let simulator = Simulator::start(Options {
        events: true,
        guests: 40,
        ..quick()
    })
    .await
    .unwrap();
    let (mut locks, mut moved, mut failed) = (BTreeSet::new(), 0, false);
    let mut before = rows(&simulator, "pve1", RESOURCES).await;
    for _ in 0..300 {
        simulator.advance(Duration::from_secs(10));
        let now = rows(&simulator, "pve1", RESOURCES).await;
        assert_eq!(now.len(), before.len());
        for (row, old) in now.iter().zip(&before) {
            assert_eq!(row["id"], old["id"]);
            locks.extend(row["lock"].as_str().map(str::to_owned));
            moved += usize::from(row["node"] != old["node"]);
            let arrived = old["lock"] == "migrate" && row["lock"] != "migrate";
            assert!(!arrived || row["node"] != old["node"], "{row} went nowhere");
            failed |= row["type"] == "storage" && row["status"] == "unknown";
        }
        before = now;
    }
    assert!(locks.contains("backup") && locks.contains("migrate"), "{locks:?}");
    assert!(moved > 3, "{moved} migrations");
    assert!(failed, "no storage failed");
}

/// Rendering is cached for a sample: repeated requests must be much cheaper than the first.
#[tokio::test]
async fn a_large_cluster_is_rendered_once_per_sample() {
    let simulator = Simulator::start(Options {
        nodes: 30,
        guests: 10_000,
        ..quick()
    })
    .await
    .unwrap();
    let resources = get(&simulator, "pve1", RESOURCES).await;
    let metrics = get(&simulator, "pve1", "/cluster/metrics/export").await;
    assert!(
        (3_000_000..6_000_000).contains(&resources.body.len()),
        "{} bytes",
        resources.body.len()
    );
    assert!(
        (7_000_000..14_000_000).contains(&metrics.body.len()),
        "{} bytes",
        metrics.body.len()
    );
    let ids: BTreeSet<String> = resources.json()["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].to_string())
        .collect();
    assert_eq!(ids.len(), 10_000 + 30 + 30 * 4 + 30 + 4);
    assert_eq!(get(&simulator, "pve1", RESOURCES).await.body, resources.body);
}

#[tokio::test]
async fn the_real_clock_is_wall_time_and_can_be_moved_on() {
    let simulator = Simulator::start(Options {
        clock: Clock::Real,
        ..quick()
    })
    .await
    .unwrap();
    let timestamp = async || {
        rows(&simulator, "pve1", "/cluster/metrics/export").await[0]["timestamp"]
            .as_u64()
            .unwrap()
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let first = timestamp().await;
    assert!((now - 60..=now).contains(&first), "{first} at {now}");
    simulator.advance(Duration::from_secs(3_600));
    assert!(timestamp().await >= first + 3_600);
}
