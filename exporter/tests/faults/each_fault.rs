//! One case per fault of the simulator, all checked in the same way.

use std::collections::BTreeSet;
use std::time::Duration;

use pve_exporter::clock::Clock;
use pve_exporter::config::SourceSettings;
use pve_exporter::sources::name::SourceName;
use pve_simulator::{FAULT_NAMES, Fault, Options};

use crate::belongs::{of, of_any, of_guest, of_guest_on, on};
use crate::support::simulated::{APART, START, Simulated, differences, options, series, sources_down};
use crate::support::strict::{Exposition, Sample};

/// A fault and what it may cost.
struct Case {
    /// As the simulator writes it.
    fault: &'static str,
    /// What fails.
    fails: &'static [Fails],
    /// What is seen once the fault has shown.
    shows: fn(&Exposition) -> bool,
    /// The samples that may change at once, given those from before.
    changes: fn(&Exposition, &Sample) -> bool,
    /// The samples that may be gone once the old values are too old to be served.
    loses: fn(&Exposition, &Sample) -> bool,
    /// The samples that are others for good.
    leaves: fn(&Exposition, &Sample) -> bool,
}

/// What fails, each with the reason.
enum Fails {
    /// A source of the whole cluster.
    Whole(&'static str, &'static str),
    /// A source at every node that it asks.
    EachNode(&'static str, &'static str),
    /// A source at one node.
    At(&'static str, &'static str, &'static str),
    /// Every source that asks this node, there.
    AllOf(&'static str, &'static str),
    /// Every source.
    Everything(&'static str),
}

use Fails::{AllOf, At, EachNode, Everything, Whole};

/// The sources that ask each node again and again.
const OF_NODES: [&str; 21] = [
    "node_status",
    "qemu",
    "lxc",
    "netstat",
    "replication",
    "backup_volumes",
    "zfs",
    "zfs_detail",
    "lvm",
    "lvmthin",
    "disks",
    "node_time",
    "services",
    "packages",
    "subscriptions",
    "certificates",
    "interfaces",
    "pci_devices",
    "node_firewall",
    "disk_smart",
    "node_rrd",
];

/// The sources that ask when there is something to ask, so that a fault may never be met: where there is no ZFS, it is looked
/// for every hour.
const NOW_AND_THEN: [&str; 7] = [
    "task_archive",
    "backup_logs",
    "backup_volumes",
    "guest_config",
    "snapshots",
    "zfs",
    "zfs_detail",
];

const NONE: fn(&Exposition, &Sample) -> bool = |_, _| false;

const HARMLESS: Case = Case {
    fault: "",
    fails: &[],
    shows: |_| true,
    changes: NONE,
    loses: NONE,
    leaves: NONE,
};

macro_rules! cases {
    ($($name:ident: $case:expr;)*) => {
        const CASES: &[Case] = &[$($case),*];
        $(#[tokio::test]
        async fn $name() {
            check(&$case).await;
        })*
    };
}

cases! {
    offline: Case {
        fault: "offline:pve2",
        fails: &[AllOf("pve2", "offline")],
        shows: |seen| seen.value("pve_node_up", &[("node", "pve2")]) == Some(0.0)
            && seen.value("pve_cluster_nodes_online", &[]) == Some(2.0),
        changes: |before, sample| lost_with(before, sample, "pve2"),
        ..HARMLESS
    };
    offline_entry: Case {
        fault: "offline:pve1",
        fails: &[AllOf("pve1", "offline")],
        shows: |seen| seen.value("pve_node_up", &[("node", "pve1")]) == Some(0.0)
            && seen.value("pve_cluster_nodes_online", &[]) == Some(2.0)
            && seen.value("pve_cluster_up", &[]) == Some(1.0),
        changes: |before, sample| lost_with(before, sample, "pve1"),
        ..HARMLESS
    };
    dead_but_running: Case {
        fault: "dead-but-running:pve2",
        fails: &[AllOf("pve2", "offline")],
        shows: |seen| seen.value("pve_node_up", &[("node", "pve2")]) == Some(0.0),
        changes: |before, sample| lost_with(before, sample, "pve2"),
        ..HARMLESS
    };
    proxy_down: Case {
        fault: "proxy-down:pve1",
        fails: &[AllOf("pve1", "status")],
        shows: |seen| seen.value("pve_cluster_up", &[]) == Some(1.0),
        changes: |_, sample| of("metrics_export", sample) && on(sample, "pve1"),
        // At it the shared storages are read.
        loses: |before, sample| told_by(before, sample, "pve1") || of("backup_volumes", sample),
        ..HARMLESS
    };
    hang_of_a_path: Case {
        fault: "hang:/cluster/resources",
        fails: &[Whole("resources", "timeout")],
        loses: |_, sample| of("resources", sample),
        ..HARMLESS
    };
    hang_of_a_path_on_a_node: Case {
        fault: "hang:pve2:/nodes/*/status",
        fails: &[At("node_status", "pve2", "timeout")],
        loses: |_, sample| of("node_status", sample) && on(sample, "pve2"),
        ..HARMLESS
    };
    hang_of_a_node: Case {
        fault: "hang:pve2",
        fails: &[AllOf("pve2", "timeout")],
        changes: |_, sample| of("metrics_export", sample) && on(sample, "pve2"),
        loses: |before, sample| told_by(before, sample, "pve2"),
        ..HARMLESS
    };
    black_hole: Case {
        fault: "black-hole:pve1",
        fails: &[AllOf("pve1", "timeout")],
        shows: |seen| seen.value("pve_cluster_up", &[]) == Some(1.0),
        changes: |_, sample| of("metrics_export", sample) && on(sample, "pve1"),
        // At it the shared storages are read.
        loses: |before, sample| told_by(before, sample, "pve1") || of("backup_volumes", sample),
        ..HARMLESS
    };
    black_hole_everywhere: Case {
        fault: "black-hole",
        fails: &[Everything("unreachable")],
        shows: |seen| seen.value("pve_cluster_up", &[]) == Some(0.0),
        changes: |_, sample| sample.name == "pve_cluster_up",
        loses: |_, sample| !kept(sample),
        ..HARMLESS
    };
    slow: Case {
        fault: "slow=100ms:/cluster/resources",
        shows: |seen| seen.value("pve_source_duration_seconds", &[("source", "resources")]) >= Some(0.1),
        ..HARMLESS
    };
    status_500: Case {
        fault: "status=500:/cluster/resources",
        fails: &[Whole("resources", "status")],
        loses: |_, sample| of("resources", sample),
        ..HARMLESS
    };
    status_403: Case {
        fault: "status=403:/cluster/status",
        fails: &[Whole("cluster_status", "forbidden")],
        loses: |_, sample| of("cluster_status", sample),
        ..HARMLESS
    };
    status_595: Case {
        fault: "status=595:pve2:/nodes/*/status",
        fails: &[At("node_status", "pve2", "status")],
        loses: |_, sample| of("node_status", sample) && on(sample, "pve2"),
        ..HARMLESS
    };
    status_of_the_export: Case {
        fault: "status=500:/cluster/metrics/export",
        fails: &[Whole("metrics_export", "status")],
        loses: |_, sample| of("metrics_export", sample),
        ..HARMLESS
    };
    status_of_the_version: Case {
        fault: "status=500:/version",
        fails: &[Whole("version", "status")],
        loses: |_, sample| of("version", sample),
        ..HARMLESS
    };
    status_of_the_permissions: Case {
        fault: "status=500:/access/permissions",
        fails: &[Whole("permissions", "status")],
        loses: |_, sample| of("permissions", sample),
        ..HARMLESS
    };
    truncated: Case {
        fault: "truncated:/cluster/resources",
        fails: &[Whole("resources", "decode")],
        loses: |_, sample| of("resources", sample),
        ..HARMLESS
    };
    string_numbers: Case { fault: "string-numbers", ..HARMLESS };
    wrong_types: Case {
        fault: "wrong-types:/cluster/resources",
        shows: |seen| seen.samples("pve_guest_uptime_seconds").count() < 24,
        changes: |_, sample| of("resources", sample),
        ..HARMLESS
    };
    garbage_rows: Case {
        fault: "garbage-rows",
        shows: |seen| {
            let lists = ["resources", "metrics_export", "cluster_status", "tasks", "backup_jobs", "backup_coverage",
                "ha_status", "replication_jobs"];
            lists.iter().all(|source| seen.value("pve_source_damaged_rows", &[("source", source)]) > Some(0.0))
        },
        ..HARMLESS
    };
    garbage: Case {
        fault: "garbage:/cluster/resources",
        fails: &[Whole("resources", "decode")],
        loses: |_, sample| of("resources", sample),
        ..HARMLESS
    };
    huge: Case {
        fault: "huge=3000000:/cluster/resources",
        fails: &[Whole("resources", "too_large")],
        loses: |_, sample| of("resources", sample),
        ..HARMLESS
    };
    no_permission: Case {
        fault: "no-permission",
        fails: &[Whole("metrics_export", "forbidden"), Whole("cluster_status", "forbidden"),
            Whole("backup_jobs", "forbidden"), Whole("backup_coverage", "forbidden"), Whole("ha_manager", "forbidden"),
            Whole("ha_status", "forbidden"), Whole("ha_rules", "forbidden"), EachNode("node_status", "forbidden")],
        shows: |seen| seen.samples("pve_permission_granted").all(|sample| sample.value == 0.0),
        // No guest is listed any more, and no task of others.
        changes: |_, sample| of_any(&["resources", "permissions", "tasks", "replication_jobs", "backup_volumes"], sample)
            || of_guest(sample) || sample.name == "pve_task_history_gaps_total" || sample.name == "pve_backup_logs_waiting",
        loses: |_, sample| of_any(&["cluster_status", "node_status", "metrics_export", "backup_jobs", "backup_coverage",
            "ha_manager", "ha_status", "ha_rules"], sample),
        leaves: |_, sample| sample.name == "pve_task_history_gaps_total" || sample.name == "pve_backup_logs_waiting",
    };
    revoked: Case {
        fault: "revoked",
        fails: &[Everything("unauthorized")],
        loses: |_, sample| !kept(sample),
        ..HARMLESS
    };
    qmp_timeout: Case {
        fault: "qmp-timeout=100",
        shows: |seen| seen.value("pve_guest_monitor_responding", &[("id", "qemu/100")]) == Some(0.0),
        changes: |_, sample| sample.label("id") == Some("qemu/100") && (sample.name.starts_with("pve_guest_disk_")
            || sample.name == "pve_guest_monitor_responding" || of("qemu", sample)),
        ..HARMLESS
    };
    vanished: Case {
        fault: "vanished=100",
        shows: |seen| seen.value("pve_guest_info", &[("id", "qemu/100")]).is_none(),
        // Its backups are those of a guest that is gone.
        changes: |_, sample| sample.label("id") == Some("qemu/100") || sample.name.starts_with("pve_pool_")
            || sample.name.starts_with("pve_backup_orphaned_")
            || on(sample, "pve1") && ["pve_node_cpu_usage_ratio", "pve_node_memory_usage_bytes"].contains(&&*sample.name),
        ..HARMLESS
    };
    storage_unavailable: Case {
        fault: "storage-unavailable=nas",
        shows: |seen| seen.value("pve_storage_up", &[("storage", "nas"), ("node", "pve1")]) == Some(0.0),
        changes: |_, sample| sample.label("storage") == Some("nas"),
        ..HARMLESS
    };
    // What it does when time goes on is in `collection`.
    frozen_pvestatd: Case { fault: "frozen-pvestatd:pve2", ..HARMLESS };
    zero_timestamp: Case {
        fault: "zero-timestamp:pve2",
        shows: |seen| seen.value("pve_node_sample_timestamp_seconds", &[("node", "pve2")]).is_none()
            && seen.value("pve_node_load1", &[("node", "pve2")]) > Some(0.0),
        changes: |_, sample| of("metrics_export", sample) && on(sample, "pve2"),
        ..HARMLESS
    };
    partition: Case {
        fault: "partition:pve1",
        fails: &[AllOf("pve1", "offline")],
        shows: |seen| seen.value("pve_cluster_quorate", &[]) == Some(1.0)
            && seen.value("pve_cluster_nodes_online", &[]) == Some(2.0)
            && seen.value("pve_node_up", &[("node", "pve2")]) == Some(1.0),
        changes: |before, sample| lost_with(before, sample, "pve1"),
        ..HARMLESS
    };
    close_idle: Case { fault: "close-idle", ..HARMLESS };
    standalone: Case {
        fault: "standalone",
        shows: |seen| seen.value("pve_node_up", &[("node", "pve2")]).is_none()
            && seen.value("pve_cluster_quorate", &[]).is_none(),
        // Nothing is known of the others and their guests, whose backups are those of guests that are gone.
        changes: |before, sample| ["pve2", "pve3"].iter().any(|node| {
            lost_with(before, sample, node) || of_guest_on(before, sample, node)
        }) || sample.name.starts_with("pve_backup_orphaned_"),
        ..HARMLESS
    };
}

#[test]
fn no_fault_is_left_out() {
    let kind = |text: &str| text.split(['=', '[', ':']).next().unwrap_or_default().to_owned();
    let tested: BTreeSet<String> = CASES.iter().map(|case| kind(case.fault)).collect();
    let known: BTreeSet<String> = FAULT_NAMES.iter().map(|name| kind(name)).collect();
    assert_eq!(tested, known);
}

async fn check(case: &Case) {
    let fault: Fault = case.fault.parse().unwrap();
    let hangs = case.fault.starts_with("hang") || case.fault.starts_with("black-hole");
    let options = Options {
        // A black hole swallows new connections only.
        requests_per_connection: if case.fault.starts_with("black-hole") { 1 } else { 100 },
        sees_backups: true,
        ceph: true,
        ..options()
    };
    // Standing, so that a slow machine sees the same; but how long something takes is what a running one tells.
    let clock = if case.fault.starts_with("slow") {
        Clock::default()
    } else {
        Clock::standing_at(START + APART)
    };
    let pve = Simulated::by(clock, options, |config| {
        // Every scrape after 15 s reads every source again, but for what is read guest by guest.
        for source in SourceName::ALL
            .into_iter()
            .filter(|source| !NOW_AND_THEN.contains(&source.as_str()))
        {
            let max_age = Some(Duration::from_secs(10));
            config.sources.insert(source, SourceSettings { enabled: None, max_age });
        }
        let cluster = config.clusters.get_mut("main").unwrap();
        cluster.body_limit = 2_000_000;
        if hangs {
            (cluster.connect_timeout, cluster.request_timeout) =
                (Duration::from_millis(300), Duration::from_millis(900));
        }
    })
    .await;
    let before = pve.settle().await;
    assert_eq!(sources_down(&before), []);

    pve.simulator.inject(fault);
    pve.simulator.settled().await;
    pve.age(15);
    let failed = |seen: &Exposition| {
        outcomes(&before).all(|outcome| !must_fail(case, outcome) || has_failed(case, seen, outcome))
    };
    let during = pve.until(case.fault, |seen| failed(seen) && (case.shows)(seen)).await;
    only_its_sources_fail(case, &during);
    for sample in differences(&before, &during) {
        assert!((case.changes)(&before, sample), "{}: {}", case.fault, series(sample));
    }

    for _ in 0..4 {
        // What is under way would be as old as its beginning.
        pve.idle().await;
        pve.age(15);
        pve.scrape().await;
    }
    pve.idle().await;
    let late = pve.scrape().await;
    only_its_sources_fail(case, &late);
    let lost = differences(&before, &late);
    for sample in &lost {
        let expected = (case.changes)(&before, sample) || (case.loses)(&before, sample);
        assert!(expected, "{}: {}", case.fault, series(sample));
    }
    let costs_something = !case.fails.is_empty();
    assert!(
        !costs_something || !lost.is_empty(),
        "{}: old values are served on",
        case.fault
    );

    pve.clear().await;
    pve.age(61);
    pve.until_aging(1, "recovered", |seen| {
        let reached = seen.samples("pve_api_endpoint_up").all(|sample| sample.value == 1.0);
        let differ = differences(&before, seen);
        reached && sources_down(seen).is_empty() && differ.iter().all(|sample| (case.leaves)(&before, sample))
    })
    .await;
}

/// A source, the node and the storage, as far as it has them.
type Outcome<'a> = [&'a str; 3];

fn outcome(sample: &Sample) -> Outcome<'_> {
    ["source", "node", "storage"].map(|name| sample.label(name).unwrap_or_default())
}

