//! A source of one cluster, whatever it brings: [`Whole`] where one answer covers the cluster, [`PerNode`] where each node has its own.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::config::SourcePolicy;
use crate::pve::budget::Cost;
use crate::pve::client::Client;
use crate::pve::error::ApiError;
use crate::sources::held::{Dated, Held, Record, Rests};
use crate::sources::name::SourceName;
use crate::sources::pace::Pace;
use crate::sources::turns::Turns;

/// How long a node may go on with a call that nobody waits for any more: as long as it asks a backup server.
const LONGEST_CALL: Duration = Duration::from_secs(120);

/// After how long a node is asked again for what it does not have.
const ABSENT: Duration = Duration::from_secs(3600);

/// How a source fared, at one node where it is kept per node.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The node; empty for a source of the whole cluster.
    pub node: Arc<str>,
    /// The storage, of a source that is kept per storage.
    pub storage: Arc<str>,
    /// How the refreshes have gone.
    pub record: Record,
    /// When the newest value was read, in Unix seconds.
    pub last_success: Option<f64>,
    /// Rows of that value that could not be read.
    pub damaged_rows: Option<u64>,
}

/// What the rest of a cluster needs of a source without knowing what it brings.
pub trait Source: Send + Sync {
    /// Its name.
    fn name(&self) -> SourceName;

    /// Starts what is due, and returns what a scrape has to wait for until `deadline`. `interval` is the time between scrapes.
    fn refresh(&self, interval: Duration, deadline: tokio::time::Instant) -> Vec<BoxFuture<'_, ()>>;

    /// Starts again what has failed and may be tried again.
    fn retry(&self);

    /// How it fared, by node.
    fn outcomes(&self) -> Vec<Outcome>;
}

/// What all sources of one cluster are built with.
pub struct Wiring<'a> {
    /// The cluster's name.
    pub cluster: &'a str,
    /// The client.
    pub client: &'a Arc<Client>,
    /// The clock.
    pub clock: &'a Clock,
    /// The time that one refresh may take.
    pub refresh_timeout: Duration,
    /// How each source is read.
    pub policies: &'a BTreeMap<SourceName, SourcePolicy>,
}

impl Wiring<'_> {
    /// The pace of a source.
    #[must_use]
    pub fn pace(&self, source: SourceName) -> Pace {
        let policy = self.policies.get(&source);
        Pace::new(source, policy.map_or(source.default_max_age(), |policy| policy.max_age))
    }

    /// The time that one refresh of a source may take.
    #[must_use]
    pub fn limit(&self, source: SourceName) -> Limit {
        Limit {
            time: self.refresh_timeout,
            cluster: format!("cluster {}", self.cluster),
            source,
        }
    }

    fn rests(&self, source: SourceName) -> Rests {
        let (least, most) = (source.least_max_age(), self.pace(source).longest_rest());
        match source.cost() {
            Cost::Cheap | Cost::Agent => Rests {
                most,
                ..Rests::default()
            },
            Cost::Slow | Cost::Storage => Rests {
                least,
                most,
                abandoned: least.max(LONGEST_CALL),
            },
        }
    }

    /// A source of the whole cluster, read with `fetch`.
    pub fn whole<T, F>(&self, source: SourceName, fetch: impl Fn(Arc<Client>) -> F + Send + Sync + 'static) -> Whole<T>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, ApiError>> + Send + 'static,
    {
        let (client, limit) = (Arc::clone(self.client), self.limit(source));
        Whole {
            name: source,
            pace: self.pace(source),
            held: Held::resting(
                format!("{}/{}", self.cluster, source.as_str()),
                self.clock.clone(),
                self.rests(source),
            ),
            fetch: Box::new(move || Box::pin(limit.clone().apply(fetch(Arc::clone(&client))))),
            damaged: |_| None,
        }
    }

    /// A source that each node has, read with `fetch`.
    pub fn per_node<T, F>(
        &self,
        source: SourceName,
        fetch: impl Fn(Arc<Client>, Arc<str>) -> F + Send + Sync + 'static,
    ) -> PerNode<T>
    where
        T: Send + Sync + 'static,
        F: Future<Output = Result<T, ApiError>> + Send + 'static,
    {
        let (client, limit) = (Arc::clone(self.client), self.limit(source));
        PerNode {
            name: source,
            pace: self.pace(source),
            title: format!("{}/{}", self.cluster, source.as_str()),
            turns: Mutex::default(),
            began: self.clock.now(),
            clock: self.clock.clone(),
            rests: self.rests(source),
            client: Arc::clone(self.client),
            nodes: Mutex::default(),
            fetch: Box::new(move |node| Box::pin(limit.clone().apply(fetch(Arc::clone(&client), node)))),
            damaged: |_| None,
            absent: |_| false,
        }
    }
}

