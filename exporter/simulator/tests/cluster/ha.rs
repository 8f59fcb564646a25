//! HA: what the manager says of nodes and services, and what becomes of a lost node.

use std::time::Duration;

use pve_simulator::{Options, Simulator, Version};
use serde_json::Value;

use crate::{
    client::{get, quick, row, rows},
    recorded::{assert_rows_agree, recorded, recorded_rows},
    shape::Shape,
};

const STATUS: &str = "/cluster/ha/status/current";
const RESOURCES: &str = "/cluster/resources";

async fn cluster(version: Version) -> Simulator {
    let versions = vec![version];
    Simulator::start(Options { versions, ..quick() }).await.unwrap()
}

async fn manager(simulator: &Simulator, node: &str) -> Value {
    let answer = get(simulator, node, "/cluster/ha/status/manager_status").await;
    answer.json()["data"].take()
}

/// A body whose objects with free keys are lists of their values.
fn without_names(mut body: Value) -> Value {
    fn list(value: &mut Value) {
        if let Some(object) = value.as_object_mut() {
            *value = object.values().cloned().collect();
        }
    }
    for managers in body["lrm_status"]
        .as_object_mut()
        .into_iter()
        .flat_map(|all| all.values_mut())
    {
        list(&mut managers["results"]);
    }
    list(&mut body["lrm_status"]);
    for key in ["node_status", "service_status"] {
        list(&mut body["manager_status"][key]);
    }
    body
}

fn kind(row: &Value) -> String {
    row["type"].to_string()
}

#[tokio::test]
async fn bodies_have_the_keys_and_types_of_pve() {
    let simulator = cluster(Version::new(9, 2, 11)).await;
    simulator.inject("offline:pve3".parse::<pve_simulator::Fault>().unwrap());
    simulator.advance(Duration::from_secs(120));
    let known = ["cluster__ha__status__manager_status", "from-source/ha-manager-status"];
    let known = known.map(|name| without_names(recorded(name)["data"].take()));
    let simulated = without_names(manager(&simulator, "pve1").await);
    Shape::of(&known).assert_covers("manager status", &Shape::of([&simulated]));

    let mut known = recorded_rows("cluster__ha__status__current");
    known.extend(recorded_rows("from-source/ha-status-current.pve9"));
    assert_rows_agree("status", &known, &rows(&simulator, "pve1", STATUS).await, kind);
    let known = recorded_rows("cluster__ha__resources");
    let resources = rows(&simulator, "pve1", "/cluster/ha/resources").await;
    assert_rows_agree("resources", &known, &resources, |_| String::new());
    assert_eq!(
        get(&simulator, "pve1", "/cluster/ha/rules").await.json(),
        recorded("cluster__ha__rules")
    );
    let groups = get(&simulator, "pve1", "/cluster/ha/groups").await;
    let meta = recorded("cluster__ha__groups.meta");
    assert_eq!(
        groups.status_line,
        format!("HTTP/1.1 500 {}", meta["reason"].as_str().unwrap())
    );
    assert_eq!(groups.json(), recorded("cluster__ha__groups"));
}

#[tokio::test]
async fn pve_8_has_groups_and_no_rules() {
    let simulator = cluster(Version::new(8, 4, 1)).await;
    let known = recorded_rows("from-source/ha-status-current.pve8");
    let status = rows(&simulator, "pve1", STATUS).await;
    assert_rows_agree("status", &known, &status, kind);
    let service = row(&status, "service:vm:101");
    assert!(service.get("failback").is_none());
    let groups = rows(&simulator, "pve1", "/cluster/ha/groups").await;
    assert_eq!((groups.len(), &groups[0]["group"]), (1, &service["group"]));
    assert_eq!(get(&simulator, "pve1", "/cluster/ha/rules").await.status(), 501);

    let between = cluster(Version::new(9, 1, 5)).await;
    let status = rows(&between, "pve1", STATUS).await;
    assert!(status.iter().all(|row| row["type"] != "fencing") && row(&status, "service:vm:101")["failback"] == 1);
}

#[tokio::test]
async fn without_services_there_is_no_manager() {
    let simulator = cluster(Version::new(9, 2, 11)).await;
    for guest in simulator.guests() {
        simulator.set_guest(guest.vmid, |guest| guest.hastate = None);
    }
    assert_eq!(
        manager(&simulator, "pve1").await,
        recorded("from-source/ha-manager-status.unused")["data"]
    );
    assert_eq!(rows(&simulator, "pve1", STATUS).await.len(), 1);
    assert!(rows(&simulator, "pve1", "/cluster/ha/resources").await.is_empty());
    let resources = rows(&simulator, "pve1", RESOURCES).await;
    assert!(resources.iter().all(|row| row.get("hastate").is_none()));
}