fn outcomes(seen: &Exposition) -> impl Iterator<Item = Outcome<'_>> {
    seen.samples("pve_source_up").map(outcome)
}

impl Fails {
    /// Why the source fails there, if it does.
    fn reason(&self, [source, node, _]: Outcome<'_>) -> Option<&'static str> {
        let (fails, reason) = match self {
            Whole(name, reason) => (*name == source, reason),
            EachNode(name, reason) => (*name == source, reason),
            At(name, place, reason) => ((*name, *place) == (source, node), reason),
            AllOf(place, reason) => (*place == node, reason),
            Everything(reason) => (true, reason),
        };
        fails.then_some(reason)
    }
}

/// Why the source fails there, if it does. A source that asks now and then need not.
fn reason(case: &Case, outcome: Outcome<'_>) -> Option<&'static str> {
    case.fails.iter().find_map(|fails| fails.reason(outcome))
}

fn must_fail(case: &Case, outcome: Outcome<'_>) -> bool {
    // Storages of a node that is offline are not asked for at all.
    !NOW_AND_THEN.contains(&outcome[0]) && reason(case, outcome).is_some()
}

fn has_failed(case: &Case, seen: &Exposition, [source, node, storage]: Outcome<'_>) -> bool {
    let all = [("source", source), ("node", node), ("storage", storage)];
    let labels: Vec<_> = all.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let reason = reason(case, [source, node, storage]).unwrap_or_default();
    let counted = [&labels[..], &[("reason", reason)]].concat();
    seen.value("pve_source_up", &labels) == Some(0.0) && seen.value("pve_source_failures_total", &counted) > Some(0.0)
}

fn only_its_sources_fail(case: &Case, seen: &Exposition) {
    let down = seen.samples("pve_source_up").filter(|sample| sample.value != 1.0);
    for sample in down.chain(seen.samples("pve_source_failures_total")) {
        let expected = reason(case, outcome(sample)).is_some();
        assert!(expected, "{}: {} fails as well", case.fault, series(sample));
    }
}

/// What is lost with a node: its own figures, the live ones of its guests, and the sums that they are part of. What was found
/// out before about the guests' configurations, snapshots and backups stays.
fn lost_with(before: &Exposition, sample: &Sample, node: &str) -> bool {
    let live = ["resources", "qemu", "lxc", "netstat", "replication"];
    on(sample, node)
        || of_any(&live, sample) && of_guest_on(before, sample, node)
        || sample.name.starts_with("pve_pool_")
        || of("cluster_status", sample)
        || sample.name == "pve_ha_manager_info"
        // Nothing can be replicated to it.
        || of("replication", sample) && sample.name.starts_with("pve_replication_") && replicates_to(before, sample, node)
        // At the first node the shared storages are read; then at another one.
        || node == "pve1" && of("backup_volumes", sample)
}

fn replicates_to(before: &Exposition, sample: &Sample, node: &str) -> bool {
    let job = sample.label("job").unwrap_or_default();
    before
        .value("pve_replication_info", &[("job", job), ("target", node)])
        .is_some()
}

/// What only the node itself tells, of itself and its guests.
fn told_by(before: &Exposition, sample: &Sample, node: &str) -> bool {
    of_any(&OF_NODES, sample) && (on(sample, node) || of_guest_on(before, sample, node))
}

/// What stays when nothing can be reached: history, and what is seldom read.
fn kept(sample: &Sample) -> bool {
    of_any(&["backup_logs", "guest_config", "snapshots"], sample) && !of("resources", sample)
}
