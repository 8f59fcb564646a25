//! What is under the storages: ZFS, LVM and Ceph, as PVE tells of it.

use pve_simulator::{Options, Simulator};
use serde_json::Value;

use crate::{
    client::{get, quick, rows},
    recorded::{assert_rows_agree, recorded, recorded_rows},
};

async fn data(simulator: &Simulator, node: &str, path: &str) -> Value {
    let answer = get(simulator, node, path).await;
    assert_eq!(answer.status(), 200, "{path}: {}", answer.status_line);
    answer.json()["data"].take()
}

async fn refusal(simulator: &Simulator, path: &str) -> String {
    get(simulator, "pve1", path).await.status_line
}

#[tokio::test]
async fn lists_have_the_keys_and_types_of_pve() {
    let simulator = Simulator::start(quick()).await.unwrap();
    for (known, path) in [
        ("from-source/disks-zfs", "/nodes/pve1/disks/zfs"),
        ("from-source/disks-lvmthin", "/nodes/pve1/disks/lvmthin"),
    ] {
        let simulated = rows(&simulator, "pve1", path).await;
        assert!(!simulated.is_empty());
        assert_rows_agree(path, &recorded_rows(known), &simulated, |_| String::new());
    }
    let storages = rows(&simulator, "pve1", "/storage").await;
    let by_type = |row: &Value| row["type"].to_string();
    assert_rows_agree("storages", &recorded_rows("storage"), &storages, by_type);
    let disabled = storages.iter().filter(|storage| storage["disable"] == 1).count();
    assert_eq!((storages.len(), disabled), (5, 1));
}

fn keys(value: &Value) -> Vec<&String> {
    value.as_object().unwrap().keys().collect()
}

#[tokio::test]
async fn a_pool_in_detail_is_a_tree() {
    let options = Options {
        events: true,
        ..quick()
    };
    let simulator = Simulator::start(options).await.unwrap();
    let degraded = data(&simulator, "pve1", "/nodes/pve2/disks/zfs/tank").await;
    let known = recorded("from-source/disks-zfs-detail")["data"].take();
    assert_eq!(keys(&degraded), keys(&known));
    let [pool, known] = [&degraded, &known].map(|pool| &pool["children"][0]);
    assert_eq!(keys(pool), keys(known));
    let [mirror, known] = [pool, known].map(|pool| &pool["children"][0]);
    assert_eq!(keys(mirror), keys(known));
    let [disk, known] = [mirror, known].map(|mirror| &mirror["children"][1]);
    assert_eq!(keys(disk), keys(known));
    assert_eq!((&disk["state"], &disk["write"]), (&"FAULTED".into(), &217.into()));
    // 2026-08-15, a Saturday.
    assert_eq!(
        degraded["scan"],
        "scrub repaired 0B in 00:12:34 with 2 errors on Sun Aug  9 00:36:35 2026"
    );
    let list = rows(&simulator, "pve1", "/nodes/pve2/disks/zfs").await;
    assert_eq!(list[0]["health"], "DEGRADED");
    let healthy = data(&simulator, "pve1", "/nodes/pve1/disks/zfs/fast").await;
    assert_eq!(healthy["errors"], "No known data errors");
    for (path, problem) in [
        ("/nodes/pve3/disks/zfs", "zfsutils-linux not installed"),
        ("/nodes/pve3/disks/zfs/tank", "zfsutils-linux not installed"),
        ("/nodes/pve1/disks/zfs/none", "exit code 1"),
    ] {
        let line = refusal(&simulator, path).await;
        assert!(line.contains(" 500 ") && line.contains(problem), "{line}");
    }
}

#[tokio::test]
async fn a_thin_pool_has_what_its_storage_has() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let pools = rows(&simulator, "pve1", "/nodes/pve1/disks/lvmthin").await;
    let resources = rows(&simulator, "pve1", "/cluster/resources").await;
    let storage = resources
        .iter()
        .find(|row| row["id"] == "storage/pve1/local-lvm")
        .unwrap();
    assert_eq!(pools[0]["lv_size"], storage["maxdisk"]);
    let [used, disk] = [&pools[0]["used"], &storage["disk"]].map(|value| value.as_f64().unwrap());
    assert!((used - disk).abs() <= 1.0, "{used} {disk}");
    let group = &data(&simulator, "pve1", "/nodes/pve1/disks/lvm").await["children"][0];
    assert!(group["size"].as_u64() > pools[0]["lv_size"].as_u64());
}

#[tokio::test]
async fn ceph_is_there_only_when_asked_for_and_not_everywhere() {
    let simulator = Simulator::start(quick()).await.unwrap();
    for path in ["/cluster/ceph/status", "/nodes/pve2/ceph/osd", "/nodes/pve2/ceph/pool"] {
        let line = refusal(&simulator, path).await;
        assert!(line.contains("500 binary not installed: /usr/bin/ceph-mon"), "{line}");
    }
    let options = Options {
        ceph: true,
        nodes: 4,
        ..quick()
    };
    let simulator = Simulator::start(options).await.unwrap();
    assert!(
        refusal(&simulator, "/cluster/ceph/status")
            .await
            .contains("binary not installed")
    );
    let status = data(&simulator, "pve2", "/cluster/ceph/status").await;
    assert_eq!(status["health"]["status"], "HEALTH_WARN");
    assert_eq!(
        (&status["osdmap"]["num_osds"], &status["osdmap"]["num_up_osds"]),
        (&6.into(), &5.into())
    );
    assert_eq!(status, data(&simulator, "pve1", "/nodes/pve4/ceph/status").await);
    let tree = data(&simulator, "pve1", "/nodes/pve2/ceph/osd").await;
    let hosts = tree["root"]["children"][0]["children"].as_array().unwrap();
    assert_eq!(hosts.len(), 3);
    assert_eq!(hosts[2]["children"][1]["status"], "down");
    assert_eq!(rows(&simulator, "pve1", "/nodes/pve2/ceph/pool").await.len(), 2);
}
