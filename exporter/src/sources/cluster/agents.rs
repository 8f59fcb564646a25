//! The agents inside virtual machines, asked one by one, behind the scrapes and out of the way of everything else.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::{Known, Shown};
use crate::clock::Clock;
use crate::config::GuestKind;
use crate::metrics::labels::Identity;
use crate::pve::api::agent;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::pve::perl;
use crate::sources::agent::answers::Limits;
use crate::sources::agent::schedule::{Call, Plan, View};
use crate::sources::agent::state::{Agent, BOOT, Outcome as Ended, Pace};
use crate::sources::cached::{Cached, Same};
use crate::sources::guest_config::Configuration;
use crate::sources::held::Held;
use crate::sources::name::SourceName;
use crate::sources::node_time::Exchange;
use crate::sources::permissions::TokenPermissions;
use crate::sources::resources::Resources;
use crate::sources::source::{Limit, Outcome, Source, Wiring};
use crate::sources::survey::Values;
use crate::sources::tasks::AtWork;
use crate::subjects::guest::Guest;
use crate::subjects::guest_agent::GuestAgent;
use crate::subjects::guest_agent_interface::{GuestAgentAddress, GuestAgentInterface};
use crate::subjects::guest_filesystem::GuestFilesystem;
use crate::subjects::guest_system::GuestSystem;

/// Where PVE takes longer than this for its own list of everything, agents wait.
const SLOW: Duration = Duration::from_secs(3);

/// How long agents are left alone around the time at which a backup job is to start. PVE looks for jobs once a minute, and the
/// list of tasks shows it after that; the clocks of nodes and exporter may differ.
const BEFORE_BACKUP: u64 = 30;
const AFTER_BACKUP_STARTS: u64 = 90;

/// How old the lists may be that tell of backups, locks and where guests are.
const OLDEST_TASKS: Duration = Duration::from_secs(10);
const OLDEST_GUESTS: Duration = Duration::from_secs(20);

/// The plan's revision, the guests, the minute, and what the token may do.
type RowsKey = (u64, Same<[Guest]>, u64, Option<Same<TokenPermissions>>);

/// The source.
pub(super) struct Agents {
    cluster: Arc<str>,
    title: String,
    clock: Clock,
    client: Arc<Client>,
    known: Arc<Known>,
    limit: Limit,
    plan: Arc<Mutex<Plan>>,
    world: Mutex<World>,
    wanted: Mutex<WantedLists>,
    /// The guest that is asked by another way than the API.
    engaged: Arc<Mutex<Option<u32>>>,
    /// How the calls at each node have gone, as far as it is not the agents that they failed at.
    nodes: Mutex<BTreeMap<Arc<str>, Arc<Held<u64>>>>,
    cached: Cached<RowsKey, AgentRows>,
}

/// What decides whether agents may be asked at all.
#[derive(Default)]
pub(super) struct World {
    /// What the token may do, if it sees all tasks: nobody may be asked without it.
    pub(super) permissions: Option<Arc<TokenPermissions>>,
    /// Whether `VM.Monitor` is enough.
    pub(super) with_monitor: bool,
    /// What is being worked on.
    pub(super) at_work: AtWork,
    /// When the list of tasks was asked for that tells so, if it can be read.
    pub(super) tasks_read: Option<Instant>,
    /// When backup jobs are to start next, in Unix seconds, if that is known: nobody may be asked without it.
    pub(super) next_backups: Option<Vec<u64>>,
    /// The configurations that are known.
    pub(super) configurations: Arc<Values<Configuration>>,
}

impl World {
    fn may_ask(&self, vmid: u32) -> bool {
        let permissions = self.permissions.as_ref();
        permissions.is_some_and(|permissions| permissions.asks_agent(vmid, self.with_monitor))
    }

    fn may_be_near_backup(&self, unix_seconds: f64) -> bool {
        let now = perl::float_to_whole(unix_seconds.floor()).unwrap_or_default();
        let near = |start: &u64| (start.saturating_sub(BEFORE_BACKUP)..start + AFTER_BACKUP_STARTS).contains(&now);
        self.next_backups.as_ref().is_none_or(|starts| starts.iter().any(near))
    }

