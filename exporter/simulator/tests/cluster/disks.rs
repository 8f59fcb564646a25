//! Disks and what they say of themselves.

use std::time::Duration;

use pve_simulator::{Options, Simulator, Version};
use serde_json::Value;

use crate::{
    client::{get, quick, rows},
    recorded::{assert_rows_agree, recorded, recorded_rows},
    shape::Shape,
};

async fn cluster(events: bool) -> Simulator {
    Simulator::start(Options { events, ..quick() }).await.unwrap()
}

async fn smart(simulator: &Simulator, node: &str, device: &str) -> Value {
    let path = format!("/nodes/{node}/disks/smart?disk=%2Fdev%2F{device}");
    get(simulator, "pve1", &path).await.json()["data"].take()
}

fn raw(smart: &Value, id: u64) -> u64 {
    let attributes = smart["attributes"].as_array().unwrap();
    let found = attributes.iter().find(|row| row["id"] == format!("{id:>3}")).unwrap();
    found["raw"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn lists_and_readings_have_the_keys_and_types_of_pve() {
    let simulator = cluster(false).await;
    let mut known = recorded_rows("nodes__pve1__disks__list");
    known.extend(recorded_rows("nodes__pve1__disks__list@skipsmart=1"));
    known.extend(recorded_rows("from-source/node-disks-list"));
    // An unused disk, by PVE's source; the recorded nodes have none.
    let mut unused = known[0].clone();
    unused.as_object_mut().unwrap().remove("used");
    known.push(unused);
    for query in ["", "?skipsmart=1"] {
        for node in simulator.nodes() {
            let simulated = rows(&simulator, "pve1", &format!("/nodes/{node}/disks/list{query}")).await;
            assert!(simulated.len() >= 3);
            assert_rows_agree("disks", &known, &simulated, |_| "disk".to_owned());
        }
    }
    for (name, device) in [("ata", "sda"), ("ata", "sdb"), ("nvme", "nvme0n1")] {
        let known = recorded(&format!("from-source/node-disks-smart.{name}"))["data"].take();
        let simulated = smart(&simulator, "pve2", device).await;
        Shape::of([&known]).assert_covers(device, &Shape::of([&simulated]));
    }
    assert_eq!(smart(&simulator, "pve3", "sdc").await["health"], "OK");
}

#[tokio::test]
async fn a_device_that_is_none_is_refused_as_recorded() {
    let simulator = cluster(false).await;
    let name = "nodes__pve1__disks__smart@disk=%2Fdev%2Fvda";
    let answer = get(&simulator, "pve1", "/nodes/pve1/disks/smart?disk=%2Fdev%2Fvda").await;
    assert_eq!(answer.status(), 500);
    assert_eq!(answer.json(), recorded(name));
    let status = recorded(&format!("{name}.meta"))["reason"].as_str().unwrap().to_owned();
    assert!(answer.status_line.ends_with(&status), "{}", answer.status_line);
    assert_eq!(get(&simulator, "pve1", "/nodes/pve1/disks/smart").await.status(), 400);
}

#[tokio::test]
async fn smartctl_runs_for_the_list_unless_it_is_skipped() {
    let simulator = cluster(false).await;
    let skipped = rows(&simulator, "pve1", "/nodes/pve2/disks/list?skipsmart=1").await;
    assert_eq!(simulator.smartctl_runs("pve2"), 0);
    assert!(
        skipped
            .iter()
            .all(|disk| disk["health"] == "UNKNOWN" && disk["wearout"] == "N/A")
    );
    // Every call counts, though the body is rendered once.
    for runs in [3, 6] {
        let asked = rows(&simulator, "pve1", "/nodes/pve2/disks/list").await;
        assert!(asked.iter().all(|disk| disk["health"] == "PASSED"));
        assert_eq!(simulator.smartctl_runs("pve2"), runs);
    }
    smart(&simulator, "pve2", "sda").await;
    assert_eq!(
        (simulator.smartctl_runs("pve2"), simulator.smartctl_runs("pve1")),
        (7, 0)
    );
}

#[tokio::test]
async fn a_lively_cluster_has_a_disk_that_fails_and_one_that_is_worn() {
    let simulator = cluster(true).await;
    let list = rows(&simulator, "pve1", "/nodes/pve1/disks/list").await;
    let health = |list: &[Value]| -> Vec<String> {
        list.iter()
            .map(|disk| disk["health"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(health(&list), ["PASSED", "FAILED!", "PASSED"]);
    let worn = rows(&simulator, "pve1", "/nodes/pve2/disks/list").await;
    assert!(worn.iter().any(|disk| disk["wearout"] == 4));
    let before = smart(&simulator, "pve1", "sda").await;
    simulator.advance(Duration::from_secs(3_600));
    let after = smart(&simulator, "pve1", "sda").await;
    for id in [5, 197] {
        assert!(raw(&after, id) > raw(&before, id), "{id}");
    }
    let quiet = cluster(false).await;
    let list = rows(&quiet, "pve1", "/nodes/pve1/disks/list").await;
    assert_eq!(health(&list), ["PASSED"; 3]);
}

#[tokio::test]
async fn older_versions_have_fewer_keys() {
    let options = Options {
        versions: vec![Version::new(7, 1, 0)],
        ..quick()
    };
    let simulator = Simulator::start(options).await.unwrap();
    let list = rows(&simulator, "pve1", "/nodes/pve1/disks/list").await;
    assert!(list.iter().all(|disk| disk.get("osdid-list").is_none()));
    let attributes = smart(&simulator, "pve1", "sda").await["attributes"].take();
    assert!(attributes[0].get("normalized").is_none() && attributes[0]["value"].is_number());
}
