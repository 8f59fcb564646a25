//! The metric families of `/pve`: names, labels and values are prometheus-pve-exporter's.

use std::sync::Arc;

use crate::compat::collector::Collector;
use crate::compat::rows::{Figures, Job, Kind, QDevice, Resource, Resources, Status, Subscription, Version, float};
use crate::compat::text::Samples;

/// What one scrape shows; absent is what could not be read, and what it did not ask for.
#[derive(Debug, Default)]
pub struct View {
    /// The collectors that it asked for, in the order of the exposition.
    pub collectors: Vec<Collector>,
    /// `/cluster/status`.
    pub status: Option<Arc<Status>>,
    /// `/cluster/resources`.
    pub resources: Option<Arc<Resources>>,
    /// Whether there are guests that are not reported on, so that those are only known with the resources.
    pub filtered: bool,
    /// `/version`.
    pub version: Option<Arc<Version>>,
    /// `/cluster/backup-info/not-backed-up`.
    pub not_backed_up: Option<Arc<Vec<Box<str>>>>,
    /// `/cluster/config/qdevice`.
    pub qdevice: Option<Arc<Option<QDevice>>>,
    /// The nodes that it asked for.
    pub nodes: Vec<NodeView>,
    /// How each collector fared.
    pub outcomes: Vec<Outcome>,
}

impl View {
    /// Whether the guest with this id is reported on.
    fn shows(&self, id: &str) -> bool {
        match &self.resources {
            Some(resources) => !resources.hidden.contains(id),
            None => !self.filtered,
        }
    }

    fn not_backed_up(&self) -> impl Iterator<Item = &str> {
        let guests = self.not_backed_up.iter().flat_map(|guests| guests.iter());
        guests.map(|id| &**id).filter(|id| self.shows(id))
    }
}

/// What it shows of one node.
#[derive(Debug)]
pub struct NodeView {
    /// The node.
    pub name: Arc<str>,
    /// Its subscription.
    pub subscription: Option<Arc<Subscription>>,
    /// Its replication jobs.
    pub jobs: Option<Arc<Vec<Job>>>,
    /// Its guests whose configuration says whether they start with it.
    pub onboot: Vec<Onboot>,
}

/// Whether a guest starts with its node.
#[derive(Debug)]
pub struct Onboot {
    /// `qemu/100`.
    pub id: Box<str>,
    /// `qemu` or `lxc`.
    pub kind: &'static str,
    /// 0 or 1.
    pub value: f64,
}

/// How a collector fared.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The collector.
    pub collector: Collector,
    /// The node, of a collector that reads nodes and knows which.
    pub node: Option<Arc<str>>,
    /// Whether all that it needs was read at the last attempt, and the target answers.
    pub success: bool,
}

/// One family.
pub struct Family {
    /// The exposed name.
    pub name: &'static str,
    /// `gauge` or `counter`.
    pub kind: &'static str,
    /// What it is.
    pub help: &'static str,
    /// The collector that it belongs to; none for what every scrape has.
    pub collector: Option<Collector>,
    /// Whether it has no header either where it has no samples.
    pub sparse: bool,
    samples: Write,
}