#[tokio::test]
async fn a_service_has_a_state_and_a_requested_one() {
    let simulator = cluster(Version::new(9, 2, 11)).await;
    simulator.set_guest(101, |guest| guest.hastate = Some("error".to_owned()));
    simulator.set_guest(103, |guest| {
        guest.hastate = Some("request_stop".to_owned());
        guest.ha_requested = Some("disabled".to_owned());
    });
    let status = rows(&simulator, "pve2", STATUS).await;
    for (id, state, requested) in [("101", "error", "started"), ("103", "request_stop", "disabled")] {
        let service = row(&status, &format!("service:vm:{id}"));
        assert_eq!([&service["crm_state"], &service["request_state"]], [state, requested]);
        assert_eq!(
            manager(&simulator, "pve1").await["manager_status"]["service_status"][format!("vm:{id}")]["state"],
            state
        );
        assert_eq!(
            row(&rows(&simulator, "pve1", RESOURCES).await, &format!("qemu/{id}"))["hastate"],
            state
        );
    }
    simulator.stop(107);
    assert_eq!(
        row(&rows(&simulator, "pve2", STATUS).await, "service:vm:107")["state"],
        "starting"
    );
}

#[tokio::test]
async fn a_lost_node_is_unknown_and_then_fenced() {
    let simulator = cluster(Version::new(9, 2, 11)).await;
    let before = manager(&simulator, "pve1").await;
    assert_eq!(before["manager_status"]["master_node"], "pve1");
    assert_eq!(before["lrm_status"]["pve2"]["state"], "active");
    let fault = simulator.inject("offline:pve2".parse::<pve_simulator::Fault>().unwrap());
    for (seconds, expected, service) in [
        (0, "unknown", "started"),
        (50, "unknown", "started"),
        (20, "fence", "fence"),
    ] {
        simulator.advance(Duration::from_secs(seconds));
        let now = manager(&simulator, "pve1").await;
        assert_eq!(now["manager_status"]["node_status"]["pve2"], expected);
        assert_eq!(now["manager_status"]["service_status"]["vm:101"]["state"], service);
        assert_eq!(
            now["lrm_status"]["pve2"]["timestamp"],
            before["lrm_status"]["pve2"]["timestamp"]
        );
        let resources = rows(&simulator, "pve1", RESOURCES).await;
        assert_eq!(row(&resources, "node/pve2")["hastate"], expected);
        assert_eq!(row(&resources, "qemu/101")["hastate"], service);
    }
    let now = manager(&simulator, "pve1").await;
    for path in ["/manager_status/timestamp", "/lrm_status/pve3/timestamp"] {
        let seconds = |body: &Value| body.pointer(path).unwrap().as_u64().unwrap();
        assert_eq!(seconds(&now) - seconds(&before), 70, "{path}");
    }
    simulator.clear(fault);
    assert_eq!(
        manager(&simulator, "pve1").await["manager_status"]["node_status"]["pve2"],
        "online"
    );
}

#[tokio::test]
async fn nobody_writes_without_quorum() {
    let simulator = cluster(Version::new(9, 2, 11)).await;
    simulator.inject("partition:pve1".parse::<pve_simulator::Fault>().unwrap());
    let before = manager(&simulator, "pve1").await;
    simulator.advance(Duration::from_secs(300));
    assert_eq!(manager(&simulator, "pve1").await, before);
    assert_eq!(
        (
            &before["quorum"]["quorate"],
            &before["manager_status"]["node_status"]["pve2"]
        ),
        (&"".into(), &"online".into())
    );
    assert_eq!(rows(&simulator, "pve1", STATUS).await[0]["status"], "No quorum!");
    let majority = manager(&simulator, "pve2").await;
    assert_eq!(
        (
            &majority["quorum"]["quorate"],
            &majority["manager_status"]["master_node"]
        ),
        (&"1".into(), &"pve2".into())
    );
}

#[tokio::test]
async fn a_lively_cluster_has_a_service_in_error() {
    let simulator = Simulator::start(Options {
        events: true,
        ..quick()
    })
    .await
    .unwrap();
    let status = rows(&simulator, "pve1", STATUS).await;
    assert!(status.iter().any(|row| row["crm_state"] == "error"));
    let resources = rows(&simulator, "pve1", RESOURCES).await;
    assert!(resources.iter().any(|row| row.get("lock").is_some()));
}
