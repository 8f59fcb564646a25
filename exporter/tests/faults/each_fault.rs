//! One case per fault of the simulator, all checked in the same way.

use std::collections::BTreeSet;
use std::time::Duration;

use pve_exporter::clock::Clock;
use pve_exporter::config::SourceSettings;
use pve_exporter::sources::name::SourceName;
use pve_simulator::{FAULT_NAMES, Fault, Options};

use crate::belongs::{of, of_any, of_guest, of_guest_on, on};
use crate::cost::Fails::{AllOf, At, EachOf, Everything, Itself, Perhaps, Whole};
use crate::cost::{
    CEPH, Case, FORBIDDEN, HARMLESS, NOW_AND_THEN, has_failed, kept, lost_with, must_fail, only_differ,
    only_its_sources_fail, outcomes, told_by,
};
use crate::support::exporters::scrape;
use crate::support::simulated::{APART, START, Simulated, differences, options, sources_down};
use crate::support::strict::Exposition;

/// After so many seconds every source is read again.
const AGED: u64 = 75;

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
        fails: &[Itself("pve1", "status"), Perhaps(&CEPH, "status")],
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
        fails: &[Itself("pve2", "timeout")],
        changes: |_, sample| of("metrics_export", sample) && on(sample, "pve2"),
        loses: |before, sample| told_by(before, sample, "pve2"),
        ..HARMLESS
    };
    black_hole: Case {
        fault: "black-hole:pve1",
        fails: &[Itself("pve1", "timeout"), Perhaps(&CEPH, "timeout")],
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
                "ha_status", "replication_jobs", "lvmthin", "storage_config", "ceph_pools", "disks", "node_rrd", "services", "packages",
                "certificates", "interfaces", "pci_devices", "corosync", "access_users", "metric_servers"];
            lists.iter().all(|source| {
                let mut places = seen.samples("pve_source_damaged_rows").filter(|place| place.label("source") == Some(source));
                places.next().is_some_and(|first| first.value > 0.0) && places.all(|place| place.value > 0.0)
            })
        },
        // A row that cannot be read may be one of what is counted.
        changes: |_, sample| ["pve_cluster_votes_", "pve_node_pci_"].iter().any(|sum| sample.name.starts_with(sum)),
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
        fails: &[EachOf(&FORBIDDEN, "forbidden")],
        shows: |seen| seen.samples("pve_permission_granted").all(|sample| sample.value == 0.0)
            && seen.value("pve_access_users", &[]).is_none() && seen.value("pve_subscription_sockets", &[]).is_none(),
        // No guest is listed any more, and no task and no user but its own; of other things less is told.
        changes: |_, sample| of_any(&["resources", "permissions", "tasks", "replication_jobs", "backup_volumes", "interfaces",
            "storage_config", "subscriptions", "access_users"], sample)
            || of_guest(sample) || sample.name == "pve_task_history_gaps_total" || sample.name == "pve_backup_logs_waiting",
        loses: |_, sample| of_any(&FORBIDDEN, sample),
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
            || sample.name.starts_with("pve_backup_orphaned_") || sample.name.starts_with("pve_node_loss_")
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
        // Nothing is known of the others and their guests, whose backups are those of guests that are gone, nor of votes.
        changes: |before, sample| of("corosync", sample) || ["pve2", "pve3"].iter().any(|node| {
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
        // Every scrape after so long reads every source again, but for what is read guest by guest.
        for source in SourceName::ALL
            .into_iter()
            .filter(|source| !NOW_AND_THEN.contains(&source.as_str()))
        {
            let max_age = Some(Duration::from_secs(60));
            config.sources.insert(source, SourceSettings { enabled: None, max_age });
        }
        let cluster = config.clusters.get_mut("main").unwrap();
        cluster.body_limit = 2_000_000;
        if hangs {
            (cluster.connect_timeout, cluster.request_timeout) = (Duration::from_secs(2), Duration::from_secs(3));
        }
    })
    .await;
    let before = pve.settle().await;
    assert_eq!(sources_down(&before), []);

    pve.simulator.inject(fault);
    pve.simulator.settled().await;
    pve.age(AGED);
    let failed = |seen: &Exposition| {
        outcomes(&before).all(|outcome| !must_fail(case, outcome) || has_failed(case, seen, outcome))
    };
    let during = pve.until(case.fault, |seen| failed(seen) && (case.shows)(seen)).await;
    only_its_sources_fail(case, &during);
    only_differ(case, &before, &during, |sample| (case.changes)(&before, sample));

    for _ in 0..4 {
        // What is under way would be as old as its beginning.
        pve.idle().await;
        pve.age(AGED);
        pve.scrape().await;
    }
    pve.idle().await;
    let late = pve.scrape().await;
    only_its_sources_fail(case, &late);
    only_differ(case, &before, &late, |sample| {
        (case.changes)(&before, sample) || (case.loses)(&before, sample)
    });
    let costs_something = !case.fails.is_empty();
    assert!(
        !costs_something || !differences(&before, &late).is_empty(),
        "{}: old values are served on",
        case.fault
    );

    pve.clear().await;
    pve.until_recovered(case.fault, |seen| {
        let reached = seen.samples("pve_api_endpoint_up").all(|sample| sample.value == 1.0);
        let differ = differences(&before, seen);
        reached && sources_down(seen).is_empty() && differ.iter().all(|sample| (case.leaves)(&before, sample))
    })
    .await;
}

impl Simulated {
    /// Lets time pass and reads everything again until `condition` holds: what hung is left alone for up to forty minutes.
    async fn until_recovered(&self, what: &str, condition: impl Fn(&Exposition) -> bool) {
        for _ in 0..60 {
            self.age(AGED);
            scrape(&self.exporter).await;
            self.tick().await;
            self.tick().await;
            if condition(&scrape(&self.exporter).await) {
                return;
            }
        }
        panic!(
            "{what}: never recovered, {:?}",
            sources_down(&scrape(&self.exporter).await)
        );
    }
}
