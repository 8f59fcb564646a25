//! Configurations of guests with their pending changes, and snapshots.

use std::collections::BTreeMap;

use pve_simulator::{AgentMix, GuestKind, Options, Simulator};
use serde_json::Value;

use crate::{
    client::{get, quick, rows},
    recorded::{assert_rows_agree, recorded, recorded_rows},
};

async fn cluster() -> Simulator {
    let options = Options {
        guests: 60,
        agents: AgentMix::lively(),
        ..quick()
    };
    Simulator::start(options).await.unwrap()
}

/// The JSON type that PVE gives to each value of a configuration.
fn known_settings() -> BTreeMap<String, bool> {
    let mut known: BTreeMap<String, bool> = BTreeMap::new();
    for name in ["qemu__100", "qemu__101", "qemu__102", "lxc__200", "lxc__201"] {
        for row in recorded_rows(&format!("nodes__pve1__{name}__pending")) {
            known.insert(row["key"].as_str().unwrap().to_owned(), row["value"].is_string());
        }
    }
    for (key, value) in recorded("from-source/qemu-config")["data"].as_object().unwrap() {
        known.insert(key.clone(), value.is_string());
    }
    known
}

#[tokio::test]
async fn configurations_mix_strings_and_numbers_as_pve_does() {
    let simulator = cluster().await;
    let known = known_settings();
    let mut seen = BTreeMap::new();
    for guest in simulator.guests() {
        let path = format!("/nodes/{}/{}/{}/pending", guest.node, guest.kind.as_str(), guest.vmid);
        for row in rows(&simulator, "pve1", &path).await {
            let key = row["key"].as_str().unwrap().to_owned();
            // The memory of a machine is a string, that of a container is not.
            let expected = match (key.as_str(), guest.kind) {
                ("memory", GuestKind::Lxc) => false,
                ("memory", GuestKind::Qemu) => true,
                _ => known.get(&key).copied().unwrap_or_else(|| key != "template"),
            };
            if let Some(value) = row.get("value") {
                assert_eq!(value.is_string(), expected, "{key} = {value}");
            }
            seen.insert(key, row);
        }
    }
    for key in [
        "onboot",
        "protection",
        "agent",
        "startup",
        "scsi1",
        "ide2",
        "efidisk0",
        "rootfs",
        "mp0",
        "digest",
        "parent",
    ] {
        assert!(seen.contains_key(key), "no guest has {key}");
    }
}

#[tokio::test]
async fn a_configuration_can_be_set() {
    let simulator = cluster().await;
    let settings = async || -> BTreeMap<String, Value> {
        let rows = rows(&simulator, "pve1", "/nodes/pve1/qemu/100/pending").await;
        rows.into_iter()
            .map(|row| (row["key"].as_str().unwrap().to_owned(), row))
            .collect()
    };
    simulator.set_guest(100, |guest| {
        guest.onboot = false;
        guest.agent = Some("0".to_owned());
        guest.protection = true;
        guest.startup = Some("order=7".to_owned());
        guest.drives_without_backup = ["scsi0".to_owned()].into();
        guest.pending.clear();
    });
    let before = settings().await;
    assert_eq!(
        (
            before.get("onboot"),
            &before["agent"]["value"],
            &before["protection"]["value"]
        ),
        (None, &"0".into(), &1.into())
    );
    assert!(before["scsi0"]["value"].as_str().unwrap().contains(",backup=0,"));
    assert!(
        before
            .values()
            .all(|row| row.get("pending").is_none() && row.get("delete").is_none())
    );
    simulator.set_guest(100, |guest| {
        guest.pending.insert("cores".to_owned(), Some("8".to_owned()));
        guest.pending.insert("memory".to_owned(), Some("4096".to_owned()));
        guest
            .pending
            .insert("net7".to_owned(), Some("virtio,bridge=vmbr0".to_owned()));
        guest.pending.insert("startup".to_owned(), None);
    });
    let after = settings().await;
    assert_eq!(
        (&after["cores"]["pending"], &after["memory"]["pending"]),
        (&8.into(), &"4096".into())
    );
    assert_eq!(
        (after["net7"].get("value"), &after["startup"]["delete"]),
        (None, &1.into())
    );
    assert_ne!(before["digest"], after["digest"]);
}

