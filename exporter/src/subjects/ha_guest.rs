//! A guest that HA manages: how it is, and how it should be.

use crate::config::GuestKind;
use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// What the manager has of a guest.
#[derive(Clone, Debug)]
pub struct HaGuest {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
    /// The kind.
    pub kind: GuestKind,
    /// The number, unique in the cluster.
    pub vmid: u32,
    /// One of [`GUEST_STATES`], or `other`.
    pub state: Option<&'static str>,
    /// How often it has been seen on another node than before; absent until it has been seen with quorum.
    pub moves: Option<u64>,
}

/// What is asked of a guest.
#[derive(Clone, Debug)]
pub struct HaGuestRequest {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
    /// The kind.
    pub kind: GuestKind,
    /// The number, unique in the cluster.
    pub vmid: u32,
    /// One of [`REQUESTED_STATES`], or `other`.
    pub state: &'static str,
}

/// The states of a guest.
pub const GUEST_STATES: &[&str] = &[
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

/// The states that can be asked of a guest.
pub const REQUESTED_STATES: &[&str] = &["started", "stopped", "disabled", "ignored"];

impl Subject for HaGuest {
    const NAME: &'static str = "ha guest";
    const ROWS: &'static str = "one per guest that HA manages";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::state(
            "pve_ha_guest_state",
            &["state"],
            "The guest's state in HA: stopped, request_stop, request_start, request_start_balance, started, fence, recovery, migrate, relocate, freeze, error or other; /cluster/ha/status/manager_status service_status state.",
            |guest| guest.state,
        ),
        Metric::counter(
            "pve_ha_guest_moves_total",
            Unit::None,
            "How often the guest was seen on another node than before, since the exporter first saw it in HA; /cluster/ha/status/manager_status service_status node.",
            |guest| guest.moves.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for HaGuestRequest {
    const NAME: &'static str = "ha guest request";
    const ROWS: &'static str = "one per guest that HA is told to manage";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[Metric::state(
        "pve_ha_guest_requested_state",
        &["state"],
        "The state that HA is told to keep the guest in: started, stopped, disabled, ignored or other; /cluster/ha/status/current request_state.",
        |guest| Some(guest.state),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
