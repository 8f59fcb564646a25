//! The state of one guest's agent, and what it is to be asked next.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pve::api::agent::{Answer, Command, Refusal, Reply, Silence};
use crate::sources::agent::answers::{Answers, Limits};
use crate::sources::agent::schedule::Call;
use crate::sources::node_time::Exchange;
use crate::subjects::guest::Guest;
use crate::subjects::guest_agent::AgentState;

const MINUTE: Duration = Duration::from_secs(60);

/// For how long a guest is left alone whose agent has not answered, the first time and then.
const BACK_OFF: [Duration; 5] = [
    MINUTE,
    Duration::from_secs(5 * 60),
    Duration::from_secs(15 * 60),
    Duration::from_secs(60 * 60),
    Duration::from_secs(240 * 60),
];

/// How long a guest takes to boot: before that nobody may be there to answer, which says nothing.
pub(crate) const BOOT: u64 = 120;

/// By how many seconds an uptime may go back without a restart: where a node's clock is set.
const SET_BACK: u64 = 10;

/// After how long a command is tried again that the agent refused. A restart of the guest ends it earlier.
const REFUSED: Duration = Duration::from_secs(24 * 3600);

/// After how long a command is tried again that brought nonsense, and a guest of which PVE says that it may not be asked, or
/// has no agent after all.
const HOUR: Duration = Duration::from_secs(3600);

/// After how long a guest whose file systems are frozen is looked at again.
const FROZEN: Duration = MINUTE;

/// After how long a guest is asked again that was not where it was listed, or that PVE could not ask.
const ELSEWHERE: Duration = Duration::from_secs(15);

/// What a call brought.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// The agent has answered, be it that it may not.
    Answer(Answer),
    /// It has not, and why.
    Silence(Silence),
    /// It has, with what it should not say.
    Nonsense,
    /// The token may not ask it.
    Forbidden,
    /// PVE could not be asked: that says nothing about the agent.
    Failure,
    /// PVE fails at this guest, nobody knows why.
    Fault,
}

/// What is asked, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// What is shown.
    pub(crate) limits: Limits,
    /// Between two readings of what changes by the minute.
    pub(crate) fast: Duration,
}

impl Pace {
    /// How often a command is asked.
    pub(crate) fn of(&self, command: Command) -> Duration {
        match command {
            Command::FileSystems | Command::Interfaces | Command::FreezeStatus => self.fast,
            _ => command.interval().max(self.fast),
        }
    }
}

/// For how many intervals of what is asked most often an agent counts as what it was.
const OVERDUE: u32 = 3;

/// How an agent is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Condition {
    #[default]
    Unknown,
    NotConfigured,
    Answering,
    Unresponsive,
}

/// What is known of one guest's agent.
#[derive(Debug, Default)]
pub(crate) struct Agent {
    node: Arc<str>,
    state: &'static str,
    is_locked: bool,
    uptime: Option<u64>,
    /// It has moved to another node, and its uptime has not been seen to start anew since.
    moved: bool,
    configured: Option<bool>,
    condition: Condition,
    silent_in_a_row: u32,
    rests_until: Option<Instant>,
    frozen: bool,
    /// Commands that were refused as disabled, until it is known whether that is because the guest is frozen.
    suspected: BTreeSet<Command>,
    disabled: BTreeSet<Command>,
    /// How often in a row each command ran out of time, or PVE failed at it.
    failed: BTreeMap<Command, u32>,
    due: BTreeMap<Command, Instant>,
    is_asked: bool,
    took: Option<Duration>,
    answered_at: Option<Instant>,
    answers: Answers,
}

impl Agent {
    /// The node that holds the guest.
    pub(super) fn node(&self) -> &Arc<str> {
        &self.node
    }

    /// How long its last call took.
    pub(crate) fn took(&self) -> Option<Duration> {
        self.took
    }

    /// Whether a call is under way.
    pub(crate) fn is_asked(&self) -> bool {
        self.is_asked
    }

    /// What it said.
    pub(crate) fn answers(&self) -> &Answers {
        &self.answers
    }

    /// The state that it is in, where the guest is in `state`.
    pub(crate) fn state(&self, state: &str, now: Instant, pace: &Pace) -> AgentState {
        match (state, self.condition) {
            ("unknown", _) => AgentState::Unknown,
            _ if self.configured == Some(false) => AgentState::NotConfigured,
            (state, _) if state != "running" => AgentState::Stopped,
            // The configuration has one, and it will be there when the guest is started anew.
            (_, Condition::NotConfigured) => AgentState::NotConfigured,
            (_, Condition::Unknown) => AgentState::Unknown,
            (_, Condition::Unresponsive) => AgentState::Unresponsive,
            (_, Condition::Answering) if self.is_overdue(now, pace) => AgentState::Unknown,
            (_, Condition::Answering) if self.frozen => AgentState::Frozen,
            (_, Condition::Answering) if !self.disabled.is_empty() => AgentState::CommandDisabled,
            (_, Condition::Answering) => AgentState::Healthy,
        }
    }