#[tokio::test]
async fn a_configuration_is_what_the_next_start_brings() {
    let simulator = cluster().await;
    let bodies = ["qemu__100", "qemu__101", "qemu__102", "lxc__200", "lxc__201"];
    let known = bodies.map(|name| recorded(&format!("nodes__pve1__{name}__config"))["data"].take());
    let known = known.iter().flat_map(|body| body.as_object().unwrap());
    let known: BTreeMap<_, _> = known.map(|(key, value)| (key.as_str(), value.is_string())).collect();
    simulator.set_guest(100, |guest| {
        guest.startup = Some("order=7".to_owned());
        guest.pending = [
            ("cores".to_owned(), Some("8".to_owned())),
            ("net7".to_owned(), Some("virtio,bridge=vmbr0".to_owned())),
            ("startup".to_owned(), None),
        ]
        .into();
    });
    for guest in simulator.guests() {
        let kind = guest.kind.as_str();
        let path = format!("/nodes/{}/{kind}/{}/config", guest.node, guest.vmid);
        let next = get(&simulator, "pve1", &path).await.data();
        let now = get(&simulator, "pve1", &format!("{path}?current=1")).await.data();
        for (key, value) in next.as_object().unwrap() {
            // The memory of a machine is a string, that of a container is not.
            if let Some(is_string) = known.get(key.as_str()).filter(|_| key != "memory") {
                assert_eq!(value.is_string(), *is_string, "{key} = {value}");
            }
        }
        if guest.vmid == 100 {
            assert_eq!(
                (&next["cores"], &next["net7"]),
                (&8.into(), &"virtio,bridge=vmbr0".into())
            );
            assert_eq!((next.get("startup"), &now["startup"]), (None, &"order=7".into()));
            assert_eq!(now.get("net7"), None);
        }
        assert_eq!(next["digest"], now["digest"]);
    }
}

#[tokio::test]
async fn snapshots_end_in_the_present() {
    let simulator = cluster().await;
    let known = [
        "nodes__pve1__qemu__102__snapshot",
        "nodes__pve1__lxc__200__snapshot",
        "from-source/qemu-snapshot",
    ];
    let known = known.map(recorded_rows).concat();
    let kind = |row: &Value| (row["name"] == "current").to_string();
    let mut counts = Vec::new();
    for guest in simulator.guests() {
        let path = format!("/nodes/{}/{}/{}/snapshot", guest.node, guest.kind.as_str(), guest.vmid);
        let snapshots = rows(&simulator, "pve1", &path).await;
        if guest.kind == GuestKind::Qemu {
            assert_rows_agree("snapshots", &known, &snapshots, kind);
        } else {
            assert!(snapshots.iter().all(|row| row.get("vmstate").is_none()));
        }
        counts.push(snapshots.len());
    }
    assert!(counts.contains(&1) && counts.iter().any(|count| *count > 2));

    simulator.set_guest(100, |guest| guest.snapshots.clear());
    assert!(simulator.add_snapshot(100, "first", false) && simulator.add_snapshot(100, "second", true));
    assert!(!simulator.add_snapshot(9_999, "none", false));
    let snapshots = rows(&simulator, "pve1", "/nodes/pve1/qemu/100/snapshot").await;
    let chain: Vec<_> = snapshots
        .iter()
        .map(|row| (row["name"].as_str().unwrap(), row["parent"].as_str()))
        .collect();
    assert_eq!(
        chain,
        [("first", None), ("second", Some("first")), ("current", Some("second"))]
    );
    assert_eq!(
        (&snapshots[1]["vmstate"], &snapshots[1]["snaptime"]),
        (&1.into(), &1_786_800_000_u64.into())
    );
    assert_eq!(snapshots[2]["running"], 1);
}
