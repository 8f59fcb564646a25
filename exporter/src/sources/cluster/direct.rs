//! The guest agents on the exporter's own node, one after the other, where that is switched on.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::agents::{AgentRows, Agents, Engaged, Turn};
use super::{Known, Shown};
use crate::clock::Clock;
use crate::config::{GuestAgentSocket, GuestKind};
use crate::metrics::labels::Identity;
use crate::process;
use crate::pve::api::agent::Reply;
use crate::pve::client::Client;
use crate::pve::endpoints::doubling;
use crate::pve::error::{ApiError, FailureReason};
use crate::qga::commands::Command;
use crate::qga::session::{Limits, SessionError};
use crate::sources::agent;
use crate::sources::counters::Run;
use crate::sources::guest_direct::{self, CpuCounters, DirectError, DirectRows};
use crate::sources::name::SourceName;
use crate::sources::node_time::Exchange;
use crate::sources::resources::Resources;
use crate::sources::source::{Source, Whole, Wiring};
use crate::sources::unawaited::Unawaited;
use crate::subjects::guest::Guest;
use crate::subjects::guest_direct::{GuestAgentCpu, GuestAgentDisk, GuestAgentLoad};
use crate::subjects::guest_filesystem::GuestFilesystem;

/// What is shown in any case.
const WANTED: [Command; 3] = [Command::CpuStats, Command::DiskStats, Command::Load];

/// The same of a guest that is not asked for its file systems over the API.
const WITH_FILE_SYSTEMS: [Command; 4] = [
    Command::CpuStats,
    Command::DiskStats,
    Command::Load,
    Command::FileSystems,
];

/// How long a round goes on with the next guest. Who had no turn is the first of the next round.
const ROUND: Duration = Duration::from_secs(20);

/// How old the list may be that tells which guests there are. Each scrape reads it before a round starts.
const BELIEVED: Duration = Duration::from_secs(30);

/// How long a guest whose agent is silent is left alone. Not for long at most: should it come to and answer, somebody has to
/// listen.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(600));

/// The source.
pub(super) struct Direct {
    cluster: String,
    rounds: Arc<Rounds>,
    source: Unawaited<Whole<Answers>>,
}

/// What the guests said, by VMID.
struct Answers {
    node: Arc<str>,
    guests: BTreeMap<u32, Arc<DirectRows>>,
    damaged: u64,
}

/// The rows.
#[derive(Default)]
pub struct GuestDirectRows {
    /// CPUs by mode.
    pub cpus: Arc<[GuestAgentCpu]>,
    /// Block devices.
    pub disks: Arc<[GuestAgentDisk]>,
    /// Load.
    pub loads: Arc<[GuestAgentLoad]>,
    /// File systems, where the API is not asked for them.
    pub file_systems: Arc<[GuestFilesystem]>,
}

impl Direct {
    /// Nothing is read yet. File systems are shown as `shown` says, where `agents` may not ask for them.
    pub(super) fn new(
        wiring: &Wiring<'_>,
        known: &Arc<Known>,
        settings: &GuestAgentSocket,
        agents: &Arc<Agents>,
        shown: agent::answers::Limits,
    ) -> Self {
        let over_api = wiring.policies.get(&SourceName::GuestAgents);
        let rounds = Arc::new(Rounds {
            cluster: wiring.cluster.to_owned(),
            settings: settings.clone(),
            limits: Limits::default(),
            over_api: over_api.is_some_and(|policy| policy.enabled),
            agents: Arc::clone(agents),
            shown,
            max_age: wiring.pace(SourceName::GuestAgentSocket).max_age,
            known: Arc::clone(known),
            clock: wiring.clock.clone(),
            observed: Notify::new(),
            guests: tokio::sync::Mutex::default(),
        });
        let shared = Arc::clone(&rounds);
        let source = wiring.whole(SourceName::GuestAgentSocket, move |_: Arc<Client>| {
            let rounds = Arc::clone(&rounds);
            async move {
                // A task of its own, so that nothing ends a session before its time.
                let round = tokio::spawn(async move { rounds.next().await });
                round.await.unwrap_or(Err(ApiError::Interrupted))
            }
        });
        Self {
            cluster: wiring.cluster.to_owned(),
            rounds: shared,
            source: Unawaited(source.damaged_by(|answers| Some(answers.damaged))),
        }
    }

    /// Its source.
    pub(super) fn source(&self) -> &dyn Source {
        &self.source
    }

    /// What decides whether agents may be asked has been told anew.
    pub(super) fn observed(&self) {
        self.rounds.observed.notify_waiters();
    }

    fn identity(&self, vmid: u32) -> Identity {
        Identity::new(&[("pve_cluster", &self.cluster), ("id", &format!("qemu/{vmid}"))])
    }

