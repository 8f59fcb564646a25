//! The exporter's process, under the names that all Prometheus programs use.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The one row of the process.
#[derive(Clone, Debug)]
pub struct Process {
    /// No labels.
    pub identity: Identity,
    /// Seconds of CPU time.
    pub cpu_seconds: Option<f64>,
    /// Bytes resident in memory.
    pub resident_bytes: Option<u64>,
    /// Bytes of virtual memory.
    pub virtual_bytes: Option<u64>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// The most file descriptors it may open.
    pub max_fds: Option<u64>,
    /// When it started, in Unix seconds.
    pub start_time: Option<f64>,
}

impl Subject for Process {
    const NAME: &'static str = "process";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::counter(
            "process_cpu_seconds_total",
            Unit::Seconds,
            "CPU time of the exporter; /proc/self/stat utime and stime.",
            |process| process.cpu_seconds.map(Into::into),
        ),
        Metric::gauge(
            "process_resident_memory_bytes",
            Unit::Bytes,
            "Resident memory of the exporter; /proc/self/stat rss.",
            |process| process.resident_bytes.map(Into::into),
        ),
        Metric::gauge(
            "process_virtual_memory_bytes",
            Unit::Bytes,
            "Virtual memory of the exporter; /proc/self/stat vsize.",
            |process| process.virtual_bytes.map(Into::into),
        ),
        Metric::gauge(
            "process_open_fds",
            Unit::None,
            "Open file descriptors of the exporter; /proc/self/fd.",
            |process| process.open_fds.map(Into::into),
        ),
        Metric::gauge(
            "process_max_fds",
            Unit::None,
            "The most file descriptors that the exporter may open; /proc/self/limits.",
            |process| process.max_fds.map(Into::into),
        ),
        Metric::gauge(
            "process_start_time_seconds",
            Unit::Seconds,
            "When the exporter started; /proc/self/stat starttime.",
            |process| process.start_time.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
