//! Replication jobs and how they are doing.

use std::time::Duration;

use pve_simulator::{Options, Simulator};
use serde_json::Value;

use crate::{
    client::{get, quick, row, rows},
    recorded::{assert_rows_agree, recorded, recorded_rows},
};

const JOBS: &str = "/cluster/replication";

/// Every job at the node that runs it.
async fn states(simulator: &Simulator) -> Vec<Value> {
    let mut all = Vec::new();
    for node in simulator.nodes() {
        let jobs = rows(simulator, "pve1", &format!("/nodes/{node}/replication")).await;
        assert!(jobs.iter().all(|job| job["source"] == node.as_str()));
        all.extend(jobs);
    }
    all
}

fn times(job: &Value) -> [u64; 4] {
    ["last_sync", "last_try", "next_sync", "fail_count"].map(|key| job[key].as_u64().unwrap())
}

#[tokio::test]
async fn bodies_have_the_keys_and_types_of_pve() {
    let simulator = Simulator::start(quick()).await.unwrap();
    assert!(simulator.fail_replication("106-0") && !simulator.fail_replication("107-0"));
    let mut known = recorded_rows("cluster__replication");
    known.extend(recorded_rows("from-source/cluster-replication"));
    let jobs = rows(&simulator, "pve1", JOBS).await;
    assert_rows_agree("jobs", &known, &jobs, |_| String::new());
    assert!(jobs.iter().any(|job| job["disable"] == 1) && jobs.iter().any(|job| job.get("disable").is_none()));

    let mut known = recorded_rows("nodes__pve1__replication");
    known.extend(recorded_rows("from-source/node-replication"));
    let states = states(&simulator).await;
    assert_rows_agree("states", &known, &states, |_| String::new());
    assert_eq!(states.len(), jobs.len());
    assert_eq!(simulator.replications().len(), jobs.len());
}

#[tokio::test]
async fn a_job_tells_its_state_alone_as_in_the_list() {
    let simulator = Simulator::start(quick()).await.unwrap();
    assert!(simulator.fail_replication("106-0"));
    // In the recording, too, each is the row of the list.
    for row in recorded_rows("nodes__pve1__replication") {
        let alone = recorded(&format!(
            "nodes__pve1__replication__{}__status",
            row["id"].as_str().unwrap()
        ));
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&alone["data"]), keys(&row));
    }
    for job in states(&simulator).await {
        let (node, id) = (job["source"].as_str().unwrap(), job["id"].as_str().unwrap());
        let path = format!("/nodes/{node}/replication/{id}/status");
        let state = get(&simulator, "pve1", &path).await.data();
        assert_eq!(state, job);
    }
    let unknown = get(&simulator, "pve1", "/nodes/pve1/replication/9999-0/status").await;
    assert_eq!(unknown.status(), 500);
}

#[tokio::test]
async fn jobs_run_every_quarter_of_an_hour_until_they_fail() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let id = "100-0";
    let [synced, _, next, failures] = times(row(&states(&simulator).await, id));
    assert_eq!((next - synced, failures), (900, 0));
    simulator.advance(Duration::from_secs(900));
    let [again, ..] = times(row(&states(&simulator).await, id));
    assert_eq!(again, synced + 900);

    assert!(simulator.fail_replication(id));
    for expected in 1..=3 {
        let states = states(&simulator).await;
        let job = row(&states, id);
        let [last, tried, next, failures] = times(job);
        assert_eq!((last, next - tried, failures), (again, 300 * expected, expected));
        assert!(job["error"].as_str().unwrap().contains("failed"));
        simulator.advance(Duration::from_secs(300 * expected));
    }
    assert!(simulator.resume_replication(id));
    let resumed = states(&simulator).await;
    assert_eq!((times(row(&resumed, id))[3], row(&resumed, id).get("error")), (0, None));

    assert!(simulator.disable_replication(id));
    let before = times(row(&states(&simulator).await, id));
    simulator.advance(Duration::from_secs(3_600));
    assert_eq!(times(row(&states(&simulator).await, id)), before);
    assert_eq!(row(&rows(&simulator, "pve1", JOBS).await, id)["disable"], 1);
}

#[tokio::test]
async fn a_job_follows_its_guest() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let job = row(&rows(&simulator, "pve1", JOBS).await, "100-0").clone();
    let target = job["target"].as_str().unwrap();
    assert!(simulator.migrate(100, target));
    let moved = rows(&simulator, "pve1", &format!("/nodes/{target}/replication")).await;
    let moved = row(&moved, "100-0");
    assert_eq!((&moved["source"], &moved["target"]), (&job["target"], &job["source"]));
    simulator.remove(100);
    assert!(states(&simulator).await.iter().all(|job| job["guest"] != 100));
}

#[tokio::test]
async fn a_job_fails_without_its_target() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let job = row(&rows(&simulator, "pve1", JOBS).await, "100-0").clone();
    let target = job["target"].as_str().unwrap();
    simulator.inject(format!("offline:{target}").parse::<pve_simulator::Fault>().unwrap());
    simulator.advance(Duration::from_secs(400));
    let here = rows(&simulator, "pve1", "/nodes/pve1/replication").await;
    assert_eq!(row(&here, "100-0")["fail_count"], 2);
    assert_eq!(
        get(&simulator, "pve1", &format!("/nodes/{target}/replication"))
            .await
            .status(),
        595
    );
}

#[tokio::test]
async fn a_lively_cluster_has_a_failed_job_and_a_lonely_node_none() {
    let lively = Simulator::start(Options {
        events: true,
        ..quick()
    })
    .await
    .unwrap();
    let failed = states(&lively)
        .await
        .iter()
        .filter(|job| job.get("error").is_some())
        .count();
    assert_eq!(failed, 1);
    let lonely = Simulator::start(Options { nodes: 1, ..quick() }).await.unwrap();
    assert!(rows(&lonely, "pve1", JOBS).await.is_empty());
}
