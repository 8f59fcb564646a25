//! The sources of one cluster: which are refreshed for a scrape, and which are waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join_all;

use crate::clock::Clock;
use crate::compat::targets::Allowed;
use crate::config::{Cluster as ClusterConfig, Config, GuestAgentSocket, GuestFilter, Metrics, SourcePolicy};
use crate::pve::client::{Client, ClientError};
use crate::pve::transport::Observer;
use crate::sources::agent::answers::Limits;
use crate::sources::cluster_status::{self, ClusterStatus};
use crate::sources::intervals::Intervals;
use crate::sources::metrics_export::{self, NodeSamples};
use crate::sources::name::SourceName;
use crate::sources::node_status::{self, NodeStatus};
use crate::sources::pace::Pace;
use crate::sources::permissions::{self, TokenPermissions};
use crate::sources::resources::{self, Resources};
use crate::sources::source::{PerNode, Source, Whole, Wiring};
use crate::sources::survey::Limiter;
use crate::sources::version;
use crate::subjects::cluster::Version;
use crate::subjects::guest::Guest;

mod agents;
mod backups;
mod census;
mod depth;
mod direct;
mod disks;
mod ha;
mod inventory;
mod known;
mod machines;
mod ports;
mod replication;
mod rows;
mod shown;
mod storage;
mod tasks;
mod volumes;

pub use agents::AgentRows;
pub use backups::BackupRows;
pub use census::CensusRows;
pub use depth::DepthRows;
pub use direct::GuestDirectRows;
pub use disks::DiskRows;
pub use ha::HaRows;
pub use inventory::InventoryRows;
pub use known::Known;
pub use machines::MachineRows;
pub use ports::{PortsUnknown, Told};
pub use replication::ReplicationRows;
pub use rows::Rows;
pub use shown::{Placed, Shown};
pub use storage::StorageHealthRows;
pub use volumes::VolumeRows;

use agents::{Agents, World};
use backups::Backups;
use census::Census;
use depth::Depth;
use direct::Direct;
use disks::Disks;
use ha::Ha;
use inventory::Inventory;
use machines::Machines;
use replication::Replication;
use storage::StorageHealth;
use tasks::Tasks;
use volumes::Volumes;

/// How old a node's own status may get while it stands in for the node's samples.
const STAND_IN_MAX_AGE: Duration = Duration::from_secs(30);

/// For how long after a scrape failed sources are still retried, at least and at most: nothing asks PVE when nobody scrapes.
const RETRIED_AFTER_SCRAPE: (Duration, Duration) = (Duration::from_secs(360), Duration::from_secs(900));

/// What a scrape is first of all for, and what tells which nodes there are.
const MAIN: [SourceName; 5] = [
    SourceName::Resources,
    SourceName::MetricsExport,
    SourceName::ClusterStatus,
    SourceName::Version,
    SourceName::Permissions,
];

/// What others have to tell first which nodes to ask.
const AFTER: [SourceName; 2] = [SourceName::TaskArchive, SourceName::Replication];

/// How many requests a minute there may be before what is read guest by guest holds back. Everything else needs about five for
/// each node, and a few that come at once may still follow.
fn allowance(known: &Known, each_node: usize) -> usize {
    100.max(10 + each_node * known.nodes(false).len() + known.guests().len() / 100)
}

fn agent_limits(metrics: &Metrics) -> Limits {
    let if_shown = |shown: bool, most| if shown { most } else { 0 };
    Limits {
        interfaces: if_shown(metrics.guest_agent_interfaces, 16),
        addresses: if_shown(metrics.guest_agent_addresses, 32),
        details: metrics.guest_agent_details,
        ..Limits::default()
    }
}

/// The sources that a scrape asks for.
pub type Selection = BTreeSet<SourceName>;

/// What decides how a cluster is read.
#[derive(Debug, PartialEq, Eq)]
pub struct Settings {
    config: ClusterConfig,
    policies: BTreeMap<SourceName, SourcePolicy>,
    guest_agent_socket: GuestAgentSocket,
    /// What `ca_file` held: a renewed file of the same name is a change.
    authorities: Option<Vec<u8>>,
    agents: Limits,
}

