//! Bodies agree with recorded ones: every key exists in a recording with the same JSON type, and nothing needed is missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    time::Duration,
};

use pve_simulator::{GuestKind, Options, Simulator, Version};
use serde_json::Value;

use crate::{
    client::{get, quick, rows},
    shape::Shape,
};

pub(crate) fn recorded(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/recorded")
        .join(format!("{name}.json"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap()
}

pub(crate) fn recorded_rows(name: &str) -> Vec<Value> {
    let data = recorded(name)["data"].take();
    let rows = if data.is_array() { data } else { data["data"].clone() };
    rows.as_array().unwrap().clone()
}

/// What a row of `/cluster/resources` is: a row without a sample is another kind than one with numbers. Virtual machines
/// and containers are made by the same code of PVE and have the same keys.
fn kind_of_resource(row: &Value) -> String {
    let state = match row["status"].as_str() {
        Some("unknown") => "unknown",
        Some("offline") => "offline",
        _ if row["type"] == "pool" && row.get("maxmem").is_none() => "empty",
        _ => "known",
    };
    let kind = row["type"].as_str().unwrap();
    let kind = if matches!(kind, "qemu" | "lxc") { "guest" } else { kind };
    format!("{kind} {state}")
}

/// Guests without a sample as PVE's source makes them: what stands in configuration files is known all the same. The
/// recorded cluster has no such guest with tags, a pool or a lock.
fn guests_without_sample() -> [Value; 2] {
    let plain = serde_json::json!({"id": "lxc/301", "vmid": 301, "node": "pve3", "type": "lxc", "status": "unknown"});
    let mut full = plain.clone();
    for key in ["tags", "pool", "lock", "hastate"] {
        full[key] = "text".into();
    }
    [plain, full]
}

fn by_kind(rows: &[Value], kind: impl Fn(&Value) -> String) -> BTreeMap<String, Vec<&Value>> {
    let mut kinds: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for row in rows {
        kinds.entry(kind(row)).or_default().push(row);
    }
    kinds
}

pub(crate) fn assert_rows_agree(
    what: &str,
    recorded: &[Value],
    simulated: &[Value],
    kind: impl Fn(&Value) -> String + Copy,
) {
    let recorded = by_kind(recorded, kind);
    for (kind, rows) in by_kind(simulated, kind) {
        let known = recorded
            .get(&kind)
            .unwrap_or_else(|| panic!("{what}: PVE has no rows {kind:?}"));
        let shape = Shape::of(known.iter().copied());
        shape.assert_covers(&format!("{what} {kind:?}"), &Shape::of(rows.iter().copied()));
    }
}

/// A cluster with every kind of row: an offline node, a failed storage, a guest with a lock.
async fn troubled(versions: Vec<Version>) -> Simulator {
    let simulator = Simulator::start(Options {
        guests: 40,
        versions,
        ..quick()
    })
    .await
    .unwrap();
    for fault in ["offline:pve3", "storage-unavailable=nas:pve1"] {
        simulator.inject(fault.parse::<pve_simulator::Fault>().unwrap());
    }
    assert!(simulator.set_guest(100, |guest| guest.lock = Some("backup".to_owned())));
    simulator.advance(Duration::from_secs(600));
    simulator
}

#[tokio::test]
async fn resources_have_the_keys_and_types_of_pve() {
    let simulator = troubled(vec![Version::new(9, 2, 11)]).await;
    let simulated = rows(&simulator, "pve1", "/cluster/resources").await;
    let mut known = recorded_rows("cluster__resources");
    known.extend(recorded_rows("from-source/cluster-resources.pve9"));
    known.extend(guests_without_sample());
    assert_rows_agree("resources", &known, &simulated, kind_of_resource);
    let kinds: BTreeSet<String> = simulated.iter().map(kind_of_resource).collect();
    for expected in [
        "guest known",
        "guest unknown",
        "node known",
        "node offline",
        "storage known",
        "storage unknown",
        "pool known",
        "pool empty",
        "network known",
    ] {
        assert!(kinds.contains(expected), "no row {expected:?} in {kinds:?}");
    }
}

#[tokio::test]
async fn resources_of_pve_8_have_sdn_rows_and_no_host_memory() {
    let simulator = troubled(vec![Version::new(8, 4, 1)]).await;
    let simulated = rows(&simulator, "pve1", "/cluster/resources").await;
    let mut known = recorded_rows("from-source/cluster-resources.pve8");
    known.extend(guests_without_sample());
    assert_rows_agree("resources", &known, &simulated, kind_of_resource);
    assert!(simulated.iter().any(|row| row["type"] == "sdn"));
    assert!(
        simulated
            .iter()
            .all(|row| row.get("memhost").is_none() && row["type"] != "network")
    );
}

#[tokio::test]
async fn mixed_clusters_have_the_rows_of_both_versions() {
    let simulator = troubled(vec![Version::new(9, 2, 11), Version::new(8, 4, 1)]).await;
    let simulated = rows(&simulator, "pve1", "/cluster/resources").await;
    let rows_of = |kind: &str| -> BTreeSet<&str> {
        simulated
            .iter()
            .filter(|row| row["type"] == kind)
            .map(|row| row["node"].as_str().unwrap())
            .collect()
    };
    assert_eq!(
        (rows_of("network"), rows_of("sdn")),
        (["pve1", "pve3"].into(), ["pve2"].into())
    );
    let with_host_memory = simulated.iter().filter(|row| row.get("memhost").is_some());
    assert!(with_host_memory.clone().count() > 0 && with_host_memory.clone().all(|row| row["node"] != "pve2"));
}

#[tokio::test]
async fn resources_can_be_asked_for_by_type() {
    let simulator = troubled(vec![Version::new(9, 2, 11)]).await;
    for kind in ["vm", "node", "storage"] {
        let simulated = rows(&simulator, "pve1", &format!("/cluster/resources?type={kind}")).await;
        let recorded = recorded_rows(&format!("cluster__resources@type={kind}"));
        let types = |rows: &[Value]| -> BTreeSet<String> { rows.iter().map(|row| row["type"].to_string()).collect() };
        assert_eq!(types(&simulated), types(&recorded), "{kind}");
    }
    assert!(rows(&simulator, "pve1", "/cluster/resources?type=sdn").await.is_empty());
}

#[tokio::test]
async fn refused_questions_are_answered_as_recorded() {
    let simulator = Simulator::start(quick()).await.unwrap();
    for (path, name) in [
        ("/cluster/resources?type=bogus", "cluster__resources@type=bogus"),
        ("/cluster/resources?bogus=1", "cluster__resources@bogus=1"),
        ("/nodes/nosuch/status", "nodes__nosuch__status"),
        ("/nosuch", "nosuch"),
    ] {
        let (answer, meta) = (get(&simulator, "pve1", path).await, recorded(&format!("{name}.meta")));
        let reason = meta["reason"].as_str().unwrap();
        assert_eq!(
            answer.status_line,
            format!("HTTP/1.1 {} {reason}", meta["status"]),
            "{path}"
        );
        assert_eq!(answer.header("content-type"), meta["content_type"].as_str(), "{path}");
        assert_eq!(answer.json(), recorded(name), "{path}");
    }
}

#[tokio::test]
async fn status_agrees() {
    let simulator = troubled(vec![Version::new(9, 2, 11)]).await;
    let simulated = rows(&simulator, "pve1", "/cluster/status").await;
    let kind = |row: &Value| format!("{} {}", row["type"], row.get("online").unwrap_or(&Value::Null));
    assert_rows_agree("status", &recorded_rows("cluster__status"), &simulated, kind);
    assert_eq!(by_kind(&simulated, kind).len(), 3);

    let lonely = Simulator::start(Options {
        nodes: 1,
        standalone: true,
        ..quick()
    })
    .await
    .unwrap();
    let simulated = rows(&lonely, "pve1", "/cluster/status").await;
    assert_rows_agree(
        "standalone",
        &recorded_rows("from-source/cluster-status.standalone"),
        &simulated,
        kind,
    );
    assert_eq!((simulated.len(), &simulated[0]["nodeid"]), (1, &Value::from(0)));
}

#[tokio::test]
async fn metrics_agree() {
    let simulator = troubled(vec![Version::new(9, 2, 11)]).await;
    let container = |guest: &pve_simulator::GuestSummary| guest.kind == GuestKind::Lxc && guest.node == "pve1";
    let container = simulator.guests().into_iter().find(container).unwrap();
    assert!(simulator.stop(container.vmid));
    let simulated = rows(&simulator, "pve1", "/cluster/metrics/export").await;
    let recorded = recorded_rows("cluster__metrics__export");
    assert_rows_agree("metrics", &recorded, &simulated, |row| row["type"].to_string());
    // Which metrics there are depends on what it is and whether it runs.
    let sets = |rows: &[Value]| -> BTreeMap<String, BTreeSet<BTreeSet<String>>> {
        let mut things: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in rows {
            let metric = format!("{} {}", row["metric"], row["type"]);
            things
                .entry(row["id"].as_str().unwrap().to_owned())
                .or_default()
                .insert(metric);
        }
        let mut sets: BTreeMap<String, BTreeSet<BTreeSet<String>>> = BTreeMap::new();
        for (id, metrics) in things {
            sets.entry(id.split('/').next().unwrap().to_owned())
                .or_default()
                .insert(metrics);
        }
        sets
    };
    let (recorded, simulated) = (sets(&recorded), sets(&simulated));
    assert_eq!(recorded["node"], simulated["node"]);
    assert_eq!(recorded["storage"], simulated["storage"]);
    assert_eq!(recorded["qemu"], simulated["qemu"]);
    assert_eq!(recorded["lxc"], simulated["lxc"]);
}

#[tokio::test]
async fn nodes_and_their_status_agree() {
    let simulator = troubled(vec![Version::new(9, 2, 11)]).await;
    let kind = |row: &Value| row["status"].to_string();
    let simulated = rows(&simulator, "pve1", "/nodes").await;
    assert_rows_agree("nodes", &recorded_rows("nodes"), &simulated, kind);
    assert_eq!(by_kind(&simulated, kind).len(), 2);

    let known = [
        recorded("nodes__pve1__status"),
        recorded("from-source/node-status.pve9"),
    ];
    let status = get(&simulator, "pve1", "/nodes/pve2/status").await.json();
    Shape::of(&known).assert_covers("node status", &Shape::of([&status]));

    let old = troubled(vec![Version::new(8, 4, 1)]).await;
    let status = get(&old, "pve1", "/nodes/pve1/status").await.json();
    Shape::of([&recorded("from-source/node-status.pve8")]).assert_covers("node status of 8", &Shape::of([&status]));
    assert!(status["data"]["memory"].get("available").is_none());
}

#[tokio::test]
async fn version_and_permissions_agree() {
    let simulator = Simulator::start(Options {
        versions: vec![Version::new(8, 4, 1)],
        ..quick()
    })
    .await
    .unwrap();
    let version = get(&simulator, "pve1", "/version").await.json();
    Shape::of([&recorded("version")]).assert_covers("version", &Shape::of([&version]));
    assert_eq!(
        (&version["data"]["release"], &version["data"]["version"]),
        (&"8.4".into(), &"8.4.1".into())
    );

    let simulator = Simulator::start(quick()).await.unwrap();
    let permissions = get(&simulator, "pve1", "/access/permissions").await.json();
    let known = recorded("access__permissions");
    for (path, privileges) in permissions["data"].as_object().unwrap() {
        assert_eq!(*privileges, known["data"][path], "{path}");
    }
    let one = get(&simulator, "pve1", "/access/permissions?path=%2Fvms%2F100")
        .await
        .json();
    assert_eq!(one, recorded("access__permissions@path=%2Fvms%2F100"));
}

#[tokio::test]
async fn a_token_without_rights_sees_what_pve_shows_it() {
    let simulator = Simulator::start(quick()).await.unwrap();
    simulator.inject(pve_simulator::FaultKind::NoPermission);
    let simulated = rows(&simulator, "pve1", "/cluster/resources").await;
    assert_rows_agree(
        "resources",
        &recorded_rows("from-source/cluster-resources.noperm"),
        &simulated,
        kind_of_resource,
    );
    assert_eq!(simulated.len(), 3);
    let permissions = get(&simulator, "pve1", "/access/permissions").await.json();
    assert_eq!(permissions, recorded("from-source/access-permissions.empty"));
    for (path, object) in [
        ("/cluster/status", "/"),
        ("/cluster/metrics/export", "/"),
        ("/nodes/pve2/status", "/nodes/pve2"),
    ] {
        let answer = get(&simulator, "pve1", path).await;
        assert_eq!(
            answer.status_line,
            format!("HTTP/1.1 403 Permission check failed ({object}, Sys.Audit)")
        );
        assert_eq!(
            answer.json()["message"],
            format!("Permission check failed ({object}, Sys.Audit)\n")
        );
    }
}
