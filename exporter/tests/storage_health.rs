//! The storages and disks of a simulated cluster in which something is wrong, and one whose storages hang.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pve_exporter::config::{Config, SourceSettings};
use pve_exporter::sources::name::SourceName;
use pve_simulator::Options;
use support::exporters::scrape;
use support::simulated::{Simulated, options, source_up, sources_down};
use support::strict::{Exposition, Sample};

const GIB: f64 = (1_u64 << 30) as f64;

/// More seconds than any source waits for its turn, a few at a time.
const STEP: u64 = 15;

/// Less than after what a tool that hangs is given up.
const PATIENCE: Duration = Duration::from_secs(18);

fn set(config: &mut Config, source: SourceName, enabled: Option<bool>, max_age: Option<u64>) {
    let max_age = max_age.map(Duration::from_secs);
    config.sources.insert(source, SourceSettings { enabled, max_age });
}

/// A cluster in which something is always wrong, with everything read that `sources` bring.
async fn lively(sources: &[&str]) -> (Simulated, Exposition) {
    let options = Options {
        events: true,
        ceph: true,
        ..options()
    };
    let pve = Simulated::with(options, |config| set(config, SourceName::DiskSmart, Some(true), None)).await;
    let seen = pve
        .until_aging(STEP, "everything is read", |seen| {
            let up = |source: &&str| {
                let places = seen.samples("pve_source_up");
                places
                    .filter(|sample| sample.label("source") == Some(*source) && sample.value == 1.0)
                    .count()
            };
            let read = |source: &&str| up(source) == if source.starts_with("ceph") { 1 } else { 3 };
            sources.iter().all(read)
        })
        .await;
    (pve, seen)
}

/// The values of what has these labels, and one label more that tells them apart.
fn by<'a>(seen: &'a Exposition, name: &'a str, label: &str) -> Vec<(&'a str, f64)> {
    let mut values: Vec<_> = seen
        .samples(name)
        .map(|sample| (sample.label(label).unwrap(), sample.value))
        .collect();
    values.sort_by(|left, right| left.0.cmp(right.0));
    values
}

#[tokio::test]
async fn a_degraded_pool_is_told_with_its_errors_and_its_scrub() {
    let (_pve, seen) = lively(&["zfs", "zfs_detail", "node_time"]).await;
    let health: Vec<_> = seen
        .samples("pve_zfs_pool_health")
        .filter(|sample| sample.value == 1.0)
        .map(|sample| ["node", "pool", "health"].map(|label| sample.label(label).unwrap()))
        .collect();
    assert_eq!(
        health,
        [
            ["pve1", "fast", "online"],
            ["pve1", "tank", "online"],
            ["pve2", "tank", "degraded"]
        ]
    );
    let (sick, well) = (
        [("node", "pve2"), ("pool", "tank")],
        [("node", "pve1"), ("pool", "tank")],
    );
    let of = |what: &str, pool: &[(&str, &str)]| seen.value(&format!("pve_zfs_pool_{what}"), pool).unwrap();
    for (what, of_sick) in [
        ("read_errors", 3.0),
        ("write_errors", 217.0),
        ("checksum_errors", 0.0),
        ("data_errors", 2.0),
        ("vdevs_unhealthy", 1.0),
        ("scrub_errors", 2.0),
    ] {
        assert_eq!((of(what, &sick), of(what, &well)), (of_sick, 0.0), "{what}");
    }
    for pool in [sick, well] {
        assert_eq!((of("scrub_running", &pool), of("resilver_running", &pool)), (0.0, 0.0));
        // Sunday, 9 August 2026, 00:36:35 at UTC+2.
        assert_eq!(of("scrub_timestamp_seconds", &pool), 1_786_235_795.0 - 7200.0);
        assert_eq!(of("size_bytes", &pool), 7424.0 * GIB);
        assert_eq!(of("allocated_bytes", &pool) + of("free_bytes", &pool), 7424.0 * GIB);
        assert_eq!(of("deduplication_ratio", &pool), 1.0);
        assert!((0.0..0.4).contains(&of("fragmentation_ratio", &pool)));
    }
}