    /// Whether it should have been asked long ago, and has not answered since: nobody knows how it is by now.
    fn is_overdue(&self, now: Instant, pace: &Pace) -> bool {
        let since = self.due.values().min().copied().max(self.answered_at);
        since.is_some_and(|since| now.saturating_duration_since(since) > pace.fast * OVERDUE)
    }

    /// Until when it is left alone because it does not answer.
    pub(crate) fn rests_until(&self) -> Option<Instant> {
        self.rests_until.filter(|_| self.condition == Condition::Unresponsive)
    }

    /// Takes over what the list says; returns whether anything that is told has changed.
    pub(super) fn list(&mut self, guest: &Guest, configured: Option<bool>, now: Instant, limits: &Limits) -> bool {
        let is_new = self.state.is_empty();
        let is_same_node = self.node == guest.node;
        let fell = self.fell(guest);
        // A migration starts QEMU anew as well, and the agent goes on; but not where the node was lost. The list has the new node
        // at once, and the new uptime up to ten seconds later.
        let moved = self.moved || !is_same_node && !matches!(self.state, "" | "stopped" | "unknown");
        let restarted = fell && !moved;
        let switched_on = configured == Some(true) && self.configured != Some(true);
        let changed =
            is_new || !is_same_node || restarted || configured != self.configured || guest.state != self.state;
        if restarted || guest.state == "stopped" && self.state != "stopped" {
            let mut answers = std::mem::take(&mut self.answers);
            answers.forget();
            *self = Self {
                is_asked: self.is_asked,
                answers,
                ..Self::default()
            };
        } else if switched_on && self.condition == Condition::NotConfigured {
            self.rests_until = None;
        }
        if self.due.is_empty() {
            // In the order of what people miss most, for all guests alike.
            let asked = |command: &Command| *command != Command::FreezeStatus && limits.want(*command);
            let order = (0..).zip(Command::ALL.into_iter().filter(asked));
            let due = order.map(|(rank, command)| (command, now + Duration::from_millis(rank)));
            self.due = due.collect();
        }
        self.node = Arc::clone(&guest.node);
        self.state = guest.state;
        self.is_locked = guest.lock.is_some();
        self.moved = moved && !fell && !matches!(guest.state, "stopped" | "unknown");
        self.uptime = guest.figures.uptime.or(self.uptime.filter(|_| !restarted));
        self.configured = configured;
        changed
    }

    fn fell(&self, guest: &Guest) -> bool {
        let (Some(before), Some(uptime)) = (self.uptime, guest.figures.uptime) else {
            return false;
        };
        uptime + SET_BACK < before
    }

    /// What it is to be asked next, if anything, and since when.
    pub(super) fn next(&self, now: Instant) -> Option<(Instant, Command)> {
        let may = self.state == "running"
            && !self.is_locked
            && !self.is_asked
            && self.configured != Some(false)
            && self.uptime.is_some_and(|uptime| uptime >= BOOT)
            && self.rests_until.is_none_or(|rest| rest <= now);
        let wanted = |command: &Command| !self.frozen || *command == Command::FreezeStatus;
        let due = self
            .due
            .iter()
            .filter(|(command, due)| may && **due <= now && wanted(command));
        // Whether it is frozen comes first: it tells what to make of the others' refusals.
        let (command, due) = due.min_by_key(|(command, due)| (**command != Command::FreezeStatus, **due))?;
        // Who has rested has not waited: else those who do not answer would come before all others.
        let since = self.rests_until.map_or(*due, |rest| rest.max(*due));
        Some((since, *command))
    }

    pub(super) fn started(&mut self) {
        self.is_asked = true;
    }

    pub(super) fn ended(&mut self, call: &Call, outcome: Outcome, exchange: Exchange, now: Instant, pace: &Pace) {
        self.is_asked = false;
        let Call { vmid, command, .. } = *call;
        let later = |time: Duration| now + stretched(time, vmid, command);
        match outcome {
            Outcome::Answer(answer) => {
                self.answered(command, exchange, now, later(pace.of(command)));
                match answer {
                    Answer::Data(reply) => self.told(command, reply, exchange, now, &pace.limits),
                    Answer::Refused(refusal) => self.refuses(command, refusal, now),
                }
            }
            Outcome::Nonsense => {
                self.answered(command, exchange, now, later(HOUR));
                if command == Command::FreezeStatus {
                    self.knows_frozen(false, now);
                }
            }
            Outcome::Silence(silence @ (Silence::Silent | Silence::TimedOut)) => {
                self.condition = Condition::Unresponsive;
                self.took = Some(exchange.took);
                self.rests_until = Some(later(back_off(&mut self.silent_in_a_row)));
                if silence == Silence::TimedOut {
                    self.fails_at(command, &later);
                }
            }
            Outcome::Fault => {
                self.rests_until = Some(later(back_off(&mut self.silent_in_a_row)));
                self.fails_at(command, &later);
            }
            Outcome::Silence(Silence::NotConfigured) => {
                self.condition = Condition::NotConfigured;
                self.answers.forget();
                self.rests_until = Some(later(HOUR));
            }
            Outcome::Forbidden => self.rests_until = Some(later(HOUR)),
            Outcome::Silence(Silence::NotRunning | Silence::Moved) | Outcome::Failure => {
                self.rests_until = Some(now + ELSEWHERE);
            }
        }
    }

