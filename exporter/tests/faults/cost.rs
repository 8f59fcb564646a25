//! What a fault may cost: the sources that fail, and the samples that change or are lost.

use std::collections::BTreeSet;

use crate::belongs::{of, of_any, of_guest_on, on};
use crate::support::simulated::{differences, series};
use crate::support::strict::{Exposition, Sample};

/// A fault and what it may cost.
pub(crate) struct Case {
    /// As the simulator writes it.
    pub(crate) fault: &'static str,
    /// What fails.
    pub(crate) fails: &'static [Fails],
    /// What is seen once the fault has shown.
    pub(crate) shows: fn(&Exposition) -> bool,
    /// The samples that may change at once, given those from before.
    pub(crate) changes: fn(&Exposition, &Sample) -> bool,
    /// The samples that may be gone once the old values are too old to be served.
    pub(crate) loses: fn(&Exposition, &Sample) -> bool,
    /// The samples that are others for good.
    pub(crate) leaves: fn(&Exposition, &Sample) -> bool,
}

/// What fails, each with the reason.
pub(crate) enum Fails {
    /// A source of the whole cluster.
    Whole(&'static str, &'static str),
    /// These sources, wherever they ask.
    EachOf(&'static [&'static str], &'static str),
    /// A source at one node.
    At(&'static str, &'static str, &'static str),
    /// Every source that asks this node, there.
    AllOf(&'static str, &'static str),
    /// Every source but [`OF_ANY`] that asks this node, there.
    Itself(&'static str, &'static str),
    /// These sources of the whole cluster, until they ask another node.
    Perhaps(&'static [&'static str], &'static str),
    /// Every source.
    Everything(&'static str),
}

/// The sources that ask each node again and again.
const OF_NODES: [&str; 20] = [
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
];

/// Every node tells this of each.
const OF_ANY: [&str; 1] = ["node_rrd"];

/// Any node tells this, and the first one is asked first.
pub(crate) const CEPH: [&str; 3] = ["ceph_status", "ceph_osds", "ceph_pools"];

/// The sources that ask when there is something to ask, so that a fault may never be met: where there is no ZFS, it is looked
/// for every hour.
pub(crate) const NOW_AND_THEN: [&str; 8] = [
    "guest_agents",
    "task_archive",
    "backup_logs",
    "backup_volumes",
    "guest_config",
    "snapshots",
    "zfs",
    "zfs_detail",
];

/// The sources that a token without privileges may not read.
pub(crate) const FORBIDDEN: [&str; 25] = [
    "metrics_export",
    "cluster_status",
    "node_status",
    "backup_jobs",
    "backup_coverage",
    "ha_manager",
    "ha_status",
    "ha_rules",
    "zfs",
    "zfs_detail",
    "lvm",
    "lvmthin",
    "ceph_status",
    "ceph_osds",
    "ceph_pools",
    "disks",
    "node_rrd",
    "node_time",
    "services",
    "packages",
    "pci_devices",
    "corosync",
    "firewall",
    "node_firewall",
    "metric_servers",
];

pub(crate) const NONE: fn(&Exposition, &Sample) -> bool = |_, _| false;

pub(crate) const HARMLESS: Case = Case {
    fault: "",
    fails: &[],
    shows: |_| true,
    changes: NONE,
    loses: NONE,
    leaves: NONE,
};

/// A source, the node and the storage, as far as it has them.
pub(crate) type Outcome<'a> = [&'a str; 3];

fn outcome(sample: &Sample) -> Outcome<'_> {
    ["source", "node", "storage"].map(|name| sample.label(name).unwrap_or_default())
}

pub(crate) fn outcomes(seen: &Exposition) -> impl Iterator<Item = Outcome<'_>> {
    seen.samples("pve_source_up").map(outcome)
}