#[tokio::test]
async fn a_thin_pool_that_is_nearly_full_is_told_with_its_metadata() {
    let (_pve, seen) = lively(&["lvm", "lvmthin"]).await;
    let scratch = [("node", "pve1"), ("vg", "pve"), ("lv", "scratch")];
    let share = |usage: &str, size: &str| {
        let of = |what: &str| seen.value(&format!("pve_lvmthin_pool_{what}"), &scratch).unwrap();
        (of(usage) / of(size) * 1000.0).round()
    };
    assert_eq!(share("usage_bytes", "size_bytes"), 971.0);
    assert_eq!(share("metadata_usage_bytes", "metadata_size_bytes"), 958.0);
    assert_eq!(seen.samples("pve_lvmthin_pool_size_bytes").count(), 4);
    assert_eq!(
        by(&seen, "pve_lvm_vg_free_bytes", "node"),
        ["pve1", "pve2", "pve3"].map(|node| (node, 16.0 * GIB))
    );
    assert_eq!(seen.value("pve_lvm_vg_logical_volumes", &[("node", "pve1")]), Some(4.0));
}

#[tokio::test]
async fn a_failing_disk_and_a_worn_one_are_told() {
    let (pve, _) = lively(&["disks", "disk_smart"]).await;
    let seen = pve
        .until_aging(STEP, "every disk is asked", |seen| {
            seen.samples("pve_disk_temperature_celsius").count() == 10
        })
        .await;
    let labels = |sample: &Sample| ["node", "device"].map(|label| sample.label(label).unwrap().to_owned());
    let those = |name, holds: fn(f64) -> bool| -> Vec<_> {
        let samples = seen.samples(name).filter(|sample| holds(sample.value));
        samples.map(labels).collect()
    };
    let failing = vec![["pve1".to_owned(), "sda".to_owned()]];
    let said: Vec<_> = seen
        .samples("pve_disk_health")
        .filter(|sample| sample.value == 1.0 && sample.label("health") == Some("failing"))
        .map(labels)
        .collect();
    assert_eq!(said, failing);
    for signs in [
        "pve_disk_smart_failing_attributes",
        "pve_disk_reallocated_sectors",
        "pve_disk_pending_sectors",
        "pve_disk_uncorrectable_sectors",
        "pve_disk_reported_uncorrectable_errors",
    ] {
        assert_eq!(those(signs, |value| value > 0.0), failing, "{signs}");
    }
    let worn = [("node", "pve2"), ("device", "sdb")];
    assert_eq!(seen.value("pve_disk_life_used_ratio", &worn), Some(0.96));
    assert_eq!(those("pve_disk_life_used_ratio", |value| value > 0.5).len(), 1);

    let info = seen
        .samples("pve_disk_info")
        .find(|sample| labels(sample) == failing[0]);
    assert_eq!(info.unwrap().label("model"), Some("ST4000NM0035-1V4107"));
    assert_eq!(info.unwrap().label("type"), Some("hdd"));
    let sas = [("node", "pve3"), ("device", "sdc")];
    assert_eq!(
        seen.value("pve_disk_health", &[sas[0], sas[1], ("health", "ok")]),
        Some(1.0)
    );
    assert_eq!(seen.value("pve_disk_grown_defects", &sas), Some(0.0));
    let nvme = [("node", "pve1"), ("device", "nvme0n1")];
    assert_eq!(seen.value("pve_disk_available_spare_ratio", &nvme), Some(1.0));
    let written = seen.value("pve_disk_smart_written_bytes_total", &nvme).unwrap();
    assert_eq!(written % 512_000.0, 0.0);
    assert!(written > 1e12);
}