    /// What it brings: of file systems only those of guests that are not among `agents`, whose come over the API.
    pub(super) fn rows(&self, shown: &Shown<'_>, agents: &AgentRows) -> GuestDirectRows {
        let Some(answers) = shown.whole(&self.source.0).map(|latest| latest.value) else {
            return GuestDirectRows::default();
        };
        let here = |vmid: u32| shown.placed.may_run_at((GuestKind::Qemu, vmid), &answers.node);
        let over_api: HashSet<&[u8]> = agents.agents.iter().map(|agent| agent.identity.pairs()).collect();
        let guests = answers.guests.iter().filter(|(vmid, _)| here(**vmid));
        let guests: Vec<(u32, &DirectRows)> = guests.map(|(vmid, rows)| (*vmid, &**rows)).collect();
        GuestDirectRows {
            cpus: guests.iter().flat_map(|(_, rows)| rows.cpus.iter().cloned()).collect(),
            disks: guests.iter().flat_map(|(_, rows)| rows.disks.iter().cloned()).collect(),
            loads: guests.iter().filter_map(|(_, rows)| rows.load.clone()).collect(),
            file_systems: guests
                .iter()
                .filter(|(vmid, _)| !over_api.contains(self.identity(*vmid).pairs()))
                .flat_map(|(_, rows)| rows.file_systems.iter().cloned())
                .collect(),
        }
    }
}

struct Rounds {
    cluster: String,
    settings: GuestAgentSocket,
    limits: Limits,
    /// Whether agents are asked over the API, where the token may.
    over_api: bool,
    agents: Arc<Agents>,
    shown: agent::answers::Limits,
    max_age: Duration,
    known: Arc<Known>,
    clock: Clock,
    observed: Notify,
    /// Held for a whole round, so that there is one session at a time.
    guests: tokio::sync::Mutex<HashMap<u32, Seen>>,
}

/// What is known of a guest's agent.
#[derive(Default)]
struct Seen {
    run: Run,
    counters: CpuCounters,
    told: agent::answers::Answers,
    asked: Option<Instant>,
    silent: u32,
    retry_at: Option<Instant>,
    answer: Option<Answered>,
}

struct Answered {
    at: Instant,
    rows: Arc<DirectRows>,
    damaged: u64,
}

impl Rounds {
    async fn next(&self) -> Result<Answers, ApiError> {
        let mut guests = self.guests.lock().await;
        let node = self.node()?;
        let end = tokio::time::Instant::now() + ROUND;
        for vmid in self.turns(&node, &mut guests) {
            if tokio::time::Instant::now() >= end {
                break;
            }
            // It may have gone, or something may hold it, since others were asked.
            let free = tokio::time::timeout_at(end, self.free(&node, vmid))
                .await
                .ok()
                .flatten();
            if let (Some((guest, engaged)), Some(seen)) = (free, guests.get_mut(&vmid)) {
                self.ask(&guest, seen).await?;
                drop(engaged);
            }
        }
        let kept = self.max_age * 3;
        let fresh = |answer: &&Answered| self.clock.now().saturating_duration_since(answer.at) < kept;
        let answers = guests.iter();
        let answers: Vec<_> = answers
            .filter_map(|(vmid, seen)| Some((*vmid, seen.answer.as_ref().filter(fresh)?)))
            .collect();
        Ok(Answers {
            node,
            damaged: answers.iter().map(|(_, answer)| answer.damaged).sum(),
            guests: answers
                .into_iter()
                .map(|(vmid, answer)| (vmid, Arc::clone(&answer.rows)))
                .collect(),
        })
    }

    /// The machines that are due, in order.
    fn turns(&self, node: &str, guests: &mut HashMap<u32, Seen>) -> Vec<u32> {
        let Some(list) = self.known.lately(&self.clock, BELIEVED) else {
            return Vec::new();
        };
        let here: BTreeSet<u32> = running(&list, node).map(|guest| guest.vmid).collect();
        guests.retain(|vmid, _| here.contains(vmid));
        let mut turns = Vec::new();
        for vmid in here {
            let seen = guests.entry(vmid).or_default();
            if seen.retry_at.is_none_or(|retry| retry <= self.clock.now()) {
                turns.push((seen.silent > 0, seen.asked, vmid));
            }
        }
        in_order(turns)
    }

    /// The machine, if it is certain that nothing holds it; waits for lists that are young enough to tell,
    /// and for a call that is under way.
    async fn free(&self, node: &str, vmid: u32) -> Option<(Guest, Engaged)> {
        loop {
            let observed = self.observed.notified();
            let list = self.known.resources()?;
            let guest = running(&list, node).find(|guest| guest.vmid == vmid)?;
            match self.agents.engage(guest) {
                Turn::Now(engaged) => return Some((guest.clone(), engaged)),
                Turn::No => return None,
                Turn::Later => observed.await,
            }
        }
    }

