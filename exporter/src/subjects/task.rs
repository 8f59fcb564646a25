//! The tasks of a node: those that ended, by type and result, and what is known of each type.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The tasks of one type that ended with one result on one node.
#[derive(Clone, Debug)]
pub struct FinishedTasks {
    /// `pve_cluster`, `node`, `type` and `result`.
    pub identity: Identity,
    /// How many.
    pub finished: u64,
    /// How long they ran, in seconds, all together.
    pub duration: u64,
}

impl Subject for FinishedTasks {
    const NAME: &'static str = "finished tasks";
    const ROWS: &'static str = "one per node, type and result (ok, warning, error, unknown); types that people page on are there from the start, others once seen";
    const LABELS: &'static [&'static str] = &["pve_cluster", "node", "type", "result"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::counter(
            "pve_task_finished_total",
            Unit::None,
            "Tasks that ended since the exporter first saw the node; /cluster/tasks and /nodes/{node}/tasks status.",
            |tasks| Some(tasks.finished.into()),
        ),
        Metric::counter(
            "pve_task_duration_seconds_total",
            Unit::Seconds,
            "Time that these tasks ran, from start to end, all together; /cluster/tasks and /nodes/{node}/tasks endtime less starttime.",
            |tasks| Some(tasks.duration.into()),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// What is known of the tasks of one type on one node. Times are Unix seconds of the node's clock.
#[derive(Clone, Debug)]
pub struct TaskType {
    /// `pve_cluster`, `node` and `type`.
    pub identity: Identity,
    /// How many run; not known while the node is offline.
    pub running: Option<u64>,
    /// When the one that runs for the longest time started.
    pub running_oldest_start: Option<u64>,
    /// When one last ended well, if with warnings.
    pub last_success: Option<u64>,
    /// When one last ended otherwise.
    pub last_failure: Option<u64>,
    /// How long the one that ended last ran, in seconds.
    pub last_duration: Option<u64>,
}

impl Subject for TaskType {
    const NAME: &'static str = "task type";
    const ROWS: &'static str = "one per node and type of task";
    const LABELS: &'static [&'static str] = &["pve_cluster", "node", "type"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_task_running",
            Unit::None,
            "Tasks that run; absent while the node is offline; /cluster/tasks rows without endtime.",
            |kind| kind.running.map(Into::into),
        ),
        Metric::gauge(
            "pve_task_running_oldest_start_timestamp_seconds",
            Unit::Seconds,
            "When the task that runs for the longest time started; absent while none runs; /cluster/tasks starttime.",
            |kind| kind.running_oldest_start.map(Into::into),
        ),
        Metric::gauge(
            "pve_task_last_success_timestamp_seconds",
            Unit::Seconds,
            "When a task last ended well or with warnings, also before the exporter's start; /cluster/tasks and /nodes/{node}/tasks endtime.",
            |kind| kind.last_success.map(Into::into),
        ),
        Metric::gauge(
            "pve_task_last_failure_timestamp_seconds",
            Unit::Seconds,
            "When a task last ended with an error or in an unknown way, also before the exporter's start; /cluster/tasks and /nodes/{node}/tasks endtime.",
            |kind| kind.last_failure.map(Into::into),
        ),
        Metric::gauge(
            "pve_task_last_duration_seconds",
            Unit::Seconds,
            "How long the task that ended last ran; /cluster/tasks and /nodes/{node}/tasks endtime less starttime.",
            |kind| kind.last_duration.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// How complete the count of a node's tasks is.
#[derive(Clone, Debug)]
pub struct TaskHistory {
    /// `pve_cluster` and `node`.
    pub identity: Identity,
    /// How often finished tasks may have gone uncounted.
    pub gaps: u64,
}

impl Subject for TaskHistory {
    const NAME: &'static str = "task history";
    const ROWS: &'static str = "one per node";
    const LABELS: &'static [&'static str] = &["pve_cluster", "node"];
    const TABLE: &'static [Metric<Self>] = &[Metric::counter(
        "pve_task_history_gaps_total",
        Unit::None,
        "How often PVE had dropped finished tasks from /nodes/{node}/tasks before the exporter read them, so that they are counted nowhere.",
        |history| Some(history.gaps.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// One of the tasks that failed last.
#[derive(Clone, Debug)]
pub struct FailedTask {
    /// `pve_cluster`, `node`, `upid` without the user, `type` and `task_id`.
    pub identity: Identity,
}

impl Subject for FailedTask {
    const NAME: &'static str = "failed task";
    const ROWS: &'static str = "one per task among those that failed last; none unless asked for";
    const LABELS: &'static [&'static str] = &["pve_cluster", "node", "upid", "type", "task_id"];
    const TABLE: &'static [Metric<Self>] = &[Metric::info(
        "pve_task_failed_info",
        &[],
        "A task that ended with an error or in an unknown way; upid is PVE's own, cut before the user; /cluster/tasks and /nodes/{node}/tasks.",
        |_, _| true,
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
