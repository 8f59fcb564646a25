//! What is known of one guest's collector.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pve_guest_protocol::{VERSION, Version};
use tokio::sync::{Notify, watch};

use super::identity::{ConnectError, Mark};
use super::intake::{Counts, GuestSample, Intake, Moment, Outcome, Wrong};
use super::state::State;
use super::timing::Timing;
use crate::clock::Clock;
use crate::config::GuestTelemetry;

/// A guest whose state changes faster is not written about each time.
const LOGGED_AGAIN: Duration = Duration::from_secs(10);

/// One guest.
#[derive(Debug)]
pub struct Guest {
    vmid: u32,
    clock: Clock,
    pub(super) timing: Timing,
    known: Mutex<Known>,
    /// Somebody wants a sample of now.
    pub(super) wanted: Notify,
    /// Grows when a request was answered.
    answers: watch::Sender<u64>,
}

/// What is known of one guest at one moment.
#[derive(Clone, Debug)]
pub struct GuestSnapshot {
    /// The guest.
    pub vmid: u32,
    /// How it stands.
    pub state: State,
    /// What more is to be said of that.
    pub detail: Option<String>,
    /// The newest sample; only where it may be shown, which is when the state is healthy.
    pub sample: Option<Arc<GuestSample>>,
    /// When the newest sample of this run of the guest came, in Unix seconds.
    pub last_sample: Option<f64>,
    /// By how much the guest's clock is ahead, in seconds.
    pub clock_offset: Option<f64>,
    /// What has been counted since the exporter started.
    pub counts: Counts,
    /// How often it was connected to since the exporter started.
    pub connections: u64,
}

#[derive(Debug)]
struct Known {
    intake: Intake,
    link: Link,
    process: Option<Mark>,
    connections: u64,
    /// Connections in a row on which nothing useful came.
    useless: u32,
    /// How many connections may yet be given up early, since what came last could not be used.
    hasty: u32,
    /// Others wait for the socket, so that the connection may not be served yet.
    held: bool,
    /// Something has come from this QEMU process.
    heard: bool,
    last_sample: Option<f64>,
    /// What was logged last, and when.
    logged: (State, Option<Instant>),
    /// Why there is no connection, as it was logged last; until a sample has come.
    problem: Option<String>,
}

/// How it stands with the connection.
#[derive(Debug)]
enum Link {
    Absent { detail: String },
    Connecting { problem: Option<String> },
    Stranger { detail: String },
    Connected { quiet: bool },
}

impl Link {
    fn absent() -> Self {
        Self::Absent {
            detail: ConnectError::Absent.to_string(),
        }
    }
}

impl Guest {
    pub(super) fn new(vmid: u32, settings: &GuestTelemetry, timing: Timing, clock: Clock) -> Self {
        let intake = Intake::new(settings, clock.now());
        Self {
            vmid,
            clock,
            timing,
            known: Mutex::new(Known {
                intake,
                link: Link::absent(),
                process: None,
                connections: 0,
                useless: 0,
                hasty: 0,
                held: false,
                heard: false,
                last_sample: None,
                logged: (State::Absent, None),
                problem: None,
            }),
            wanted: Notify::new(),
            answers: watch::Sender::new(0),
        }
    }

