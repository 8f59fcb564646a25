//! A source: how reading one kind of data went.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One source of one cluster, or of one node where it is kept per node.
#[derive(Clone, Debug)]
pub struct Source {
    /// `pve_cluster`, `source` and perhaps `node` and `storage`.
    pub identity: Identity,
    /// Whether its last refresh brought data; absent before the first.
    pub up: Option<bool>,
    /// Seconds that the last refresh took.
    pub duration: Option<f64>,
    /// When it last brought data, in Unix seconds.
    pub last_success: Option<f64>,
    /// Rows of the last answer that could not be read.
    pub damaged_rows: Option<u64>,
}

impl Subject for Source {
    const NAME: &'static str = "source";
    const ROWS: &'static str = "one per enabled source; of one kept per node or storage, one per node or storage";
    const LABELS: &'static [&'static str] = &["pve_cluster", "source", "node", "storage"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_source_up",
            Unit::None,
            "Whether the source's last refresh brought data. What it brought before is served until it is too old. 0 as well while a refresh takes longer than a scrape waits, and for a node that is offline.",
            |source| source.up.map(Into::into),
        ),
        Metric::gauge(
            "pve_source_duration_seconds",
            Unit::Seconds,
            "Time that the source's last refresh took.",
            |source| source.duration.map(Into::into),
        ),
        Metric::gauge(
            "pve_source_last_success_timestamp_seconds",
            Unit::Seconds,
            "When the source last brought data: time() less this is the age of its samples.",
            |source| source.last_success.map(Into::into),
        ),
        Metric::gauge(
            "pve_source_damaged_rows",
            Unit::None,
            "Rows of the source's last answer that were left out because they could not be read.",
            |source| source.damaged_rows.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// How often a source has failed for one reason.
#[derive(Clone, Debug)]
pub struct SourceFailure {
    /// `pve_cluster`, `source`, perhaps `node` and `storage`, and `reason`.
    pub identity: Identity,
    /// How often, since the exporter started.
    pub failures: u64,
}

impl Subject for SourceFailure {
    const NAME: &'static str = "source failure";
    const ROWS: &'static str = "one per source and reason that has occurred";
    const LABELS: &'static [&'static str] = &["pve_cluster", "source", "node", "storage", "reason"];
    const TABLE: &'static [Metric<Self>] = &[Metric::counter(
        "pve_source_failures_total",
        Unit::None,
        "Refreshes of the source that failed, by reason: unreachable, tls, timeout, unauthorized, forbidden, status, decode, too_large, offline.",
        |failure| Some(failure.failures.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
