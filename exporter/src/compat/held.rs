//! What is held of one target, for all scrapes of it.
//!
//! A scrape waits for what it has no servable value of, and what every scrape shows is never older than ten seconds; everything
//! else is refreshed behind it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{join, join_all};

use crate::clock::Clock;
use crate::compat::collector::{Collector, Collectors};
use crate::compat::families::{NodeView, Outcome, View};
use crate::compat::onboot::OnbootConfigs;
use crate::compat::parameters::Nodes;
use crate::compat::part::Part;
use crate::compat::rows::{self, Job, QDevice, Resources, Status, Subscription, Version};
use crate::config::{Cluster, GuestFilter};
use crate::pve::budget::Cost;
use crate::pve::client::{Client, Place, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::intervals::Intervals;
use crate::sources::pace::Pace;

/// For how long after a scrape what failed is still retried, at least: nothing asks PVE when nobody scrapes.
const RETRIED_AFTER_SCRAPE: Duration = Duration::from_secs(360);

const fn seconds(max_age: u64, live: bool) -> Pace {
    Pace {
        max_age: Duration::from_secs(max_age),
        awaited: false,
        live,
    }
}

/// What dashboards show: as old as PVE's own samples.
const FIGURES: Pace = Pace {
    awaited: true,
    ..seconds(10, true)
};
const VERSION: Pace = seconds(3600, false);
const BACKUP_INFO: Pace = seconds(300, false);
const QDEVICE: Pace = seconds(120, true);
const SUBSCRIPTION: Pace = seconds(3600, false);
const REPLICATION: Pace = seconds(120, true);
/// Which node is behind an endpoint.
const LOCAL: Pace = seconds(3600, false);

/// What a scrape wants of a target.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The collectors.
    pub collectors: Collectors,
    /// The nodes of which it wants what each knows by itself.
    pub nodes: Nodes,
}

/// A target and what is held of it.
pub struct HeldTarget {
    title: String,
    client: Arc<Client>,
    clock: Clock,
    limit: Duration,
    filtered: bool,
    intervals: Mutex<Intervals>,
    status: Part<Status>,
    resources: Arc<Part<Resources>>,
    version: Part<Version>,
    not_backed_up: Part<Vec<Box<str>>>,
    qdevice: Part<Option<QDevice>>,
    /// The node behind the endpoint that the target names, where the client has several.
    home: Option<Part<Option<Arc<str>>>>,
    nodes: Mutex<BTreeMap<Arc<str>, Arc<Node>>>,
}

/// What is held of one of its nodes.
struct Node {
    subscription: Part<Subscription>,
    jobs: Part<Vec<Job>>,
    onboot: OnbootConfigs,
}

impl HeldTarget {
    /// The target that `client` asks, called `title` in log lines. It names the endpoint `home` where the client has several. Its
    /// guests are those that `config` reports on.
    #[must_use]
    pub fn new(title: String, client: Arc<Client>, home: Option<usize>, config: &Cluster, clock: &Clock) -> Self {
        let (limit, filter) = (config.refresh_timeout, config.guests.clone());
        let of = Builder {
            title: &title,
            client: &client,
            clock,
            limit,
        };
        Self {
            status: {
                let client = Arc::clone(&client);
                Part::new(format!("{title}/status"), clock, FIGURES, move || {
                    limited(limit, status(Arc::clone(&client)))
                })
            },
            filtered: filter != GuestFilter::default(),
            resources: Arc::new(of.entry("resources", "/cluster/resources", FIGURES, move |body| {
                Resources::read(body, &filter)
            })),
            version: of.entry("version", "/version", VERSION, Version::read),
            not_backed_up: of.entry(
                "backup-info",
                "/cluster/backup-info/not-backed-up",
                BACKUP_INFO,
                rows::not_backed_up,
            ),
            qdevice: of.entry("qdevice", "/cluster/config/qdevice", QDEVICE, QDevice::read),
            home: home.map(|index| {
                let request = Request {
                    place: Place::Endpoint(index),
                    ..Request::entry("/cluster/status")
                };
                of.part("home", LOCAL, request, |body| {
                    Status::read(body).map(|status| status.local().cloned())
                })
            }),
            nodes: Mutex::default(),
            intervals: Mutex::default(),
            clock: clock.clone(),
            limit,
            client,
            title,
        }
    }

    /// When it was scraped last.
    #[must_use]
    pub fn last_scraped(&self) -> Option<std::time::Instant> {
        self.lock_intervals().last()
    }

