//! The port of a guest on the exporter's own node, and the collector at its other end.

use pve_guest_protocol::Version;

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One guest that has the port.
#[derive(Clone, Debug, PartialEq)]
pub struct GuestCollector {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
    /// How the connection is, in one word.
    pub state: &'static str,
    /// The version of the protocol that the collector and the exporter both speak.
    pub protocol: Option<Version>,
    /// When its newest sample came, in Unix seconds of the exporter's clock.
    pub last_sample: Option<f64>,
    /// Bytes that came from the guest.
    pub received_bytes: u64,
    /// Lines that came from the guest.
    pub received_lines: u64,
    /// Seconds that the guest's clock is ahead of the exporter's.
    pub clock_offset: Option<f64>,
}

impl Subject for GuestCollector {
    const NAME: &'static str = "guest collector";
    const ROWS: &'static str =
        "one per virtual machine on the exporter's own node that has the port; only with `[guest_telemetry]`";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::state(
            "pve_guest_collector_state",
            &["state"],
            "The state of the port to the collector in the guest: absent, connecting, healthy, silent, wedged, misattributed, protocol_error or version_too_new; the exporter's own reckoning.",
            |collector| Some(collector.state),
        ),
        Metric::info(
            "pve_guest_collector_info",
            &["protocol"],
            "The version of the protocol that the collector in the guest and the exporter both speak; only while the state is healthy.",
            |collector, labels| {
                let Some(protocol) = collector.protocol else {
                    return false;
                };
                labels.label("protocol", &protocol.to_string());
                true
            },
        ),
        Metric::gauge(
            "pve_guest_collector_last_sample_timestamp_seconds",
            Unit::Seconds,
            "When the newest sample of the collector in the guest came, by the exporter's clock; absent before the first.",
            |collector| collector.last_sample.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_collector_received_bytes_total",
            Unit::Bytes,
            "Bytes that came through the port of the guest; the exporter's own count.",
            |collector| Some(collector.received_bytes.into()),
        ),
        Metric::counter(
            "pve_guest_collector_received_lines_total",
            Unit::None,
            "Lines that came through the port of the guest, be they damaged; the exporter's own count.",
            |collector| Some(collector.received_lines.into()),
        ),
        Metric::gauge(
            "pve_guest_collector_clock_offset_seconds",
            Unit::Seconds,
            "How far the guest's clock is ahead of the exporter's, by the newest sample; absent before the first.",
            |collector| collector.clock_offset.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// What was left out of what one guest sent, for one reason; a row only where there was something.
#[derive(Clone, Debug, PartialEq)]
pub struct GuestCollectorDropped {
    /// `pve_cluster`, `id` and `reason`.
    pub identity: Identity,
    /// How often.
    pub dropped: u64,
}

impl Subject for GuestCollectorDropped {
    const NAME: &'static str = "guest collector's losses";
    const ROWS: &'static str = "one per virtual machine and reason that has occurred; only with `[guest_telemetry]`";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "reason"];
    const TABLE: &'static [Metric<Self>] = &[Metric::counter(
        "pve_guest_collector_dropped_total",
        Unit::None,
        "Lines or series of the guest that were left out since they were damaged, old or over its budget; the exporter's own count.",
        |row| Some(row.dropped.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
