//! The sources of one cluster: which are refreshed for a scrape, and which are waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::clock::Clock;
use crate::config::{Cluster as ClusterConfig, Config, SourcePolicy};
use crate::pve::client::{Client, ClientError};
use crate::pve::error::ApiError;
use crate::pve::transport::Observer;
use crate::sources::cluster_status::{self, ClusterStatus};
use crate::sources::held::{Held, Refreshed};
use crate::sources::metrics_export::{self, NodeSamples, Way};
use crate::sources::name::SourceName;
use crate::sources::node_status::{self, NodeStatus};
use crate::sources::pace::Pace;
use crate::sources::resources::{self, Memory, Resources};
use crate::sources::{permissions, version};
use crate::subjects::cluster::Version;
use crate::subjects::guest::Guest;
use crate::subjects::permission::Permission;

mod rows;

pub use rows::Rows;

/// How old a node's own status may get while it stands in for the node's samples.
const STAND_IN_MAX_AGE: Duration = Duration::from_secs(30);

/// For how long after a scrape failed sources are still retried, at least and at most: nothing asks PVE when nobody scrapes.
const RETRIED_AFTER_SCRAPE: (Duration, Duration) = (Duration::from_secs(360), Duration::from_secs(900));

/// How many intervals between scrapes are remembered. The longest counts, so that several Prometheis that scrape close together
/// are not taken for a fast one.
const INTERVALS: usize = 16;

/// The sources that a scrape asks for.
pub type Selection = BTreeSet<SourceName>;

/// What decides how a cluster is read.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    config: ClusterConfig,
    policies: BTreeMap<SourceName, SourcePolicy>,
    /// What `ca_file` held: a renewed file of the same name is a change.
    authorities: Option<Vec<u8>>,
}

/// The sources of one cluster.
pub struct ClusterSources {
    name: String,
    settings: Settings,
    clock: Clock,
    client: Arc<Client>,
    memory: Arc<Mutex<Memory>>,
    way: Arc<Way>,
    resources: Arc<Held<Resources>>,
    samples: Arc<Held<NodeSamples>>,
    status: Arc<Held<ClusterStatus>>,
    version: Arc<Held<Version>>,
    permissions: Arc<Held<Arc<[Permission]>>>,
    nodes: Mutex<BTreeMap<Arc<str>, Arc<Held<NodeStatus>>>>,
    scrapes: Mutex<Scrapes>,
    named_only: Mutex<Option<(Instant, Arc<[Guest]>)>>,
}

#[derive(Default)]
struct Scrapes {
    last: Option<Instant>,
    intervals: std::collections::VecDeque<Duration>,
}

impl ClusterSources {
    /// The sources of the cluster `name` of `config`. Nothing is fetched yet.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn new(
        name: &str,
        cluster: &ClusterConfig,
        config: &Config,
        clock: &Clock,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, ClientError> {
        let title = |source: SourceName| format!("{name}/{}", source.as_str());
        let policies = SourceName::ALL
            .into_iter()
            .map(|source| (source, config.source(name, source)));
        Ok(Self {
            settings: Settings {
                config: cluster.clone(),
                policies: policies.collect(),
                authorities: cluster.ca_file.as_ref().and_then(|path| std::fs::read(path).ok()),
            },
            client: Arc::new(Client::new(cluster, clock.clone(), observer)?),
            memory: Arc::default(),
            way: Arc::default(),
            resources: Held::new(title(SourceName::Resources), clock.clone()),
            samples: Held::new(title(SourceName::MetricsExport), clock.clone()),
            status: Held::new(title(SourceName::ClusterStatus), clock.clone()),
            version: Held::new(title(SourceName::Version), clock.clone()),
            permissions: Held::new(title(SourceName::Permissions), clock.clone()),
            nodes: Mutex::default(),
            scrapes: Mutex::default(),
            named_only: Mutex::default(),
            name: name.to_owned(),
            clock: clock.clone(),
        })
    }