    fn lock_intervals(&self) -> std::sync::MutexGuard<'_, Intervals> {
        self.intervals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Refreshes what `wanted` needs and shows what there is at `deadline`.
    pub async fn scrape(&self, wanted: &Wanted, deadline: tokio::time::Instant) -> View {
        let interval = {
            let mut intervals = self.lock_intervals();
            intervals.note(self.clock.now());
            intervals.interval()
        };
        let needs = |collectors: &[Collector]| collectors.iter().any(|one| wanted.collectors.contains(one));
        let figures = async {
            let names_guests = self.filtered && needs(&[Collector::BackupInfo, Collector::Replication]);
            if names_guests || needs(&[Collector::Status, Collector::Resources, Collector::Config]) {
                self.resources.refresh(interval, deadline).await;
            }
        };
        let status = async {
            // Version and resources alone stand without it.
            if wanted
                .collectors
                .iter()
                .any(|one| !matches!(one, Collector::Version | Collector::Resources))
            {
                self.status.refresh(interval, deadline).await;
            }
            if let Some(home) = self.home.as_ref().filter(|_| wanted.nodes == Nodes::Local) {
                home.refresh(interval, deadline).await;
            }
        };
        let rest = async {
            if needs(&[Collector::Version]) {
                self.version.refresh(interval, deadline).await;
            }
            if needs(&[Collector::BackupInfo]) {
                self.not_backed_up.refresh(interval, deadline).await;
            }
        };
        join(join(figures, status), rest).await;
        let status = self.status.servable(interval);
        let clustered = status.as_ref().is_some_and(|status| status.cluster.is_some());
        let nodes = self.nodes(wanted.nodes, status.as_deref());
        let qdevice = async {
            if clustered && needs(&[Collector::QDevice]) {
                self.qdevice.refresh(interval, deadline).await;
            }
        };
        let of_nodes = nodes.iter().map(|(_, node)| node.refresh(wanted, interval, deadline));
        join(qdevice, join_all(of_nodes)).await;
        View {
            collectors: wanted.collectors.iter().copied().collect(),
            resources: self.resources.servable(interval),
            filtered: self.filtered,
            version: self.version.servable(interval),
            not_backed_up: self.not_backed_up.servable(interval),
            qdevice: self.qdevice.servable(interval),
            nodes: nodes
                .iter()
                .map(|(name, node)| self.view(name, node, interval))
                .collect(),
            outcomes: self.outcomes(wanted, clustered, &nodes),
            status,
        }
    }

    fn view(&self, name: &Arc<str>, node: &Node, interval: Duration) -> NodeView {
        let resources = self.resources.servable(interval);
        NodeView {
            name: Arc::clone(name),
            subscription: node.subscription.servable(interval),
            jobs: node.jobs.servable(interval),
            onboot: node
                .onboot
                .shown(resources.as_deref().map_or(&[], |resources| &resources.rows), interval),
        }
    }

    fn outcomes(&self, wanted: &Wanted, clustered: bool, nodes: &[(Arc<str>, Arc<Node>)]) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        for &collector in &wanted.collectors {
            let status = self.status.is_up();
            let success = match collector {
                Collector::Status => status && self.resources.is_up(),
                Collector::Resources => self.resources.is_up(),
                Collector::Node | Collector::Cluster => status,
                Collector::Version => self.version.is_up(),
                Collector::BackupInfo => status && self.not_backed_up.is_up(),
                Collector::QDevice => status && (!clustered || self.qdevice.is_up()),
                Collector::Subscription | Collector::Config | Collector::Replication => {
                    outcomes.extend(nodes.iter().map(|(name, node)| Outcome {
                        collector,
                        node: Some(Arc::clone(name)),
                        success: node.is_up(collector) && (collector != Collector::Config || self.resources.is_up()),
                    }));
                    if !nodes.is_empty() {
                        continue;
                    }
                    // Nobody knows which node it would be.
                    false
                }
            };
            outcomes.push(Outcome {
                collector,
                node: None,
                success,
            });
        }
        outcomes
    }

    /// The nodes that are wanted and known; what is held of those that are gone is forgotten.
    fn nodes(&self, wanted: Nodes, status: Option<&Status>) -> Vec<(Arc<str>, Arc<Node>)> {
        let Some(status) = status else { return Vec::new() };
        let home = self
            .home
            .as_ref()
            .map(|home| home.latest().as_deref().cloned().flatten());
        let local = home.unwrap_or_else(|| status.local().cloned());
        let mut held = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|name, _| status.nodes.iter().any(|node| node.name == *name));
        let is_wanted = |name: &Arc<str>| match wanted {
            Nodes::None => false,
            Nodes::Local => local.as_ref() == Some(name),
            Nodes::All => true,
        };
        let names = status
            .nodes
            .iter()
            .map(|node| &node.name)
            .filter(|name| is_wanted(name));
        names
            .map(|name| {
                let node = held
                    .entry(Arc::clone(name))
                    .or_insert_with(|| Arc::new(self.node(name)));
                (Arc::clone(name), Arc::clone(node))
            })
            .collect()
    }

    fn node(&self, name: &Arc<str>) -> Node {
        let of = Builder {
            title: &format!("{}/{name}", self.title),
            client: &self.client,
            clock: &self.clock,
            limit: self.limit,
        };
        let at = |path| Request::node(name, path, Cost::Cheap);
        Node {
            subscription: of.part("subscription", SUBSCRIPTION, at("subscription"), Subscription::read),
            jobs: of.part("replication", REPLICATION, at("replication"), rows::jobs),
            onboot: OnbootConfigs::new(
                format!("{}/{name}/config", self.title),
                &self.clock,
                &self.client,
                name,
                Arc::clone(&self.resources),
                self.limit,
            ),
        }
    }

    /// Tries again what has failed, as long as somebody scrapes. To be called about once a second.
    pub fn retry(&self) {
        let (last, interval) = {
            let intervals = self.lock_intervals();
            (intervals.last(), intervals.interval())
        };
        let window = RETRIED_AFTER_SCRAPE.max(interval * 5 / 2);
        if last.is_none_or(|last| self.clock.now().saturating_duration_since(last) > window) {
            return;
        }
        self.status.retry();
        self.resources.retry();
        self.version.retry();
        self.not_backed_up.retry();
        self.qdevice.retry();
        if let Some(home) = &self.home {
            home.retry();
        }
        for node in self.nodes.lock().unwrap_or_else(PoisonError::into_inner).values() {
            node.subscription.retry();
            node.jobs.retry();
            node.onboot.retry();
        }
        let client = Arc::clone(&self.client);
        tokio::spawn(async move { client.probe().await });
    }
}

