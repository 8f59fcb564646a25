//! The backups that lie on storages, where the token may see them.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::{Known, Shown};
use crate::pve::client::Client;
use crate::sources::backup_volumes::{self, StorageBackups};
use crate::sources::cached::Cached;
use crate::sources::name::SourceName;
use crate::sources::permissions::TokenPermissions;
use crate::sources::resources::Resources;
use crate::sources::source::{Outcome, PerNode, Source, Wiring};
use crate::subjects::backup_volume::{BackupVolumes, OrphanedBackups};
use crate::subjects::guest::GuestKey;

/// The source; its places are `node/storage`.
pub(super) struct Volumes {
    cluster: Arc<str>,
    known: Arc<Known>,
    places: PerNode<StorageBackups>,
    cached: Cached<Made, VolumeRows>,
}

/// What rows are made of: the places, when each was read and whether its storage is shared, the guests that exist, and those
/// that are reported on.
type Made = (Vec<(Arc<str>, Instant, bool)>, u64, u64);

/// The rows.
#[derive(Clone, Default)]
pub struct VolumeRows {
    /// Of guests that exist.
    pub volumes: Arc<[BackupVolumes]>,
    /// Of guests that are gone.
    pub orphans: Arc<[OrphanedBackups]>,
}

impl Volumes {
    /// Nothing is fetched yet.
    pub(super) fn new(wiring: &Wiring<'_>, known: &Arc<Known>) -> Self {
        let places = wiring.per_node(
            SourceName::BackupVolumes,
            |client: Arc<Client>, place: Arc<str>| async move {
                let (node, storage) = split(&place);
                backup_volumes::fetch(&client, &node.into(), storage).await
            },
        );
        Self {
            cluster: wiring.cluster.into(),
            known: Arc::clone(known),
            places: places.damaged_by(|value| Some(value.damaged_rows)),
            cached: Cached::default(),
        }
    }

    /// Says which storages have backups that the token may see: a shared one is read at one node only.
    pub(super) fn find_places(&self, permissions: Option<&TokenPermissions>) {
        let (Some(permissions), Some(resources)) = (permissions, self.known.resources()) else {
            return self.places.set_nodes(&[]);
        };
        let mut shared = BTreeSet::new();
        let mut places = Vec::new();
        for row in &resources.storages {
            let holds_backups = row.on_node.content.split(',').any(|content| content == "backup");
            let wanted = holds_backups && row.on_node.up == Some(true) && permissions.lists_backups(&row.name);
            if wanted && (!is_shared(&resources, &row.name) || shared.insert(&row.name)) {
                places.push(format!("{}/{}", row.node, row.name).into());
            }
        }
        self.places.set_nodes(&places);
    }

    /// What it brings. Without a list of all guests nobody can tell which backups are orphaned.
    pub(super) fn rows(
        &self,
        shown: &Shown<'_>,
        resources: Option<&Resources>,
        permissions: Option<&TokenPermissions>,
    ) -> VolumeRows {
        let places = shown.nodes(&self.places);
        let Some(resources) = resources.filter(|_| !places.is_empty()) else {
            return VolumeRows::default();
        };
        let lists_guests = permissions.is_some_and(TokenPermissions::lists_guests);
        let read = places.iter();
        let read = read.map(|(place, backups)| {
            let shared = is_shared(resources, split(place).1);
            (Arc::clone(place), backups.at, shared)
        });
        let mut existing = DefaultHasher::new();
        (&resources.existing, lists_guests).hash(&mut existing);
        let key = (read.collect(), existing.finish(), shown.placed.fingerprint());
        self.cached.of(key, || {
            let existing: BTreeSet<GuestKey> = resources.existing.iter().copied().collect();
            let (mut volumes, mut orphans, mut shared) = (Vec::new(), Vec::new(), BTreeSet::new());
            for (place, backups) in &places {
                let (node, storage) = split(place);
                let node = (!is_shared(resources, storage)).then_some(node);
                // Two places of it stand beside each other until the next refresh when it has just become shared.
                if node.is_none() && !shared.insert(storage) {
                    continue;
                }
                let (rows, orphan) = backups.value.rows(&self.cluster, storage, node, &existing);
                volumes.extend(rows.into_iter().filter(|row| shown.placed.contains(row.guest)));
                orphans.extend(orphan.filter(|_| lists_guests));
            }
            VolumeRows {
                volumes: volumes.into(),
                orphans: orphans.into(),
            }
        })
    }
}

impl Source for Volumes {
    fn name(&self) -> SourceName {
        self.places.name()
    }

    /// No scrape waits for it: a backup server may take minutes to list what it has.
    fn refresh(&self, interval: Duration, _: tokio::time::Instant) -> Vec<BoxFuture<'_, ()>> {
        drop(self.places.start_due(|_| self.places.pace(), interval));
        Vec::new()
    }

    fn retry(&self) {
        self.places.retry();
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let split_place = |outcome: Outcome| {
            let (node, storage) = split(&outcome.node);
            let (node, storage) = (node.into(), storage.into());
            Outcome {
                node,
                storage,
                ..outcome
            }
        };
        self.places.outcomes().into_iter().map(split_place).collect()
    }
}

/// Whether a storage is shared: the row of one node that could not be read does not make it local there.
fn is_shared(resources: &Resources, storage: &str) -> bool {
    let mut rows = resources.storages.iter().filter(|row| *row.name == *storage);
    rows.any(|row| row.on_node.shared == Some(true))
}

fn split(place: &str) -> (&str, &str) {
    place.split_once('/').unwrap_or_default()
}
