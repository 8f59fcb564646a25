//! A network interface of a guest, as the kernel of its node counts it.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};
use crate::subjects::guest::GuestKey;

/// One interface.
#[derive(Clone, Debug, PartialEq)]
pub struct GuestInterface {
    /// `pve_cluster`, `id` and `interface`.
    pub identity: Identity,
    /// The guest.
    pub guest: GuestKey,
    /// Bytes received by the guest.
    pub receive: Option<u64>,
    /// Bytes sent by the guest.
    pub transmit: Option<u64>,
}

impl Subject for GuestInterface {
    const NAME: &'static str = "guest interface";
    const ROWS: &'static str = "one per network interface of a running guest";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "interface"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::counter(
            "pve_guest_interface_receive_bytes_total",
            Unit::Bytes,
            "Bytes received by the guest since it started; /nodes/{node}/netstat in.",
            |interface| interface.receive.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_interface_transmit_bytes_total",
            Unit::Bytes,
            "Bytes sent by the guest since it started; /nodes/{node}/netstat out.",
            |interface| interface.transmit.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