impl Node {
    async fn refresh(&self, wanted: &Wanted, interval: Duration, deadline: tokio::time::Instant) {
        let wants = |collector| wanted.collectors.contains(&collector);
        let subscription = async {
            if wants(Collector::Subscription) {
                self.subscription.refresh(interval, deadline).await;
            }
        };
        let jobs = async {
            if wants(Collector::Replication) {
                self.jobs.refresh(interval, deadline).await;
            }
        };
        let onboot = async {
            if wants(Collector::Config) {
                self.onboot.refresh(interval, deadline).await;
            }
        };
        join(join(subscription, jobs), onboot).await;
    }

    fn is_up(&self, collector: Collector) -> bool {
        match collector {
            Collector::Subscription => self.subscription.is_up(),
            Collector::Replication => self.jobs.is_up(),
            _ => self.onboot.is_up(),
        }
    }
}

/// Reads the status, and tells the client what it says of endpoints and nodes.
async fn status(client: Arc<Client>) -> Result<Status, ApiError> {
    let request = Request::entry("/cluster/status");
    let answer = client.get(&request).await?;
    let quorate = answer.decode(&request.path, |body| client.learn_from_status(answer.endpoint, body))?;
    let status = answer.decode(&request.path, Status::read)?;
    if quorate {
        let offline = status.nodes.iter().filter(|node| node.online == Some(false));
        client
            .offline()
            .replace(offline.map(|node| Arc::clone(&node.name)).collect());
    }
    Ok(status)
}

async fn limited<T>(limit: Duration, fetch: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    tokio::time::timeout(limit, fetch).await.unwrap_or_else(|_| {
        Err(ApiError::Timeout {
            endpoint: "the target".to_owned(),
            path: String::new(),
            limit,
        })
    })
}

/// What all parts of a target, or of one of its nodes, are built with.
struct Builder<'a> {
    title: &'a str,
    client: &'a Arc<Client>,
    clock: &'a Clock,
    limit: Duration,
}

impl Builder<'_> {
    fn entry<T: Send + Sync + 'static>(
        &self,
        name: &str,
        path: &str,
        pace: Pace,
        read: impl Fn(&[u8]) -> Result<T, DecodeError> + Clone + Send + Sync + 'static,
    ) -> Part<T> {
        self.part(name, pace, Request::entry(path), read)
    }

    fn part<T: Send + Sync + 'static>(
        &self,
        name: &str,
        pace: Pace,
        request: Request,
        read: impl Fn(&[u8]) -> Result<T, DecodeError> + Clone + Send + Sync + 'static,
    ) -> Part<T> {
        let (client, limit) = (Arc::clone(self.client), self.limit);
        Part::new(format!("{}/{name}", self.title), self.clock, pace, move || {
            let (client, request, read) = (Arc::clone(&client), request.clone(), read.clone());
            limited(limit, async move {
                let answer = client.get(&request).await?;
                answer.decode(&request.path, &read)
            })
        })
    }
}
