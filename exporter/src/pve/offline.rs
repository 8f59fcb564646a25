//! The nodes known to be offline. A request to one would hold a connection for up to 30 s and bring a 595.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError, RwLock};

/// Names of offline nodes, as `/cluster/resources` told last.
#[derive(Clone, Debug, Default)]
pub struct OfflineNodes(Arc<RwLock<Arc<BTreeSet<Arc<str>>>>>);

impl OfflineNodes {
    /// Replaces the set.
    pub fn replace(&self, nodes: BTreeSet<Arc<str>>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(nodes);
    }

    /// The set.
    #[must_use]
    pub fn all(&self) -> Arc<BTreeSet<Arc<str>>> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether `node` is offline.
    #[must_use]
    pub fn contains(&self, node: &str) -> bool {
        self.all().contains(node)
    }
}
