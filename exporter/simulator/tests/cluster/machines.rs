//! The machines under the cluster: what each node says of its pressure, clock, services, packages, subscription, certificates
//! and network.

use std::time::Duration;

use pve_simulator::{Fault, Options, Simulator, Version};
use serde_json::Value;

use crate::{
    client::{get, quick, rows},
    recorded::{assert_rows_agree, recorded, recorded_rows},
    shape::Shape,
};

const RRD: &str = "rrddata?timeframe=hour&cf=AVERAGE";
const START: u64 = 1_786_800_000;

async fn cluster(events: bool, version: Version) -> Simulator {
    let versions = vec![version];
    let options = Options {
        events,
        versions,
        ..quick()
    };
    Simulator::start(options).await.unwrap()
}

async fn lively() -> Simulator {
    cluster(true, Version::new(9, 2, 11)).await
}

async fn data(simulator: &Simulator, path: &str) -> Value {
    get(simulator, "pve1", path).await.json()["data"].take()
}

fn any(_: &Value) -> String {
    String::new()
}

#[tokio::test]
async fn bodies_have_the_keys_and_types_of_pve() {
    let simulator = lively().await;
    for (path, sources) in [
        ("services", vec!["nodes__pve1__services"]),
        ("certificates/info", vec!["nodes__pve1__certificates__info"]),
        ("network", vec!["nodes__pve1__network", "from-source/node-network"]),
        ("hardware/pci", vec!["nodes__pve1__hardware__pci"]),
        (
            "apt/versions",
            vec!["nodes__pve1__apt__versions", "from-source/apt-versions"],
        ),
        (RRD, vec!["nodes__pve1__rrddata@timeframe=hour&cf=AVERAGE"]),
    ] {
        let known: Vec<Value> = sources.into_iter().flat_map(recorded_rows).collect();
        for node in ["pve1", "pve2", "pve3"] {
            let simulated = rows(&simulator, "pve1", &format!("/nodes/{node}/{path}")).await;
            assert_rows_agree(path, &known, &simulated, any);
        }
    }
    let unnamed = rows(&simulator, "pve1", "/nodes/pve2/hardware/pci?verbose=0").await;
    assert!(
        unnamed
            .iter()
            .all(|row| row["class"].is_string() && row["vendor_name"].is_null())
    );
    let known = recorded("nodes__pve1__time");
    let time = get(&simulator, "pve1", "/nodes/pve2/time").await.json();
    Shape::of([&known]).assert_covers("time", &Shape::of([&time]));
    let quiet = cluster(false, Version::new(9, 2, 11)).await;
    for (node, known) in [
        ("pve1", "nodes__pve1__subscription"),
        ("pve2", "nodes__pve2__subscription"),
    ] {
        let answer = get(&quiet, "pve1", &format!("/nodes/{node}/subscription")).await.json();
        Shape::of([&recorded(known)]).assert_covers(known, &Shape::of([&answer]));
    }
}

#[tokio::test]
async fn a_lively_cluster_has_something_to_look_after_on_each_node() {
    let simulator = lively().await;
    let certificates = rows(&simulator, "pve1", "/nodes/pve1/certificates/info").await;
    let end = certificates.iter().map(|row| row["notafter"].as_u64().unwrap()).min();
    assert_eq!(end, Some(START + 9 * 86_400));

    let packages = rows(&simulator, "pve1", "/nodes/pve2/apt/versions").await;
    assert!(packages.iter().any(|row| row["Version"] != row["OldVersion"]));
    let kernels: Vec<&str> = packages
        .iter()
        .filter_map(|row| row["Package"].as_str().filter(|name| name.ends_with("-pve-signed")))
        .collect();
    assert_eq!(
        kernels,
        [
            "proxmox-kernel-7.0.14-2-pve-signed",
            "proxmox-kernel-7.0.2-1-pve-signed"
        ]
    );
    let running = data(&simulator, "/nodes/pve2/status").await["current-kernel"]["release"].take();
    assert_eq!(packages[0]["RunningKernel"], running);

    assert_eq!(data(&simulator, "/nodes/pve3/subscription").await["status"], "expired");
    assert_eq!(
        data(&simulator, "/nodes/pve3/subscription").await["nextduedate"],
        "2026-08-03"
    );
    assert_eq!(data(&simulator, "/nodes/pve3/time").await["time"], START + 7);
    let stopped: Vec<Value> = rows(&simulator, "pve1", "/nodes/pve3/services").await;
    let stopped = stopped
        .iter()
        .filter(|row| row["unit-state"] == "enabled" && row["active-state"] != "active");
    assert_eq!(
        stopped.map(|row| row["service"].as_str().unwrap()).collect::<Vec<_>>(),
        ["chrony"]
    );
}

#[tokio::test]
async fn a_quiet_cluster_has_nothing_to_look_after() {
    let simulator = cluster(false, Version::new(8, 4, 1)).await;
    for node in ["pve1", "pve2", "pve3"] {
        let packages = rows(&simulator, "pve1", &format!("/nodes/{node}/apt/versions")).await;
        assert!(packages.iter().all(|row| row["Version"] == row["OldVersion"]));
        assert_eq!(packages[0]["RunningKernel"], "6.8.12-10-pve");
        assert_eq!(data(&simulator, &format!("/nodes/{node}/time")).await["time"], START);
        let services = rows(&simulator, "pve1", &format!("/nodes/{node}/services")).await;
        assert!(
            services
                .iter()
                .all(|row| row["unit-state"] == "not-found" || row["active-state"] == "active")
        );
    }
}

#[tokio::test]
async fn clocks_go_on_between_samples() {
    let simulator = lively().await;
    for second in 0..3 {
        let time = data(&simulator, "/nodes/pve1/time").await;
        assert_eq!(time["time"], START + second);
        assert_eq!(time["localtime"], START + second + 7200);
        simulator.advance(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn any_node_tells_the_last_hour_of_any_other_even_when_that_is_dead() {
    let simulator = lively().await;
    simulator.advance(Duration::from_secs(600));
    simulator.inject("offline:pve3".parse::<Fault>().unwrap());
    simulator.advance(Duration::from_secs(180));
    let answers = simulator.calls();
    let minutes = rows(&simulator, "pve1", &format!("/nodes/pve3/{RRD}")).await;
    assert_eq!(minutes.len(), 60);
    let told: Vec<&Value> = minutes
        .iter()
        .filter(|row| row.get("pressurecpusome").is_some())
        .collect();
    assert_eq!(told.last().unwrap()["time"], START + 600);
    let executed = |calls: &pve_simulator::CallCounts| calls.executed_for_by("/nodes/{copied}/rrddata", "pve1");
    assert_eq!(executed(&simulator.calls()), executed(&answers) + 1);

    let answer = get(&simulator, "pve1", &format!("/nodes/pve9/{RRD}")).await;
    assert_eq!(answer.status(), 500);
    assert!(
        answer.status_line.contains("RRD error: rrdcached@unix"),
        "{}",
        answer.status_line
    );
}

#[tokio::test]
async fn pve_8_records_no_pressure() {
    let simulator = cluster(false, Version::new(8, 4, 1)).await;
    let minutes = rows(&simulator, "pve1", &format!("/nodes/pve2/{RRD}")).await;
    let known = recorded_rows("from-source/node-rrddata-hour.pve8");
    assert_rows_agree("rrddata of 8", &known, &minutes, any);
}
