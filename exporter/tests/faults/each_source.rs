//! What a source costs that fails, and that it comes back: the same for each one.

use std::collections::BTreeSet;
use std::time::Duration;

use pve_exporter::clock::Clock;
use pve_exporter::config::{Config, SourceSettings};
use pve_exporter::pve::budget::Cost;
use pve_exporter::sources::name::SourceName;
use pve_simulator::Options;

use crate::belongs::{of_alone, of_any, of_guest_on, on};
use crate::support::exporters::scrape;
use crate::support::simulated::{
    APART, START, Simulated, differences, failures, options, samples, series, sources_down,
};
use crate::support::strict::{Exposition, Sample};

/// A way to fail, before the path, and the reason that is given.
const FAULTS: [(&str, &str); 3] = [("status=500", "status"), ("garbage", "decode"), ("hang", "timeout")];

/// The same at one node only.
const AT: &str = "pve2";

/// The sources whose faults are in `each_fault` and `one_by_one`, and with the tests of guest agents.
const ELSEWHERE: [&str; 10] = [
    "guest_agents",
    "resources",
    "metrics_export",
    "cluster_status",
    "node_status",
    "version",
    "permissions",
    "task_archive",
    "backup_logs",
    "guest_agent_socket",
];

macro_rules! sources {
    ($($name:ident: $path:literal;)*) => {
        const SOURCES: &[&str] = &[$(stringify!($name)),*];
        $(#[tokio::test]
        async fn $name() {
            check(SourceName::ALL.into_iter().find(|name| name.as_str() == stringify!($name)).unwrap(), $path).await;
        })*
    };
}

sources! {
    tasks: "/cluster/tasks";
    backup_jobs: "/cluster/backup";
    backup_coverage: "/cluster/backup-info/not-backed-up";
    backup_volumes: "/nodes/*/storage/*/content";
    ha_manager: "/cluster/ha/status/manager_status";
    ha_status: "/cluster/ha/status/current";
    ha_rules: "/cluster/ha/rules";
    replication_jobs: "/cluster/replication";
    replication: "/nodes/*/replication";
    qemu: "/nodes/*/qemu";
    lxc: "/nodes/*/lxc";
    netstat: "/nodes/*/netstat";
    guest_config: "/nodes/*/*/*/pending";
    snapshots: "/nodes/*/*/*/snapshot";
    zfs: "/nodes/*/disks/zfs";
    zfs_detail: "/nodes/*/disks/zfs/*";
    lvm: "/nodes/*/disks/lvm";
    lvmthin: "/nodes/*/disks/lvmthin";
    storage_config: "/storage";
    ceph_status: "/nodes/*/ceph/status";
    ceph_osds: "/nodes/*/ceph/osd";
    ceph_pools: "/nodes/*/ceph/pool";
    disks: "/nodes/*/disks/list";
    disk_smart: "/nodes/*/disks/smart";
    node_rrd: "/nodes/*/rrddata";
    node_time: "/nodes/*/time";
    services: "/nodes/*/services";
    packages: "/nodes/*/apt/versions";
    subscriptions: "/nodes/*/subscription";
    certificates: "/nodes/*/certificates/info";
    interfaces: "/nodes/*/network";
    pci_devices: "/nodes/*/hardware/pci";
    corosync: "/cluster/config/nodes";
    access_users: "/access/users";
    firewall: "/cluster/firewall/options";
    node_firewall: "/nodes/*/firewall/options";
    metric_servers: "/cluster/metrics/server";
}

#[test]
fn no_source_is_left_out() {
    let tested: BTreeSet<&str> = SOURCES.iter().chain(&ELSEWHERE).copied().collect();
    let known: BTreeSet<&str> = SourceName::ALL.into_iter().map(SourceName::as_str).collect();
    assert_eq!(tested, known);
}

/// Whether it is read guest by guest.
fn is_survey(source: SourceName) -> bool {
    matches!(source, SourceName::GuestConfig | SourceName::Snapshots)
}

/// Whether what it brings is told of a moment, so that both clocks have to run.
fn is_history(source: SourceName) -> bool {
    source == SourceName::NodeRrd
}

/// The sources that may fail with it.
fn with_it(source: SourceName) -> Vec<&'static str> {
    match source {
        // The list tells which pools there are, and what hangs for the one does for the other.
        SourceName::Zfs | SourceName::ZfsDetail => vec!["zfs", "zfs_detail"],
        // The tools for both look at the same devices.
        SourceName::Lvm | SourceName::Lvmthin => vec!["lvm", "lvmthin"],
        _ => vec![source.as_str()],
    }
}

