//! What is held of one target, for all scrapes of it.
//!
//! What every scrape shows is never older than ten seconds, and a scrape waits for it; everything else is refreshed behind scrapes.
//! Whatever failed at the last attempt is not shown, and nothing at all of a target that does not answer now: what was true of it
//! when it still did would pass for the present.

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
use crate::compat::rows::{self, Job, Member, QDevice, Resources, Status, Subscription, Version};
use crate::config::{Cluster, GuestFilter};
use crate::pve::budget::Cost;
use crate::pve::client::{Client, Place, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::intervals::Intervals;
use crate::sources::pace::Pace;

/// For how long after a scrape what failed is still retried, at least: nothing asks PVE when nobody scrapes.
const RETRIED_AFTER_SCRAPE: Duration = Duration::from_secs(360);

/// For how long after a scrape a target is held, at least.
const KEPT_AFTER_SCRAPE: Duration = Duration::from_secs(15 * 60);

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
    nodes: Mutex<BTreeMap<Arc<str>, Arc<Node>>>,
}

/// What is held of one of its nodes.
struct Node {
    subscription: Part<Subscription>,
    jobs: Part<Vec<Job>>,
    onboot: OnbootConfigs,
}

/// A node that a scrape wants.
struct KnownNode {
    name: Arc<str>,
    node: Arc<Node>,
    /// Whether the cluster says so.
    online: bool,
}

