//! What a scrape shows: the sources that it asks for, and the guests that the configuration admits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Selection;
use crate::pve::offline::OfflineNodes;
use crate::sources::held::Dated;
use crate::sources::resources::Resources;
use crate::sources::source::{PerNode, Source as _, Whole};
use crate::subjects::guest::{Guest, GuestKey};

/// What a scrape shows.
pub struct Shown<'a> {
    /// The sources that it asks for and that are switched on.
    pub selection: Selection,
    /// The time between scrapes.
    pub interval: Duration,
    /// The nodes that are known to be offline.
    pub offline: &'a OfflineNodes,
    /// The guests that are reported on.
    pub placed: Placed,
}

impl Shown<'_> {
    /// The value of `source`, if it is shown and may still be served.
    pub fn whole<T: Send + Sync + 'static>(&self, source: &Whole<T>) -> Option<Dated<T>> {
        let shown = self.selection.contains(&source.name());
        shown.then(|| source.servable(self.interval)).flatten()
    }

    /// The values of `source` at the nodes that are not offline, likewise.
    pub fn nodes<T: Send + Sync + 'static>(&self, source: &PerNode<T>) -> BTreeMap<Arc<str>, Dated<T>> {
        if !self.selection.contains(&source.name()) {
            return BTreeMap::new();
        }
        let mut values = source.servable(self.interval);
        let node_of = |place: &str| place.split('/').next().unwrap_or_default().to_owned();
        values.retain(|place, _| !self.offline.contains(&node_of(place)));
        values
    }
}

/// The guests that are reported on, and where they are.
#[derive(Clone, Default)]
pub struct Placed {
    /// Sorted; none while there is no list that may be believed.
    guests: Option<Arc<[Guest]>>,
    /// Whether a guest that is not in the list is one that is left out.
    only_listed: bool,
    fingerprint: u64,
}

impl Placed {
    /// The guests in `resources`. With `only_listed` no others are reported on.
    #[must_use]
    pub fn new(resources: Option<&Resources>, only_listed: bool) -> Self {
        Self {
            guests: resources.map(|resources| Arc::clone(&resources.guests)),
            only_listed,
            fingerprint: resources.map_or(0, |resources| resources.placement),
        }
    }

    fn find(guests: &[Guest], key: GuestKey) -> Option<&Guest> {
        let at = guests.binary_search_by_key(&key, |guest| (guest.kind, guest.vmid));
        guests.get(at.ok()?)
    }

    /// Whether `guest` is reported on.
    #[must_use]
    pub fn contains(&self, guest: GuestKey) -> bool {
        !self.only_listed
            || self
                .guests
                .as_ref()
                .is_some_and(|guests| Self::find(guests, guest).is_some())
    }

    /// Whether what `node` said of a running `guest` may still be true.
    #[must_use]
    pub fn may_run_at(&self, guest: GuestKey, node: &str) -> bool {
        let Some(guests) = &self.guests else {
            return !self.only_listed;
        };
        Self::find(guests, guest).is_some_and(|guest| *guest.node == *node && guest.state != "stopped")
    }

    /// A number that is another one when guests come, go, move, start or stop.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The rows of guests that are reported on.
    pub fn rows<S: Clone>(&self, rows: &Arc<[S]>, guest: impl Fn(&S) -> Option<GuestKey>) -> Arc<[S]> {
        if !self.only_listed {
            return Arc::clone(rows);
        }
        let reported = rows
            .iter()
            .filter(|row| guest(row).is_some_and(|guest| self.contains(guest)));
        reported.cloned().collect()
    }
}