/// Seconds that pass at once between two looks, and those that pass one by one after them.
fn steps(source: SourceName) -> (u64, u32) {
    match source {
        // What a survey has read is served for a day.
        _ if is_survey(source) => (3 * 3600, 30),
        // What hangs is left alone for ten minutes and more.
        _ if source.cost() == Cost::Storage => (3600, 8),
        // Enough for everything to be read again.
        _ => (75, 1),
    }
}

fn set_max_age(config: &mut Config, source: SourceName, seconds: u64) {
    let max_age = Some(Duration::from_secs(seconds));
    let enabled = Some(true);
    config.sources.insert(source, SourceSettings { enabled, max_age });
}

async fn start(source: SourceName) -> Simulated {
    let options = Options {
        guests: 12,
        sees_backups: true,
        ceph: source.endpoint().contains("/ceph/"),
        ..options()
    };
    let apart = if is_history(source) { 0 } else { APART };
    Simulated::by(Clock::standing_at(START + apart), options, |config| {
        match source {
            // Surveys get what the others leave of the requests of a minute.
            _ if is_survey(source) => set_max_age(config, source, 60),
            // One disk of a node after the other.
            SourceName::DiskSmart => set_max_age(config, source, 3600),
            _ => {}
        }
        let read_at_once =
            |other: &SourceName| !is_survey(*other) && !other.follows_events() && *other != SourceName::DiskSmart;
        for other in SourceName::ALL
            .into_iter()
            .filter(read_at_once)
            .filter(|_| !is_survey(source))
        {
            set_max_age(config, other, 60);
        }
        let cluster = config.clusters.get_mut("main").unwrap();
        // Surveys wait for many calls, one after the other.
        cluster.request_timeout = Duration::from_millis(if is_survey(source) { 1500 } else { 2500 });
    })
    .await
}

async fn check(source: SourceName, path: &str) {
    let pve = start(source).await;
    pve.settle().await;
    if source == SourceName::DiskSmart {
        let number = |seen: &Exposition, name| seen.samples(name).count();
        let asked = |seen: &Exposition| number(seen, "pve_disk_temperature_celsius") == number(seen, "pve_disk_info");
        pve.until_read(source, "each disk is asked", asked).await;
    }
    for (fault, reason) in FAULTS {
        fails_and_recovers(&pve, source, &format!("{fault}:{path}"), reason).await;
    }
    if places(&pve.scrape().await, source).any(|place| on(place, AT)) {
        let at = path.replacen('*', AT, 1);
        fails_and_recovers(&pve, source, &format!("status=500:{at}"), "status").await;
    }
}

async fn fails_and_recovers(pve: &Simulated, source: SourceName, fault: &str, reason: &str) {
    let (name, at_one_node) = (source.as_str(), fault.contains(AT));
    pve.scrape().await;
    pve.idle().await;
    let before = pve.scrape().await;
    assert_eq!(sources_down(&before), [], "{fault}");
    let counted = failed(&before, name, reason);
    let struck = |sample: &Sample| !at_one_node || on(sample, AT) || of_guest_on(&before, sample, AT);
    let asks = |place: &&Sample| struck(place) && !has_no_zfs(place);
    assert!(
        places(&before, source).any(|place| asks(&place)),
        "{fault} strikes nothing"
    );
    let has_failed = |seen: &Exposition| {
        let failures = failed(seen, name, reason);
        places(&before, source).filter(asks).all(|place| {
            let of_place = failures.iter().filter(|(labels, _)| *labels == self::labels(place));
            seen.value("pve_source_up", &labels(place)) == Some(0.0)
                && of_place.into_iter().any(|failure| !counted.contains(failure))
        })
    };
    let id = pve.inject(fault).await;
    pve.pass(source, 75);
    let during = if is_survey(source) {
        pve.until_read(source, fault, has_failed).await
    } else {
        pve.until(fault, has_failed).await
    };
    let at_once: Vec<_> = changes(source, &before, &during).into_iter().map(series).collect();
    assert_eq!(at_once, [""; 0], "{fault}: what was read before is served on");

    let late = pve
        .until_read(source, fault, |seen| {
            samples(seen)
                .values()
                .all(|sample| !(of_alone(name, sample) && struck(sample)) || outlives(sample))
        })
        .await;
    let companions = with_it(source);
    assert!(
        sources_down(&late)
            .iter()
            .all(|(down, _)| companions.contains(&&**down)),
        "{fault}: {:?}",
        sources_down(&late)
    );
    for sample in changes(source, &before, &late) {
        assert!(
            of_any(&companions, sample) && struck(sample),
            "{fault}: {}",
            series(sample)
        );
    }

    pve.simulator.clear(id);
    pve.until_read(source, fault, |seen| {
        sources_down(seen).is_empty() && changes(source, &before, seen).is_empty()
    })
    .await;
}