    /// Its number.
    #[must_use]
    pub fn vmid(&self) -> u32 {
        self.vmid
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> GuestSnapshot {
        let now = self.clock.now();
        let known = self.known();
        let (state, detail) = known.state(now, &self.timing);
        let sample = known.intake.sample().filter(|_| state == State::Healthy);
        GuestSnapshot {
            vmid: self.vmid,
            state,
            detail: detail.map(|detail| detail.to_string()),
            sample: sample.cloned(),
            last_sample: known.last_sample,
            clock_offset: known.intake.clock_offset().filter(|_| state == State::Healthy),
            counts: known.intake.counts(),
            connections: known.connections,
        }
    }

    /// A sample of now, where the collector gives one in time, else the newest that it has published. Whoever asks at the same
    /// time gets the same one.
    ///
    /// # Errors
    /// The state, when there is none that counts.
    pub async fn fresh(&self) -> Result<Arc<GuestSample>, State> {
        let mut answers = self.answers.subscribe();
        let worth_waiting = {
            let known = self.known();
            let recent = known.recent(self.clock.now(), &self.timing);
            !recent && matches!(known.link, Link::Connected { .. }) && self.answers_expected(&known)
        };
        if worth_waiting {
            self.wanted.notify_one();
            // Without an answer there is what was published.
            drop(tokio::time::timeout(self.timing.answer, answers.changed()).await);
        }
        let snapshot = self.snapshot();
        snapshot.sample.ok_or(snapshot.state)
    }

    /// Who has not answered for some times is asked behind scrapes only, so that they need not wait.
    fn answers_expected(&self, known: &Known) -> bool {
        let expected = known
            .intake
            .unanswered()
            .is_some_and(|unanswered| unanswered < self.timing.unanswered);
        if !expected {
            self.wanted.notify_one();
        }
        expected
    }

    /// Whether the collector should be asked now, after it was asked so long ago.
    pub(super) fn may_be_asked(&self, ago: Option<Duration>) -> bool {
        let known = self.known();
        let Some(unanswered) = known.intake.unanswered() else {
            return false;
        };
        let least = if unanswered >= self.timing.unanswered {
            self.timing.ask_again
        } else if known.intake.awaits_answer() {
            self.timing.answer
        } else {
            Duration::ZERO
        };
        !known.recent(self.clock.now(), &self.timing) && ago.is_none_or(|ago| ago >= least)
    }

    pub(super) fn absent(&self) {
        self.change(|known| {
            known.link = Link::absent();
            (known.useless, known.held) = (0, false);
        });
    }

    /// The guest has no process, and yet somebody has its socket.
    pub(super) fn taken(&self) {
        self.change(|known| {
            let detail = "the guest does not run, and another process listens on its socket".to_owned();
            known.link = Link::Stranger { detail };
        });
    }

    /// Its process file is this one; whether that is another than before.
    pub(super) fn runs_as(&self, process: Mark) -> bool {
        let mut known = self.known();
        let other = known.process.replace(process) != Some(process);
        if other {
            known.intake.begin_anew();
            known.last_sample = None;
            (known.useless, known.heard) = (0, false);
        }
        other
    }

    pub(super) fn not_connected(&self, error: &ConnectError, whose: Option<u32>) {
        self.change(|known| {
            known.link = match error {
                ConnectError::Absent | ConnectError::Unlinked => Link::Absent {
                    detail: error.to_string(),
                },
                ConnectError::Stranger { .. } => Link::Stranger {
                    detail: match whose {
                        Some(vmid) => format!("{error}: that is the QEMU of guest {vmid}"),
                        None => error.to_string(),
                    },
                },
                _ => Link::Connecting {
                    problem: Some(error.to_string()),
                },
            };
        });
    }

    pub(super) fn connected(&self) {
        let now = self.clock.now();
        self.change(|known| {
            known.intake.connected(now);
            known.connections += 1;
            known.link = Link::Connected { quiet: true };
        });
    }

    pub(super) fn disconnected(&self) {
        self.change(|known| {
            known.intake.disconnected();
            known.link = Link::Connecting { problem: None };
        });
    }

    /// Nothing useful came on this connection for too long. `held` when others wait for the socket, so that it may not be ours yet.
    pub(super) fn give_up(&self, held: bool) {
        self.change(|known| {
            // If all that comes is old, what is known of the order is wrong.
            known.intake.forget_order();
            known.held = held;
            known.useless += u32::from(!held);
        });
    }

    /// Nothing came on this connection, after something that could not be used. That says nothing of the next one.
    pub(super) fn give_up_early(&self) {
        self.change(|known| {
            known.intake.forget_order();
            known.hasty = known.hasty.saturating_sub(1);
        });
    }

    /// Whether to give up early, should nothing come.
    pub(super) fn is_hasty(&self) -> bool {
        let known = self.known();
        known.hasty > 0 && known.state(self.clock.now(), &self.timing).0 == State::ProtocolError
    }

    /// How many connections in a row brought nothing useful.
    pub(super) fn useless_connections(&self) -> u32 {
        self.known().useless
    }

    pub(super) fn take(&self, bytes: &[u8]) -> Outcome {
        let now = self.moment();
        let mut known = self.known();
        let outcome = known.intake.take(bytes, now);
        known.heard = true;
        known.hasty = self.timing.hasty_connections;
        if outcome.useful {
            known.useless = 0;
        }
        known.link = Link::Connected { quiet: false };
        known.held = false;
        if let Some(sample) = known.intake.sample() {
            known.last_sample = Some(sample.received);
        }
        if outcome.useful {
            known.problem = None;
        }
        self.log_change(&mut known);
        drop(known);
        if outcome.answered {
            self.answers.send_modify(|answers| *answers += 1);
        }
        outcome
    }

    pub(super) fn found_empty(&self) {
        let now = self.clock.now();
        self.known().intake.found_empty(now);
    }

    pub(super) fn asked(&self, id: u64) {
        self.known().intake.asked(id);
    }

    /// How long the guest may say nothing.
    pub(super) fn longest_silence(&self) -> Duration {
        let known = self.known();
        let sample = known.intake.sample();
        sample.map_or(self.timing.silence, |sample| {
            sample.intervals(3).max(self.timing.silence)
        })
    }

    /// Time has passed.
    pub(super) fn look(&self) {
        self.change(|_| {});
    }

    fn moment(&self) -> Moment {
        Moment {
            at: self.clock.now(),
            unix: self.clock.unix_seconds(),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = self.known();
        change(&mut known);
        self.log_change(&mut known);
    }

    /// One line for each change of state that lasts, but for what every start of a guest or of the exporter goes through; and one
    /// for each other reason why there is no connection.
    fn log_change(&self, known: &mut Known) {
        if let Link::Connecting { problem: Some(problem) } = &known.link
            && known.problem.as_ref() != Some(problem)
        {
            tracing::warn!(vmid = self.vmid, problem, "the guest's port cannot be connected to");
            known.problem = Some(problem.clone());
        }
        let now = self.clock.now();
        let (state, detail) = known.state(now, &self.timing);
        let (logged, at) = known.logged;
        if state == logged || at.is_some_and(|at| now.saturating_duration_since(at) < LOGGED_AGAIN) {
            return;
        }
        let (vmid, detail) = (self.vmid, detail.as_ref().map(tracing::field::display));
        match state {
            State::Connecting => return,
            State::Absent | State::Healthy => tracing::info!(vmid, state = state.as_str(), "guest telemetry"),
            _ => tracing::warn!(
                vmid,
                state = state.as_str(),
                detail,
                remedy = state.remedy(),
                "guest telemetry"
            ),
        }
        known.logged = (state, Some(now));
    }
}

/// What is to be said of a state. It becomes text only where somebody reads it, and not with each read of a port.
enum Detail<'a> {
    Text(&'a str),
    Version(Version),
    Connections(u32),
}

impl fmt::Display for Detail<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => formatter.write_str(text),
            Self::Version(version) => {
                write!(
                    formatter,
                    "it speaks version {version} of the protocol, and the exporter {VERSION}"
                )
            }
            Self::Connections(connections) => write!(formatter, "nothing came on {connections} connections"),
        }
    }
}

