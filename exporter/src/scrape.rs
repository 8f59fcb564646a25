//! One scrape: which clusters and sources it covers, how long it may take, and the exposition that answers it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use thiserror::Error;
use url::Url;

use crate::clock::Clock;
use crate::compat::drop_in::{DropIn, Refusal};
use crate::compat::parameters::Parameters;
use crate::compat::text::Page;
use crate::config::{Config, ConfigError};
use crate::metrics::exposition::{Exposition, Format, Rows, Section};
use crate::metrics::labels::Identity;
use crate::metrics::own::{Own, RequestCounts};
use crate::pve::client::ClientError;
use crate::pve::transport::Observer;
use crate::sources::cluster::{self, ClusterSources, Selection};
use crate::subjects::exporter::Exporter as ExporterRow;
use crate::telemetry::Telemetry;
use crate::telemetry::exposition::GuestRows;

mod guests;
mod sections;

pub use guests::{NoGuest, NoTargets, Target};

/// What a scrape asks for.
#[derive(Clone, Debug)]
pub struct ScrapeRequest {
    /// The clusters; empty for all.
    pub clusters: Vec<String>,
    /// The sources.
    pub selection: Selection,
    /// The text format.
    pub format: Format,
    /// How long it may wait for PVE.
    pub wait: Duration,
}

/// A scrape that asks for a cluster that is not configured.
#[derive(Debug, Error)]
#[error("cluster {name:?} is not configured; there are: {known}")]
pub struct UnknownCluster {
    name: String,
    known: String,
}

/// A cluster that cannot be set up.
#[derive(Debug, Error)]
#[error("cluster {cluster}: {problem}")]
pub struct StartError {
    cluster: String,
    #[source]
    problem: ClientError,
}

struct Loaded {
    config: Arc<Config>,
    clusters: BTreeMap<String, Arc<ClusterSources>>,
    drop_in: DropIn,
    at: f64,
}

impl Loaded {
    fn serving(&self) -> String {
        let modules = self.drop_in.module_names();
        if modules.is_empty() {
            format!("{} clusters at /metrics", self.clusters.len())
        } else {
            format!("modules at /pve: {}", modules.join(", "))
        }
    }
}

/// The exporter: the clusters of one configuration, and what it counts of its own work.
pub struct Exporter {
    clock: Clock,
    own: Arc<Own>,
    loaded: RwLock<Arc<Loaded>>,
    configuration_ok: AtomicBool,
    ready: AtomicBool,
    dropped: Mutex<BTreeSet<&'static str>>,
    /// The ports of guests on this node.
    telemetry: Option<Arc<Telemetry>>,
}

impl Exporter {
    /// An exporter for `config`. Nothing is fetched yet.
    ///
    /// # Errors
    /// When a cluster's client cannot be built.
    pub fn new(config: Config, clock: Clock) -> Result<Arc<Self>, StartError> {
        Self::with_telemetry(config, clock, None)
    }

    /// The same over the ports of guests on this node.
    ///
    /// # Errors
    /// When a cluster's client cannot be built.
    pub fn with_telemetry(
        config: Config,
        clock: Clock,
        telemetry: Option<Arc<Telemetry>>,
    ) -> Result<Arc<Self>, StartError> {
        let own = Arc::new(Own::default());
        let loaded = load(config, &clock, &own, None)?;
        Ok(Arc::new(Self {
            clock,
            own,
            loaded: RwLock::new(Arc::new(loaded)),
            configuration_ok: AtomicBool::new(true),
            ready: AtomicBool::new(false),
            dropped: Mutex::default(),
            telemetry,
        }))
    }

    /// Ends what is read at the ports of guests.
    pub async fn stop(&self) {
        if let Some(telemetry) = &self.telemetry {
            telemetry.stop().await;
        }
    }

