//! An endpoint of a cluster: one way into its API.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One configured endpoint.
#[derive(Clone, Debug)]
pub struct Api {
    /// `pve_cluster` and `endpoint`.
    pub identity: Identity,
    /// Whether its last request reached it; absent when it has not been asked.
    pub up: Option<bool>,
    /// Whether the next request goes to it.
    pub active: bool,
}

impl Subject for Api {
    const NAME: &'static str = "api endpoint";
    const ROWS: &'static str = "one per configured endpoint";
    const LABELS: &'static [&'static str] = &["pve_cluster", "endpoint"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_api_endpoint_up",
            Unit::None,
            "Whether the endpoint answered when it was last asked; absent when it has not been.",
            |api| api.up.map(Into::into),
        ),
        Metric::gauge(
            "pve_api_endpoint_active",
            Unit::None,
            "Whether the next request goes to this endpoint.",
            |api| Some(api.active.into()),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
