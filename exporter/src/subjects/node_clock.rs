//! The clock of a node.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The clock of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeClock {
    /// `pve_cluster`, `id` and `node`.
    pub identity: Identity,
    /// Seconds that it is ahead of the exporter's.
    pub offset: Option<f64>,
    /// Seconds that local time is ahead of UTC.
    pub utc_offset: Option<f64>,
    /// The name of the time zone.
    pub timezone: Box<str>,
}

impl Subject for NodeClock {
    const NAME: &'static str = "node clock";
    const ROWS: &'static str = "one per node";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "node"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_node_clock_offset_seconds",
            Unit::Seconds,
            "How far the node's clock is ahead of the exporter's, or behind where it is negative; right to a second, since PVE tells whole seconds; absent when the answer took long; /nodes/{node}/time time.",
            |clock| clock.offset.map(Into::into),
        ),
        Metric::gauge(
            "pve_node_utc_offset_seconds",
            Unit::Seconds,
            "How far the node's local time is ahead of UTC; backup jobs and logs are in local time; /nodes/{node}/time localtime, time.",
            |clock| clock.utc_offset.map(Into::into),
        ),
        Metric::info(
            "pve_node_timezone_info",
            &["timezone"],
            "The node's time zone; /nodes/{node}/time timezone.",
            |clock, labels| {
                labels.label("timezone", &clock.timezone);
                !clock.timezone.is_empty()
            },
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
