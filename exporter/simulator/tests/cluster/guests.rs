//! Guests in depth: the live lists of a node, configurations, snapshots.

use std::{collections::BTreeMap, time::Duration};

use pve_simulator::{Fault, FaultKind, Options, Simulator, Version};
use serde_json::{Value, json};

use crate::{
    client::{get, quick, row, rows},
    recorded::{assert_rows_agree, recorded, recorded_rows},
};

async fn cluster(version: Version) -> Simulator {
    let options = Options {
        guests: 60,
        versions: vec![version],
        ..quick()
    };
    Simulator::start(options).await.unwrap()
}

async fn newest() -> Simulator {
    cluster(Version::new(9, 2, 11)).await
}

/// The rows of every node.
async fn everywhere(simulator: &Simulator, list: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for node in simulator.nodes() {
        all.extend(rows(simulator, "pve1", &format!("/nodes/{node}/{list}")).await);
    }
    all
}

/// Rows whose objects with free keys are lists of their values.
fn without_names(mut rows: Vec<Value>) -> Vec<Value> {
    for row in &mut rows {
        for key in ["blockstat", "nics"] {
            if let Some(object) = row.get(key).and_then(Value::as_object) {
                row[key] = object.values().cloned().collect();
            }
        }
    }
    rows
}

/// What a guest in a list is: without QEMU's answer it has other keys.
fn kind(row: &Value) -> String {
    format!("{} {}", row["status"], row.get("blockstat").is_some())
}

/// Known rows, once with everything that depends on a configuration alone and once without.
fn configured(known: Vec<Value>) -> Vec<Value> {
    let settings = [
        ("tags", json!("a;b")),
        ("lock", json!("backup")),
        ("template", json!(1)),
        ("serial", json!(1)),
        ("balloon_min", json!(1)),
        ("shares", json!(1_000)),
    ];
    let variants = known.into_iter().flat_map(|row| {
        let (mut full, mut bare) = (row.clone(), row);
        for (key, value) in &settings {
            full[key] = value.clone();
            bare.as_object_mut().unwrap().remove(*key);
        }
        // Without a driver in the guest the balloon knows only its own size.
        if let Some(size) = bare.get("balloon").cloned() {
            bare.as_object_mut().unwrap().remove("freemem");
            bare["ballooninfo"] = json!({"actual": size, "max_mem": size});
        }
        [full, bare]
    });
    variants.collect()
}

#[tokio::test]
async fn lists_have_the_keys_and_types_of_pve_9() {
    let simulator = newest().await;
    simulator.set_guest(100, |guest| guest.lock = Some("backup".to_owned()));
    let mut known = recorded_rows("nodes__pve1__qemu");
    known.extend(recorded_rows("from-source/node-qemu-list.pve9"));
    for list in ["qemu", "qemu?full=0"] {
        assert_rows_agree(
            list,
            &configured(known.clone()),
            &everywhere(&simulator, list).await,
            kind,
        );
    }
    let mut known = recorded_rows("nodes__pve1__qemu@full=1");
    known.extend(recorded_rows("from-source/node-qemu-full.pve9"));
    let known = without_names(configured(known));
    let simulated = without_names(everywhere(&simulator, "qemu?full=1").await);
    assert_rows_agree("qemu?full=1", &known, &simulated, kind);
    assert!(simulated.iter().any(|row| row.get("blockstat").is_some()));

    let mut known = recorded_rows("nodes__pve1__lxc");
    known.extend(recorded_rows("from-source/node-lxc.pve9"));
    assert_rows_agree("lxc", &configured(known), &everywhere(&simulator, "lxc").await, kind);
    let mut known = recorded_rows("nodes__pve1__netstat");
    known.extend(recorded_rows("from-source/node-netstat"));
    assert_rows_agree("netstat", &known, &everywhere(&simulator, "netstat").await, kind);
}