    fn wanted(&self, vmid: u32) -> &'static [Command] {
        if self.over_api && self.agents.may_ask(vmid) != Some(false) {
            &WANTED
        } else {
            &WITH_FILE_SYSTEMS
        }
    }

    /// Only a file that the exporter may not open is an error: it will not open those of other guests either.
    async fn ask(&self, guest: &Guest, seen: &mut Seen) -> Result<(), ApiError> {
        let now = self.clock.now();
        seen.asked = Some(now);
        let continues = seen.run.continues(&guest.node, guest.figures.uptime);
        let wanted = self.wanted(guest.vmid);
        match guest_direct::read(&self.settings.directory, guest.vmid, wanted, &self.limits).await {
            Ok(mut direct) => {
                let id = format!("{}/{}", guest.kind.as_str(), guest.vmid);
                let mut rows = guest_direct::rows(&self.cluster, &id, &direct, &mut seen.counters, continues);
                if let Some(all) = direct.file_systems.take() {
                    let exchange = Exchange {
                        end: self.clock.unix_seconds(),
                        took: Duration::ZERO,
                    };
                    seen.told.note(Reply::FileSystems(all), exchange, &self.shown);
                    let told = seen.told.rows(
                        &self.cluster,
                        (guest.kind, guest.vmid),
                        exchange.end,
                        &crate::pve::api::agent::Command::interval,
                    );
                    rows.file_systems = told.file_systems;
                }
                seen.answer = Some(Answered {
                    at: now,
                    rows: Arc::new(rows),
                    damaged: direct.damaged,
                });
                (seen.silent, seen.retry_at) = (0, None);
            }
            Err(error) if error.is_absent() => {}
            Err(error) => {
                if let Some(path) = error.forbidden() {
                    return Err(ApiError::Socket {
                        problem: format!(
                            "the exporter may not open {}: run it as root, or leave guest_agent_socket off",
                            path.display()
                        ),
                        reason: FailureReason::Forbidden,
                    });
                }
                let vmid = guest.vmid;
                match error {
                    DirectError::Session(SessionError::Stranger { .. }) if seen.silent == 0 => {
                        tracing::warn!(vmid, problem = %error, "guest agent not asked");
                    }
                    _ => tracing::debug!(vmid, problem = %error, "guest agent did not answer"),
                }
                if !matches!(error, DirectError::Session(SessionError::Busy)) {
                    seen.retry_at = Some(now + doubling(BACK_OFF, seen.silent));
                    seen.silent = seen.silent.saturating_add(1);
                }
            }
        }
        Ok(())
    }

    /// The node that the exporter runs on.
    fn node(&self) -> Result<Arc<str>, ApiError> {
        let elsewhere = |problem| ApiError::Socket {
            problem,
            reason: FailureReason::Unreachable,
        };
        let own = match &self.settings.node {
            Some(node) => node.clone(),
            None => process::host_name()
                .map_err(|problem| elsewhere(format!("cannot tell the name of this node: {problem}")))?,
        };
        let nodes = self.known.nodes(false);
        if nodes.is_empty() {
            return Err(elsewhere("the nodes of the cluster are not known yet".to_owned()));
        }
        let node = nodes.into_iter().find(|node| **node == *own).ok_or_else(|| {
            elsewhere(format!(
                "the cluster has no node {own:?}: guest_agent_socket wants an exporter on a node of the cluster"
            ))
        })?;
        let directory = &self.settings.directory;
        match std::fs::metadata(directory) {
            Ok(_) => Ok(node),
            Err(problem) => Err(elsewhere(format!(
                "cannot look into {}: {problem}",
                directory.display()
            ))),
        }
    }
}

/// Those first that were not asked for the longest time, and then one of those that were silent: each of these takes much of a
/// round.
fn in_order(mut turns: Vec<(bool, Option<Instant>, u32)>) -> Vec<u32> {
    turns.sort_unstable();
    let well = turns.partition_point(|(was_silent, ..)| !was_silent);
    turns.truncate(well + 1);
    turns.into_iter().map(|(.., vmid)| vmid).collect()
}

/// The virtual machines that run on `node`.
fn running<'a>(list: &'a Resources, node: &'a str) -> impl Iterator<Item = &'a Guest> {
    let guests = list.guests.iter();
    guests.filter(move |guest| guest.kind == GuestKind::Qemu && guest.state == "running" && *guest.node == *node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_silent_have_one_turn_after_all_others() {
        let now = Instant::now();
        let asked = |seconds| Some(now + Duration::from_secs(seconds));
        let turns = vec![
            (true, asked(2), 100),
            (true, asked(1), 101),
            (false, asked(9), 102),
            (false, None, 103),
        ];
        assert_eq!(in_order(turns), [103, 102, 101]);
        assert_eq!(in_order(vec![(false, None, 2), (false, None, 1)]), [1, 2]);
    }
}