    /// The name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What decides whether a reload of the configuration changes anything here.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Refreshes what `selection` needs and waits for what a scrape must not do without, until `deadline`.
    pub async fn refresh(&self, selection: &Selection, deadline: tokio::time::Instant) {
        let interval = self.note_scrape();
        let mut needed = selection.clone();
        if selection.contains(&SourceName::NodeStatus) {
            // It tells which nodes there are.
            needed.insert(SourceName::Resources);
        }
        let offline = self.client.offline().all();
        self.refresh_whole(&needed, interval, deadline).await;
        let gone = !self.client.offline().all().is_subset(&offline);
        let status_works = self.status.record().up == Some(true);
        if gone
            && status_works
            && needed.contains(&SourceName::ClusterStatus)
            && self.enabled(SourceName::ClusterStatus)
        {
            // Nodes have gone, or the endpoint has: only the quorum tells which.
            self.start(SourceName::ClusterStatus);
            self.status.ended(deadline).await;
        }
        if selection.contains(&SourceName::Resources) && self.answered_by_minority() {
            // The first answer came from a side without quorum, and another endpoint has it.
            for source in [SourceName::Resources, SourceName::MetricsExport] {
                if selection.contains(&source) && self.enabled(source) {
                    self.start(source);
                }
            }
            self.resources.ended(deadline).await;
        }
        if selection.contains(&SourceName::NodeStatus) {
            self.refresh_nodes(interval, deadline).await;
        }
    }

    /// Retries what has failed, without waiting, as long as somebody scrapes.
    pub fn retry(&self) {
        let window = RETRIED_AFTER_SCRAPE
            .0
            .max(self.interval() * 5 / 2)
            .min(RETRIED_AFTER_SCRAPE.1);
        let last = self.scrapes.lock().unwrap_or_else(PoisonError::into_inner).last;
        if last.is_none_or(|last| self.clock.now().saturating_duration_since(last) > window) {
            return;
        }
        for source in SourceName::ALL {
            if self.enabled(source) && self.held(source).is_some_and(Refreshed::retry_is_due) {
                self.start(source);
            }
        }
        for (node, held) in self.node_statuses() {
            if held.retry_is_due() {
                self.start_node(&node, &held);
            }
        }
        let client = Arc::clone(&self.client);
        tokio::spawn(async move { client.probe().await });
    }

    fn enabled(&self, source: SourceName) -> bool {
        self.settings.policies.get(&source).is_some_and(|policy| policy.enabled)
    }

    fn pace(&self, source: SourceName) -> Pace {
        let policy = self.settings.policies.get(&source);
        Pace::new(source, policy.map_or(source.default_max_age(), |policy| policy.max_age))
    }

    fn note_scrape(&self) -> Duration {
        let now = self.clock.now();
        {
            let mut scrapes = self.scrapes.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(last) = scrapes.last {
                if scrapes.intervals.len() == INTERVALS {
                    scrapes.intervals.pop_front();
                }
                scrapes.intervals.push_back(now.saturating_duration_since(last));
            }
            scrapes.last = Some(now);
        }
        self.interval()
    }

    fn interval(&self) -> Duration {
        let scrapes = self.scrapes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut longest: Vec<Duration> = scrapes.intervals.iter().copied().collect();
        longest.sort_unstable_by(|left, right| right.cmp(left));
        // One pause of the scraper among several intervals is none of them.
        longest.get(usize::from(longest.len() > 2)).copied().unwrap_or_default()
    }

    /// What holds the value of `source`; none for one that is kept per node.
    fn held(&self, source: SourceName) -> Option<&dyn Refreshed> {
        match source {
            SourceName::Resources => Some(&*self.resources),
            SourceName::MetricsExport => Some(&*self.samples),
            SourceName::ClusterStatus => Some(&*self.status),
            SourceName::Version => Some(&*self.version),
            SourceName::Permissions => Some(&*self.permissions),
            SourceName::NodeStatus => None,
        }
    }

    /// What is not there by `deadline` is served as it was, or is absent.
    async fn refresh_whole(&self, selection: &Selection, interval: Duration, deadline: tokio::time::Instant) {
        let mut waits = Vec::new();
        for source in SourceName::ALL
            .into_iter()
            .filter(|source| selection.contains(source) && self.enabled(*source))
        {
            let Some(held) = self.held(source) else { continue };
            let need = held.need(self.pace(source), interval);
            if need.refresh {
                self.start(source);
            }
            if need.wait {
                waits.push(held.ended(deadline));
            }
        }
        join_all(waits).await;
    }

