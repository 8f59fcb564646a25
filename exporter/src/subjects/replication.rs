//! A replication job: how it is configured, and how it went last.

use std::sync::Arc;

use crate::config::GuestKind;
use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// A job of a guest, as PVE numbers it: `100-0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JobId {
    /// The guest's number, unique in the cluster.
    pub vmid: u32,
    /// The job's number among those of the guest.
    pub number: u64,
}

/// The configuration of a job, known even when its node is dead.
#[derive(Clone, Debug)]
pub struct ReplicationJob {
    /// `pve_cluster`, `id` and `job`; no `id` for a guest of unknown kind.
    pub identity: Identity,
    /// The job.
    pub job: JobId,
    /// The kind of the guest.
    pub kind: Option<GuestKind>,
    /// The node that it was last known to read from, or empty.
    pub source: Arc<str>,
    /// The node that it writes to.
    pub target: String,
    /// When it runs, as a calendar event; empty for PVE's default.
    pub schedule: String,
    /// PVE's type of it: `local`.
    pub plugin: String,
    /// Whether it may run.
    pub enabled: bool,
}

/// How a job went last, as the node of its guest tells it.
#[derive(Clone, Debug)]
pub struct ReplicationState {
    /// `pve_cluster`, `id` and `job`; no `id` for a guest of unknown kind.
    pub identity: Identity,
    /// The job.
    pub job: JobId,
    /// The kind of the guest.
    pub kind: Option<GuestKind>,
    /// Unix seconds of the last success; absent until there was one.
    pub last_sync: Option<u64>,
    /// Unix seconds of the last attempt; absent until there was one.
    pub last_try: Option<u64>,
    /// Unix seconds of the next attempt; absent when none is due or when it is not known.
    pub next_sync: Option<u64>,
    /// Seconds that the last attempt took.
    pub last_duration: Option<f64>,
    /// Failures since the last success.
    pub failures: Option<u64>,
    /// Whether the last attempt left an error.
    pub error: bool,
    /// Whether it runs now.
    pub running: bool,
}

impl Subject for ReplicationJob {
    const NAME: &'static str = "replication job";
    const ROWS: &'static str = "one per replication job that the token may see";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "job_id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_replication_job_info",
            &["source", "target", "schedule", "type"],
            "From where to where the guest is replicated and when; no schedule is every 15 minutes; /cluster/replication source, target, schedule, type.",
            |job, labels| {
                labels.label("source", &job.source);
                labels.label("target", &job.target);
                labels.label("schedule", &job.schedule);
                labels.label("type", &job.plugin);
                true
            },
        ),
        Metric::gauge(
            "pve_replication_job_enabled",
            Unit::None,
            "Whether the job may run; /cluster/replication disable.",
            |job| Some(job.enabled.into()),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for ReplicationState {
    const NAME: &'static str = "replication state";
    const ROWS: &'static str = "one per replication job whose guest is on a node that answers";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "job_id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_replication_job_last_sync_timestamp_seconds",
            Unit::Seconds,
            "When the job last succeeded; absent until it has; /nodes/{node}/replication last_sync.",
            |state| state.last_sync.map(Into::into),
        ),
        Metric::gauge(
            "pve_replication_job_last_try_timestamp_seconds",
            Unit::Seconds,
            "When the job was last tried; absent until it was; /nodes/{node}/replication last_try.",
            |state| state.last_try.map(Into::into),
        ),
        Metric::gauge(
            "pve_replication_job_next_sync_timestamp_seconds",
            Unit::Seconds,
            "When the job is tried next; absent while it is disabled, has never been tried, or waits for a target that is offline; /nodes/{node}/replication next_sync.",
            |state| state.next_sync.map(Into::into),
        ),
        Metric::gauge(
            "pve_replication_job_last_duration_seconds",
            Unit::Seconds,
            "Time that the last attempt took, failed or not; /nodes/{node}/replication duration.",
            |state| state.last_duration.map(Into::into),
        ),
        Metric::gauge(
            "pve_replication_job_consecutive_failures",
            Unit::None,
            "Failures since the last success; /nodes/{node}/replication fail_count.",
            |state| state.failures.map(Into::into),
        ),
        Metric::gauge(
            "pve_replication_job_error",
            Unit::None,
            "Whether the last attempt left an error; /nodes/{node}/replication error.",
            |state| Some(state.error.into()),
        ),
        Metric::gauge(
            "pve_replication_job_running",
            Unit::None,
            "Whether the job runs at the moment; /nodes/{node}/replication pid.",
            |state| Some(state.running.into()),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
