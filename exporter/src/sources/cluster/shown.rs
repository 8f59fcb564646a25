//! What a scrape shows: the sources that it asks for, and the guests that the configuration admits.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use super::Selection;
use crate::pve::offline::OfflineNodes;
use crate::sources::held::Dated;
use crate::sources::source::{PerNode, Source as _, Whole};
use crate::subjects::guest::GuestKey;

/// What a scrape shows.
pub struct Shown<'a> {
    /// The sources that it asks for and that are switched on.
    pub selection: Selection,
    /// The time between scrapes.
    pub interval: Duration,
    /// The nodes that are known to be offline.
    pub offline: &'a OfflineNodes,
    /// The guests that are reported on.
    pub admitted: Admitted,
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

/// The guests that are reported on: all, or those of a list.
#[derive(Clone, Default)]
pub struct Admitted(Option<(Arc<HashSet<GuestKey>>, u64)>);

impl Admitted {
    /// Only `guests`, which come in the same order each time.
    pub fn only(guests: impl IntoIterator<Item = GuestKey>) -> Self {
        let mut hasher = DefaultHasher::new();
        let hashed = guests.into_iter().inspect(|guest| guest.hash(&mut hasher));
        let keys: HashSet<GuestKey> = hashed.collect();
        Self(Some((Arc::new(keys), hasher.finish())))
    }

    /// Whether `guest` is one of them.
    #[must_use]
    pub fn contains(&self, guest: GuestKey) -> bool {
        self.0.as_ref().is_none_or(|(keys, _)| keys.contains(&guest))
    }

    /// A number that is another one when other guests are admitted.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.0.as_ref().map_or(0, |(_, fingerprint)| *fingerprint)
    }

    /// The rows of guests that are reported on.
    pub fn rows<S: Clone>(&self, rows: &Arc<[S]>, guest: impl Fn(&S) -> Option<GuestKey>) -> Arc<[S]> {
        if self.0.is_none() {
            return Arc::clone(rows);
        }
        let admitted = rows
            .iter()
            .filter(|row| guest(row).is_some_and(|guest| self.contains(guest)));
        admitted.cloned().collect()
    }
}
