//! The sources of one cluster: which are refreshed for a scrape, which are waited for, and the rows that come of them.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::config::{Cluster as ClusterConfig, Config, SourcePolicy};
use crate::metrics::labels::Identity;
use crate::pve::client::{Client, ClientError, Observer};
use crate::pve::error::ApiError;
use crate::sources::cluster_status::{self, ClusterStatus};
use crate::sources::held::{Held, Need, Pace, Record};
use crate::sources::metrics_export::{self, NodeSamples, Way};
use crate::sources::name::SourceName;
use crate::sources::node_status::{self, NodeStatus};
use crate::sources::resources::{self, Memory, Resources, TEXT_REMEMBERED};
use crate::sources::{permissions, version};
use crate::subjects::api::Api;
use crate::subjects::cluster::{Cluster, Version};
use crate::subjects::guest::Guest;
use crate::subjects::network::Network;
use crate::subjects::node::{Activity, Node};
use crate::subjects::permission::Permission;
use crate::subjects::pool::Pool;
use crate::subjects::source::{Source, SourceFailure};
use crate::subjects::storage::Storage;

/// How old a node's own status may get while it stands in for the node's samples.
const STAND_IN_MAX_AGE: Duration = Duration::from_secs(30);

/// For how long after a scrape failed sources are still retried: nothing asks PVE when nobody scrapes.
const RETRIED_AFTER_SCRAPE: Duration = Duration::from_secs(120);

/// How many intervals between scrapes are remembered; the longest counts, so that two Prometheis are not taken for a fast one.
const INTERVALS: usize = 4;

/// The sources that a scrape asks for.
pub type Selection = BTreeSet<SourceName>;

/// The rows of one cluster.
pub struct Rows {
    /// One row.
    pub cluster: Arc<[Cluster]>,
    /// The endpoints.
    pub apis: Arc<[Api]>,
    /// The sources.
    pub sources: Arc<[Source]>,
    /// Their failures.
    pub failures: Arc<[SourceFailure]>,
    /// The privileges.
    pub permissions: Arc<[Permission]>,
    /// The nodes.
    pub nodes: Arc<[Node]>,
    /// The storages.
    pub storages: Arc<[Storage]>,
    /// The pools.
    pub pools: Arc<[Pool]>,
    /// The networks.
    pub networks: Arc<[Network]>,
    /// The guests.
    pub guests: Arc<[Guest]>,
}

/// The sources of one cluster.
pub struct ClusterSources {
    name: String,
    config: ClusterConfig,
    policies: BTreeMap<SourceName, SourcePolicy>,
    clock: Clock,
    client: Arc<Client>,
    memory: Arc<Mutex<Memory>>,
    way: Arc<Way>,
    resources: Arc<Held<Resources>>,
    samples: Arc<Held<NodeSamples>>,
    status: Arc<Held<ClusterStatus>>,
    version: Arc<Held<Version>>,
    permissions: Arc<Held<Vec<Permission>>>,
    nodes: Mutex<BTreeMap<Arc<str>, Arc<Held<NodeStatus>>>>,
    scrapes: Mutex<Scrapes>,
    named_only: Mutex<Option<(Instant, Arc<[Guest]>)>>,
}

#[derive(Default)]
struct Scrapes {
    last: Option<Instant>,
    intervals: std::collections::VecDeque<Duration>,
}

type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