/// The sources of one cluster.
pub struct ClusterSources {
    name: String,
    settings: Settings,
    clock: Clock,
    client: Arc<Client>,
    known: Arc<Known>,
    resources: Whole<Resources>,
    samples: Whole<NodeSamples>,
    status: Whole<ClusterStatus>,
    version: Whole<Version>,
    permissions: Whole<TokenPermissions>,
    node_status: PerNode<NodeStatus>,
    tasks: Tasks,
    backups: Backups,
    volumes: Volumes,
    ha: Ha,
    replication: Replication,
    depth: Depth,
    inventory: Inventory,
    agents: Arc<Agents>,
    storage_health: StorageHealth,
    disks: Disks,
    machines: Machines,
    census: Census,
    direct: Direct,
    scrapes: Mutex<Scrapes>,
    named_only: Mutex<Option<(Instant, Arc<[Guest]>)>>,
    expected_up: rows::ExpectedRows,
    node_losses: rows::LossRows,
}

#[derive(Default)]
struct Scrapes {
    intervals: Intervals,
    /// When a scrape last needed each source.
    needed: BTreeMap<SourceName, Instant>,
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
        let client = Arc::new(Client::new(cluster, clock.clone(), observer)?);
        let policies: BTreeMap<_, _> = SourceName::ALL
            .into_iter()
            .map(|source| (source, config.source(name, source)))
            .collect();
        let wiring = Wiring {
            cluster: name,
            client: &client,
            clock,
            refresh_timeout: cluster.refresh_timeout,
            policies: &policies,
        };
        let resources = resources::source(&wiring, cluster.guests.clone());
        let status = wiring
            .whole(SourceName::ClusterStatus, |client: Arc<Client>| async move {
                cluster_status::fetch(&client).await
            })
            .damaged_by(|value| Some(value.damaged_rows));
        let known = Arc::new(Known::new(resources.held(), status.held()));
        let (asked, of) = (Arc::clone(&client), Arc::clone(&known));
        let each_node = if config.metrics.guest_interfaces { 6 } else { 5 };
        let limiter = Arc::new(Limiter::new(move || asked.sent_lately() >= allowance(&of, each_node)));
        let agents = Arc::new(Agents::new(&wiring, &known, agent_limits(&config.metrics)));
        Ok(Self {
            samples: metrics_export::source(&wiring, Arc::clone(&known)),
            version: version::source(&wiring, cluster.endpoints.len() > 1 && !cluster.insecure_skip_verify),
            permissions: permissions::source(&wiring),
            node_status: wiring.per_node(
                SourceName::NodeStatus,
                |client: Arc<Client>, node: Arc<str>| async move { node_status::fetch(&client, &node).await },
            ),
            tasks: Tasks::new(&wiring, &known),
            backups: Backups::new(&wiring, &known, &limiter),
            volumes: Volumes::new(&wiring, &known),
            ha: Ha::new(&wiring),
            replication: Replication::new(&wiring, &known, cluster.guests != GuestFilter::default()),
            depth: Depth::new(&wiring, &known),
            inventory: Inventory::new(&wiring, &known, &limiter),
            storage_health: StorageHealth::new(&wiring, &known),
            disks: Disks::new(
                &wiring,
                &known,
                policies
                    .get(&SourceName::DiskSmart)
                    .is_some_and(|policy| policy.enabled),
            ),
            machines: Machines::new(&wiring, &known),
            census: Census::new(&wiring, &known, cluster.caller.as_str()),
            direct: Direct::new(
                &wiring,
                &known,
                &config.guest_agent_socket,
                &agents,
                agent_limits(&config.metrics),
            ),
            agents,
            resources,
            status,
            known,
            settings: Settings {
                config: ClusterConfig {
                    // Whom `/pve` may ask beside the endpoints is no matter of how these are read.
                    allow_targets: Allowed::default(),
                    ..cluster.clone()
                },
                policies,
                guest_agent_socket: config.guest_agent_socket.clone(),
                authorities: cluster.ca_file.as_ref().and_then(|path| std::fs::read(path).ok()),
                agents: agent_limits(&config.metrics),
            },
            client,
            scrapes: Mutex::default(),
            named_only: Mutex::default(),
            expected_up: rows::ExpectedRows::default(),
            node_losses: rows::LossRows::default(),
            name: name.to_owned(),
            clock: clock.clone(),
        })
    }

    /// The name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The client.
    #[must_use]
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// What decides whether a reload of the configuration changes anything here.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Every source, in the order of [`SourceName::ALL`].
    fn sources(&self) -> Vec<&dyn Source> {
        let mut sources: Vec<&dyn Source> = vec![
            &self.resources,
            &self.samples,
            &self.status,
            &self.node_status,
            &self.version,
            &self.permissions,
        ];
        sources.extend(self.tasks.sources());
        sources.extend(self.backups.sources());
        sources.push(&self.volumes);
        sources.extend(self.ha.sources());
        sources.extend(self.replication.sources());
        sources.extend(self.depth.sources());
        sources.extend(self.inventory.sources());
        sources.push(&*self.agents);
        sources.extend(self.storage_health.sources());
        sources.extend(self.disks.sources());
        sources.extend(self.machines.sources());
        sources.extend(self.census.sources());
        sources.push(self.direct.source());
        sources
    }

    /// Refreshes what `selection` needs and waits for what a scrape must not do without, until `deadline`.
    pub async fn refresh(&self, selection: &Selection, deadline: tokio::time::Instant) {
        let interval = self.note_scrape();
        let mut needed = selection.clone();
        for source in selection {
            needed.extend(source.depends_on());
        }
        needed.retain(|source| self.enabled(*source));
        self.note_needed(&needed);
        self.refresh_main(&needed, interval, deadline).await;
        // The rest starts when the main figures are there: where it is only refreshed, nothing waits for it.
        self.depth.find_nodes();
        self.storage_health.find_nodes();
        self.disks.find_nodes();
        self.machines.find_nodes();
        self.census.find_nodes();
        self.volumes
            .find_places(self.permissions.held().latest().map(|latest| latest.value).as_deref());
        let early = |source| MAIN.contains(&source) || source == SourceName::NodeStatus;
        let late = |source: SourceName| AFTER.contains(&source) || source.comes_last();
        let rest = |source| !early(source) && !late(source);
        let node_status = async {
            if needed.contains(&SourceName::NodeStatus) {
                self.refresh_node_status(interval, deadline).await;
            }
        };
        tokio::join!(self.refresh_some(&needed, rest, interval, deadline), node_status);
        self.replication.find_owners();
        self.refresh_some(&needed, |source| AFTER.contains(&source), interval, deadline)
            .await;
        self.refresh_some(&needed, SourceName::comes_last, interval, deadline)
            .await;
    }

    async fn refresh_main(&self, needed: &Selection, interval: Duration, deadline: tokio::time::Instant) {
        let offline = self.client.offline().all();
        self.refresh_some(needed, |source| MAIN.contains(&source), interval, deadline)
            .await;
        let gone = !self.client.offline().all().is_subset(&offline);
        let status_works = self.status.held().record().up == Some(true);
        if gone && status_works && needed.contains(&SourceName::ClusterStatus) {
            // Nodes have gone, or the endpoint has: only the quorum tells which.
            self.status.start();
            self.status.held().ended(deadline).await;
        }
        if needed.contains(&SourceName::Resources) && self.answered_by_minority() {
            // The first answer came from a side without quorum, and another endpoint has it.
            self.resources.start();
            if needed.contains(&SourceName::MetricsExport) {
                self.samples.start();
            }
            self.resources.held().ended(deadline).await;
        }
    }

    /// Goes on with what is read bit by bit and retries what has failed, without waiting, as long as somebody scrapes.
    pub fn retry(&self) {
        let window = RETRIED_AFTER_SCRAPE
            .0
            .max(self.interval() * 5 / 2)
            .min(RETRIED_AFTER_SCRAPE.1);
        let last = self
            .scrapes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .intervals
            .last();
        if last.is_none_or(|last| self.clock.now().saturating_duration_since(last) > window) {
            return;
        }
        let quorate = self
            .status
            .held()
            .latest()
            .and_then(|status| status.value.membership.quorate);
        self.backups
            .observe(&self.tasks, &self.inventory.configurations(), quorate != Some(false));
        let wanted = self.wanted(window);
        let over_api = wanted.contains(&SourceName::GuestAgents);
        if over_api || wanted.contains(&SourceName::GuestAgentSocket) {
            self.observe_for_agents();
            self.direct.observed();
        }
        if over_api {
            // Before what others start now: it wants nodes that are at rest.
            self.agents.ask();
        }
        for source in self.sources() {
            if wanted.contains(&source.name()) {
                source.retry();
            }
        }
        let client = Arc::clone(&self.client);
        tokio::spawn(async move { client.probe().await });
    }

    fn asks_with_monitor(&self) -> bool {
        let policy = self.settings.policies.get(&SourceName::GuestAgents);
        policy.is_some_and(|policy| policy.insisted)
    }

    /// Tells the agents' plan, and the rounds over sockets, what decides whether they may be asked. They want newer lists than scrapes do: a backup may have
    /// begun since.
    fn observe_for_agents(&self) {
        let permissions = self.permissions.held().latest();
        let permissions = permissions.map(|latest| latest.value).filter(|all| all.lists_tasks());
        let tasks = self.tasks.recent();
        let read_at = |at: Option<Instant>, up: Option<bool>| at.filter(|_| up == Some(true));
        let wanted = self.agents.observe(World {
            permissions,
            with_monitor: self.asks_with_monitor(),
            at_work: self.tasks.ledger().at_work().clone(),
            tasks_read: read_at(tasks.held().latest().map(|latest| latest.at), tasks.held().record().up),
            next_backups: self.backups.next_runs(self.clock.now()),
            configurations: self.inventory.configurations(),
        });
        if wanted.tasks && tasks.held().may_start() && self.enabled(SourceName::Tasks) {
            tasks.start();
        }
        if wanted.guests && self.resources.held().may_start() {
            self.resources.start();
        }
    }

    fn enabled(&self, source: SourceName) -> bool {
        self.settings.policies.get(&source).is_some_and(|policy| policy.enabled)
    }

    /// The sources that a scrape has needed lately.
    fn wanted(&self, window: Duration) -> Selection {
        let now = self.clock.now();
        let scrapes = self.scrapes.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = |at: &Instant| now.saturating_duration_since(*at) <= window;
        let needed = scrapes.needed.iter().filter(|(_, at)| lately(at));
        needed.map(|(source, _)| *source).collect()
    }

    fn note_needed(&self, needed: &Selection) {
        let now = self.clock.now();
        let mut scrapes = self.scrapes.lock().unwrap_or_else(PoisonError::into_inner);
        scrapes.needed.extend(needed.iter().map(|source| (*source, now)));
    }

    fn note_scrape(&self) -> Duration {
        let mut scrapes = self.scrapes.lock().unwrap_or_else(PoisonError::into_inner);
        scrapes.intervals.note(self.clock.now());
        scrapes.intervals.interval()
    }

    fn interval(&self) -> Duration {
        let scrapes = self.scrapes.lock().unwrap_or_else(PoisonError::into_inner);
        scrapes.intervals.interval()
    }

    /// What is not there by `deadline` is served as it was, or is absent.
    async fn refresh_some(
        &self,
        needed: &Selection,
        wanted: impl Fn(SourceName) -> bool,
        interval: Duration,
        deadline: tokio::time::Instant,
    ) {
        let sources = self.sources().into_iter();
        let due = sources.filter(|source| needed.contains(&source.name()) && wanted(source.name()));
        let waits: Vec<_> = due.flat_map(|source| source.refresh(interval, deadline)).collect();
        join_all(waits).await;
    }

    /// Whether the newest resources came from an endpoint that turned out to have no quorum, and another one is preferred since.
    fn answered_by_minority(&self) -> bool {
        let endpoints = self.client.endpoints().all();
        let quorate = |index: usize| endpoints.get(index).and_then(|endpoint| endpoint.quorate);
        let active = self.client.active_endpoint();
        let held = self.resources.held();
        let resources = held.latest().filter(|_| held.record().up == Some(true));
        resources.is_some_and(|resources| {
            quorate(resources.value.endpoint) == Some(false)
                && resources.value.preferred != active
                && active.and_then(quorate) == Some(true)
        })
    }

    async fn refresh_node_status(&self, interval: Duration, deadline: tokio::time::Instant) {
        self.node_status.set_nodes(&self.known.nodes(false));
        let samples = self.samples.servable(interval);
        let pace = |node: &Arc<str>| {
            let sampled = samples
                .as_ref()
                .is_some_and(|samples| samples.value.nodes.contains_key(node));
            if sampled {
                self.node_status.pace()
            } else {
                self.stand_in_pace()
            }
        };
        self.node_status.refresh_at(pace, interval, deadline).await;
    }

    /// The pace of a node's own status while it stands in for the node's samples.
    fn stand_in_pace(&self) -> Pace {
        let pace = self.node_status.pace();
        Pace {
            max_age: pace.max_age.min(STAND_IN_MAX_AGE),
            ..pace
        }
    }
}
