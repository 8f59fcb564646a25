//! HA: the manager and what it looks after, what is asked of it, and its rules.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Shown;
use crate::pve::client::Client;
use crate::sources::ha_manager::{self, HaManager, Moves};
use crate::sources::ha_rules::{self, HaRules};
use crate::sources::ha_status::{self, HaStatus};
use crate::sources::name::SourceName;
use crate::sources::source::{Source, Whole, Wiring};
use crate::subjects;
use crate::subjects::ha::HaFencing;
use crate::subjects::ha_guest::{HaGuest, HaGuestRequest};
use crate::subjects::ha_node::HaNode;

/// The sources of HA.
pub(super) struct Ha {
    manager: Whole<HaManager>,
    status: Whole<HaStatus>,
    rules: Whole<HaRules>,
}

/// The rows of HA.
pub struct HaRows {
    /// Of the cluster.
    pub manager: Arc<[subjects::ha::HaManager]>,
    /// Of the cluster.
    pub fencing: Arc<[HaFencing]>,
    /// Of the cluster.
    pub rules: Arc<[subjects::ha::HaRules]>,
    /// The nodes.
    pub nodes: Arc<[HaNode]>,
    /// The guests that HA manages.
    pub guests: Arc<[HaGuest]>,
    /// What is asked for them.
    pub requests: Arc<[HaGuestRequest]>,
}

impl Ha {
    /// Nothing is fetched yet.
    pub(super) fn new(wiring: &Wiring<'_>) -> Self {
        let cluster: Arc<str> = wiring.cluster.into();
        let (moves, clock, name) = (
            Arc::<Mutex<Moves>>::default(),
            wiring.clock.clone(),
            Arc::clone(&cluster),
        );
        let manager = wiring.whole(SourceName::HaManager, move |client: Arc<Client>| {
            let (moves, now, cluster) = (Arc::clone(&moves), clock.now(), Arc::clone(&name));
            async move { ha_manager::fetch(&client, &cluster, &moves, now).await }
        });
        let name = Arc::clone(&cluster);
        let status = wiring.whole(SourceName::HaStatus, move |client: Arc<Client>| {
            let cluster = Arc::clone(&name);
            async move { ha_status::fetch(&client, &cluster).await }
        });
        let rules = wiring.whole(SourceName::HaRules, move |client: Arc<Client>| {
            let cluster = Arc::clone(&cluster);
            async move { ha_rules::fetch(&client, &cluster).await }
        });
        Self {
            manager: manager.damaged_by(|value| Some(value.damaged_rows)),
            status: status.damaged_by(|value| Some(value.damaged_rows)),
            rules: rules.damaged_by(|value| Some(value.damaged_rows)),
        }
    }

    /// Its sources.
    pub(super) fn sources(&self) -> [&dyn Source; 3] {
        [&self.manager, &self.status, &self.rules]
    }

    /// What HA is asked for, whatever the scrape selects; none while that is not known.
    pub(super) fn status(&self, interval: Duration) -> Option<Arc<HaStatus>> {
        Some(self.status.servable(interval)?.value)
    }

    /// Its rules, likewise.
    pub(super) fn rules(&self, interval: Duration) -> Option<Arc<HaRules>> {
        Some(self.rules.servable(interval)?.value)
    }

    /// The nodes that HA takes to be in maintenance, likewise. Before 8.3 nothing else tells.
    pub(super) fn maintenance(&self, interval: Duration) -> BTreeSet<Box<str>> {
        let manager = self.manager.servable(interval);
        manager.map_or_else(BTreeSet::new, |manager| manager.value.maintenance.clone())
    }

    /// What they bring.
    pub(super) fn rows(&self, shown: &Shown<'_>) -> HaRows {
        let manager = shown.whole(&self.manager).map(|latest| latest.value);
        let status = shown.whole(&self.status).map(|latest| latest.value);
        let rules = shown.whole(&self.rules).map(|latest| latest.value);
        // Nobody has rules who does not use HA.
        let unused = manager.as_ref().is_some_and(|manager| manager.nodes.is_empty());
        HaRows {
            rules: rules
                .filter(|_| !unused)
                .map_or_else(Arc::default, |rules| Arc::clone(&rules.rows)),
            nodes: manager
                .as_ref()
                .map_or_else(Arc::default, |manager| Arc::clone(&manager.nodes)),
            guests: manager.as_ref().map_or_else(Arc::default, |manager| {
                shown
                    .placed
                    .rows(&manager.guests, |guest| Some((guest.kind, guest.vmid)))
            }),
            manager: manager.map_or_else(Arc::default, |manager| Arc::clone(&manager.manager)),
            requests: status.as_ref().map_or_else(Arc::default, |status| {
                shown
                    .placed
                    .rows(&status.requests, |guest| Some((guest.kind, guest.vmid)))
            }),
            fencing: status.map_or_else(Arc::default, |status| Arc::clone(&status.fencing)),
        }
    }
}
