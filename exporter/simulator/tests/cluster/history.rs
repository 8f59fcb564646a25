//! What PVE keeps of the past.

use std::collections::BTreeSet;

use pve_simulator::{GuestKind, Options, Simulator, Version};
use serde_json::Value;

use crate::{
    client::{get, quick, rows},
    recorded::{assert_rows_agree, recorded, recorded_rows},
};

async fn cluster(version: Version) -> Simulator {
    let options = Options {
        versions: vec![version],
        ..quick()
    };
    Simulator::start(options).await.unwrap()
}

async fn newest() -> Simulator {
    cluster(Version::new(9, 2, 11)).await
}

/// A period of which nothing is known, a guest that did not run, and everything else.
fn kind(row: &Value) -> String {
    let kind = if row.get("cpu").is_some() || row.get("used").is_some() {
        "known"
    } else if row.get("maxcpu").is_some() {
        "stopped"
    } else {
        "unknown"
    };
    kind.to_owned()
}

fn time(row: &Value) -> u64 {
    row["time"].as_u64().unwrap()
}

fn guest(simulator: &Simulator, kind: GuestKind, running: bool) -> String {
    let guests = simulator.guests();
    let wanted = |guest: &&pve_simulator::GuestSummary| guest.kind == kind && guest.running == running;
    let guest = guests.iter().find(wanted).unwrap();
    format!("/nodes/{}/{}/{}", guest.node, kind.as_str(), guest.vmid)
}

#[tokio::test]
async fn histories_have_the_keys_and_types_of_pve() {
    let simulator = newest().await;
    let node = recorded_rows("nodes__pve1__rrddata@timeframe=hour");
    let simulated = rows(&simulator, "pve1", "/nodes/pve2/rrddata?timeframe=year&cf=AVERAGE").await;
    assert_rows_agree("node", &node, &simulated, kind);
    let kinds: BTreeSet<String> = simulated.iter().map(kind).collect();
    assert_eq!(kinds, ["known".to_owned(), "unknown".to_owned()].into());

    let mut machine = recorded_rows("nodes__pve1__qemu__100__rrddata@timeframe=hour");
    machine.extend(recorded_rows("nodes__pve1__qemu__104__rrddata@timeframe=hour"));
    machine.extend(recorded_rows("from-source/qemu-rrddata-hour.pve9"));
    let mut container = recorded_rows("nodes__pve1__lxc__200__rrddata@timeframe=hour");
    container.extend(recorded_rows("nodes__pve1__lxc__201__rrddata@timeframe=hour"));
    let storage = recorded_rows("nodes__pve1__storage__local__rrddata@timeframe=hour");
    for (path, known) in [
        (guest(&simulator, GuestKind::Qemu, true), &machine),
        (guest(&simulator, GuestKind::Qemu, false), &machine),
        (guest(&simulator, GuestKind::Lxc, true), &container),
        ("/nodes/pve3/storage/local".to_owned(), &storage),
    ] {
        let simulated = rows(&simulator, "pve1", &format!("{path}/rrddata?timeframe=year")).await;
        assert_rows_agree(&path, known, &simulated, kind);
    }
}

#[tokio::test]
async fn pve_8_has_fewer_columns_and_an_unknown_newest_period() {
    let simulator = cluster(Version::new(8, 4, 1)).await;
    let known = recorded_rows("from-source/node-rrddata-hour.pve8");
    let simulated = rows(&simulator, "pve1", "/nodes/pve1/rrddata?timeframe=week").await;
    assert_rows_agree("node of 8", &known, &simulated, kind);
    assert_eq!(kind(simulated.last().unwrap()), "unknown");
    let answer = get(&simulator, "pve1", "/nodes/pve1/rrddata?timeframe=decade").await;
    assert_eq!(answer.status(), 400);
}

#[tokio::test]
async fn refused_questions_are_answered_as_recorded() {
    let simulator = newest().await;
    for (path, name) in [
        ("/nodes/pve1/rrddata", "nodes__pve1__rrddata"),
        (
            "/nodes/pve1/rrddata?timeframe=eon",
            "nodes__pve1__rrddata@timeframe=eon",
        ),
    ] {
        let (answer, meta) = (get(&simulator, "pve1", path).await, recorded(&format!("{name}.meta")));
        let status = format!("HTTP/1.1 {} {}", meta["status"], meta["reason"].as_str().unwrap());
        assert_eq!((answer.status_line.as_str(), answer.json()), (&*status, recorded(name)));
    }
    let answer = get(&simulator, "pve1", "/nodes/pve9/rrddata?timeframe=hour").await;
    let known = recorded("nodes__pve3__rrddata@timeframe=hour")["message"].to_string();
    assert_eq!(answer.json()["message"].to_string(), known.replace("pve3", "pve9"));
}

#[tokio::test]
async fn a_node_was_off_for_a_week() {
    let simulator = newest().await;
    let year = rows(&simulator, "pve1", "/nodes/pve2/rrddata?timeframe=year").await;
    assert_eq!(year.len(), 1_440);
    assert!(year.windows(2).all(|pair| time(&pair[1]) - time(&pair[0]) == 21_600));
    let unknown: Vec<u64> = year.iter().filter(|row| kind(row) == "unknown").map(time).collect();
    assert_eq!(unknown.len(), 28);
    assert_eq!(unknown[27] - unknown[0], 27 * 21_600);
}

#[tokio::test]
async fn every_node_has_the_histories_of_a_lost_one_but_not_of_its_storages() {
    let simulator = newest().await;
    let path = "/nodes/pve2/rrddata?timeframe=day";
    let before = rows(&simulator, "pve1", path).await;
    simulator.inject("offline:pve2".parse::<pve_simulator::Fault>().unwrap());
    simulator.settled().await;
    assert_eq!(rows(&simulator, "pve1", path).await, before);
    let answer = get(&simulator, "pve1", "/nodes/pve2/storage/local/rrddata?timeframe=day").await;
    assert_eq!(answer.status(), 595);
}