    /// Others may work: they come first, and this one by and by.
    fn fails_at(&mut self, command: Command, later: &dyn Fn(Duration) -> Instant) {
        let times = self.failed.entry(command).or_default();
        self.due.insert(command, later(back_off(times)));
    }

    fn answered(&mut self, command: Command, exchange: Exchange, now: Instant, due: Instant) {
        self.condition = Condition::Answering;
        (self.silent_in_a_row, self.rests_until) = (0, None);
        (self.took, self.answered_at) = (Some(exchange.took), Some(now));
        self.failed.remove(&command);
        self.answers.answered(exchange);
        self.due.insert(command, due);
    }

    fn told(&mut self, command: Command, reply: Reply, exchange: Exchange, now: Instant, limits: &Limits) {
        self.disabled.remove(&command);
        match &reply {
            Reply::FreezeStatus(frozen) => self.knows_frozen(*frozen, now),
            Reply::Info(info) => {
                self.put_off(&info.missing, REFUSED, now);
                let (disabled, enabled): (Vec<_>, Vec<_>) = std::mem::take(&mut self.disabled)
                    .into_iter()
                    .partition(|command| info.disabled.contains(command));
                self.disabled.extend(disabled);
                self.put_off(&enabled, Duration::ZERO, now);
                self.suspects(&info.disabled, now);
            }
            _ => self.frozen = false,
        }
        self.answers.note(reply, exchange, limits);
    }

    fn refuses(&mut self, command: Command, refusal: Refusal, now: Instant) {
        match refusal {
            Refusal::Frozen => {
                self.put_off(&[command], FROZEN, now);
                self.knows_frozen(true, now);
            }
            // Whoever cannot even say whether the guest is frozen has disabled it, or never will say it.
            _ if command == Command::FreezeStatus => self.knows_frozen(false, now),
            Refusal::Disabled => self.suspects(&[command], now),
            Refusal::NotFound => self.put_off(&[command], REFUSED, now),
            Refusal::Other => {}
        }
    }

    /// All commands are disabled while a guest is frozen: that has to be known before it is believed.
    fn suspects(&mut self, commands: &[Command], now: Instant) {
        let asked = |command: &&Command| **command != Command::FreezeStatus && self.due.contains_key(command);
        let news = commands
            .iter()
            .filter(asked)
            .filter(|command| !self.disabled.contains(command));
        self.suspected.extend(news);
        if self.suspected.is_empty() {
            // Known before, and tried once more.
            self.put_off(commands, REFUSED, now);
        } else {
            self.due.insert(Command::FreezeStatus, now);
        }
    }

    fn knows_frozen(&mut self, frozen: bool, now: Instant) {
        self.frozen = frozen;
        let suspected: Vec<_> = std::mem::take(&mut self.suspected).into_iter().collect();
        if frozen {
            self.put_off(&suspected, FROZEN, now);
            self.due.insert(Command::FreezeStatus, now + FROZEN);
        } else {
            self.put_off(&suspected, REFUSED, now);
            self.disabled.extend(suspected);
            self.due.remove(&Command::FreezeStatus);
        }
    }

    /// Only what is asked at all is put off.
    fn put_off(&mut self, commands: &[Command], time: Duration, now: Instant) {
        for command in commands {
            if let Some(due) = self.due.get_mut(command) {
                *due = now + time;
            }
        }
    }
}

/// How long to wait after one more time in vain.
fn back_off(times: &mut u32) -> Duration {
    let step = usize::try_from(*times).unwrap_or(usize::MAX).min(BACK_OFF.len() - 1);
    *times = times.saturating_add(1);
    BACK_OFF.get(step).copied().unwrap_or(MINUTE)
}

/// Up to a tenth longer, each guest and command in its own way, lest all that was asked at once stay together.
fn stretched(time: Duration, vmid: u32, command: Command) -> Duration {
    let mut hasher = DefaultHasher::new();
    (vmid, command.path()).hash(&mut hasher);
    let share = u32::try_from(hasher.finish() % 100).unwrap_or_default();
    time + time * share / 1000
}

#[cfg(test)]
mod tests;