impl Fails {
    /// Why the source fails there, if it does.
    fn reason(&self, [source, node, _]: Outcome<'_>) -> Option<&'static str> {
        let (fails, reason) = match self {
            Self::Whole(name, reason) => (*name == source, reason),
            Self::EachOf(names, reason) => (names.contains(&source), reason),
            Self::At(name, place, reason) => ((*name, *place) == (source, node), reason),
            Self::AllOf(place, reason) => (*place == node, reason),
            Self::Itself(place, reason) => (*place == node && !OF_ANY.contains(&source), reason),
            Self::Perhaps(names, reason) => (names.contains(&source), reason),
            Self::Everything(reason) => (true, reason),
        };
        fails.then_some(reason)
    }
}

/// Why the source fails there, if it does. A source that asks now and then need not.
fn reason(case: &Case, outcome: Outcome<'_>) -> Option<&'static str> {
    case.fails.iter().find_map(|fails| fails.reason(outcome))
}

pub(crate) fn must_fail(case: &Case, outcome: Outcome<'_>) -> bool {
    // Storages of a node that is offline are not asked for at all.
    let seldom = |fails: &Fails| matches!(fails, Fails::Perhaps(..)) || NOW_AND_THEN.contains(&outcome[0]);
    let mut fails = case.fails.iter();
    fails.any(|fails| !seldom(fails) && fails.reason(outcome).is_some())
}

pub(crate) fn has_failed(case: &Case, seen: &Exposition, [source, node, storage]: Outcome<'_>) -> bool {
    let all = [("source", source), ("node", node), ("storage", storage)];
    let labels: Vec<_> = all.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let reason = reason(case, [source, node, storage]).unwrap_or_default();
    let counted = [&labels[..], &[("reason", reason)]].concat();
    seen.value("pve_source_up", &labels) == Some(0.0) && seen.value("pve_source_failures_total", &counted) > Some(0.0)
}

pub(crate) fn only_its_sources_fail(case: &Case, seen: &Exposition) {
    let down = seen.samples("pve_source_up").filter(|sample| sample.value != 1.0);
    let failing = down.chain(seen.samples("pve_source_failures_total"));
    let others: BTreeSet<_> = failing
        .map(outcome)
        .filter(|outcome| reason(case, *outcome).is_none())
        .collect();
    assert_eq!(others, BTreeSet::new(), "{}: what fails as well", case.fault);
}

/// Fails the test where other samples differ than those that are expected to.
pub(crate) fn only_differ(case: &Case, before: &Exposition, seen: &Exposition, expected: impl Fn(&Sample) -> bool) {
    let differ = differences(before, seen).into_iter();
    let others: Vec<_> = differ.filter(|sample| !expected(sample)).map(series).collect();
    assert_eq!(others, [""; 0], "{}: what is lost as well", case.fault);
}

/// What is lost with a node: its own figures, the live ones of its guests, and the sums that they are part of. What was found
/// out before about the guests' configurations, snapshots and backups stays.
pub(crate) fn lost_with(before: &Exposition, sample: &Sample, node: &str) -> bool {
    let live = ["resources", "qemu", "lxc", "netstat", "replication"];
    on(sample, node)
        || of_any(&live, sample) && of_guest_on(before, sample, node)
        // The others have less to take its guests.
        || ["pve_pool_", "pve_node_loss_"].iter().any(|sum| sample.name.starts_with(sum))
        || of("cluster_status", sample)
        || sample.name == "pve_ha_manager_info"
        // Nothing can be replicated to it.
        || of("replication", sample) && sample.name.starts_with("pve_replication_job_") && replicates_to(before, sample, node)
        // At the first node the shared storages are read; then at another one.
        || node == "pve1" && of("backup_volumes", sample)
}

fn replicates_to(before: &Exposition, sample: &Sample, node: &str) -> bool {
    let job = sample.label("job_id").unwrap_or_default();
    before
        .value("pve_replication_job_info", &[("job_id", job), ("target", node)])
        .is_some()
}

/// What only the node itself tells, of itself and its guests.
pub(crate) fn told_by(before: &Exposition, sample: &Sample, node: &str) -> bool {
    of_any(&OF_NODES, sample) && (on(sample, node) || of_guest_on(before, sample, node))
}

/// What stays when nothing can be reached: history, and what is seldom read.
pub(crate) fn kept(sample: &Sample) -> bool {
    of_any(&["backup_logs", "guest_config", "snapshots"], sample) && !of("resources", sample)
}
