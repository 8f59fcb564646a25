//! From the bytes of a guest to its newest sample. No I/O.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pve_guest_protocol::{
    Area, Areas, Assembly, BootId, Damage, ErrorCode, Header, LineBuffer, Message, Piece, Receipts, Report, VERSION,
    Version, decode,
};

use super::budget::Budget;
use super::dropped::{Dropped, Reason};
use super::rows::Admission;
use crate::config::GuestTelemetry;

/// A sample is shown for three intervals, and this at least.
const FRESH: Duration = Duration::from_secs(30);

/// No interval is believed to be longer.
const LONGEST_INTERVAL: f64 = 300.0;

/// An area that a sample does not hold is shown as it was last told, for so long.
const AREA_KEPT: Duration = Duration::from_secs(300);

/// A sample of more lines is not put together: a thousand interfaces take two thirds of them.
const MOST_LINES: u16 = 32;

/// How many boots that are over are remembered.
const PAST_BOOTS: usize = 8;

/// A moment by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// By the one that only goes on.
    pub at: Instant,
    /// In Unix seconds.
    pub unix: f64,
}

/// What a guest has told, whole and in bounds.
#[derive(Clone, Debug)]
pub struct GuestSample {
    /// Of the newest sample; `part`, `parts` and `split` mean nothing.
    pub header: Header,
    /// Its areas, and those of earlier ones that are told less often.
    pub areas: Areas,
    /// When it came, in Unix seconds of this host.
    pub received: f64,
    received_at: Instant,
}

impl GuestSample {
    /// How long it counts.
    #[must_use]
    pub fn fresh_for(&self) -> Duration {
        FRESH.max(self.intervals(3))
    }

    /// Whether it may be shown at `now`.
    #[must_use]
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.age(now) <= self.fresh_for()
    }

    /// So many of the intervals at which samples come.
    pub(super) fn intervals(&self, number: u32) -> Duration {
        interval(&self.header) * number
    }

    /// How long ago it came.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.received_at)
    }
}

fn interval(header: &Header) -> Duration {
    let seconds = header.interval_seconds.clamp(0.1, LONGEST_INTERVAL);
    Duration::try_from_secs_f64(seconds).unwrap_or(FRESH)
}

/// What is counted of one guest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Bytes received.
    pub bytes: u64,
    /// Lines received.
    pub lines: u64,
    /// Samples taken.
    pub samples: u64,
    /// What was dropped.
    pub dropped: Dropped,
}

/// The last request.
#[derive(Debug, Default)]
struct Requests {
    /// The one that is waited for, and the one before, whose answer may come late.
    open: [Option<u64>; 2],
    /// How many in a row were not answered.
    unanswered: u32,
    /// The collector has said that it does not answer this.
    refused: bool,
}

/// Which sample is the newest.
#[derive(Debug)]
struct Newest {
    boot: BootId,
    start: f64,
    sequence: Option<u64>,
}

/// What the bytes brought about.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outcome {
    /// The collector waits for a sign that it is read.
    pub receipt_due: bool,
    /// Nothing should be read for so long.
    pub pause: Option<Duration>,
    /// A line of a sample was taken.
    pub useful: bool,
    /// The request has been answered, be it with a refusal.
    pub answered: bool,
}

/// Takes what a guest sends. It is bounded, whatever that is.
#[derive(Debug)]
pub struct Intake {
    lines: LineBuffer,
    state: Lines,
}

#[derive(Debug)]
struct Lines {
    budget: Budget,
    admission: Admission,
    assembly: Assembly,
    incomplete: u64,
    requests: Requests,
    newest: Option<Newest>,
    /// Boots that are over, so that none of them comes back.
    past: Vec<BootId>,
    sample: Option<Arc<GuestSample>>,
    /// When each area was last told.
    told: [Option<Instant>; Area::ALL.len()],
    /// When everything that had been sent had been read.
    empty_at: Instant,
    receipts: Receipts,
    counts: Counts,
    clock_offset: Option<f64>,
    /// Of the last line: what was wrong with it.
    wrong: Option<Wrong>,
    answered: bool,
    useful: bool,
}

/// Why lines cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    Damaged,
    TooMuch,
    Old,
    Newer(Version),
}

impl Intake {
    /// Nothing has come.
    #[must_use]
    pub fn new(settings: &GuestTelemetry, now: Instant) -> Self {
        Self {
            lines: LineBuffer::default(),
            state: Lines {
                budget: Budget::new(settings, now),
                admission: Admission::new(settings),
                assembly: Assembly::new(MOST_LINES),
                incomplete: 0,
                requests: Requests::default(),
                newest: None,
                past: Vec::new(),
                sample: None,
                told: [None; Area::ALL.len()],
                empty_at: now,
                receipts: Receipts::default(),
                counts: Counts::default(),
                clock_offset: None,
                wrong: None,
                answered: false,
                useful: false,
            },
        }
    }

    /// A connection has been made. What was begun on another will not go on, and nothing of it is shown any more.
    pub fn connected(&mut self, now: Instant) {
        self.disconnected();
        self.state.empty_at = now;
    }