#[tokio::test]
async fn lists_have_the_keys_and_types_of_older_versions() {
    let old = cluster(Version::new(8, 4, 1)).await;
    let known = without_names(configured(recorded_rows("from-source/node-qemu-full.pve8")));
    assert_rows_agree(
        "qemu?full=1",
        &known,
        &without_names(everywhere(&old, "qemu?full=1").await),
        kind,
    );
    let known = configured(recorded_rows("from-source/node-lxc.pve8"));
    assert_rows_agree("lxc", &known, &everywhere(&old, "lxc").await, kind);
    let older = cluster(Version::new(7, 4, 20)).await;
    let known = configured(recorded_rows("from-source/node-lxc.pve7"));
    assert_rows_agree("lxc", &known, &everywhere(&older, "lxc").await, kind);

    let zeros = everywhere(&cluster(Version::new(9, 0, 10)).await, "qemu").await;
    assert!(
        zeros
            .iter()
            .all(|row| row["diskread"] == 0 && row.get("memhost").is_some())
    );
}

/// The sum of a counter over the drives or devices of a machine.
fn sum(row: &Value, of: &str, key: &str) -> u64 {
    let parts = row[of].as_object().unwrap().values();
    parts.map(|part| part[key].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn the_lists_agree_with_the_resources() {
    let simulator = newest().await;
    // Live lists do not care for pvestatd.
    simulator.inject("frozen-pvestatd:pve2".parse::<Fault>().unwrap());
    let resources = rows(&simulator, "pve1", "/cluster/resources").await;
    let machines = everywhere(&simulator, "qemu?full=1").await;
    let mut networks: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    for device in everywhere(&simulator, "netstat").await {
        let number = |key: &str| device[key].as_str().unwrap().parse::<u64>().unwrap();
        let sums = networks.entry(device["vmid"].as_str().unwrap().to_owned()).or_default();
        *sums = [sums[0] + number("in"), sums[1] + number("out")];
    }
    for machine in machines.iter().filter(|row| row["status"] == "running") {
        let known = row(&resources, &format!("qemu/{}", machine["vmid"]));
        let count = |key: &str| known[key].as_u64().unwrap();
        assert_eq!(sum(machine, "blockstat", "rd_bytes"), count("diskread"), "{known}");
        assert_eq!(sum(machine, "blockstat", "wr_bytes"), count("diskwrite"), "{known}");
        let netted = [count("netin"), count("netout")];
        assert_eq!([sum(machine, "nics", "netin"), sum(machine, "nics", "netout")], netted);
        assert_eq!(networks.remove(&machine["vmid"].to_string()), Some(netted));
        for key in ["mem", "memhost", "uptime", "maxmem", "diskread", "diskwrite"] {
            assert_eq!(machine[key], known[key], "{key} of {known}");
        }
        let balloon = &machine["ballooninfo"];
        if let (Some(total), Some(free)) = (balloon["total_mem"].as_u64(), balloon["free_mem"].as_u64()) {
            assert_eq!(total - free, machine["mem"].as_u64().unwrap());
        }
    }
    for container in everywhere(&simulator, "lxc").await {
        let known = row(&resources, &format!("lxc/{}", container["vmid"]));
        for key in [
            "status",
            "mem",
            "disk",
            "netin",
            "netout",
            "diskread",
            "diskwrite",
            "uptime",
        ] {
            assert_eq!(container[key], known[key], "{key} of {known}");
        }
        networks.remove(&container["vmid"].to_string());
    }
    assert!(networks.is_empty(), "devices of guests that do not run: {networks:?}");
    simulator.advance(Duration::from_secs(60));
    assert_ne!(everywhere(&simulator, "netstat").await, Vec::<Value>::new());
    let frozen = rows(&simulator, "pve1", "/nodes/pve2/qemu").await;
    let earlier = machines.iter().find(|row| row["vmid"] == 101).unwrap();
    let later = frozen.iter().find(|row| row["vmid"] == 101).unwrap();
    assert_eq!(
        later["uptime"].as_u64().unwrap(),
        earlier["uptime"].as_u64().unwrap() + 60
    );
}

#[tokio::test]
async fn counters_of_drives_begin_again_with_the_machine() {
    let simulator = newest().await;
    let drive = async || {
        let machines = rows(&simulator, "pve1", "/nodes/pve1/qemu?full=1").await;
        let machine = machines.into_iter().find(|row| row["vmid"] == 100).unwrap();
        ["rd_bytes", "wr_operations", "wr_total_time_ns", "flush_operations"]
            .map(|key| machine["blockstat"]["scsi0"][key].as_u64().unwrap())
    };
    let first = drive().await;
    simulator.advance(Duration::from_secs(600));
    let second = drive().await;
    assert!(
        first.iter().zip(second).all(|(first, second)| *first < second),
        "{first:?}, {second:?}"
    );
    assert!(simulator.restart(100));
    assert_eq!(drive().await, [0; 4]);
}

#[tokio::test]
async fn a_machine_that_does_not_answer_lacks_what_only_it_knows() {
    let simulator = newest().await;
    simulator.set_guest(100, |guest| guest.run_state = Some("paused".to_owned()));
    let machine = async |list: &str| {
        let machines = rows(&simulator, "pve2", &format!("/nodes/pve1/{list}")).await;
        machines.into_iter().find(|row| row["vmid"] == 100).unwrap()
    };
    let answering = machine("qemu?full=1").await;
    assert_eq!(
        (&answering["status"], &answering["qmpstatus"]),
        (&"running".into(), &"paused".into())
    );
    let id = simulator.inject(FaultKind::QmpTimeout(Some(100)));
    let mute = machine("qemu?full=1").await;
    assert_eq!(mute["qmpstatus"], "running");
    for key in [
        "blockstat",
        "ballooninfo",
        "balloon",
        "running-qemu",
        "running-machine",
        "diskread",
        "diskwrite",
    ] {
        assert!(answering.get(key).is_some() && mute.get(key).is_none(), "{key}");
    }
    assert_eq!(mute["nics"], answering["nics"]);
    simulator.clear(id);
    assert_eq!(machine("qemu?full=1").await, answering);
    assert!(machine("qemu").await.get("qmpstatus").is_none());
}

#[tokio::test]
async fn a_guest_is_only_where_it_is() {
    let simulator = newest().await;
    assert!(simulator.migrate(100, "pve3"));
    for what in ["pending", "snapshot"] {
        let gone = get(&simulator, "pve1", &format!("/nodes/pve1/qemu/100/{what}")).await;
        let reason = "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist";
        assert_eq!(
            (gone.status_line.as_str(), &gone.json()["message"]),
            (&*format!("HTTP/1.1 500 {reason}"), &format!("{reason}\n").into())
        );
        assert_eq!(
            get(&simulator, "pve1", &format!("/nodes/pve3/qemu/100/{what}"))
                .await
                .status(),
            200
        );
        let wrong = get(&simulator, "pve1", &format!("/nodes/pve1/lxc/100/{what}")).await;
        assert_eq!(wrong.json(), recorded("nodes__pve1__lxc__100__status__current"));
        let unnamed = get(&simulator, "pve1", &format!("/nodes/pve1/qemu/abc/{what}")).await;
        assert_eq!(unnamed.json(), recorded("nodes__pve1__qemu__abc__status__current"));
    }
    let listed = rows(&simulator, "pve1", "/nodes/pve3/netstat").await;
    assert!(listed.iter().any(|row| row["vmid"] == "100"));
    simulator.inject(FaultKind::Vanished(100));
    assert_eq!(
        get(&simulator, "pve1", "/nodes/pve3/qemu/100/pending").await.status(),
        500
    );
    simulator.inject("offline:pve2".parse::<Fault>().unwrap());
    for list in ["qemu?full=1", "lxc", "netstat", "qemu/101/pending"] {
        assert_eq!(
            get(&simulator, "pve1", &format!("/nodes/pve2/{list}")).await.status(),
            595,
            "{list}"
        );
    }
}

#[tokio::test]
async fn a_token_without_rights_sees_no_guests() {
    let simulator = newest().await;
    simulator.inject(FaultKind::NoPermission);
    for list in [
        "/nodes/pve1/qemu",
        "/nodes/pve1/lxc",
        "/nodes/pve1/replication",
        "/cluster/replication",
    ] {
        assert!(rows(&simulator, "pve1", list).await.is_empty(), "{list}");
    }
    for (path, object) in [
        ("/nodes/pve1/qemu/100/pending", "/vms/100, VM.Audit"),
        ("/nodes/pve2/netstat", "/nodes/pve2, Sys.Audit"),
        ("/cluster/ha/status/current", "/, Sys.Audit"),
    ] {
        let refused = get(&simulator, "pve1", path).await;
        assert_eq!(
            refused.status_line,
            format!("HTTP/1.1 403 Permission check failed ({object})")
        );
    }
}