impl Known {
    fn recent(&self, now: Instant, timing: &Timing) -> bool {
        let sample = self.intake.sample();
        sample.is_some_and(|sample| sample.age(now) < timing.recent)
    }

    fn state(&self, now: Instant, timing: &Timing) -> (State, Option<Detail<'_>>) {
        let (state, detail) = match &self.link {
            Link::Absent { detail } => (State::Absent, Detail::Text(detail)),
            Link::Stranger { detail } => (State::Misattributed, Detail::Text(detail)),
            Link::Connecting { problem: Some(problem) } => (State::Connecting, Detail::Text(problem)),
            Link::Connecting { problem: None } => self.without_sample("the connection has ended", timing),
            Link::Connected { quiet } => match self.intake.sample() {
                Some(sample) if sample.is_fresh(now) => return (State::Healthy, None),
                Some(_) => self.without_sample("", timing),
                None if *quiet => self.without_sample("nothing has come yet", timing),
                None => self.without_sample("no whole sample has come yet", timing),
            },
        };
        (state, Some(detail))
    }

    /// `so_far` is what is to be said before anything has gone wrong.
    fn without_sample(&self, so_far: &'static str, timing: &Timing) -> (State, Detail<'_>) {
        let wrong = self.intake.wrong().map(|wrong| match wrong {
            Wrong::Damaged => (State::ProtocolError, Detail::Text("no line of it can be read")),
            Wrong::Old => (State::ProtocolError, Detail::Text("all that comes is old")),
            Wrong::TooMuch => (State::ProtocolError, Detail::Text("it sends more than it may")),
            Wrong::Newer(version) => (State::VersionTooNew, Detail::Version(version)),
        });
        if let Some(wrong) = wrong {
            return wrong;
        }
        let connections = self.useless;
        if self.held {
            let detail = "connected, but another program seems to be served";
            (State::Connecting, Detail::Text(detail))
        } else if connections == 0 && self.intake.sample().is_none() {
            (State::Connecting, Detail::Text(so_far))
        } else if !self.heard {
            let detail = "nothing has come since the guest or the exporter started";
            (State::Silent, Detail::Text(detail))
        } else if connections >= timing.useless_connections {
            (State::Wedged, Detail::Connections(connections))
        } else {
            (State::Silent, Detail::Text("nothing comes any more"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_what_cannot_be_used_makes_no_text_each_time() {
        let guest = Guest::new(100, &GuestTelemetry::default(), Timing::default(), Clock::default());
        guest.connected();
        guest.take(b"nonsense\nn");
        assert_eq!(guest.snapshot().detail.as_deref(), Some("no line of it can be read"));
        let reads = allocation_counter::measure(|| _ = guest.take(b"o"));
        assert_eq!(reads.count_total, 0);
    }
}
