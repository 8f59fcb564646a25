//! One case per fault of the simulator, all checked in the same way.

use std::collections::BTreeSet;
use std::time::Duration;

use pve_exporter::config::SourceSettings;
use pve_exporter::sources::name::SourceName;
use pve_simulator::{FAULT_NAMES, Fault, Options};

use crate::support::simulated::{Simulated, differences, failures, options, series, source_up, sources_down};
use crate::support::strict::{Exposition, Sample};

/// A fault and what it may cost.
struct Case {
    /// As the simulator writes it.
    fault: &'static str,
    /// The sources that fail: name, node, reason.
    fails: &'static [(&'static str, &'static str, &'static str)],
    /// What is seen once the fault has shown.
    shows: fn(&Exposition) -> bool,
    /// The samples that may change at once, given those from before.
    changes: fn(&Exposition, &Sample) -> bool,
    /// The samples that may be gone once the old values are too old to be served.
    loses: fn(&Exposition, &Sample) -> bool,
}

const NONE: fn(&Exposition, &Sample) -> bool = |_, _| false;

const HARMLESS: Case = Case {
    fault: "",
    fails: &[],
    shows: |_| true,
    changes: NONE,
    loses: NONE,
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
        fails: &[("node_status", "pve2", "offline")],
        shows: |seen| seen.value("pve_node_up", &[("node", "pve2")]) == Some(0.0)
            && seen.value("pve_cluster_nodes_online", &[]) == Some(2.0),
        changes: |before, sample| about(before, sample, "pve2") || of_membership(sample),
        ..HARMLESS
    };
    offline_entry: Case {
        fault: "offline:pve1",
        fails: &[("node_status", "pve1", "offline")],
        shows: |seen| seen.value("pve_node_up", &[("node", "pve1")]) == Some(0.0)
            && seen.value("pve_cluster_nodes_online", &[]) == Some(2.0)
            && seen.value("pve_cluster_up", &[]) == Some(1.0),
        changes: |before, sample| about(before, sample, "pve1") || of_membership(sample),
        ..HARMLESS
    };
    dead_but_running: Case {
        fault: "dead-but-running:pve2",
        fails: &[("node_status", "pve2", "offline")],
        shows: |seen| seen.value("pve_node_up", &[("node", "pve2")]) == Some(0.0),
        changes: |before, sample| about(before, sample, "pve2") || of_membership(sample),
        ..HARMLESS
    };
    proxy_down: Case {
        fault: "proxy-down:pve1",
        fails: &[("node_status", "pve1", "status")],
        shows: |seen| seen.value("pve_cluster_up", &[]) == Some(1.0),
        changes: |_, sample| of_export(sample) && on(sample, "pve1"),
        loses: |_, sample| of_node_status(sample) && on(sample, "pve1"),
    };
    hang_of_a_path: Case {
        fault: "hang:/cluster/resources",
        fails: &[("resources", "", "timeout")],
        loses: |_, sample| of_resources(sample),
        ..HARMLESS
    };
    hang_of_a_path_on_a_node: Case {
        fault: "hang:pve2:/nodes/*/status",
        fails: &[("node_status", "pve2", "timeout")],
        loses: |_, sample| of_node_status(sample) && on(sample, "pve2"),
        ..HARMLESS
    };
    hang_of_a_node: Case {
        fault: "hang:pve2",
        fails: &[("node_status", "pve2", "timeout")],
        changes: |_, sample| of_export(sample) && on(sample, "pve2"),
        loses: |_, sample| of_node_status(sample) && on(sample, "pve2"),
        ..HARMLESS
    };
    black_hole: Case {
        fault: "black-hole:pve1",
        fails: &[("node_status", "pve1", "timeout")],
        shows: |seen| seen.value("pve_cluster_up", &[]) == Some(1.0),
        changes: |_, sample| of_export(sample) && on(sample, "pve1"),
        loses: |_, sample| of_node_status(sample) && on(sample, "pve1"),
    };
    black_hole_everywhere: Case {
        fault: "black-hole",
        fails: &[("resources", "", "unreachable"), ("metrics_export", "", "unreachable"),
            ("cluster_status", "", "unreachable"), ("version", "", "unreachable"), ("permissions", "", "unreachable")],
        shows: |seen| seen.value("pve_cluster_up", &[]) == Some(0.0),
        changes: |_, sample| sample.name == "pve_cluster_up",
        loses: |_, _| true,
    };
    slow: Case {
        fault: "slow=100ms:/cluster/resources",
        shows: |seen| seen.value("pve_source_duration_seconds", &[("source", "resources")]) >= Some(0.1),
        ..HARMLESS
    };
    status_500: Case {
        fault: "status=500:/cluster/resources",
        fails: &[("resources", "", "status")],
        loses: |_, sample| of_resources(sample),
        ..HARMLESS
    };
    status_403: Case {
        fault: "status=403:/cluster/status",
        fails: &[("cluster_status", "", "forbidden")],
        loses: |_, sample| of_membership(sample),
        ..HARMLESS
    };
    status_595: Case {
        fault: "status=595:pve2:/nodes/*/status",
        fails: &[("node_status", "pve2", "status")],
        loses: |_, sample| of_node_status(sample) && on(sample, "pve2"),
        ..HARMLESS
    };
    status_of_the_export: Case {
        fault: "status=500:/cluster/metrics/export",
        fails: &[("metrics_export", "", "status")],
        loses: |_, sample| of_export(sample),
        ..HARMLESS
    };
    status_of_the_version: Case {
        fault: "status=500:/version",
        fails: &[("version", "", "status")],
        loses: |_, sample| sample.name == "pve_version_info",
        ..HARMLESS
    };
    status_of_the_permissions: Case {
        fault: "status=500:/access/permissions",
        fails: &[("permissions", "", "status")],
        loses: |_, sample| sample.name == "pve_permission_granted",
        ..HARMLESS
    };
    truncated: Case {
        fault: "truncated:/cluster/resources",
        fails: &[("resources", "", "decode")],
        loses: |_, sample| of_resources(sample),
        ..HARMLESS
    };
    string_numbers: Case { fault: "string-numbers", ..HARMLESS };
    wrong_types: Case {
        fault: "wrong-types:/cluster/resources",
        shows: |seen| seen.samples("pve_guest_uptime_seconds").count() < 24,
        changes: |_, sample| of_resources(sample),
        ..HARMLESS
    };
    garbage_rows: Case {
        fault: "garbage-rows",
        shows: |seen| ["resources", "metrics_export", "cluster_status"].iter().all(|source| {
            seen.value("pve_source_damaged_rows", &[("source", source)]) > Some(0.0)
        }),
        ..HARMLESS
    };
    garbage: Case {
        fault: "garbage:/cluster/resources",
        fails: &[("resources", "", "decode")],
        loses: |_, sample| of_resources(sample),
        ..HARMLESS
    };
    huge: Case {
        fault: "huge=3000000:/cluster/resources",
        fails: &[("resources", "", "too_large")],
        loses: |_, sample| of_resources(sample),
        ..HARMLESS
    };
    no_permission: Case {
        fault: "no-permission",
        fails: &[("metrics_export", "", "forbidden"), ("cluster_status", "", "forbidden"),
            ("node_status", "pve1", "forbidden"), ("node_status", "pve2", "forbidden"), ("node_status", "pve3", "forbidden")],
        shows: |seen| seen.samples("pve_permission_granted").all(|sample| sample.value == 0.0),
        changes: |_, sample| of_resources(sample) || sample.name == "pve_permission_granted",
        loses: |_, sample| of_membership(sample) || of_node_status(sample) || of_export(sample),
    };
    revoked: Case {
        fault: "revoked",
        fails: &[("resources", "", "unauthorized"), ("metrics_export", "", "unauthorized"),
            ("cluster_status", "", "unauthorized"), ("version", "", "unauthorized"), ("permissions", "", "unauthorized")],
        loses: |_, _| true,
        ..HARMLESS
    };
    qmp_timeout: Case {
        fault: "qmp-timeout=100",
        shows: |seen| seen.value("pve_guest_monitor_responding", &[("id", "qemu/100")]) == Some(0.0),
        changes: |_, sample| sample.label("id") == Some("qemu/100") && (sample.name.starts_with("pve_guest_disk_")
            || sample.name == "pve_guest_monitor_responding"),
        ..HARMLESS
    };
    vanished: Case {
        fault: "vanished=100",
        shows: |seen| seen.value("pve_guest_info", &[("id", "qemu/100")]).is_none(),
        changes: |_, sample| sample.label("id") == Some("qemu/100") || sample.name.starts_with("pve_pool_")
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
        changes: |_, sample| of_export(sample) && on(sample, "pve2"),
        ..HARMLESS
    };
    partition: Case {
        fault: "partition:pve1",
        fails: &[("node_status", "pve1", "offline")],
        shows: |seen| seen.value("pve_cluster_quorate", &[]) == Some(1.0)
            && seen.value("pve_cluster_nodes_online", &[]) == Some(2.0)
            && seen.value("pve_node_up", &[("node", "pve2")]) == Some(1.0),
        changes: |before, sample| about(before, sample, "pve1") || of_membership(sample),
        ..HARMLESS
    };
    close_idle: Case { fault: "close-idle", ..HARMLESS };
    standalone: Case {
        fault: "standalone",
        shows: |seen| seen.value("pve_node_up", &[("node", "pve2")]).is_none()
            && seen.value("pve_cluster_quorate", &[]).is_none(),
        changes: |before, sample| about(before, sample, "pve2") || about(before, sample, "pve3") || of_membership(sample),
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
        ..options()
    };
    let pve = Simulated::with(options, |config| {
        for source in SourceName::ALL {
            // Every scrape after 15 s reads every source again.
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
    let before = pve.scrape().await;
    assert_eq!(sources_down(&before), []);

    pve.simulator.inject(fault);
    pve.simulator.settled().await;
    pve.age(15);
    let failed = |seen: &Exposition| {
        let mut fails = case.fails.iter();
        fails.all(|(source, node, reason)| {
            source_up(seen, source, node) == Some(0.0) && failures(seen, source, node, reason) > 0.0
        })
    };
    let during = pve.until(case.fault, |seen| failed(seen) && (case.shows)(seen)).await;
    only_its_sources_fail(case, &during);
    for sample in differences(&before, &during) {
        assert!((case.changes)(&before, sample), "{}: {}", case.fault, series(sample));
    }

    for _ in 0..4 {
        pve.age(15);
        pve.scrape().await;
        pve.idle_unless(hangs).await;
    }
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
        reached && sources_down(seen).is_empty() && differences(&before, seen).is_empty()
    })
    .await;
}