/// Ceph is asked of one node, and of another one where that fails.
#[tokio::test]
async fn ceph_is_told_by_another_node() {
    let source = SourceName::CephStatus;
    for (fault, reason) in [("status=500", "status"), ("hang", "timeout")] {
        let pve = start(source).await;
        let before = pve.settle().await;
        pve.inject(&format!("{fault}:pve1:/nodes/*/ceph/*")).await;
        pve.age(75);
        pve.until(fault, |seen| failures(seen, "ceph_status", "", reason) == 1.0)
            .await;
        let seen = pve
            .until_read(SourceName::Services, fault, |seen| sources_down(seen).is_empty())
            .await;
        assert_eq!(changes(source, &before, &seen).len(), 0, "{fault}");
        assert_eq!(failures(&seen, "ceph_status", "", reason), 1.0, "{fault}");
    }
}

/// The time of a replica stays true when nobody can be asked any more.
fn outlives(sample: &Sample) -> bool {
    sample.name == "pve_guest_recovery_point_timestamp_seconds" && sample.label("source") == Some("replication")
}

/// Where it is known that there is nothing to ask, nothing fails.
fn has_no_zfs(place: &Sample) -> bool {
    place.label("source").is_some_and(|source| source.starts_with("zfs")) && on(place, "pve3")
}

/// The samples that are others than before.
fn changes<'a>(source: SourceName, before: &'a Exposition, seen: &'a Exposition) -> Vec<&'a Sample> {
    let differ = differences(before, seen).into_iter();
    // Figures move with PVE's time.
    let changes = |sample: &&Sample| !is_history(source) || !there(before, sample) || !there(seen, sample);
    differ.filter(changes).collect()
}

fn there(seen: &Exposition, sample: &Sample) -> bool {
    let mut same_name = seen.samples(&sample.name);
    same_name.any(|other| other.labels == sample.labels)
}

/// Where a source is read.
fn places(seen: &Exposition, source: SourceName) -> impl Iterator<Item = &Sample> {
    seen.samples("pve_source_up")
        .filter(move |sample| sample.label("source") == Some(source.as_str()))
}

/// How often the source failed for this reason, by the labels of its places.
fn failed<'a>(seen: &'a Exposition, source: &str, reason: &str) -> Vec<(Vec<(&'a str, &'a str)>, f64)> {
    let failures = seen.samples("pve_source_failures_total");
    failures
        .filter(|sample| sample.label("source") == Some(source) && sample.label("reason") == Some(reason))
        .map(|sample| (labels(sample), sample.value))
        .collect()
}

/// The labels that say which place of which source it is.
fn labels(sample: &Sample) -> Vec<(&str, &str)> {
    let label = |name| Some((name, sample.label(name)?));
    ["source", "node", "storage"].into_iter().filter_map(label).collect()
}

impl Simulated {
    /// Lets time pass, for PVE as well where that belongs to what is read.
    fn pass(&self, source: SourceName, seconds: u64) {
        if is_history(source) {
            self.advance(seconds);
        } else {
            self.age(seconds);
        }
    }

    /// Lets time pass until `condition` holds.
    async fn until_read(&self, source: SourceName, what: &str, condition: impl Fn(&Exposition) -> bool) -> Exposition {
        let (at_once, one_by_one) = steps(source);
        for _ in 0..40 {
            let seen = scrape(&self.exporter).await;
            if condition(&seen) {
                return seen;
            }
            // What is under way would be as old as its beginning.
            self.idle().await;
            self.pass(source, at_once);
            for second in 0..one_by_one {
                if second % 10 == 0 {
                    scrape(&self.exporter).await;
                }
                self.tick().await;
            }
        }
        panic!("{what}: never seen");
    }
}