    /// The configuration in use.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.loaded().config)
    }

    /// What the exporter counts of its own work.
    #[must_use]
    pub fn own(&self) -> &Own {
        &self.own
    }

    /// Whether every source has been fetched once, or has failed.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fetches everything once, and is ready then.
    pub async fn warm_up(&self) {
        let loaded = self.loaded();
        let everything = all_sources();
        // Each source has its own limit, so this ends.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(300);
        futures_util::future::join_all(
            loaded
                .clusters
                .values()
                .map(|cluster| cluster.refresh(&everything, deadline)),
        )
        .await;
        self.ready.store(true, Ordering::Relaxed);
    }

    /// Retries what has failed, as long as somebody scrapes. To be called about once a second.
    pub fn retry(&self) {
        let loaded = self.loaded();
        for cluster in loaded.clusters.values() {
            cluster.retry();
        }
        loaded.drop_in.retry();
    }

    /// Takes over a new configuration; a broken one leaves the old in use. Clusters that did not change keep their data.
    pub fn reload(&self, config: Result<Config, ConfigError>) {
        let old = self.loaded();
        let outcome = config
            .map_err(|error| error.to_string())
            .and_then(|config| load(config, &self.clock, &self.own, Some(&old)).map_err(|error| error.to_string()));
        match outcome {
            Ok(loaded) => {
                let (new, before) = (&loaded.config, &old.config);
                let same = new.web == before.web && new.log == before.log;
                if !same || new.guest_telemetry != before.guest_telemetry {
                    tracing::warn!("changes in [web], [log] and [guest_telemetry] take effect with the next start");
                }
                let serving = loaded.serving();
                *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
                self.configuration_ok.store(true, Ordering::Relaxed);
                // Whoever waits for this line finds the new one.
                tracing::info!(serving, "configuration reloaded");
            }
            Err(problem) => {
                tracing::error!(%problem, "the new configuration is broken, the old one stays in use");
                self.configuration_ok.store(false, Ordering::Relaxed);
            }
        }
    }

    /// The names of the clusters.
    #[must_use]
    pub fn cluster_names(&self) -> Vec<String> {
        self.loaded().clusters.keys().cloned().collect()
    }

    /// What is served, for the log: clusters, or the modules of a `pve.yml`.
    #[must_use]
    pub fn serving(&self) -> String {
        self.loaded().serving()
    }

    /// Answers a scrape of `/pve`, waiting for PVE no longer than `wait`.
    ///
    /// # Errors
    /// As [`DropIn::scrape`].
    pub async fn scrape_pve(&self, parameters: &Parameters, wait: Duration) -> Result<Page, Refusal> {
        self.loaded().drop_in.scrape(parameters, wait).await
    }

    /// Refreshes what `request` needs and puts its answer together.
    ///
    /// # Errors
    /// When it asks for a cluster that is not configured. That PVE cannot be reached is no error.
    pub async fn scrape(&self, request: &ScrapeRequest) -> Result<Exposition, UnknownCluster> {
        let started = Instant::now();
        let loaded = self.loaded();
        let clusters = chosen(&loaded, &request.clusters)?;
        let deadline = tokio::time::Instant::now() + request.wait;
        futures_util::future::join_all(
            clusters
                .iter()
                .map(|cluster| cluster.refresh(&request.selection, deadline)),
        )
        .await;
        let rows: Vec<_> = clusters
            .iter()
            .map(|cluster| cluster.rows(&request.selection, &loaded.config.metrics))
            .collect();
        let modules = loaded.drop_in.module_names();
        let names = clusters.iter().map(|cluster| cluster.name());
        let names: Vec<_> = names.chain(modules.iter().map(String::as_str)).collect();
        let guests = self.guest_rows(&loaded, &clusters, &request.selection);
        self.own.scraped(started.elapsed());
        Ok(self.exposition(&loaded, &names, &rows, guests, request.format))
    }

    fn exposition(
        &self,
        loaded: &Loaded,
        clusters: &[&str],
        rows: &[cluster::Rows],
        guests: GuestRows,
        format: Format,
    ) -> Exposition {
        let mut sections = sections::of(rows, guests);
        let metrics = &loaded.config.metrics;
        let own = self.own.text(format, |name| !metrics.drops(name), clusters);
        let mut exporter = ExporterRow {
            identity: Identity::new(&[]),
            configuration_ok: self.configuration_ok.load(Ordering::Relaxed),
            configuration_loaded: loaded.at,
            series: 0,
            series_budget: metrics.series_budget,
            families_dropped: 0,
        };
        let its_own = Rows::new(vec![Arc::from([exporter.clone()])]);
        let kept = (0..its_own.families()).filter(|&family| !metrics.drops(its_own.header(family).name));
        let mut series = own.lines().filter(|line| !line.starts_with('#')).count() as u64
            + kept.map(|family| its_own.samples(family)).sum::<u64>();
        let mut dropped = BTreeSet::new();
        for section in &sections {
            for family in 0..section.families() {
                let (name, samples) = (section.header(family).name, section.samples(family));
                if samples == 0 || metrics.drops(name) {
                    continue;
                }
                // A family is exposed whole or not at all: half of the guests would look like all of them.
                if metrics.series_budget.is_some_and(|budget| series + samples > budget) {
                    dropped.insert(name);
                } else {
                    series += samples;
                }
            }
        }
        self.tell_dropped(&dropped);
        (exporter.series, exporter.families_dropped) = (series, dropped.len() as u64);
        sections.insert(0, Box::new(Rows::new(vec![Arc::from([exporter])])));
        Exposition::new(format, sections, own, |header| {
            !metrics.drops(header.name) && !dropped.contains(header.name)
        })
    }

    /// Logs which families the budget costs, each once.
    fn tell_dropped(&self, dropped: &BTreeSet<&'static str>) {
        let mut told = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        let news: Vec<_> = dropped.difference(&told).copied().collect();
        if !news.is_empty() {
            tracing::warn!(
                families = news.join(" "),
                "the budget of series leaves these families out"
            );
            told.extend(news);
        }
    }
}

