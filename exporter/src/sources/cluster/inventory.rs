//! What is read guest by guest, slowly: configurations and snapshots.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Known, Shown};
use crate::config::Metrics;
use crate::pve::client::Client;
use crate::pve::error::ApiError;
use crate::sources::cached::{Cached, Same};
use crate::sources::guest_config::{self, Configuration};
use crate::sources::name::SourceName;
use crate::sources::snapshots::{self, GuestSnapshots};
use crate::sources::source::{Outcome, Source, Wiring};
use crate::sources::survey::{Limiter, Survey, SurveyGuest, Values};
use crate::subjects::guest_config::GuestConfig;
use crate::subjects::guest_drive_config::GuestDriveConfig;
use crate::subjects::snapshot::Snapshot;
use crate::subjects::snapshots::Snapshots;

/// The sources.
pub(super) struct Inventory {
    config: Surveyed<Configuration>,
    snapshots: Surveyed<GuestSnapshots>,
    cached: CachedRows,
}

#[derive(Default)]
struct CachedRows {
    configs: Cached<Same<Values<Configuration>>, Arc<[GuestConfig]>>,
    drives: Cached<Same<Values<Configuration>>, Arc<[GuestDriveConfig]>>,
    snapshots: Cached<Same<Values<GuestSnapshots>>, Arc<[Snapshots]>>,
    named: Cached<Same<Values<GuestSnapshots>>, Arc<[Snapshot]>>,
}

/// The rows.
pub struct InventoryRows {
    /// Configurations.
    pub configs: Arc<[GuestConfig]>,
    /// Configured drives.
    pub drives: Arc<[GuestDriveConfig]>,
    /// Snapshots by guest.
    pub snapshots: Arc<[Snapshots]>,
    /// Snapshots one by one.
    pub named: Arc<[Snapshot]>,
}

impl Inventory {
    /// Nothing is read yet. What else reads one thing at a time shares `limiter`.
    pub(super) fn new(wiring: &Wiring<'_>, known: &Arc<Known>, limiter: &Arc<Limiter>) -> Self {
        let (name, client): (Arc<str>, _) = (wiring.cluster.into(), Arc::clone(wiring.client));
        let (cluster, own) = (Arc::clone(&name), Arc::clone(&client));
        Self {
            config: Surveyed::new(wiring, SourceName::GuestConfig, known, limiter, move |guest| {
                let (client, cluster) = (Arc::clone(&own), Arc::clone(&cluster));
                Box::pin(async move { guest_config::fetch(&client, &cluster, &guest).await })
            })
            .damaged_by(|value| value.damaged_rows),
            snapshots: Surveyed::new(wiring, SourceName::Snapshots, known, limiter, move |guest| {
                let (client, cluster) = (Arc::clone(&client), Arc::clone(&name));
                Box::pin(async move { snapshots::fetch(&client, &cluster, &guest, true).await })
            })
            .damaged_by(|value| value.damaged_rows),
            cached: CachedRows::default(),
        }
    }

    /// Its sources.
    pub(super) fn sources(&self) -> [&dyn Source; 2] {
        [&self.config, &self.snapshots]
    }

    /// The configurations that are known.
    pub(super) fn configurations(&self) -> Arc<Values<Configuration>> {
        self.config.survey.values()
    }

    /// What they bring.
    pub(super) fn rows(&self, shown: &Shown<'_>, metrics: &Metrics) -> InventoryRows {
        let (config, snapshots) = (self.config.shown(shown), self.snapshots.shown(shown));
        let cached = &self.cached;
        InventoryRows {
            configs: cached.configs.of(Same(Arc::clone(&config)), || {
                config.values().map(|value| value.guest.clone()).collect()
            }),
            drives: cached.drives.of(Same(Arc::clone(&config)), || {
                config.values().flat_map(|value| value.drives.iter().cloned()).collect()
            }),
            snapshots: cached.snapshots.of(Same(Arc::clone(&snapshots)), || {
                snapshots.values().map(|value| value.all.clone()).collect()
            }),
            named: if metrics.snapshot_names {
                cached.named.of(Same(Arc::clone(&snapshots)), || {
                    snapshots
                        .values()
                        .flat_map(|value| value.named.iter().cloned())
                        .collect()
                })
            } else {
                Arc::default()
            },
        }
    }
}

type Fetch<T> = Box<dyn Fn(SurveyGuest) -> BoxFuture<'static, Result<T, ApiError>> + Send + Sync>;

/// A survey as a source.
struct Surveyed<T> {
    name: SourceName,
    survey: Arc<Survey<T>>,
    known: Arc<Known>,
    limiter: Arc<Limiter>,
    client: Arc<Client>,
    fetch: Fetch<T>,
    damaged: fn(&T) -> u64,
}

impl<T: Send + Sync + 'static> Surveyed<T> {
    fn new(
        wiring: &Wiring<'_>,
        name: SourceName,
        known: &Arc<Known>,
        limiter: &Arc<Limiter>,
        fetch: impl Fn(SurveyGuest) -> BoxFuture<'static, Result<T, ApiError>> + Send + Sync + 'static,
    ) -> Self {
        let (title, limit) = (format!("{}/{}", wiring.cluster, name.as_str()), wiring.limit(name));
        Self {
            name,
            survey: Survey::new(&title, wiring.clock.clone(), wiring.pace(name).max_age),
            known: Arc::clone(known),
            limiter: Arc::clone(limiter),
            client: Arc::clone(wiring.client),
            fetch: Box::new(move |guest| Box::pin(limit.clone().apply(fetch(guest)))),
            damaged: |_| 0,
        }
    }

    fn damaged_by(mut self, damaged: fn(&T) -> u64) -> Self {
        self.damaged = damaged;
        self
    }

    fn shown(&self, shown: &Shown<'_>) -> Arc<Values<T>> {
        if shown.selection.contains(&self.name) {
            self.survey.values()
        } else {
            Arc::default()
        }
    }
}

impl<T: Send + Sync + 'static> Source for Surveyed<T> {
    fn name(&self) -> SourceName {
        self.name
    }

    /// No scrape waits for a survey, nor starts more of it than there would be anyway.
    fn refresh(&self, _: Duration, _: tokio::time::Instant) -> Vec<BoxFuture<'_, ()>> {
        Vec::new()
    }

    fn retry(&self) {
        if let Some(resources) = self.known.resources() {
            let offline = self.client.offline().all();
            self.survey
                .tick(&resources.guests, &offline, &self.limiter, &self.fetch);
        }
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let records = self.survey.records(&self.client.offline().all(), self.damaged);
        let outcome = |(node, record): (Arc<str>, crate::sources::survey::NodeRecord)| Outcome {
            node,
            record: record.record,
            last_success: record.last_success,
            damaged_rows: record.damaged_rows,
            ..Outcome::default()
        };
        records.into_iter().map(outcome).collect()
    }
}