#[tokio::test]
async fn ceph_is_told_with_each_check() {
    let (_pve, seen) = lively(&["ceph_status", "ceph_osds", "ceph_pools"]).await;
    let warns = [("status", "HEALTH_WARN")];
    assert_eq!(seen.value("pve_ceph_health", &warns), Some(1.0));
    let checks: Vec<_> = seen
        .samples("pve_ceph_health_check")
        .map(|sample| ["check", "severity"].map(|label| sample.label(label).unwrap()))
        .collect();
    assert_eq!(checks, [["OSD_DOWN", "HEALTH_WARN"], ["PG_DEGRADED", "HEALTH_WARN"]]);
    for (name, value) in [
        ("pve_ceph_osds", 6.0),
        ("pve_ceph_osds_up", 5.0),
        ("pve_ceph_osds_in", 6.0),
        ("pve_ceph_monitors", 3.0),
        ("pve_ceph_monitors_in_quorum", 3.0),
        ("pve_ceph_objects_degraded", 21.0 * 957.0),
    ] {
        assert_eq!(seen.value(name, &[]), Some(value), "{name}");
    }
    assert_eq!(
        by(&seen, "pve_ceph_pgs", "state"),
        [("active+clean", 108.0), ("active+undersized+degraded", 21.0)]
    );
    let osds = |name| by(&seen, name, "osd");
    let up = osds("pve_ceph_osd_up");
    assert_eq!(
        up.iter().map(|(_, up)| *up).collect::<Vec<_>>(),
        [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    );
    let latencies = osds("pve_ceph_osd_commit_latency_seconds");
    assert_eq!(latencies.len(), 5, "that which is down has none");
    assert!(latencies.iter().all(|(_, seconds)| (0.0..0.01).contains(seconds)));
    assert!(seen.value("pve_ceph_flag", &[("flag", "noout")]).is_some());
    assert_eq!(seen.value("pve_ceph_pool_size", &[("pool", "vms")]), Some(3.0));
    assert!(seen.value("pve_ceph_pool_usage_ratio", &[("pool", "vms")]).unwrap() > 0.2);
}

/// The calls for each of three things of Ceph, and for ZFS where there is none.
fn absent_calls(pve: &Simulated) -> (u64, u64) {
    let calls = pve.simulator.calls();
    let ceph = ["status", "osd", "pool"].map(|what| calls.received_for(&format!("/nodes/{{node}}/ceph/{what}")));
    let zfs = calls.executed_for_by("/nodes/{node}/disks/zfs", "pve3");
    (ceph.iter().sum(), zfs)
}

#[tokio::test]
async fn what_is_absent_is_remembered_as_absent() {
    let pve = Simulated::start().await;
    for _ in 0..4 {
        pve.later(15).await;
    }
    let (ceph, zfs) = absent_calls(&pve);
    // Each node is asked once for whichever of the three comes first.
    assert_eq!((ceph, zfs), (3, 1));
    for _ in 0..50 {
        let seen = pve.later(60).await;
        for source in ["ceph_status", "ceph_osds", "ceph_pools"] {
            assert_eq!(source_up(&seen, source, ""), Some(1.0), "{source}");
        }
        assert!(seen.samples("pve_ceph_health").next().is_none());
    }
    assert_eq!(absent_calls(&pve), (3, 1), "nearly an hour later");
    for _ in 0..15 {
        pve.later(60).await;
    }
    assert_eq!(
        absent_calls(&pve),
        (6, 2),
        "whether it has come is looked at once an hour"
    );
}

/// Whether a source looks at the storages of a node.
fn looks_at_storages(source: &str) -> bool {
    ["zfs", "zfs_detail", "lvm", "lvmthin", "disks", "backup_volumes"].contains(&source)
}

/// A source, at one node and of one storage if it is kept so.
type Place = [String; 3];

/// When each place was last read, but for those that follow events.
fn last_read(seen: &Exposition) -> BTreeMap<Place, f64> {
    let place =
        |sample: &Sample| ["source", "node", "storage"].map(|name| sample.label(name).unwrap_or_default().to_owned());
    let read = seen.samples("pve_source_last_success_timestamp_seconds");
    read.map(|sample| (place(sample), sample.value))
        .filter(|([source, ..], _)| !["task_archive", "backup_logs", "guest_config", "snapshots"].contains(&&**source))
        .collect()
}

/// A cluster all of whose sources have been read, and are read again every two minutes.
async fn steady() -> Simulated {
    let options = Options {
        sees_backups: true,
        ..options()
    };
    let pve = Simulated::with(options, |config| {
        for source in SourceName::ALL.into_iter().filter(|source| source.enabled_by_default()) {
            set(config, source, None, Some(120));
        }
        // A call that hangs at the node that is asked ends otherwise than one that is handed on.
        config.clusters.get_mut("main").unwrap().endpoints.rotate_left(2);
    })
    .await;
    for _ in 0..20 {
        pve.later(STEP).await;
    }
    pve
}

/// Where the storage that is named hangs at `node`, everything else is read on meanwhile: also by the other sources of `node`,
/// and also the storages of others. Then the storage answers again, and of `node` only `sources` have failed.
async fn costs_only(pve: &Simulated, fault: &str, node: &str, sources: &[&str]) {
    let before = scrape(&pve.exporter).await;
    assert_eq!(sources_down(&before), []);
    let before = last_read(&before);
    let is_spared = |[source, at, _]: &Place| at != node || !looks_at_storages(source);
    let mut waiting: BTreeSet<&Place> = before.keys().filter(|place| is_spared(place)).collect();
    pve.simulator.reset_calls();
    pve.inject(fault).await;
    let deadline = Instant::now() + PATIENCE;
    while !waiting.is_empty() {
        assert!(Instant::now() < deadline, "not read: {waiting:?}");
        // Slowly, or it would seem that what waits for a few seconds waits for minutes.
        pve.age(1);
        pve.exporter.retry();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let began = Instant::now();
        let seen = scrape(&pve.exporter).await;
        assert!(began.elapsed() < Duration::from_secs(2), "a scrape has waited for it");
        assert_eq!(sources_down(&seen), [], "nothing is given up so far");
        let now = last_read(&seen);
        waiting.retain(|place| now.get(*place) <= before.get(*place));
    }
    assert_eq!(pve.simulator.running_calls(node), 1, "it still hangs");
    assert!(pve.simulator.highest_concurrency(node) <= 2);
    assert!(
        pve.simulator.highest_slow_concurrency(node) <= 2,
        "one besides that which hangs"
    );
    for other in pve.simulator.nodes().iter().filter(|other| *other != node) {
        assert!(pve.simulator.highest_slow_concurrency(other) <= 1, "{other}");
    }

    pve.clear().await;
    let failed = |(source, at): &(String, String)| sources.contains(&&**source) && at == node;
    let seen = pve
        .until("the storage has hung", |seen| sources_down(seen).iter().any(failed))
        .await;
    assert!(sources_down(&seen).iter().all(failed), "{:?}", sources_down(&seen));
}

#[tokio::test]
async fn a_pool_that_hangs_costs_its_node_no_other_source() {
    let pve = steady().await;
    let asked = |pve: &Simulated| pve.simulator.calls().executed_for_by("/nodes/{node}/disks/zfs", "pve2");
    costs_only(&pve, "hang:pve2:/nodes/*/disks/zfs", "pve2", &["zfs", "zfs_detail"]).await;
    let before = last_read(&scrape(&pve.exporter).await);
    pve.inject("hang:pve2:/nodes/*/disks/zfs").await;
    let asked_before = asked(&pve);
    for _ in 0..30 {
        pve.later(STEP).await;
    }
    assert_eq!(asked(&pve), asked_before, "it is left alone");
    let now = last_read(&scrape(&pve.exporter).await);
    for other in ["lvm", "lvmthin", "disks"] {
        let place = [other, "pve2", ""].map(str::to_owned);
        assert!(now[&place] > before[&place], "{other}");
    }
}

#[tokio::test]
async fn a_dead_device_of_lvm_costs_its_node_no_other_source() {
    let pve = steady().await;
    let lvm = ["lvm", "lvmthin"];
    costs_only(&pve, "hang:pve2:/nodes/*/disks/lvm", "pve2", &lvm).await;
    let others = ["zfs", "zfs_detail", "disks"].map(|source| [source, "pve2", ""].map(str::to_owned));
    pve.simulator.reset_calls();
    for path in lvm {
        pve.inject(&format!("status=596:pve2:/nodes/*/disks/{path}")).await;
    }
    for _ in 0..4 {
        let before = last_read(&scrape(&pve.exporter).await);
        for _ in 0..12 {
            pve.later(STEP).await;
        }
        let now = last_read(&scrape(&pve.exporter).await);
        for other in &others {
            assert!(now[other] > before[other], "{other:?} is as old as three minutes ago");
        }
    }
    let calls = pve.simulator.calls();
    let hung = lvm.map(|path| calls.executed_for_by(&format!("/nodes/{{node}}/disks/{path}"), "pve2"));
    assert_eq!(
        hung.iter().sum::<u64>(),
        1,
        "both in the twelve minutes after the first time"
    );
}

#[tokio::test]
async fn a_node_all_of_whose_disks_hang_loses_nothing_else() {
    let pve = steady().await;
    let tools = ["zfs", "zfs_detail", "lvm", "lvmthin", "disks"];
    costs_only(&pve, "hang:pve2:/nodes/*/disks/**", "pve2", &tools).await;
    // PVE has three workers there. Whatever hangs takes one away for as long as it does.
    pve.simulator.reset_calls();
    pve.inject("status=596:pve2:/nodes/*/disks/**").await;
    for _ in 0..36 {
        pve.later(STEP).await;
    }
    let calls = pve.simulator.calls();
    let executed = calls
        .iter()
        .filter(|(template, node, _)| template.contains("/disks/") && *node == "pve2");
    let hung: u64 = executed.map(|(.., count)| count).sum();
    assert!((1..=2).contains(&hung), "{hung} calls in nine minutes");
}

#[tokio::test]
async fn a_dead_nfs_costs_only_the_contents_of_storages() {
    let pve = steady().await;
    let seen = scrape(&pve.exporter).await;
    let mut read_at = seen
        .samples("pve_source_up")
        .filter(|sample| sample.label("storage") == Some("nas"));
    let node = read_at.next().unwrap().label("node").unwrap();
    assert!(read_at.next().is_none(), "a shared storage is read at one node");
    costs_only(&pve, "hang:/nodes/*/storage/nas/content", node, &["backup_volumes"]).await;
}
