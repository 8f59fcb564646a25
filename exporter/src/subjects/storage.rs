//! A storage, as one node sees it, and once more as a whole where it is shared.

use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One row: a storage on a node, or the size of a shared storage.
///
/// A shared storage is the same bytes on every node. Its size stands on a row of its own without a node, so that sums over
/// storages are right as they are.
#[derive(Clone, Debug)]
pub struct Storage {
    /// `pve_cluster`, `storage`, and of a storage on a node `id` and `node`.
    pub identity: Identity,
    /// What the node knows of it; absent on the row of a shared storage's size.
    pub on_node: Option<OnNode>,
    /// Bytes it holds.
    pub size: Option<u64>,
    /// Bytes in use.
    pub usage: Option<u64>,
}

/// What one node knows of a storage.
#[derive(Clone, Debug)]
pub struct OnNode {
    /// Its type, such as `dir` or `zfspool`.
    pub plugin: Arc<str>,
    /// What it may hold, sorted and separated by commas.
    pub content: Arc<str>,
    /// Whether it is the same storage on every node.
    pub shared: Option<bool>,
    /// Whether it is reachable from the node; absent when the node is not online.
    pub up: Option<bool>,
}

impl Subject for Storage {
    const NAME: &'static str = "storage";
    const ROWS: &'static str =
        "one per storage and node where it is enabled; size and usage of a shared storage once, without id and node";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "node", "storage"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_storage_info",
            &["plugintype", "content"],
            "Type and content of the storage; /cluster/resources plugintype, content (sorted).",
            |storage, labels| {
                let Some(on_node) = &storage.on_node else { return false };
                labels.label("plugintype", &on_node.plugin);
                labels.label("content", &on_node.content);
                true
            },
        ),
        Metric::gauge(
            "pve_storage_up",
            Unit::None,
            "Whether the storage is reachable from the node, up to five minutes late; absent when the node is offline; /cluster/resources status.",
            |storage| storage.on_node.as_ref().and_then(|on_node| on_node.up).map(Into::into),
        ),
        Metric::gauge(
            "pve_storage_shared",
            Unit::None,
            "Whether the storage is the same one on every node; /cluster/resources shared.",
            |storage| {
                storage
                    .on_node
                    .as_ref()
                    .and_then(|on_node| on_node.shared)
                    .map(Into::into)
            },
        ),
        Metric::gauge(
            "pve_storage_size_bytes",
            Unit::Bytes,
            "Size of the storage; of a shared one once, as the freshest node sees it; /cluster/resources maxdisk.",
            |storage| storage.size.map(Into::into),
        ),
        Metric::gauge(
            "pve_storage_usage_bytes",
            Unit::Bytes,
            "Bytes in use on the storage; of a shared one once, as the freshest node sees it; /cluster/resources disk.",
            |storage| storage.usage.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
