//! What only a container has.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};
use crate::subjects::guest::GuestKey;

/// One running container.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
    /// The guest.
    pub guest: GuestKey,
    /// Bytes of swap it may use.
    pub swap_size: Option<u64>,
    /// Bytes of swap it uses.
    pub swap_usage: Option<u64>,
}

impl Subject for Container {
    const NAME: &'static str = "container";
    const ROWS: &'static str = "one per running container";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_guest_swap_size_bytes",
            Unit::Bytes,
            "Swap that the container may use; /nodes/{node}/lxc maxswap.",
            |container| container.swap_size.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_swap_usage_bytes",
            Unit::Bytes,
            "Swap that the container uses; /nodes/{node}/lxc swap.",
            |container| container.swap_usage.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
