//! What host and collector say to each other: requests and their answers, and samples at an interval.
//!
//! A host that is attached has to show that it reads: before its first line nothing is sent, and what is sent after its last one is
//! bounded ([`Credit`]). While nothing may be sent nothing is sampled, and nothing wakes the collector but the host.

use std::time::{Duration, Instant};

use pve_guest_protocol::areas::Collector;
use pve_guest_protocol::{
    AgentInfo, Area, AreaSet, Call, Credit, Encoder, ErrorCode, LineBuffer, MAX_LINE_BYTES, Piece, Refusal, Request,
    Subscription, VERSION, decode_request, write_failure, write_result,
};

use crate::audit::Audit;
use crate::config::{Config, INTERVALS};
use crate::identity::Identity;
use crate::outbox::{MESSAGE_OVERHEAD, Outbox, Sent};
use crate::own::Own;
use crate::port::{Gone, Port};
use crate::rate::Rate;
use crate::samplers::{Roots, Sampler};

/// What is read at once, and looked at before the next sample is due.
const READ_BYTES: usize = 4096;

/// A host that sends more than this at once waits for [`FLOOD_PAUSE`].
const READ_AT_ONCE: usize = 16;

/// So 640 kB a second are read at most.
const FLOOD_PAUSE: Duration = Duration::from_millis(100);

/// A collector, on whichever port it speaks.
pub struct Session {
    sampler: Sampler,
    own: Own,
    areas: AreaSet,
    interval: Duration,
    subscribed: Option<Duration>,
    identity: Identity,
    encoder: Encoder,
    lines: LineBuffer,
    /// There is more to read than was read at once.
    is_flooded: bool,
    asked: Vec<Asked>,
    credit: Credit,
    outbox: Outbox,
    attached: bool,
    /// When the next sample is published.
    due: Instant,
    answers: Rate,
    counts: Counts,
    audit: Audit,
}

/// A line from the host.
type Asked = Result<Option<Request>, Refusal>;

/// What has happened since the collector started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples taken.
    pub samples: u64,
    /// Samples not sent, or not all of their lines.
    pub samples_skipped: u64,
    /// Requests answered, be it with an error.
    pub requests: u64,
    /// Lines from the host that were no request.
    pub lines_damaged: u64,
}

impl Session {
    /// A collector that has just started.
    pub fn new(config: &Config, roots: &Roots, now: Instant) -> Self {
        Self {
            sampler: Sampler::new(roots, config.areas),
            own: Own::new(&roots.proc),
            areas: config.areas,
            interval: config.interval,
            subscribed: None,
            identity: Identity::new(&roots.proc),
            encoder: Encoder::default(),
            lines: LineBuffer::default(),
            is_flooded: false,
            asked: Vec::new(),
            credit: Credit::default(),
            outbox: Outbox::default(),
            attached: false,
            due: now,
            answers: Rate::new(20, Duration::from_millis(100), now),
            counts: Counts::default(),
            audit: Audit::new(now),
        }
    }

    /// Speaks with whoever is at the other end of the port until it cannot be used any longer.
    pub fn serve(&mut self, port: &mut Port) -> Gone {
        self.lines.reset();
        self.is_flooded = false;
        self.host_left();
        loop {
            if let Err(gone) = self.turn(port) {
                return gone;
            }
        }
    }

    /// Waits for the host or the next sample, and does what is to be done.
    fn turn(&mut self, port: &mut Port) -> Result<(), Gone> {
        let has_news = port.wait(self.timeout(Instant::now()))?;
        if has_news && !port.is_attached() {
            // Before anything is read: what the next host sends at once may overtake the news that it is there.
            self.host_left();
        }
        if has_news || self.is_flooded {
            self.is_flooded = !self.read(port)?;
        }
        let now = Instant::now();
        if port.is_attached() != self.attached {
            self.attached = port.is_attached();
            self.audit.host(self.attached, now);
        }
        if !self.attached {
            return Ok(());
        }
        self.answer(port, now)?;
        if self.may_publish() && now >= self.due {
            self.publish(port, now)?;
        }
        if self.is_flooded {
            std::thread::sleep(FLOOD_PAUSE);
        }
        Ok(())
    }

    /// How long nothing is to be done unless the host does something.
    fn timeout(&self, now: Instant) -> Option<Duration> {
        if self.is_flooded {
            // No edge tells of what was left unread.
            return Some(Duration::ZERO);
        }
        self.may_publish().then(|| self.due.saturating_duration_since(now))
    }

    /// Whether at least one line of a new sample could be sent.
    fn may_publish(&self) -> bool {
        self.attached && self.outbox.is_empty() && self.credit.allows(MAX_LINE_BYTES + MESSAGE_OVERHEAD)
    }

    fn interval(&self) -> Duration {
        self.subscribed.unwrap_or(self.interval)
    }

    fn host_left(&mut self) {
        self.counts.samples_skipped += u64::from(!self.outbox.is_empty());
        self.outbox.clear();
        self.credit.withdraw();
        self.subscribed = None;
        self.sampler.forget();
        self.asked.clear();
    }