/// The time that a whole refresh may take.
#[derive(Clone)]
pub struct Limit {
    time: Duration,
    cluster: String,
    source: SourceName,
}

impl Limit {
    /// `fetch`, or an error when it takes longer.
    ///
    /// # Errors
    /// Those of `fetch`, and [`ApiError::Timeout`].
    pub async fn apply<T>(self, fetch: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        let Self { time, cluster, source } = self;
        tokio::time::timeout(time, fetch).await.unwrap_or_else(|_| {
            Err(ApiError::Timeout {
                endpoint: cluster,
                path: source.endpoint().to_owned(),
                limit: time,
            })
        })
    }
}

type Fetch<T> = Box<dyn Fn() -> BoxFuture<'static, Result<T, ApiError>> + Send + Sync>;
type NodeFetch<T> = Box<dyn Fn(Arc<str>) -> BoxFuture<'static, Result<T, ApiError>> + Send + Sync>;

/// A source of the whole cluster.
pub struct Whole<T> {
    name: SourceName,
    pace: Pace,
    held: Arc<Held<T>>,
    fetch: Fetch<T>,
    damaged: fn(&T) -> Option<u64>,
}

impl<T: Send + Sync + 'static> Whole<T> {
    /// The same, with a way to tell how many rows of a value could not be read.
    #[must_use]
    pub fn damaged_by(mut self, damaged: fn(&T) -> Option<u64>) -> Self {
        self.damaged = damaged;
        self
    }

    /// What holds its value.
    #[must_use]
    pub fn held(&self) -> &Arc<Held<T>> {
        &self.held
    }

    /// Starts a refresh unless one is under way.
    pub fn start(&self) {
        self.held.refresh((self.fetch)());
    }

    /// The newest value if it may still be served.
    #[must_use]
    pub fn servable(&self, interval: Duration) -> Option<Dated<T>> {
        self.held.servable(self.pace, interval)
    }
}

impl<T: Send + Sync + 'static> Source for Whole<T> {
    fn name(&self) -> SourceName {
        self.name
    }

    fn refresh(&self, interval: Duration, deadline: tokio::time::Instant) -> Vec<BoxFuture<'_, ()>> {
        let need = self.held.need(self.pace, interval);
        if need.refresh {
            self.start();
        }
        if need.wait {
            vec![Box::pin(self.held.ended(deadline))]
        } else {
            Vec::new()
        }
    }

    fn retry(&self) {
        if self.held.retry_is_due() {
            self.start();
        }
    }

    fn outcomes(&self) -> Vec<Outcome> {
        vec![outcome(Arc::default(), &self.held, self.damaged)]
    }
}

/// A source that each node has.
pub struct PerNode<T> {
    name: SourceName,
    pace: Pace,
    title: String,
    clock: Clock,
    began: Instant,
    turns: Mutex<Option<Turns>>,
    rests: Rests,
    client: Arc<Client>,
    nodes: Mutex<BTreeMap<Arc<str>, Arc<Held<T>>>>,
    fetch: NodeFetch<T>,
    damaged: fn(&T) -> Option<u64>,
    absent: fn(&T) -> bool,
}

