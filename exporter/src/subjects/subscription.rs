//! The subscription of a node.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The states of a subscription.
pub const STATUSES: &[&str] = &["new", "notfound", "active", "invalid", "expired", "suspended"];

/// The subscription of one node, or that there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    /// `pve_cluster`, `id` and `node`.
    pub identity: Identity,
    /// One of [`STATUSES`], or `other`.
    pub status: Option<&'static str>,
    /// The letter of its level; empty unless it is active.
    pub level: Box<str>,
    /// What was bought.
    pub product: Box<str>,
    /// Processor sockets of the node.
    pub sockets: Option<u64>,
    /// When it ends, in Unix seconds.
    pub next_due: Option<u64>,
}

impl Subject for Subscription {
    const NAME: &'static str = "subscription";
    const ROWS: &'static str = "one per node";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "node"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_subscription_info",
            &["level", "product"],
            "Level (c, b, s or p, while it is active) and product of the node's subscription; absent without one; /nodes/{node}/subscription level, productname.",
            |subscription, labels| {
                labels.label("level", &subscription.level);
                labels.label("product", &subscription.product);
                !subscription.level.is_empty() || !subscription.product.is_empty()
            },
        ),
        Metric::state(
            "pve_subscription_status",
            &["status"],
            "State of the node's subscription: active, new, expired, suspended, invalid, notfound (there is none) or other; /nodes/{node}/subscription status.",
            |subscription| subscription.status,
        ),
        Metric::gauge(
            "pve_subscription_next_due_timestamp_seconds",
            Unit::Seconds,
            "When the subscription has to be paid again: the date, at 00:00 UTC; /nodes/{node}/subscription nextduedate.",
            |subscription| subscription.next_due.map(Into::into),
        ),
        Metric::gauge(
            "pve_subscription_sockets",
            Unit::None,
            "Processor sockets of the node, for all of which a subscription has to be; /nodes/{node}/subscription sockets.",
            |subscription| subscription.sockets.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