    /// Reads what there is; false if there is more.
    fn read(&mut self, port: &mut Port) -> Result<bool, Gone> {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..READ_AT_ONCE {
            let count = port.read(&mut buffer)?;
            let bytes = buffer.get(..count).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(true);
            }
            if bytes.contains(&b'\n') {
                self.host_reads();
            }
            let Self { lines, asked, .. } = self;
            lines.push(bytes, |piece| {
                asked.push(match piece {
                    Piece::Line(line) => decode_request(line),
                    Piece::TooLong => Err(Refusal {
                        id: None,
                        code: ErrorCode::InvalidRequest,
                    }),
                });
            });
        }
        Ok(false)
    }

    fn host_reads(&mut self) {
        if !self.credit.allows(0) {
            // The first line of this host: it gets a sample at once.
            self.due = Instant::now();
        }
        self.credit.renew();
    }

    fn answer(&mut self, port: &mut Port, now: Instant) -> Result<(), Gone> {
        let mut asked = std::mem::take(&mut self.asked);
        for line in asked.drain(..) {
            self.counts.lines_damaged += u64::from(line.is_err());
            let reply = match line {
                Ok(None) => continue,
                Ok(Some(request)) => Ok(request),
                Err(refusal) => Err(refusal),
            };
            if self.answers.allows(now) {
                self.drop_unsent();
                self.reply(reply, now);
                self.flush(port)?;
            }
        }
        self.asked = asked;
        if !self.outbox.is_empty() {
            if now >= self.due {
                self.drop_unsent();
            } else {
                self.flush(port)?;
            }
        }
        Ok(())
    }

    fn reply(&mut self, asked: Result<Request, Refusal>, now: Instant) {
        self.counts.requests += 1;
        let answered = asked.and_then(|request| {
            let refuse = |code| Refusal {
                id: Some(request.id),
                code,
            };
            self.result(request, now).map_err(refuse)
        });
        if let Err(refusal) = answered {
            write_failure(refusal, self.outbox.refill());
        }
        self.audit.answered(asked, answered.err(), self.outbox.len(), now);
    }

    fn result(&mut self, Request { id, call }: Request, now: Instant) -> Result<(), ErrorCode> {
        match call {
            Call::Subscribe { interval_seconds } => {
                let interval = within_bounds(interval_seconds);
                self.subscribed = Some(interval);
                // A sample that is due earlier, as the first one of this host is, stays so.
                self.due = self.due.min(now + interval);
                let interval_seconds = interval.as_secs_f64();
                write_result(id, &Subscription { interval_seconds }, self.outbox.refill());
            }
            Call::GetAgentInfo => {
                let info = AgentInfo {
                    version: VERSION,
                    name: env!("CARGO_PKG_NAME").to_owned(),
                    release: env!("CARGO_PKG_VERSION").to_owned(),
                    boot_id: self.identity.boot_id,
                    start_seconds: self.identity.start_seconds,
                    interval_seconds: self.interval().as_secs_f64(),
                    areas: self.areas,
                };
                write_result(id, &info, self.outbox.refill());
            }
            call => {
                let wanted = call.areas().unwrap_or(AreaSet::NONE);
                let only = wanted.intersection(self.areas);
                if only.is_empty() && !wanted.is_empty() {
                    return Err(ErrorCode::PermissionDenied);
                }
                self.sample(only, Some(id), now);
            }
        }
        Ok(())
    }

    fn publish(&mut self, port: &mut Port, now: Instant) -> Result<(), Gone> {
        let interval = self.interval();
        self.due += interval;
        if self.due <= now {
            // Some were missed; none of them is made up for.
            self.due = now + interval;
        }
        if !port.is_ready()? {
            self.counts.samples_skipped += 1;
            return Ok(());
        }
        // The sampler leaves out what hardly changes, and knows nothing of what is ours.
        let mut only = self.sampler.due(now);
        if self.areas.contains(Area::Collector) {
            only.insert(Area::Collector);
        }
        self.sample(only, None, now);
        self.flush(port)
    }

    fn sample(&mut self, only: AreaSet, id: Option<u64>, now: Instant) {
        self.counts.samples += 1;
        let header = self.identity.next(self.interval());
        let areas = self.sampler.sample(only, now);
        if only.contains(Area::Collector) {
            let present = areas.present().with(Area::Collector);
            areas.collector = Some(Collector {
                failed: only.iter().filter(|area| !present.contains(*area)).collect(),
                samples: Some(self.counts.samples),
                samples_skipped: Some(self.counts.samples_skipped),
                requests: Some(self.counts.requests),
                lines_damaged: Some(self.counts.lines_damaged),
                cpu_microseconds: self.own.cpu_microseconds(),
                resident: self.own.resident(),
            });
        }
        self.encoder.encode(&header, areas, only, id, self.outbox.refill());
    }

    fn flush(&mut self, port: &mut Port) -> Result<(), Gone> {
        if self.outbox.flush(port, &mut self.credit)? == Sent::Dropped {
            self.counts.samples_skipped += 1;
        }
        Ok(())
    }

    fn drop_unsent(&mut self) {
        if !self.outbox.is_empty() {
            self.counts.samples_skipped += 1;
            self.outbox.clear();
        }
    }
}

fn within_bounds(seconds: f64) -> Duration {
    let wanted = Duration::try_from_secs_f64(seconds).unwrap_or(*INTERVALS.end());
    wanted.clamp(*INTERVALS.start(), *INTERVALS.end())
}
