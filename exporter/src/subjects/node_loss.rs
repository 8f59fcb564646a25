//! What would become of a node's guests if the node died.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The loss of one node that is online.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLoss {
    /// `pve_cluster`, `id` and `node`.
    pub identity: Identity,
    /// Guests that run on it.
    pub guests: u64,
    /// Those of them for which no other node has a place.
    pub unplaced_guests: u64,
    /// Bytes of memory that these may use.
    pub unplaced_memory: u64,
    /// Guests of which it is not known on which storages they lie.
    pub assumed_guests: u64,
}

impl Subject for NodeLoss {
    const NAME: &'static str = "node loss";
    const ROWS: &'static str = "one per node that is online in a cluster of several; none where a filter or the token leaves guests or the memory of nodes out";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "node"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_node_loss_guests",
            Unit::None,
            "Guests that would have to find another place if the node died: all that run on it, whether HA manages them or not; /cluster/resources status.",
            |loss| Some(loss.guests.into()),
        ),
        Metric::gauge(
            "pve_node_loss_unplaced_guests",
            Unit::None,
            "Running guests, whether HA manages them or not, that would find no place on the other online nodes if the node died: each needs all of its memory (maxmem) from what is free there beyond a reserve of 5 % and at least 1 GiB, its disks on storages that are shared and up there or replicated to there, and strict node affinity, restricted groups and affinity between guests of HA are kept; /cluster/resources maxmem, mem, shared, status.",
            |loss| Some(loss.unplaced_guests.into()),
        ),
        Metric::gauge(
            "pve_node_loss_unplaced_memory_bytes",
            Unit::Bytes,
            "Memory (maxmem) of the running guests that would find no place on the other online nodes if the node died; /cluster/resources maxmem.",
            |loss| Some(loss.unplaced_memory.into()),
        ),
        Metric::gauge(
            "pve_node_loss_assumed_guests",
            Unit::None,
            "Running guests of the node of which it is not known on which storages all their disks lie, so that only their memory decides: their configuration has not been read yet, or names a storage that /cluster/resources does not list.",
            |loss| Some(loss.assumed_guests.into()),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
