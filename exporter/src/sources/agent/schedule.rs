//! Whom to ask what, and when: never a guest that is being worked on, never two at one node, and those who do not answer less
//! and less.
//!
//! A dead agent holds one of the three workers of its node for three seconds, and an agent that is being asked cannot freeze its
//! guest for a backup. [`Plan::next`] says which calls may start, [`Plan::ended`] learns from how they ended.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::GuestKind;
use crate::pve::api::agent::Command;
use crate::sources::agent::answers::Limits;
use crate::sources::agent::state::{Agent, Outcome, Pace};
use crate::sources::node_time::Exchange;
use crate::subjects::guest::Guest;

const MINUTE: Duration = Duration::from_secs(60);

/// Calls a minute for each node of the cluster, and at least.
const CEILING: (usize, usize) = (14, 60);

/// A node is left alone for so many times as long as its last call took: who is slow, or has none but dead agents, spends a
/// third of its time on them at most.
const REST: u32 = 2;

/// A call that may start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// The guest.
    pub(crate) vmid: u32,
    /// The node that holds it.
    pub(crate) node: Arc<str>,
    /// What it is asked.
    pub(crate) command: Command,
}

/// What decides who may be asked.
pub(crate) struct View<'a> {
    /// Now.
    pub(crate) now: Instant,
    /// The guests that are reported on, sorted.
    pub(crate) guests: &'a [Guest],
    /// Whether the configuration of a guest has an agent, where that is known.
    pub(crate) configured: &'a dyn Fn(u32) -> Option<bool>,
    /// Whether a guest must not be asked: a task works on it, or PVE would refuse.
    pub(crate) is_barred: &'a dyn Fn(u32) -> bool,
    /// Whether nobody may be asked at this node: it is offline, at work on a backup, or a call is under way there.
    pub(crate) is_closed: &'a dyn Fn(&Arc<str>) -> bool,
    /// How many nodes there are.
    pub(crate) nodes: usize,
}

/// The agents of one cluster.
#[derive(Debug)]
pub(crate) struct Plan {
    pace: Pace,
    agents: BTreeMap<u32, Agent>,
    /// The nodes that are left alone, and until when.
    resting: BTreeMap<Arc<str>, Instant>,
    /// When the calls of the last minute began.
    starts: VecDeque<Instant>,
    revision: u64,
}

impl Plan {
    /// A plan that shows what `limits` say and reads what changes by the minute every `fast`.
    pub(crate) fn new(limits: Limits, fast: Duration) -> Self {
        Self {
            pace: Pace { limits, fast },
            agents: BTreeMap::new(),
            resting: BTreeMap::new(),
            starts: VecDeque::new(),
            revision: 0,
        }
    }

    /// How often each command is asked.
    pub(crate) fn pace(&self) -> Pace {
        self.pace
    }

    /// The agents, by vmid.
    pub(crate) fn agents(&self) -> &BTreeMap<u32, Agent> {
        &self.agents
    }

    /// Another number each time anything that is told has changed.
    pub(crate) fn revision(&self) -> u64 {
        self.revision
    }

    /// The calls that may start now: one at a node, those first that have waited longest. [`Plan::started`] says that one has.
    pub(crate) fn next(&mut self, view: &View<'_>) -> Vec<Call> {
        self.list(view);
        self.resting.retain(|_, until| *until > view.now);
        let mut first: BTreeMap<&Arc<str>, (Instant, u32, Command)> = BTreeMap::new();
        for (vmid, agent) in &self.agents {
            let Some((due, command)) = agent.next(view.now) else {
                continue;
            };
            let earlier = first.get(agent.node()).is_none_or(|(other, ..)| due < *other);
            if earlier && !(view.is_barred)(*vmid) {
                first.insert(agent.node(), (due, *vmid, command));
            }
        }
        let is_open = |node: &&Arc<str>| !self.resting.contains_key(*node) && !(view.is_closed)(node);
        let mut calls: Vec<_> = first.into_iter().filter(|(node, _)| is_open(node)).collect();
        calls.sort_unstable_by_key(|(_, (due, vmid, _))| (*due, *vmid));
        let call = |(node, (_, vmid, command)): (&Arc<str>, _)| Call {
            vmid,
            node: Arc::clone(node),
            command,
        };
        let mut calls: Vec<Call> = calls.into_iter().map(call).collect();
        calls.truncate(self.room(view));
        calls
    }

    /// How many calls may start now: the ceiling of a minute, and no more than two seconds' share of it at once.
    fn room(&mut self, view: &View<'_>) -> usize {
        let since = |start: &Instant| view.now.saturating_duration_since(*start);
        while self.starts.front().is_some_and(|start| since(start) >= MINUTE) {
            self.starts.pop_front();
        }
        let ceiling = CEILING.1.max(CEILING.0 * view.nodes);
        ceiling.saturating_sub(self.starts.len()).min(ceiling.div_ceil(30))
    }

    /// Takes over who there is, and forgets what a restart has made void.
    fn list(&mut self, view: &View<'_>) {
        let machines = view.guests.iter().filter(|guest| is_machine(guest));
        let listed: BTreeMap<u32, &Guest> = machines.map(|guest| (guest.vmid, guest)).collect();
        let before = self.agents.len();
        self.agents.retain(|vmid, _| listed.contains_key(vmid));
        let mut changed = self.agents.len() != before;
        for (vmid, guest) in listed {
            let agent = self.agents.entry(vmid).or_insert_with(|| {
                changed = true;
                Agent::default()
            });
            changed |= agent.list(guest, (view.configured)(vmid), view.now, &self.pace.limits);
        }
        self.revision += u64::from(changed);
    }

    /// Notes that a call begins.
    pub(crate) fn started(&mut self, call: &Call, now: Instant) {
        self.starts.push_back(now);
        if let Some(agent) = self.agents.get_mut(&call.vmid) {
            agent.started();
        }
    }

    /// Notes how a call ended.
    pub(crate) fn ended(&mut self, call: &Call, outcome: Outcome, exchange: Exchange, now: Instant) {
        self.revision += 1;
        self.resting.insert(Arc::clone(&call.node), now + exchange.took * REST);
        if let Some(agent) = self.agents.get_mut(&call.vmid) {
            agent.ended(call, outcome, exchange, now, &self.pace);
        }
    }
}

fn is_machine(guest: &Guest) -> bool {
    guest.kind == GuestKind::Qemu && guest.text.template != Some(true)
}

#[cfg(test)]
mod tests;