impl HeldTarget {
    /// The target that `client` asks, called `title` in log lines. It is the endpoint `home` where the client has several. Its
    /// guests are those that `config` reports on.
    #[must_use]
    pub fn new(title: String, client: Arc<Client>, home: Option<usize>, config: &Cluster, clock: &Clock) -> Self {
        let (limit, filter) = (config.refresh_timeout, config.guests.clone());
        let of = Builder {
            title: &title,
            client: &client,
            entry: home.map_or(Place::Entry, Place::Endpoint),
            clock,
            limit,
        };
        Self {
            status: {
                let (client, request) = (Arc::clone(&client), of.at("/cluster/status"));
                Part::new(format!("{title}/status"), clock, FIGURES, move || {
                    limited(limit, status(Arc::clone(&client), request.clone()))
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
            nodes: Mutex::default(),
            intervals: Mutex::default(),
            clock: clock.clone(),
            limit,
            client,
            title,
        }
    }

    /// Whether nobody scrapes it any more.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        let (last, interval) = {
            let intervals = self.lock_intervals();
            (intervals.last(), intervals.interval())
        };
        // Before its first scrape it is about to be scraped.
        last.is_some_and(|last| self.clock.now().saturating_duration_since(last) > KEPT_AFTER_SCRAPE.max(interval * 3))
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
        let names_guests = self.filtered && needs(&[Collector::BackupInfo, Collector::Replication]);
        let reads_resources = names_guests || needs(&[Collector::Status, Collector::Resources, Collector::Config]);
        // Version and resources alone stand without it.
        let stands_alone = |one: &Collector| matches!(one, Collector::Version | Collector::Resources);
        let reads_status = !wanted.collectors.iter().all(stands_alone);
        let figures = read_if(reads_resources, self.resources.read(interval, deadline));
        let status = || read_if(reads_status, self.status.read(interval, deadline));
        // Where it is all that is asked for, nothing else tells whether the target answers.
        let pace = if reads_resources || reads_status {
            VERSION
        } else {
            FIGURES
        };
        let version = read_if(
            needs(&[Collector::Version]),
            self.version.read_at(pace, interval, deadline),
        );
        let not_backed_up = read_if(
            needs(&[Collector::BackupInfo]),
            self.not_backed_up.read(interval, deadline),
        );
        let rest = join(version, not_backed_up);
        // Nobody waits for anything but what tells what to ask for: the others may hang. Whoever reads the same shares one reading.
        let qdevice = async {
            let status = read_if(needs(&[Collector::QDevice]), self.status.read(interval, deadline)).await;
            let clustered = status.is_some_and(|status| status.cluster.is_some());
            read_if(clustered, self.qdevice.read(interval, deadline)).await
        };
        let nodes = async {
            let status = status().await;
            let nodes = self.nodes(wanted.nodes, status.as_deref());
            let nodes = nodes
                .iter()
                .map(|node| self.read_node(node, wanted, interval, deadline));
            (status, join_all(nodes).await)
        };
        let (((status, nodes), qdevice), (resources, (version, not_backed_up))) =
            join(join(nodes, qdevice), join(figures, rest)).await;
        let answers = status.is_some() || resources.is_some() || !reads_resources && !reads_status;
        let clustered = status.as_ref().is_some_and(|status| status.cluster.is_some());
        let (nodes, of_nodes): (Vec<_>, Vec<_>) = nodes.into_iter().unzip();
        let knows_guests = !self.filtered || resources.is_some();
        let mut view = View {
            collectors: wanted.collectors.iter().copied().collect(),
            status,
            filtered: self.filtered,
            version: version.filter(|_| answers),
            not_backed_up: not_backed_up.filter(|_| answers && knows_guests),
            qdevice,
            resources,
            nodes,
            outcomes: Vec::new(),
        };
        view.outcomes = outcomes(&view, clustered, &of_nodes.concat());
        view
    }

    /// What there is of a node, and how its collectors fared.
    async fn read_node(
        &self,
        known: &KnownNode,
        wanted: &Wanted,
        interval: Duration,
        deadline: tokio::time::Instant,
    ) -> (NodeView, Vec<Outcome>) {
        let (name, node) = (&known.name, &known.node);
        let wants = |collector| wanted.collectors.contains(&collector);
        let subscription = read_if(
            wants(Collector::Subscription),
            node.subscription.read(interval, deadline),
        );
        let jobs = read_if(wants(Collector::Replication), node.jobs.read(interval, deadline));
        let guests = async {
            let is_needed = self.filtered || wants(Collector::Config);
            let guests = read_if(is_needed, self.resources.read(interval, deadline)).await;
            if guests.is_some() && wants(Collector::Config) {
                node.onboot.refresh(interval, deadline).await;
            }
            guests
        };
        let (subscription, (jobs, guests)) = join(subscription, join(jobs, guests)).await;
        // What was read of it an hour ago says nothing of a node that is gone since.
        let silent = self.client.silent().why_resting(name, self.clock.now()).is_some();
        let answers = known.online && !silent;
        let view = NodeView {
            name: Arc::clone(name),
            subscription: subscription.filter(|_| answers),
            jobs: jobs.filter(|_| answers && (!self.filtered || guests.is_some())),
            onboot: match &guests {
                Some(guests) if answers => node.onboot.shown(&guests.rows, interval),
                _ => Vec::new(),
            },
        };
        let success = |collector| match collector {
            Collector::Subscription => Some(view.subscription.is_some()),
            Collector::Config => Some(answers && guests.is_some() && node.onboot.is_up()),
            Collector::Replication => Some(view.jobs.is_some()),
            _ => None,
        };
        let outcome = |&collector| {
            Some(Outcome {
                collector,
                node: Some(Arc::clone(name)),
                success: success(collector)?,
            })
        };
        let outcomes = wanted.collectors.iter().filter_map(outcome).collect();
        (view, outcomes)
    }

    /// The nodes that are wanted and known; what is held of those that are gone is forgotten.
    fn nodes(&self, wanted: Nodes, status: Option<&Status>) -> Vec<KnownNode> {
        let Some(status) = status else { return Vec::new() };
        let mut held = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
        held.retain(|name, _| status.nodes.iter().any(|node| node.name == *name));
        let is_wanted = |member: &&Member| match wanted {
            Nodes::None => false,
            Nodes::Local => member.local,
            Nodes::All => true,
        };
        let members = status.nodes.iter().filter(is_wanted);
        members
            .map(|member| {
                let node = held
                    .entry(Arc::clone(&member.name))
                    .or_insert_with(|| Arc::new(self.node(&member.name)));
                KnownNode {
                    name: Arc::clone(&member.name),
                    node: Arc::clone(node),
                    online: member.local || member.online != Some(false),
                }
            })
            .collect()
    }

    fn node(&self, name: &Arc<str>) -> Node {
        let of = Builder {
            title: &format!("{}/{name}", self.title),
            client: &self.client,
            entry: Place::Entry,
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
        for node in self.nodes.lock().unwrap_or_else(PoisonError::into_inner).values() {
            node.subscription.retry();
            node.jobs.retry();
            node.onboot.retry();
        }
        let client = Arc::clone(&self.client);
        tokio::spawn(async move { client.probe().await });
    }
}

async fn read_if<T>(needed: bool, read: impl Future<Output = Option<T>>) -> Option<T> {
    if needed { read.await } else { None }
}

/// How the collectors fared; those of nodes as `of_nodes` says, where it is known which nodes they are.
fn outcomes(view: &View, clustered: bool, of_nodes: &[Outcome]) -> Vec<Outcome> {
    let (status, resources) = (view.status.is_some(), view.resources.is_some());
    let mut outcomes = Vec::new();
    for &collector in &view.collectors {
        let success = match collector {
            Collector::Status => status && resources,
            Collector::Resources => resources,
            Collector::Node | Collector::Cluster => status,
            Collector::Version => view.version.is_some(),
            Collector::BackupInfo => status && view.not_backed_up.is_some(),
            Collector::QDevice => status && (!clustered || view.qdevice.is_some()),
            Collector::Subscription | Collector::Config | Collector::Replication => {
                let before = outcomes.len();
                outcomes.extend(of_nodes.iter().filter(|one| one.collector == collector).cloned());
                if outcomes.len() > before {
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

/// Reads the status, and tells the client what it says of endpoints and nodes.
async fn status(client: Arc<Client>, request: Request) -> Result<Status, ApiError> {
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
    /// Where the target is: what it does not tell itself, another endpoint tells of itself.
    entry: Place,
    clock: &'a Clock,
    limit: Duration,
}

impl Builder<'_> {
    fn at(&self, path: &str) -> Request {
        Request {
            place: self.entry.clone(),
            ..Request::entry(path)
        }
    }

    fn entry<T: Send + Sync + 'static>(
        &self,
        name: &str,
        path: &str,
        pace: Pace,
        read: impl Fn(&[u8]) -> Result<T, DecodeError> + Clone + Send + Sync + 'static,
    ) -> Part<T> {
        self.part(name, pace, self.at(path), read)
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