impl Observer for RequestCounts {
    fn request(&self, endpoint: &Url, status: Option<u16>, took: Duration) {
        self.count(endpoint.as_str().trim_end_matches('/'), status, took);
    }
}

/// Every source.
#[must_use]
pub fn all_sources() -> Selection {
    crate::sources::name::SourceName::ALL.into_iter().collect()
}

fn chosen(loaded: &Loaded, names: &[String]) -> Result<Vec<Arc<ClusterSources>>, UnknownCluster> {
    if names.is_empty() {
        return Ok(loaded.clusters.values().cloned().collect());
    }
    let names: BTreeSet<&String> = names.iter().collect();
    let find = |name: &String| {
        loaded.clusters.get(name).cloned().ok_or_else(|| UnknownCluster {
            name: name.clone(),
            known: loaded
                .clusters
                .keys()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", "),
        })
    };
    names.into_iter().map(find).collect()
}

fn load(config: Config, clock: &Clock, own: &Arc<Own>, before: Option<&Loaded>) -> Result<Loaded, StartError> {
    for warning in config.modules.iter().flat_map(|modules| &modules.warnings) {
        tracing::warn!("{warning}");
    }
    let mut clusters = BTreeMap::new();
    for (name, cluster) in &config.clusters {
        if cluster.insecure_skip_verify {
            tracing::warn!(
                cluster = name,
                "certificates are not checked: whoever is in between can read the token"
            );
        }
        let observer = Arc::new(own.request_counts(name));
        let fresh = ClusterSources::new(name, cluster, &config, clock, observer).map_err(|problem| StartError {
            cluster: name.clone(),
            problem,
        })?;
        let kept = before
            .and_then(|before| before.clusters.get(name))
            .filter(|old| old.settings() == fresh.settings());
        clusters.insert(name.clone(), kept.map_or_else(|| Arc::new(fresh), Arc::clone));
    }
    Ok(Loaded {
        drop_in: DropIn::new(&config, &clusters, clock, own, before.map(|before| &before.drop_in)),
        config: Arc::new(config),
        clusters,
        at: clock.unix_seconds(),
    })
}