    /// The connection has ended.
    pub fn disconnected(&mut self) {
        self.lines.reset();
        let state = &mut self.state;
        state.assembly = Assembly::new(MOST_LINES);
        state.incomplete = 0;
        state.requests = Requests::default();
        state.sample = None;
        state.clock_offset = None;
        state.receipts = Receipts::default();
    }

    /// The guest may be where it was before: it has been started anew, or rolled back to a snapshot.
    pub fn begin_anew(&mut self) {
        self.forget_order();
        self.state.wrong = None;
    }

    /// Any sample may be the newest.
    pub fn forget_order(&mut self) {
        self.state.newest = None;
        self.state.past.clear();
        self.state.told = [None; Area::ALL.len()];
    }

    /// Takes bytes that were read at `now`.
    pub fn take(&mut self, bytes: &[u8], now: Moment) -> Outcome {
        let state = &mut self.state;
        (state.answered, state.useful) = (false, false);
        state.counts.bytes += bytes.len() as u64;
        self.lines.push(bytes, |piece| state.line(piece, now));
        Outcome {
            receipt_due: state.receipts.due(bytes.len()),
            useful: state.useful,
            pause: state.budget.pause(bytes.len(), now.at),
            answered: state.answered,
        }
    }

    /// Everything that had been sent had been read at `now`.
    pub fn found_empty(&mut self, now: Instant) {
        self.state.empty_at = now;
    }

    /// A request with this id has been sent.
    pub fn asked(&mut self, id: u64) {
        let requests = &mut self.state.requests;
        let [before, _] = requests.open;
        requests.unanswered += 1;
        requests.open = [Some(id), before];
    }

    /// Whether the last request has not been answered.
    #[must_use]
    pub fn awaits_answer(&self) -> bool {
        let [last, _] = self.state.requests.open;
        last.is_some()
    }

    /// How many requests in a row have not been answered; `None` when they are refused.
    #[must_use]
    pub fn unanswered(&self) -> Option<u32> {
        let requests = &self.state.requests;
        (!requests.refused).then_some(requests.unanswered)
    }

    /// The newest sample, fresh or not.
    #[must_use]
    pub fn sample(&self) -> Option<&Arc<GuestSample>> {
        self.state.sample.as_ref()
    }

    /// What has been counted.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state.counts
    }

    /// By how much the guest's clock is ahead of this host's, in seconds.
    #[must_use]
    pub fn clock_offset(&self) -> Option<f64> {
        self.state.clock_offset
    }

    pub(super) fn wrong(&self) -> Option<Wrong> {
        self.state.wrong
    }
}

impl Lines {
    fn drop(&mut self, reason: Reason) {
        self.counts.dropped.count(reason);
    }

    fn line(&mut self, piece: Piece<'_>, now: Moment) {
        self.counts.lines += 1;
        let Piece::Line(line) = piece else {
            self.wrong = Some(Wrong::Damaged);
            return self.drop(Reason::TooLong);
        };
        let over = if !self.budget.bytes(line.len(), now.at) {
            Some(Reason::Bytes)
        } else if !self.budget.line(now.at) {
            Some(Reason::Lines)
        } else {
            None
        };
        if let Some(reason) = over {
            self.wrong = Some(Wrong::TooMuch);
            return self.drop(reason);
        }
        match decode(line) {
            Ok(message) => self.message(message, now),
            Err(damage) => self.damaged(damage),
        }
    }

    fn damaged(&mut self, damage: Damage) {
        match damage {
            Damage::Version(version) if version > VERSION => {
                self.wrong = Some(Wrong::Newer(version));
                self.drop(Reason::Version);
            }
            Damage::Version(_) => {
                self.wrong = Some(Wrong::Damaged);
                self.drop(Reason::Version);
            }
            Damage::Syntax | Damage::Shape => {
                self.wrong = Some(Wrong::Damaged);
                self.drop(Reason::Damaged);
            }
        }
    }

    fn message(&mut self, message: Message<'_>, now: Moment) {
        match message {
            Message::Metrics(report) => self.report(*report, now),
            Message::Answer { id, result } => {
                if !self.was_asked(id) {
                    return self.drop(Reason::Unasked);
                }
                match result.report() {
                    Ok(report) => self.report(report, now),
                    Err(damage) => self.damaged(damage),
                }
            }
            Message::Failure { id: Some(id), code, .. } => {
                if !self.was_asked(id) {
                    return self.drop(Reason::Unasked);
                }
                let for_ever = [ErrorCode::MethodNotFound, ErrorCode::PermissionDenied];
                self.requests.refused = for_ever.iter().any(|refusal| refusal.code() == code);
            }
            // The collector could not read what others have left behind; or it is a later one.
            Message::Failure { id: None, .. } | Message::Unknown => {}
        }
    }

    /// Whether an answer to `id` is waited for. It is so once.
    fn was_asked(&mut self, id: u64) -> bool {
        let Some(open) = self.requests.open.iter_mut().find(|open| **open == Some(id)) else {
            return false;
        };
        *open = None;
        self.requests.unanswered = 0;
        self.answered = true;
        true
    }