    /// What the configuration of a guest says; nothing while that has not been read.
    fn configured(&self, vmid: u32) -> Option<bool> {
        let configuration = self.configurations.get(&(GuestKind::Qemu, vmid))?;
        Some(configuration.guest.agent == Some(true))
    }
}

/// The lists that have to be read again before an agent can be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WantedLists {
    /// That of tasks.
    pub(super) tasks: bool,
    /// That of guests.
    pub(super) guests: bool,
}

/// The rows.
#[derive(Clone, Default)]
pub struct AgentRows {
    /// The agents.
    pub agents: Arc<[GuestAgent]>,
    /// What runs in the guests.
    pub systems: Arc<[GuestSystem]>,
    /// Their file systems.
    pub file_systems: Arc<[GuestFilesystem]>,
    /// Their interfaces.
    pub interfaces: Arc<[GuestAgentInterface]>,
    /// Their addresses.
    pub addresses: Arc<[GuestAgentAddress]>,
}

impl Agents {
    /// Nobody is asked yet.
    pub(super) fn new(wiring: &Wiring<'_>, known: &Arc<Known>, limits: Limits) -> Self {
        let name = SourceName::GuestAgents;
        Self {
            cluster: wiring.cluster.into(),
            title: format!("{}/{}", wiring.cluster, name.as_str()),
            clock: wiring.clock.clone(),
            client: Arc::clone(wiring.client),
            known: Arc::clone(known),
            limit: wiring.limit(name),
            plan: Arc::new(Mutex::new(Plan::new(limits, wiring.pace(name).max_age))),
            world: Mutex::default(),
            wanted: Mutex::default(),
            engaged: Arc::default(),
            nodes: Mutex::default(),
            cached: Cached::default(),
        }
    }

    /// Takes over what decides whether agents may be asked, and says what has to be read for it.
    pub(super) fn observe(&self, world: World) -> WantedLists {
        *lock(&self.world) = world;
        std::mem::take(&mut *lock(&self.wanted))
    }

    /// Whether a guest may be asked over the API, where it is known what the token may do.
    pub(super) fn may_ask(&self, vmid: u32) -> Option<bool> {
        let world = lock(&self.world);
        world.permissions.is_some().then(|| world.may_ask(vmid))
    }

    /// Lets a guest be asked now by another way than the API, if nothing speaks against it; `Later` while the lists are too old
    /// that tell so, which are then read again, and while a call to its agent is under way.
    pub(super) fn engage(&self, guest: &Guest) -> Turn {
        let world = lock(&self.world);
        let wanted = self.old_lists(&world, self.clock.now());
        if wanted != WantedLists::default() {
            *lock(&self.wanted) = wanted;
            return Turn::Later;
        }
        if lock(&self.plan).agents().get(&guest.vmid).is_some_and(Agent::is_asked) {
            return Turn::Later;
        }
        let is_free = world.permissions.is_some()
            && !world.may_be_near_backup(self.clock.unix_seconds())
            && !world.at_work.backing_up.contains(&guest.node)
            && !world.at_work.machines.contains(&guest.vmid);
        let has_booted = guest.figures.uptime.is_some_and(|uptime| uptime >= BOOT);
        if !is_free || !has_booted || guest.lock.is_some() {
            return Turn::No;
        }
        *lock(&self.engaged) = Some(guest.vmid);
        Turn::Now(Engaged(Arc::clone(&self.engaged)))
    }

    fn old_lists(&self, world: &World, now: Instant) -> WantedLists {
        let is_old = |at: Option<Instant>, oldest| at.is_none_or(|at| now.saturating_duration_since(at) > oldest);
        WantedLists {
            tasks: is_old(world.tasks_read, OLDEST_TASKS),
            guests: is_old(self.known.read_at(), OLDEST_GUESTS),
        }
    }

    /// What they bring, of the guests in `resources`.
    pub(super) fn rows(&self, shown: &Shown<'_>, resources: Option<&Resources>) -> AgentRows {
        let Some(resources) = resources.filter(|_| shown.selection.contains(&SourceName::GuestAgents)) else {
            return AgentRows::default();
        };
        let world = lock(&self.world);
        let plan = lock(&self.plan);
        // Replies get old by and by: once a minute is enough to see it.
        let now = self.clock.unix_seconds();
        let minute = perl::float_to_whole((now / 60.0).floor()).unwrap_or_default();
        let permissions = world.permissions.as_ref().map(|all| Same(Arc::clone(all)));
        let key = (
            plan.revision(),
            Same(Arc::clone(&resources.guests)),
            minute,
            permissions,
        );
        self.cached
            .of(key, || self.build(&world, &plan, &resources.guests, now))
    }