impl<T: Send + Sync + 'static> PerNode<T> {
    /// The same, with a way to tell how many rows of a value could not be read.
    #[must_use]
    pub fn damaged_by(mut self, damaged: fn(&T) -> Option<u64>) -> Self {
        self.damaged = damaged;
        self
    }

    /// The same, with a way to tell that a node does not have what is asked for: it is asked seldom then.
    #[must_use]
    pub fn absent_by(mut self, absent: fn(&T) -> bool) -> Self {
        self.absent = absent;
        self
    }

    /// The pace at every node.
    #[must_use]
    pub fn pace(&self) -> Pace {
        self.pace
    }

    /// Says which nodes there are; what others brought is forgotten.
    pub fn set_nodes(&self, listed: &[Arc<str>]) {
        let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        nodes.retain(|node, _| listed.contains(node));
        for node in listed {
            nodes
                .entry(Arc::clone(node))
                .or_insert_with(|| Held::resting(format!("{}/{node}", self.title), self.clock.clone(), self.rests));
        }
    }

    /// What holds the value of each node.
    #[must_use]
    pub fn nodes(&self) -> BTreeMap<Arc<str>, Arc<Held<T>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The newest value of each node that may still be served.
    #[must_use]
    pub fn servable(&self, interval: Duration) -> BTreeMap<Arc<str>, Dated<T>> {
        let nodes = self.nodes().into_iter();
        nodes
            .filter_map(|(node, held)| Some((node, held.servable(self.pace, interval)?)))
            .collect()
    }

    /// As [`Source::refresh`], with a pace of its own for each node.
    pub async fn refresh_at(
        &self,
        pace: impl Fn(&Arc<str>) -> Pace,
        interval: Duration,
        deadline: tokio::time::Instant,
    ) {
        let waits = self.start_due(pace, interval);
        futures_util::future::join_all(waits.iter().map(|held| held.ended(deadline))).await;
    }

    /// Starts what is due, at each node with a pace of its own, and returns what a scrape has to wait for.
    pub fn start_due(&self, pace: impl Fn(&Arc<str>) -> Pace, interval: Duration) -> Vec<Arc<Held<T>>> {
        let nodes = self.nodes();
        let (passed, number) = (self.clock.now().saturating_duration_since(self.began), nodes.len());
        let due = (0..).zip(nodes).filter_map(|(index, (node, held))| {
            let need = held.need(pace(&node), interval);
            if need.refresh || self.has_turn(index, number, passed, &held) {
                self.start(&node, &held);
            }
            need.wait.then_some(held)
        });
        due.collect()
    }

    fn has_turn(&self, index: u32, number: usize, passed: Duration, held: &Held<T>) -> bool {
        let turn = self.pace.turn(index, number, passed);
        turn.is_some_and(|turn| held.is_older(self.began + turn))
    }

    /// Starts what is due of what no scrape waits for.
    pub fn start_in_turn(&self) {
        let (now, nodes) = (self.clock.now(), self.nodes());
        let number = nodes.len();
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, (node, held)) in (0..).zip(nodes) {
            if held.record().up == Some(false) || !held.may_start() {
                continue;
            }
            let latest = held.latest();
            let age = latest.as_ref().map(|latest| now.saturating_duration_since(latest.at));
            let absent = latest.is_some_and(|latest| (self.absent)(&latest.value));
            let pace = Pace {
                max_age: self.pace.max_age.max(if absent { ABSENT } else { Duration::ZERO }),
                live: self.pace.live && !absent,
                ..self.pace
            };
            // They begin with the first node that is known.
            let turns = turns.get_or_insert_with(|| Turns::new(now));
            if turns.is_due(pace, index, number, age, now) {
                self.start(&node, &held);
            }
        }
    }

    /// Starts again what has failed and may be tried again.
    pub(crate) fn retry_failed(&self) {
        for (node, held) in self.nodes() {
            let name = node.split('/').next().unwrap_or_default();
            let back_at = || self.client.silent().back_at(name);
            // What failed since the node was silent need not rest any longer.
            if held.retry_is_due() || back_at().is_some_and(|back_at| held.failed_before(back_at)) {
                self.start(&node, &held);
            }
        }
    }

    /// Starts a refresh at `node` unless one is under way there.
    pub fn start(&self, node: &Arc<str>, held: &Arc<Held<T>>) {
        held.refresh((self.fetch)(Arc::clone(node)));
    }
}

impl<T: Send + Sync + 'static> Source for PerNode<T> {
    fn name(&self) -> SourceName {
        self.name
    }

    fn refresh(&self, interval: Duration, deadline: tokio::time::Instant) -> Vec<BoxFuture<'_, ()>> {
        vec![Box::pin(self.refresh_at(|_| self.pace, interval, deadline))]
    }

    fn retry(&self) {
        self.retry_failed();
        let (passed, nodes) = (self.clock.now().saturating_duration_since(self.began), self.nodes());
        let number = nodes.len();
        for (index, (node, held)) in (0..).zip(nodes) {
            if self.has_turn(index, number, passed, &held) {
                self.start(&node, &held);
            }
        }
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let nodes = self.nodes().into_iter();
        nodes.map(|(node, held)| outcome(node, &held, self.damaged)).collect()
    }
}

fn outcome<T: Send + Sync + 'static>(node: Arc<str>, held: &Held<T>, damaged: fn(&T) -> Option<u64>) -> Outcome {
    let latest = held.latest();
    Outcome {
        node,
        storage: Arc::default(),
        record: held.record(),
        last_success: latest.as_ref().map(|latest| latest.unix_seconds),
        damaged_rows: latest.as_ref().and_then(|latest| damaged(&latest.value)),
    }
}
