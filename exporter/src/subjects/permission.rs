//! A privilege that an enabled source needs.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One privilege on one path.
#[derive(Clone, Debug)]
pub struct Permission {
    /// `pve_cluster`, `privilege` and `path`.
    pub identity: Identity,
    /// Whether the token has it there.
    pub granted: bool,
}

impl Subject for Permission {
    const NAME: &'static str = "permission";
    const ROWS: &'static str = "one per privilege that an enabled source needs, on the path where PVE checks it";
    const LABELS: &'static [&'static str] = &["pve_cluster", "privilege", "path"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "pve_permission_granted",
        Unit::None,
        "Whether the token has the privilege: without it PVE answers with fewer rows and no error; /access/permissions.",
        |permission| Some(permission.granted.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