enum Write {
    /// A figure of each row of `/cluster/resources` that has it.
    Figure(fn(&Figures) -> Option<f64>),
    /// Anything.
    Any(fn(&View, &mut Samples<'_>)),
}

const fn figure(name: &'static str, help: &'static str, of: fn(&Figures) -> Option<f64>) -> Family {
    Family {
        name,
        kind: "gauge",
        help,
        collector: Some(Collector::Resources),
        sparse: false,
        samples: Write::Figure(of),
    }
}

const fn counter(name: &'static str, help: &'static str, of: fn(&Figures) -> Option<f64>) -> Family {
    Family {
        kind: "counter",
        ..figure(name, help, of)
    }
}

const fn gauge(
    collector: Collector,
    name: &'static str,
    help: &'static str,
    samples: fn(&View, &mut Samples<'_>),
) -> Family {
    Family {
        name,
        kind: "gauge",
        help,
        collector: Some(collector),
        sparse: false,
        samples: Write::Any(samples),
    }
}

/// One that stands only where it has samples.
const fn sparse(
    collector: Collector,
    name: &'static str,
    help: &'static str,
    samples: fn(&View, &mut Samples<'_>),
) -> Family {
    Family {
        sparse: true,
        ..gauge(collector, name, help, samples)
    }
}

/// What a guest managed by HA may be in.
const HA_GUEST_STATES: [&str; 11] = [
    "stopped",
    "request_stop",
    "request_start",
    "request_start_balance",
    "started",
    "fence",
    "recovery",
    "migrate",
    "relocate",
    "freeze",
    "error",
];

const HA_NODE_STATES: [&str; 5] = ["online", "maintenance", "unknown", "fence", "gone"];

const LOCKS: [&str; 9] = [
    "backup",
    "clone",
    "create",
    "migrate",
    "rollback",
    "snapshot",
    "snapshot-delete",
    "suspended",
    "suspending",
];

const SUBSCRIPTION_STATUSES: [&str; 6] = ["new", "notfound", "active", "invalid", "expired", "suspended"];

/// Every family, in the order of the exposition.
pub const FAMILIES: &[Family] = &[
    gauge(
        Collector::Status,
        "pve_up",
        "Whether a node is online, a cluster quorate, a guest running, a storage available.",
        up,
    ),
    figure(
        "pve_disk_size_bytes",
        "Size of a storage, of a guest's first disk, or of a node's root file system.",
        |figures| figures.maxdisk,
    ),
    figure(
        "pve_disk_usage_bytes",
        "Bytes in use on a storage, in a container's root file system, or in a node's; always 0 for a virtual machine.",
        |figures| figures.disk,
    ),
    figure("pve_memory_size_bytes", "Memory of a node or guest.", |figures| {
        figures.maxmem
    }),
    figure(
        "pve_memory_usage_bytes",
        "Memory in use on a node or by a guest.",
        |figures| figures.mem,
    ),
    figure(
        "pve_network_transmit_bytes",
        "Deprecated, use pve_network_transmit_bytes_total: bytes that a guest has sent since it started.",
        |figures| figures.netout,
    ),
    figure(
        "pve_network_receive_bytes",
        "Deprecated, use pve_network_receive_bytes_total: bytes that a guest has received since it started.",
        |figures| figures.netin,
    ),
    figure(
        "pve_disk_write_bytes",
        "Deprecated, use pve_disk_written_bytes_total: bytes that a guest has written since it started.",
        |figures| figures.diskwrite,
    ),
    figure(
        "pve_disk_read_bytes",
        "Deprecated, use pve_disk_read_bytes_total: bytes that a guest has read since it started.",
        |figures| figures.diskread,
    ),
    figure(
        "pve_cpu_usage_ratio",
        "Share of its CPUs that a node or guest uses.",
        |figures| figures.cpu,
    ),
    figure("pve_cpu_usage_limit", "CPUs of a node or guest.", |figures| {
        figures.maxcpu
    }),
    figure(
        "pve_uptime_seconds",
        "Seconds since a node or guest started.",
        |figures| figures.uptime,
    ),
    figure(
        "pve_storage_shared",
        "Whether a storage is the same one on every node.",
        |figures| figures.shared,
    ),
    counter(
        "pve_network_transmit_bytes_total",
        "Bytes that a guest has sent since it started.",
        |figures| figures.netout,
    ),
    counter(
        "pve_network_receive_bytes_total",
        "Bytes that a guest has received since it started.",
        |figures| figures.netin,
    ),
    counter(
        "pve_disk_written_bytes_total",
        "Bytes that a guest has written since it started.",
        |figures| figures.diskwrite,
    ),
    counter(
        "pve_disk_read_bytes_total",
        "Bytes that a guest has read since it started.",
        |figures| figures.diskread,
    ),
    gauge(
        Collector::Resources,
        "pve_ha_state",
        "Whether this is the state that HA has a guest or node in.",
        |view, out| {
            each_resource(view, |row| {
                let states: &[&str] = match row.kind {
                    Kind::Guest(_) => &HA_GUEST_STATES,
                    Kind::Node => &HA_NODE_STATES,
                    Kind::Storage | Kind::Other => &[],
                };
                out.states(&row.id, "state", states, &row.ha_state);
            });
        },
    ),
    gauge(
        Collector::Resources,
        "pve_lock_state",
        "Whether this is the lock on a guest.",
        |view, out| {
            each_resource(view, |row| {
                if let Kind::Guest(_) = row.kind {
                    out.states(&row.id, "state", &LOCKS, &row.lock);
                }
            });
        },
    ),
    gauge(
        Collector::Resources,
        "pve_guest_info",
        "Name, place, tags and kind of a guest.",
        |view, out| {
            each_resource(view, |row| {
                if let Kind::Guest(kind) = row.kind {
                    let labels = [
                        ("id", &*row.id),
                        ("name", &row.name),
                        ("node", &row.node),
                        ("tags", &row.tags),
                        ("template", row.template),
                        ("type", kind),
                    ];
                    out.sample(&labels, 1.0);
                }
            });
        },
    ),
    gauge(
        Collector::Resources,
        "pve_storage_info",
        "Name, place, type and content of a storage.",
        |view, out| {
            each_resource(view, |row| {
                if row.kind == Kind::Storage {
                    let labels = [
                        ("content", &*row.content),
                        ("id", &row.id),
                        ("node", &row.node),
                        ("plugintype", &row.tags),
                        ("storage", &row.name),
                    ];
                    out.sample(&labels, 1.0);
                }
            });
        },
    ),
    sparse(
        Collector::Node,
        "pve_node_info",
        "Name, number and subscription level of a node.",
        |view, out| {
            for node in view.status.iter().flat_map(|status| &status.nodes) {
                let labels = [
                    ("id", &*format!("node/{}", node.name)),
                    ("level", &node.level),
                    ("name", &node.name),
                    ("nodeid", &text(node.nodeid)),
                ];
                out.sample(&labels, 1.0);
            }
        },
    ),
    sparse(
        Collector::Cluster,
        "pve_cluster_info",
        "Size and quorum of the cluster, and the version of its configuration.",
        |view, out| {
            if let Some(cluster) = view.status.as_ref().and_then(|status| status.cluster.as_ref()) {
                let labels = [
                    ("id", &*cluster.id),
                    ("nodes", &text(cluster.nodes)),
                    ("quorate", &text(cluster.quorate.map(u8::from))),
                    ("version", &text(cluster.version)),
                ];
                out.sample(&labels, 1.0);
            }
        },
    ),
    gauge(
        Collector::Version,
        "pve_version_info",
        "Version of the node that answers.",
        |view, out| {
            if let Some(version) = &view.version {
                let labels = [
                    ("release", &*version.release),
                    ("repoid", &version.repoid),
                    ("version", &version.version),
                ];
                out.sample(&labels, 1.0);
            }
        },
    ),
    gauge(
        Collector::BackupInfo,
        "pve_not_backed_up_total",
        "How many guests no backup job names.",
        |view, out| {
            if let (Some(_), Some(status)) = (&view.not_backed_up, &view.status) {
                let id = format!("cluster/{}", status.first);
                out.sample(&[("id", &id)], float(view.not_backed_up().count() as u64));
            }
        },
    ),
    gauge(
        Collector::BackupInfo,
        "pve_not_backed_up_info",
        "A guest that no backup job names.",
        |view, out| {
            for id in view.not_backed_up() {
                out.sample(&[("id", id)], 1.0);
            }
        },
    ),
    sparse(
        Collector::QDevice,
        "pve_qdevice_up",
        "Whether the QDevice is connected.",
        |view, out| {
            if let Some((id, device)) = qdevice(view) {
                out.sample(&[("id", id)], f64::from(u8::from(&*device.state == "Connected")));
            }
        },
    ),
    sparse(
        Collector::QDevice,
        "pve_qdevice_info",
        "How the QDevice votes, and where it runs.",
        |view, out| {
            if let Some((id, device)) = qdevice(view) {
                let labels = [
                    ("algorithm", &*device.algorithm),
                    ("id", id),
                    ("model", &device.model),
                    ("qnetd_host", &device.host),
                    ("state", &device.state),
                    ("tie_breaker", &device.tie_breaker),
                ];
                out.sample(&labels, 1.0);
            }
        },
    ),
    gauge(
        Collector::Subscription,
        "pve_subscription_info",
        "Level of a node's subscription.",
        |view, out| {
            each_subscription(view, |id, subscription| {
                out.sample(&[("id", id), ("level", &subscription.level)], 1.0);
            });
        },
    ),
    gauge(
        Collector::Subscription,
        "pve_subscription_status",
        "Whether this is the state of a node's subscription.",
        |view, out| {
            each_subscription(view, |id, subscription| {
                out.states(id, "status", &SUBSCRIPTION_STATUSES, &subscription.status);
            });
        },
    ),
    gauge(
        Collector::Subscription,
        "pve_subscription_next_due_timestamp_seconds",
        "When the day begins on which a node's subscription is due.",
        |view, out| {
            each_subscription(view, |id, subscription| {
                out.number(&[("id", id)], subscription.next_due);
            });
        },
    ),
    gauge(
        Collector::Config,
        "pve_onboot_status",
        "Whether a guest starts with its node; absent where its configuration does not say.",
        |view, out| {
            for node in &view.nodes {
                for guest in &node.onboot {
                    let labels = [("id", &*guest.id), ("node", &node.name), ("type", guest.kind)];
                    out.sample(&labels, guest.value);
                }
            }
        },
    ),
    gauge(
        Collector::Replication,
        "pve_replication_duration_seconds",
        "Seconds that the last run of a replication job took.",
        |view, out| each_job(view, |job| out.number(&[("id", &job.id)], job.duration)),
    ),
    gauge(
        Collector::Replication,
        "pve_replication_last_sync_timestamp_seconds",
        "When a replication job last succeeded; 0 is never.",
        |view, out| each_job(view, |job| out.number(&[("id", &job.id)], job.last_sync)),
    ),
    gauge(
        Collector::Replication,
        "pve_replication_last_try_timestamp_seconds",
        "When a replication job last ran; 0 is never.",
        |view, out| each_job(view, |job| out.number(&[("id", &job.id)], job.last_try)),
    ),
    gauge(
        Collector::Replication,
        "pve_replication_next_sync_timestamp_seconds",
        "When a replication job runs next.",
        |view, out| each_job(view, |job| out.number(&[("id", &job.id)], job.next_sync)),
    ),
    gauge(
        Collector::Replication,
        "pve_replication_failed_syncs",
        "How often a replication job has failed since it last succeeded.",
        |view, out| each_job(view, |job| out.number(&[("id", &job.id)], job.failed)),
    ),
    gauge(
        Collector::Replication,
        "pve_replication_info",
        "Guest, source and target of a replication job.",
        |view, out| {
            each_job(view, |job| {
                let labels = [
                    ("guest", &*job.guest),
                    ("id", &job.id),
                    ("source", &job.source),
                    ("target", &job.target),
                    ("type", &job.kind),
                ];
                out.sample(&labels, 1.0);
            });
        },
    ),
    Family {
        name: "pve_scrape_collector_success",
        kind: "gauge",
        help: "Whether all that a collector shows could be read at the last attempt; prometheus-pve-exporter does not have this.",
        collector: None,
        sparse: false,
        samples: Write::Any(|view, out| {
            for outcome in &view.outcomes {
                let collector = ("collector", outcome.collector.as_str());
                let success = f64::from(u8::from(outcome.success));
                match &outcome.node {
                    Some(node) => out.sample(&[collector, ("id", &format!("node/{node}"))], success),
                    None => out.sample(&[collector], success),
                }
            }
        }),
    },
];

impl Family {
    /// Writes its samples.
    pub(super) fn write(&self, view: &View, out: &mut Samples<'_>) {
        match self.samples {
            Write::Any(samples) => samples(view, out),
            Write::Figure(of) => each_resource(view, |row| out.number(&[("id", &row.id)], of(&row.figures))),
        }
    }
}

fn up(view: &View, out: &mut Samples<'_>) {
    let mut truth = |id: &str, up: Option<bool>| out.number(&[("id", id)], up.map(|up| f64::from(u8::from(up))));
    if let Some(status) = &view.status {
        if let Some(cluster) = &status.cluster {
            truth(&cluster.id, cluster.quorate);
        }
        for node in &status.nodes {
            truth(&format!("node/{}", node.name), node.online);
        }
    }
    each_resource(view, |row| {
        if let Kind::Guest(_) | Kind::Storage = row.kind {
            truth(&row.id, row.up);
        }
    });
}

fn each_resource<'a>(view: &'a View, each: impl FnMut(&'a Resource)) {
    let rows = view.resources.iter().flat_map(|resources| &resources.rows);
    rows.for_each(each);
}

fn each_job<'a>(view: &'a View, each: impl FnMut(&'a Job)) {
    let jobs = view.nodes.iter().filter_map(|node| node.jobs.as_ref());
    let jobs = jobs.flat_map(|jobs| jobs.iter());
    jobs.filter(|job| view.shows(&job.guest)).for_each(each);
}

fn each_subscription(view: &View, mut each: impl FnMut(&str, &Subscription)) {
    for node in &view.nodes {
        if let Some(subscription) = &node.subscription {
            each(&format!("node/{}", node.name), subscription);
        }
    }
}

fn qdevice(view: &View) -> Option<(&str, &QDevice)> {
    let cluster = view.status.as_ref()?.cluster.as_ref()?;
    let device = view.qdevice.as_ref()?.as_ref().as_ref()?;
    Some((&cluster.id, device))
}

fn text(number: Option<impl ToString>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}
