//! What is known of a cluster's nodes, for the sources that ask each of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::sources::cluster_status::ClusterStatus;
use crate::sources::held::{Held, Record};
use crate::sources::resources::Resources;
use crate::subjects::guest::Guest;

/// The newest lists of nodes and guests, however old.
pub struct Known {
    resources: Arc<Held<Resources>>,
    status: Arc<Held<ClusterStatus>>,
}

impl Known {
    /// Looks into what these hold.
    #[must_use]
    pub fn new(resources: &Arc<Held<Resources>>, status: &Arc<Held<ClusterStatus>>) -> Self {
        Self {
            resources: Arc::clone(resources),
            status: Arc::clone(status),
        }
    }

    /// The nodes that are known, or only those online.
    #[must_use]
    pub fn nodes(&self, only_online: bool) -> Vec<Arc<str>> {
        let wanted = |up: Option<bool>| !only_online || up == Some(true);
        if let Some(resources) = self.resources.latest() {
            let nodes = resources.value.nodes.iter().filter(|(_, node)| wanted(node.up));
            nodes.map(|(name, _)| Arc::clone(name)).collect()
        } else if let Some(status) = self.status.latest() {
            let nodes = status.value.nodes.iter().filter(|(_, member)| wanted(member.online));
            nodes.map(|(name, _)| Arc::clone(name)).collect()
        } else {
            Vec::new()
        }
    }

    /// The nodes, and whether each may be online; none while there is no list.
    #[must_use]
    pub fn online(&self) -> Option<BTreeMap<Arc<str>, bool>> {
        let resources = self.resources()?;
        let nodes = resources.nodes.iter();
        Some(
            nodes
                .map(|(name, node)| (Arc::clone(name), node.up == Some(true)))
                .collect(),
        )
    }

    /// The newest list of everything.
    #[must_use]
    pub fn resources(&self) -> Option<Arc<Resources>> {
        Some(self.resources.latest()?.value)
    }

    /// When the newest list of everything was asked for.
    #[must_use]
    pub fn read_at(&self) -> Option<Instant> {
        Some(self.resources.latest()?.at)
    }

    /// How the lists of everything have been read.
    #[must_use]
    pub fn record(&self) -> Record {
        self.resources.record()
    }

    /// The same, if it is not older than `most`.
    #[must_use]
    pub fn lately(&self, clock: &Clock, most: Duration) -> Option<Arc<Resources>> {
        let latest = self.resources.latest()?;
        let age = clock.now().saturating_duration_since(latest.at);
        (age <= most).then_some(latest.value)
    }

    /// The guests that are reported on.
    #[must_use]
    pub fn guests(&self) -> Arc<[Guest]> {
        self.resources()
            .map_or_else(Arc::default, |resources| Arc::clone(&resources.guests))
    }
}