fn only_its_sources_fail(case: &Case, seen: &Exposition) {
    let expected = |source: &str, node: &str| {
        let mut fails = case.fails.iter();
        // Where everything fails, the nodes' own sources do as well.
        fails.any(|fails| (fails.0, fails.1) == (source, node)) || case.fails.len() == 5 && source == "node_status"
    };
    for (source, node) in sources_down(seen) {
        assert!(
            expected(&source, &node),
            "{}: {source} {node} fails as well",
            case.fault
        );
    }
    for sample in seen.samples("pve_source_failures_total") {
        let label = |name| sample.label(name).unwrap_or_default();
        assert!(
            expected(label("source"), label("node")),
            "{}: {}",
            case.fault,
            series(sample)
        );
    }
}

impl Simulated {
    async fn idle_unless(&self, hangs: bool) {
        if !hangs {
            self.idle().await;
        }
    }
}

fn on(sample: &Sample, node: &str) -> bool {
    sample.label("node") == Some(node)
}

/// Of the node, or of a guest that was on it; the sums of pools have something of every node.
fn about(before: &Exposition, sample: &Sample, node: &str) -> bool {
    let guest = sample.label("id").filter(|_| sample.name.starts_with("pve_guest_"));
    let of_its_guest = guest.is_some_and(|id| before.value("pve_guest_info", &[("id", id), ("node", node)]).is_some());
    on(sample, node) || of_its_guest || sample.name.starts_with("pve_pool_")
}