    fn start(&self, source: SourceName) {
        let client = Arc::clone(&self.client);
        match source {
            SourceName::Resources => {
                let (name, filter) = (self.name.clone(), self.settings.config.guests.clone());
                let (memory, now) = (Arc::clone(&self.memory), self.clock.now());
                self.resources.refresh(self.in_time(source, async move {
                    resources::fetch(&client, &name, &filter, &memory, now).await
                }));
            }
            SourceName::MetricsExport => {
                let (way, clock) = (Arc::clone(&self.way), self.clock.clone());
                let online = self.known_nodes(true);
                self.samples.refresh(self.in_time(source, async move {
                    metrics_export::fetch(&client, &way, &clock, &online).await
                }));
            }
            SourceName::ClusterStatus => {
                self.status
                    .refresh(self.in_time(source, async move { cluster_status::fetch(&client).await }));
            }
            SourceName::Version => {
                let config = &self.settings.config;
                let several = config.endpoints.len() > 1 && !config.insecure_skip_verify;
                self.version.refresh(self.in_time(source, async move {
                    let version = version::fetch(&client).await?;
                    if several && let Err(error) = client.learn_fingerprints().await {
                        tracing::debug!(%error, "fingerprints of the other nodes stay unknown");
                    }
                    Ok(version)
                }));
            }
            SourceName::Permissions => {
                let name = self.name.clone();
                let sources: Vec<_> = SourceName::ALL
                    .into_iter()
                    .filter(|source| self.enabled(*source))
                    .collect();
                self.permissions.refresh(self.in_time(source, async move {
                    permissions::fetch(&client, &name, &sources).await
                }));
            }
            SourceName::NodeStatus => {}
        }
    }

    fn start_node(&self, node: &Arc<str>, held: &Arc<Held<NodeStatus>>) {
        let (client, node) = (Arc::clone(&self.client), Arc::clone(node));
        held.refresh(self.in_time(SourceName::NodeStatus, async move {
            node_status::fetch(&client, &node).await
        }));
    }

    /// `fetch`, with the time that a whole refresh may take.
    fn in_time<T, F: Future<Output = Result<T, ApiError>>>(
        &self,
        source: SourceName,
        fetch: F,
    ) -> impl Future<Output = Result<T, ApiError>> + use<T, F> {
        let limit = self.settings.config.refresh_timeout;
        let endpoint = format!("cluster {}", self.name);
        async move {
            tokio::time::timeout(limit, fetch).await.unwrap_or_else(|_| {
                Err(ApiError::Timeout {
                    endpoint,
                    path: source.endpoint().to_owned(),
                    limit,
                })
            })
        }
    }

    /// The nodes that are known, or only those online.
    fn known_nodes(&self, only_online: bool) -> Vec<Arc<str>> {
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

    /// Whether the newest resources came from an endpoint that turned out to have no quorum, and another one is preferred since.
    fn answered_by_minority(&self) -> bool {
        let endpoints = self.client.endpoints().all();
        let quorate = |index: usize| endpoints.get(index).and_then(|endpoint| endpoint.quorate);
        let active = self.client.active_endpoint();
        let resources = self
            .resources
            .latest()
            .filter(|_| self.resources.record().up == Some(true));
        resources.is_some_and(|resources| {
            quorate(resources.value.endpoint) == Some(false)
                && resources.value.preferred != active
                && active.and_then(quorate) == Some(true)
        })
    }

    fn node_statuses(&self) -> BTreeMap<Arc<str>, Arc<Held<NodeStatus>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn refresh_nodes(&self, interval: Duration, deadline: tokio::time::Instant) {
        if !self.enabled(SourceName::NodeStatus) {
            return;
        }
        let listed = self.known_nodes(false);
        let statuses = {
            let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            nodes.retain(|node, _| listed.contains(node));
            for node in &listed {
                nodes.entry(Arc::clone(node)).or_insert_with(|| {
                    let title = format!("{}/{}/{node}", self.name, SourceName::NodeStatus.as_str());
                    Held::new(title, self.clock.clone())
                });
            }
            nodes.clone()
        };
        let samples = self.samples.servable(self.pace(SourceName::MetricsExport), interval);
        let mut waits = Vec::new();
        for (node, held) in &statuses {
            let sampled = samples.as_ref().is_some_and(|samples| samples.nodes.contains_key(node));
            let need = held.need(
                if sampled {
                    self.pace(SourceName::NodeStatus)
                } else {
                    self.stand_in_pace()
                },
                interval,
            );
            if need.refresh {
                self.start_node(node, held);
            }
            if need.wait {
                waits.push(held.ended(deadline));
            }
        }
        join_all(waits).await;
    }

    /// The pace of a node's own status while it stands in for the node's samples.
    fn stand_in_pace(&self) -> Pace {
        let pace = self.pace(SourceName::NodeStatus);
        Pace {
            max_age: pace.max_age.min(STAND_IN_MAX_AGE),
            ..pace
        }
    }
}
