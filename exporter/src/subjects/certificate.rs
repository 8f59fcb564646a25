//! A certificate of a node's API, or of the authority that signed it.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One certificate file of one node.
#[derive(Clone, Debug, PartialEq)]
pub struct Certificate {
    /// `pve_cluster`, `node` and `file`.
    pub identity: Identity,
    /// From when it is valid, in Unix seconds.
    pub not_before: Option<u64>,
    /// Until when it is valid, in Unix seconds.
    pub not_after: Option<u64>,
}

impl Subject for Certificate {
    const NAME: &'static str = "certificate";
    const ROWS: &'static str = "one per node and certificate file; the authority's pve-root-ca.pem is the same on all nodes, and pveproxy-ssl.pem is used in place of pve-ssl.pem";
    const LABELS: &'static [&'static str] = &["pve_cluster", "node", "file"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_certificate_not_before_timestamp_seconds",
            Unit::Seconds,
            "From when the certificate is valid; /nodes/{node}/certificates/info notbefore.",
            |certificate| certificate.not_before.map(Into::into),
        ),
        Metric::gauge(
            "pve_certificate_not_after_timestamp_seconds",
            Unit::Seconds,
            "Until when the certificate is valid; /nodes/{node}/certificates/info notafter.",
            |certificate| certificate.not_after.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