/// Of `/cluster/status`.
fn of_membership(sample: &Sample) -> bool {
    let names = [
        "pve_cluster_info",
        "pve_cluster_quorate",
        "pve_cluster_nodes",
        "pve_cluster_nodes_online",
    ];
    // It also has the number and the address of a node.
    names.contains(&&*sample.name) || sample.name == "pve_node_info"
}

/// Of `/cluster/metrics/export`, for which the node's status stands in here and there.
fn of_export(sample: &Sample) -> bool {
    let names = [
        "pve_node_load",
        "pve_node_swap_",
        "pve_node_network_",
        "pve_node_cpu_iowait",
        "pve_node_sample_",
    ];
    names.iter().any(|name| sample.name.starts_with(name))
}

/// Of `/nodes/{node}/status` alone.
fn of_node_status(sample: &Sample) -> bool {
    let names = [
        "system_info",
        "cpu_sockets",
        "cpu_cores",
        "cpu_frequency",
        "memory_available",
        "memory_free",
        "memory_ksm",
        "root_available",
    ];
    sample
        .name
        .strip_prefix("pve_node_")
        .is_some_and(|name| names.iter().any(|start| name.starts_with(start)))
}

/// Of `/cluster/resources`, which also says which nodes there are to ask for their status.
fn of_resources(sample: &Sample) -> bool {
    let subjects = ["pve_guest_", "pve_storage_", "pve_pool_", "pve_network_"];
    subjects.iter().any(|subject| sample.name.starts_with(subject))
        || sample.name.starts_with("pve_node_")
            && sample.name != "pve_node_up"
            && !of_export(sample)
            && !of_node_status(sample)
}