    fn build(&self, world: &World, plan: &Plan, guests: &[Guest], now: f64) -> AgentRows {
        let pace = plan.pace();
        let interval = |command| pace.of(command);
        let (mut agents, mut systems) = (Vec::new(), Vec::new());
        let (mut file_systems, mut interfaces, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
        for guest in guests.iter().filter(|guest| guest.kind == GuestKind::Qemu) {
            let agent = plan.agents().get(&guest.vmid);
            let Some(agent) = agent.filter(|_| world.may_ask(guest.vmid)) else {
                continue;
            };
            agents.push(GuestAgent {
                call_duration: agent.took().filter(|_| pace.limits.details),
                ..self.row(agent, guest, now, &pace)
            });
            if matches!(guest.state, "stopped" | "unknown") {
                continue;
            }
            let key = (guest.kind, guest.vmid);
            let rows = agent.answers().rows(&self.cluster, key, now, &interval);
            systems.extend(rows.system);
            file_systems.extend(rows.file_systems);
            interfaces.extend(rows.interfaces);
            addresses.extend(rows.addresses);
        }
        AgentRows {
            agents: agents.into(),
            systems: systems.into(),
            file_systems: file_systems.into(),
            interfaces: interfaces.into(),
            addresses: addresses.into(),
        }
    }

    fn row(&self, agent: &Agent, guest: &Guest, now: f64, pace: &Pace) -> GuestAgent {
        let left = |until: Instant| until.saturating_duration_since(self.clock.now()).as_secs_f64();
        GuestAgent {
            identity: Identity::new(&[("pve_cluster", &self.cluster), ("id", &format!("qemu/{}", guest.vmid))]),
            state: agent.state(guest.state, self.clock.now(), pace),
            last_answer: agent.answers().last_answer(),
            call_duration: None,
            retry: agent.rests_until().map(|until| (now + left(until)).round()),
            label_sets_dropped: agent.answers().label_sets_dropped(),
        }
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Held<u64>>>> {
        lock(&self.nodes)
    }

    fn held(&self, node: &Arc<str>) -> Arc<Held<u64>> {
        let mut nodes = self.nodes();
        let held = nodes
            .entry(Arc::clone(node))
            .or_insert_with(|| Held::new(format!("{}/{node}", self.title), self.clock.clone()));
        Arc::clone(held)
    }

    /// Whether PVE has other worries.
    fn is_slow(&self) -> bool {
        let record = self.known.record();
        record.up != Some(true) || record.duration.is_some_and(|took| took > SLOW)
    }

    /// Asks whom it is time to ask.
    pub(super) fn ask(&self) {
        let Some(resources) = self.known.resources() else {
            return;
        };
        let world = lock(&self.world);
        if world.permissions.is_none() || self.is_slow() || world.may_be_near_backup(self.clock.unix_seconds()) {
            return;
        }
        let now = self.clock.now();
        let offline = self.client.offline().all();
        let engaged = *lock(&self.engaged);
        let calls = lock(&self.plan).next(&View {
            now,
            guests: &resources.guests,
            configured: &|vmid| world.configured(vmid),
            is_barred: &|vmid| engaged == Some(vmid) || world.at_work.machines.contains(&vmid) || !world.may_ask(vmid),
            is_closed: &|node| {
                offline.contains(node) || world.at_work.backing_up.contains(node) || !self.held(node).may_start()
            },
            nodes: resources.nodes.len(),
        });
        self.nodes().retain(|node, _| resources.nodes.contains_key(node));
        if calls.is_empty() {
            return;
        }
        let wanted = self.old_lists(&world, now);
        if wanted == WantedLists::default() {
            for call in calls {
                self.start(call, now);
            }
        } else {
            *lock(&self.wanted) = wanted;
        }
    }

    /// Where anything else is under way at the node, it is another second's turn.
    fn start(&self, call: Call, now: Instant) {
        let request = Request::agent(&call.node, call.vmid, call.command);
        let Some(reservation) = self.client.reserve(&request) else {
            return;
        };
        lock(&self.plan).started(&call, now);
        let (client, limit, held) = (Arc::clone(&self.client), self.limit.clone(), self.held(&call.node));
        let asked = Asked {
            plan: Arc::clone(&self.plan),
            clock: self.clock.clone(),
            began: now,
            call: Some(call.clone()),
        };
        held.refresh(async move {
            let outcome = limit.apply(client.get_at_once(&request, reservation)).await;
            asked.end(outcome.map(|answer| (answer.took, agent::decode(call.command, &answer.body))))
        });
    }
}

/// Whether it is a guest's turn to be asked by another way than the API.
pub(super) enum Turn {
    /// Until the guard is dropped, it is asked by no other.
    Now(Engaged),
    /// When more is known.
    Later,
    /// Not this time.
    No,
}

/// One guest's agent, kept from calls over the API. There is one at a time.
pub(super) struct Engaged(Arc<Mutex<Option<u32>>>);

impl Drop for Engaged {
    fn drop(&mut self) {
        *lock(&self.0) = None;
    }
}

/// A call in flight. The plan is told how it ended however it ends, be it by a panic.
struct Asked {
    plan: Arc<Mutex<Plan>>,
    clock: Clock,
    began: Instant,
    call: Option<Call>,
}

type Answered = Result<(Duration, Result<agent::Answer, DecodeError>), ApiError>;

impl Asked {
    fn end(mut self, outcome: Answered) -> Result<u64, ApiError> {
        self.settle(outcome)
    }

    fn settle(&mut self, outcome: Answered) -> Result<u64, ApiError> {
        let Some(call) = self.call.take() else { return Ok(0) };
        let now = self.clock.now();
        let mut took = now.saturating_duration_since(self.began);
        let (ended, result) = match outcome {
            Ok((answered, Ok(answer))) => {
                took = answered;
                (Ended::Answer(answer), Ok(0))
            }
            // A guest may say anything: that it says nonsense is its own fault.
            Ok((_, Err(_))) => (Ended::Nonsense, Ok(1)),
            Err(error) => match agent::silence(&error) {
                Some(silence) => (Ended::Silence(silence), Ok(0)),
                None if matches!(error, ApiError::Forbidden { .. }) => (Ended::Forbidden, Err(error)),
                None if is_guests_own(&error) => {
                    tracing::debug!(vmid = call.vmid, problem = %error, "agent cannot be asked");
                    (Ended::Fault, Ok(1))
                }
                None => (Ended::Failure, Err(error)),
            },
        };
        let exchange = Exchange {
            end: self.clock.unix_seconds(),
            took,
        };
        lock(&self.plan).ended(&call, ended, exchange, now);
        result
    }
}

/// Whether PVE has been asked and failed at one guest: one that always does must not keep its whole node from being asked.
const fn is_guests_own(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::Status { status: 500, .. } | ApiError::TooLarge { .. } | ApiError::Incomplete { .. }
    )
}

impl Drop for Asked {
    fn drop(&mut self) {
        drop(self.settle(Err(ApiError::Interrupted)));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Source for Agents {
    fn name(&self) -> SourceName {
        SourceName::GuestAgents
    }

    /// No scrape waits for an agent, nor asks more of them than would be asked anyway.
    fn refresh(&self, _: Duration, _: tokio::time::Instant) -> Vec<BoxFuture<'_, ()>> {
        Vec::new()
    }

    /// See [`Agents::ask`].
    fn retry(&self) {}

    fn outcomes(&self) -> Vec<Outcome> {
        let nodes = self.nodes().clone().into_iter();
        let outcome = |(node, held): (Arc<str>, Arc<Held<u64>>)| {
            let latest = held.latest();
            Outcome {
                node,
                record: held.record(),
                last_success: latest.as_ref().map(|latest| latest.unix_seconds),
                damaged_rows: latest.map(|latest| *latest.value),
                ..Outcome::default()
            }
        };
        nodes
            .map(outcome)
            .filter(|outcome| outcome.record.up.is_some())
            .collect()
    }
}