impl ClusterSources {
    /// The sources of the cluster `name` of `config`. Nothing is fetched yet.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn new(
        name: &str,
        config: &Config,
        clock: &Clock,
        observer: Arc<dyn Observer>,
    ) -> Result<Option<Self>, ClientError> {
        let Some(cluster) = config.clusters.get(name) else {
            return Ok(None);
        };
        let title = |source: SourceName| format!("{name}/{}", source.as_str());
        Ok(Some(Self {
            policies: SourceName::ALL
                .into_iter()
                .map(|source| (source, config.source(name, source)))
                .collect(),
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
            config: cluster.clone(),
            clock: clock.clone(),
        }))
    }

    /// The cluster's configuration and how each source is read: what decides whether a reload changes anything here.
    #[must_use]
    pub fn settings(&self) -> (&ClusterConfig, &BTreeMap<SourceName, SourcePolicy>) {
        (&self.config, &self.policies)
    }

    /// Refreshes what `selection` needs and waits for what a scrape must not do without, until `deadline`.
    pub async fn refresh(&self, selection: &Selection, deadline: tokio::time::Instant) {
        let interval = self.note_scrape();
        self.wait(self.refresh_whole(selection, interval, false), deadline)
            .await;
        if self.answered_by_minority() {
            // The first answer came from a side without quorum, and another endpoint has it.
            self.wait(self.refresh_whole(selection, interval, true), deadline).await;
        }
        if selection.contains(&SourceName::NodeStatus) {
            self.wait(self.refresh_nodes(interval), deadline).await;
        }
    }

    /// Retries what has failed, without waiting, as long as somebody scrapes.
    pub fn retry(self: &Arc<Self>) {
        let interval = self.interval();
        let window = RETRIED_AFTER_SCRAPE.max(interval * 5 / 2);
        let last = self.scrapes.lock().unwrap_or_else(PoisonError::into_inner).last;
        if last.is_none_or(|last| self.clock.now().saturating_duration_since(last) > window) {
            return;
        }
        for source in SourceName::ALL {
            if self.enabled(source) && self.retry_is_due(source) {
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
        self.policies.get(&source).is_some_and(|policy| policy.enabled)
    }

    fn pace(&self, source: SourceName) -> Pace {
        let max_age = self
            .policies
            .get(&source)
            .map_or(source.default_max_age(), |policy| policy.max_age);
        Pace::new(source, max_age)
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
        scrapes.intervals.iter().max().copied().unwrap_or_default()
    }

    async fn wait(&self, waits: Vec<Wait>, deadline: tokio::time::Instant) {
        // What is not there by then is served as it was, or is absent.
        drop(tokio::time::timeout_at(deadline, futures_util::future::join_all(waits)).await);
    }

    fn refresh_whole(&self, selection: &Selection, interval: Duration, again: bool) -> Vec<Wait> {
        let mut waits: Vec<Wait> = Vec::new();
        for source in SourceName::ALL {
            if source.per_node() || !selection.contains(&source) || !self.enabled(source) {
                continue;
            }
            let need = match again {
                false => self.need(source, interval),
                true if self.pace(source).awaited => Need {
                    refresh: true,
                    wait: true,
                },
                true => continue,
            };
            if need.refresh {
                self.start(source);
            }
            if need.wait {
                waits.push(self.ended(source));
            }
        }
        waits
    }

    fn need(&self, source: SourceName, interval: Duration) -> Need {
        let pace = self.pace(source);
        match source {
            SourceName::Resources => self.resources.need(pace, interval),
            SourceName::MetricsExport => self.samples.need(pace, interval),
            SourceName::ClusterStatus => self.status.need(pace, interval),
            SourceName::Version => self.version.need(pace, interval),
            SourceName::Permissions => self.permissions.need(pace, interval),
            SourceName::NodeStatus => Need {
                refresh: false,
                wait: false,
            },
        }
    }

    fn retry_is_due(&self, source: SourceName) -> bool {
        match source {
            SourceName::Resources => self.resources.retry_is_due(),
            SourceName::MetricsExport => self.samples.retry_is_due(),
            SourceName::ClusterStatus => self.status.retry_is_due(),
            SourceName::Version => self.version.retry_is_due(),
            SourceName::Permissions => self.permissions.retry_is_due(),
            SourceName::NodeStatus => false,
        }
    }

    fn ended(&self, source: SourceName) -> Wait {
        match source {
            SourceName::Resources => Box::pin(self.resources.ended()),
            SourceName::MetricsExport => Box::pin(self.samples.ended()),
            SourceName::ClusterStatus => Box::pin(self.status.ended()),
            SourceName::Version => Box::pin(self.version.ended()),
            SourceName::Permissions => Box::pin(self.permissions.ended()),
            SourceName::NodeStatus => Box::pin(async {}),
        }
    }

    fn start(&self, source: SourceName) {
        let client = Arc::clone(&self.client);
        match source {
            SourceName::Resources => {
                let (name, filter) = (self.name.clone(), self.config.guests.clone());
                let (memory, now) = (Arc::clone(&self.memory), self.clock.now());
                self.resources.refresh(self.in_time(source, async move {
                    resources::fetch(&client, &name, &filter, &memory, now).await
                }));
            }
            SourceName::MetricsExport => {
                let (way, clock) = (Arc::clone(&self.way), self.clock.clone());
                let online = self.online_nodes();
                self.samples.refresh(self.in_time(source, async move {
                    metrics_export::fetch(&client, &way, &clock, &online).await
                }));
            }
            SourceName::ClusterStatus => {
                self.status
                    .refresh(self.in_time(source, async move { cluster_status::fetch(&client).await }));
            }
            SourceName::Version => {
                let several = self.config.endpoints.len() > 1 && !self.config.insecure_skip_verify;
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
        let limit = self.config.refresh_timeout;
        let endpoint = self
            .config
            .endpoints
            .first()
            .map_or_else(String::new, ToString::to_string);
        async move {
            tokio::time::timeout(limit, fetch).await.unwrap_or_else(|_| {
                Err(ApiError::Timeout {
                    endpoint,
                    path: source.endpoint().to_owned(),
                    limit,
                    connected: true,
                })
            })
        }
    }

    /// The nodes that are online, as far as is known.
    fn online_nodes(&self) -> Vec<Arc<str>> {
        self.resources.latest().map_or_else(Vec::new, |resources| {
            let online = resources.value.nodes.iter().filter(|(_, node)| node.up == Some(true));
            online.map(|(name, _)| Arc::clone(name)).collect()
        })
    }

    /// Whether the newest resources came from an endpoint without quorum while another has it.
    fn answered_by_minority(&self) -> bool {
        let endpoints = self.client.endpoints().all();
        let quorate = |index: usize| endpoints.get(index).and_then(|endpoint| endpoint.quorate);
        let answered = self
            .resources
            .latest()
            .and_then(|resources| quorate(resources.value.endpoint));
        answered == Some(false)
            && self
                .client
                .active_endpoint()
                .is_some_and(|active| quorate(active) == Some(true))
    }

    fn node_statuses(&self) -> BTreeMap<Arc<str>, Arc<Held<NodeStatus>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn refresh_nodes(&self, interval: Duration) -> Vec<Wait> {
        if !self.enabled(SourceName::NodeStatus) {
            return Vec::new();
        }
        let online = self.online_nodes();
        let statuses = {
            let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            nodes.retain(|node, _| online.contains(node));
            for node in &online {
                nodes.entry(Arc::clone(node)).or_insert_with(|| {
                    let title = format!("{}/{}/{node}", self.name, SourceName::NodeStatus.as_str());
                    Held::new(title, self.clock.clone())
                });
            }
            nodes.clone()
        };
        let samples = self.samples.servable(self.pace(SourceName::MetricsExport), interval);
        let mut waits: Vec<Wait> = Vec::new();
        for (node, held) in &statuses {
            let mut pace = self.pace(SourceName::NodeStatus);
            if !samples.as_ref().is_some_and(|samples| samples.nodes.contains_key(node)) {
                pace.max_age = pace.max_age.min(STAND_IN_MAX_AGE);
            }
            let need = held.need(pace, interval);
            if need.refresh {
                self.start_node(node, held);
            }
            if need.wait {
                waits.push(Box::pin(held.ended()));
            }
        }
        waits
    }

    /// The rows that may be served at this moment.
    #[must_use]
    pub fn rows(&self, selection: &Selection) -> Rows {
        let interval = self.interval();
        let shown = |source: SourceName| selection.contains(&source) && self.enabled(source);
        let resources = shown(SourceName::Resources)
            .then(|| self.resources.servable(self.pace(SourceName::Resources), interval))
            .flatten();
        let samples = shown(SourceName::MetricsExport)
            .then(|| self.samples.servable(self.pace(SourceName::MetricsExport), interval))
            .flatten();
        let status = shown(SourceName::ClusterStatus)
            .then(|| self.status.servable(self.pace(SourceName::ClusterStatus), interval))
            .flatten();
        let version = shown(SourceName::Version)
            .then(|| self.version.servable(self.pace(SourceName::Version), interval))
            .flatten();
        let permissions = shown(SourceName::Permissions)
            .then(|| self.permissions.servable(self.pace(SourceName::Permissions), interval))
            .flatten();
        let remembered = match &resources {
            Some(_) => None,
            None if shown(SourceName::Resources) => self.remembered(),
            None => None,
        };
        let sources = self.source_rows(selection);
        Rows {
            cluster: Arc::from([Cluster {
                identity: Identity::new(&[("pve_cluster", &self.name)]),
                up: self.reachable(),
                membership: status.as_ref().map(|status| status.membership.clone()),
                version: version.as_deref().cloned(),
                tls_verification: !self.config.insecure_skip_verify,
            }]),
            apis: self.api_rows(),
            nodes: self.node_rows(
                resources.as_deref(),
                remembered.as_deref(),
                samples.as_deref(),
                status.as_deref(),
                shown(SourceName::NodeStatus),
                interval,
            ),
            storages: resources.as_ref().map_or_else(Arc::default, |resources| {
                self.storage_rows(resources, samples.as_deref())
            }),
            pools: resources
                .as_ref()
                .map_or_else(Arc::default, |resources| Arc::clone(&resources.pools)),
            networks: resources
                .as_ref()
                .map_or_else(Arc::default, |resources| Arc::clone(&resources.networks)),
            guests: match (&resources, &remembered) {
                (Some(resources), _) => Arc::clone(&resources.guests),
                (None, Some(remembered)) => self.named_only(remembered),
                (None, None) => Arc::default(),
            },
            permissions: permissions.map_or_else(Arc::default, |permissions| permissions.iter().cloned().collect()),
            sources: sources.0,
            failures: sources.1,
        }
    }

    fn reachable(&self) -> Option<bool> {
        let endpoints = self.client.endpoints().all();
        if endpoints.iter().any(|endpoint| endpoint.reachable == Some(true)) {
            return Some(true);
        }
        endpoints
            .iter()
            .any(|endpoint| endpoint.reachable == Some(false))
            .then_some(false)
    }

    /// Resources too old to be served, whose names are still good.
    fn remembered(&self) -> Option<Arc<Resources>> {
        let latest = self.resources.latest()?;
        (self.clock.now().saturating_duration_since(latest.at) < TEXT_REMEMBERED).then_some(latest.value)
    }

    fn named_only(&self, resources: &Arc<Resources>) -> Arc<[Guest]> {
        let Some(latest) = self.resources.latest() else {
            return Arc::default();
        };
        let mut named_only = self.named_only.lock().unwrap_or_else(PoisonError::into_inner);
        match &*named_only {
            Some((at, guests)) if *at == latest.at => Arc::clone(guests),
            _ => {
                let guests: Arc<[Guest]> = resources.guests.iter().map(Guest::without_figures).collect();
                *named_only = Some((latest.at, Arc::clone(&guests)));
                guests
            }
        }
    }

    fn api_rows(&self) -> Arc<[Api]> {
        let active = self.client.active_endpoint();
        let row = |(index, endpoint): (usize, crate::pve::endpoints::Endpoint)| Api {
            identity: Identity::new(&[
                ("pve_cluster", &self.name),
                ("endpoint", endpoint.url.as_str().trim_end_matches('/')),
            ]),
            up: endpoint.reachable,
            active: active == Some(index),
        };
        self.client.endpoints().all().into_iter().enumerate().map(row).collect()
    }

    fn node_rows(
        &self,
        resources: Option<&Resources>,
        remembered: Option<&Resources>,
        samples: Option<&NodeSamples>,
        status: Option<&ClusterStatus>,
        with_system: bool,
        interval: Duration,
    ) -> Arc<[Node]> {
        let statuses = self.node_statuses();
        let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
        names.extend(
            resources
                .or(remembered)
                .into_iter()
                .flat_map(|resources| resources.nodes.keys().cloned()),
        );
        names.extend(status.into_iter().flat_map(|status| status.nodes.keys().cloned()));
        let empty: Arc<str> = "".into();
        let row = |name: Arc<str>| {
            let row = resources.and_then(|resources| resources.nodes.get(&name));
            let text = row.or_else(|| remembered.and_then(|resources| resources.nodes.get(&name)));
            let member = status.and_then(|status| status.nodes.get(&name));
            let up = match row {
                Some(row) => row.up,
                None => member.and_then(|member| member.online),
            };
            let own = statuses
                .get(&name)
                .filter(|_| with_system && up != Some(false))
                .and_then(|held| held.servable(self.pace(SourceName::NodeStatus), interval));
            let sampled = samples.and_then(|samples| samples.nodes.get(&name)).copied();
            let stand_in = own.as_ref().map(|own| own.activity);
            // An offline node's last sample stays in its file; it is not the node's state any more.
            let activity = sampled.or(stand_in).filter(|_| up != Some(false)).unwrap_or_default();
            Node {
                identity: Identity::new(&[
                    ("pve_cluster", &self.name),
                    ("id", &format!("node/{name}")),
                    ("node", &name),
                ]),
                up,
                level: text.map_or_else(|| Arc::clone(&empty), |row| Arc::clone(&row.level)),
                ha_state: row.and_then(|row| row.ha_state.clone()),
                nodeid: member.and_then(|member| member.nodeid),
                ip: member.map_or_else(|| Arc::clone(&empty), |member| Arc::clone(&member.ip)),
                cgroup_mode: text.and_then(|row| row.cgroup_mode),
                uptime: row.and_then(|row| row.uptime),
                cpu_usage: row.and_then(|row| row.cpu_usage),
                cpus: row.and_then(|row| row.cpus),
                memory_size: row.and_then(|row| row.memory_size),
                memory_usage: row.and_then(|row| row.memory_usage),
                root_size: row.and_then(|row| row.root_size),
                root_usage: row.and_then(|row| row.root_usage),
                activity: Activity { ..activity },
                system: own.map(|own| Arc::clone(&own.system)),
                name,
            }
        };
        names.into_iter().map(row).collect()
    }

    fn storage_rows(&self, resources: &Resources, samples: Option<&NodeSamples>) -> Arc<[Storage]> {
        let sampled_at = |node: &str| samples.and_then(|samples| samples.nodes.get(node)?.sample_time);
        let mut rows = Vec::with_capacity(resources.storages.len());
        let mut shared: BTreeMap<&Arc<str>, &resources::StorageRow> = BTreeMap::new();
        for row in &resources.storages {
            let is_shared = row.on_node.shared == Some(true);
            if is_shared && row.size.is_some() {
                let freshest = shared.entry(&row.name).or_insert(row);
                if sampled_at(&row.node) > sampled_at(&freshest.node) {
                    *freshest = row;
                }
            }
            rows.push(Storage {
                identity: row.identity.clone(),
                on_node: Some(row.on_node.clone()),
                size: row.size.filter(|_| !is_shared),
                usage: row.usage.filter(|_| !is_shared),
            });
        }
        rows.extend(shared.into_iter().map(|(name, row)| Storage {
            identity: Identity::new(&[("pve_cluster", &self.name), ("storage", name)]),
            on_node: None,
            size: row.size,
            usage: row.usage,
        }));
        rows.into()
    }

    fn source_rows(&self, selection: &Selection) -> (Arc<[Source]>, Arc<[SourceFailure]>) {
        let mut rows = SourceRows {
            cluster: &self.name,
            sources: Vec::new(),
            failures: Vec::new(),
        };
        for source in SourceName::ALL
            .into_iter()
            .filter(|source| selection.contains(source) && self.enabled(*source))
        {
            match source {
                SourceName::Resources => rows.add(source, "", &self.resources, |value| Some(value.damaged_rows)),
                SourceName::MetricsExport => rows.add(source, "", &self.samples, |value| Some(value.damaged_rows)),
                SourceName::ClusterStatus => rows.add(source, "", &self.status, |value| Some(value.damaged_rows)),
                SourceName::Version => rows.add(source, "", &self.version, |_| None),
                SourceName::Permissions => rows.add(source, "", &self.permissions, |_| None),
                SourceName::NodeStatus => {
                    for (node, held) in self.node_statuses() {
                        rows.add(source, &node, &held, |_| None);
                    }
                }
            }
        }
        (rows.sources.into(), rows.failures.into())
    }
}

struct SourceRows<'a> {
    cluster: &'a str,
    sources: Vec<Source>,
    failures: Vec<SourceFailure>,
}

impl SourceRows<'_> {
    fn add<T: Send + Sync + 'static>(
        &mut self,
        source: SourceName,
        node: &str,
        held: &Held<T>,
        damaged_rows: impl FnOnce(&T) -> Option<u64>,
    ) {
        let Record {
            up, duration, failures, ..
        } = held.record();
        let latest = held.latest();
        let labels = [
            ("pve_cluster", self.cluster),
            ("source", source.as_str()),
            ("node", node),
        ];
        self.sources.push(Source {
            identity: Identity::new(&labels),
            up,
            duration: duration.map(|duration| duration.as_secs_f64()),
            last_success: latest.as_ref().map(|latest| latest.unix_seconds),
            damaged_rows: latest.as_ref().and_then(|latest| damaged_rows(&latest.value)),
        });
        for (reason, failures) in failures {
            let [cluster, source, node] = labels;
            let identity = Identity::new(&[cluster, source, node, ("reason", reason.as_str())]);
            self.failures.push(SourceFailure { identity, failures });
        }
    }
}