    fn report(&mut self, mut report: Report, now: Moment) {
        let old = if !self.supersedes(&report.header) {
            Some(Reason::Order)
        } else if self.is_stale(&report.header, now.at) {
            Some(Reason::Stale)
        } else {
            None
        };
        if let Some(reason) = old {
            self.wrong = Some(Wrong::Old);
            return self.drop(reason);
        }
        if report.header.parts > MOST_LINES {
            self.wrong = Some(Wrong::TooMuch);
            return self.drop(Reason::TooLong);
        }
        let expected = self.assembly.expects(&report.header);
        let incomplete = self.assembly.incomplete();
        self.counts
            .dropped
            .add(Reason::Incomplete, incomplete.saturating_sub(self.incomplete));
        self.incomplete = incomplete;
        if !expected {
            return self.drop(Reason::Incomplete);
        }
        (self.wrong, self.useful) = (None, true);
        if report.header.part == 0 {
            self.admission.begin();
        }
        self.admission
            .filter(&mut report.areas, now.unix, &mut self.counts.dropped);
        if let Some(sample) = self.assembly.add(report) {
            if let Some(newest) = &mut self.newest {
                newest.sequence = Some(sample.header.sequence);
            }
            self.complete(sample.header, sample.areas, now);
        }
    }

    /// Whether a line is of a later sample than the newest, or of the one that is being read.
    fn supersedes(&mut self, header: &Header) -> bool {
        match &mut self.newest {
            Some(newest) if newest.boot == header.boot_id => {
                if header.start_seconds > newest.start {
                    (newest.start, newest.sequence) = (header.start_seconds, None);
                }
                header.start_seconds >= newest.start && newest.sequence.is_none_or(|newest| header.sequence > newest)
            }
            Some(_) if self.past.contains(&header.boot_id) => false,
            other => {
                if let Some(over) = other.take() {
                    // A guest that says it boots all the time loses the oldest.
                    self.past.truncate(PAST_BOOTS - 1);
                    self.past.insert(0, over.boot);
                }
                *other = Some(Newest {
                    boot: header.boot_id,
                    start: header.start_seconds,
                    sequence: None,
                });
                // Nothing of the boot that is over.
                self.sample = None;
                self.told = [None; Area::ALL.len()];
                true
            }
        }
    }

    /// Whether a line may have been under way for longer than it counts: it lay in buffers since this process, or the guest, stood
    /// still. It came after everything had been read; and if the guest's clock went on as this host's did since the sample before,
    /// it was not under way at all.
    fn is_stale(&self, header: &Header, now: Instant) -> bool {
        let Some(before) = &self.sample else { return false };
        let at_most = now.saturating_duration_since(self.empty_at);
        let passed = before.age(now).as_secs_f64();
        let told = header.monotonic_seconds - before.header.monotonic_seconds;
        let behind = Duration::try_from_secs_f64(passed - told).unwrap_or_default();
        at_most.min(behind) > FRESH.max(interval(header) * 3)
    }

    fn complete(&mut self, header: Header, areas: Areas, now: Moment) {
        let mut before = self.sample.take().map(Arc::unwrap_or_clone);
        let mut all = before
            .as_mut()
            .map(|sample| std::mem::take(&mut sample.areas))
            .unwrap_or_default();
        let told = areas.present();
        for area in told.iter() {
            if let Some(told) = self.told.get_mut(area as usize) {
                *told = Some(now.at);
            }
        }
        all.update(areas);
        for area in all.present().iter() {
            let told = self.told.get(area as usize).copied().flatten();
            if told.is_none_or(|told| now.at.saturating_duration_since(told) > AREA_KEPT) {
                forget(&mut all, area);
            }
        }
        self.admission.limit(&mut all, told, &mut self.counts.dropped);
        self.counts.samples += 1;
        self.clock_offset = Some(header.time_seconds - now.unix);
        self.sample = Some(Arc::new(GuestSample {
            header,
            areas: all,
            received: now.unix,
            received_at: now.at,
        }));
    }
}

fn forget(areas: &mut Areas, area: Area) {
    match area {
        Area::Kernel => areas.kernel = None,
        Area::Load => areas.load = None,
        Area::Memory => areas.memory = None,
        Area::Paging => areas.paging = None,
        Area::Pressure => areas.pressure = None,
        Area::Processes => areas.processes = None,
        Area::Sockets => areas.sockets = None,
        Area::Protocols => areas.protocols = None,
        Area::Conntrack => areas.conntrack = None,
        Area::UdpQueues => areas.udp_queues = None,
        Area::Entropy => areas.entropy = None,
        Area::Time => areas.time = None,
        Area::Users => areas.users = None,
        Area::System => areas.system = None,
        Area::Collector => areas.collector = None,
        Area::Cpus => areas.cpus = None,
        Area::Scheduler => areas.scheduler = None,
        Area::Softnet => areas.softnet = None,
        Area::Disks => areas.disks = None,
        Area::FileSystems => areas.file_systems = None,
        Area::Network => areas.network = None,
        Area::Interfaces => areas.interfaces = None,
        Area::Arp => areas.arp = None,
    }
}
