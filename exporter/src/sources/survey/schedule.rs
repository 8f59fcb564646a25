//! Which guest is read next. It knows no clock: every moment is handed in.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{NodeRecord, SurveyGuest, Values};
use crate::pve::endpoints::doubling;
use crate::pve::error::{ApiError, FailureReason};
use crate::sources::held::Record;
use crate::subjects::guest::{Guest, GuestKey};

const MINUTE: Duration = Duration::from_secs(60);

/// How long a guest that could not be read is left alone, the first time and at most.
const GUEST_BACK_OFF: (Duration, Duration) = (MINUTE, Duration::from_secs(3600));

/// The same for all guests of a node that did not answer.
const NODE_BACK_OFF: (Duration, Duration) = (Duration::from_secs(15), MINUTE);

/// How long nothing is read when a privilege is missing: it is missing for every guest, as a rule.
const FORBIDDEN_REST: Duration = Duration::from_secs(300);

/// How long a guest that is listed no more keeps its value, in case it is listed again.
const REMEMBERED: Duration = Duration::from_secs(3600);

/// A value is served until it is this many times as old as it should get, and for a day at least: in a large cluster a round of all
/// guests takes hours, and an old configuration tells more than none.
const SERVED: u32 = 3;
const SERVED_AT_LEAST: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Schedule<T> {
    max_age: Duration,
    guests: BTreeMap<GuestKey, Entry<T>>,
    nodes: BTreeMap<Arc<str>, Node>,
    listed: Option<Arc<[Guest]>>,
    /// The number of the newest list.
    list: u64,
    rests_until: Option<Instant>,
    renewal_at: Option<Instant>,
    values: Arc<Values<T>>,
    /// Whether `values` is behind the guests.
    changed: bool,
    /// When the oldest of `values` was read.
    oldest: Option<Instant>,
}

struct Entry<T> {
    guest: SurveyGuest,
    uptime: Option<u64>,
    /// The number of the newest list that it stands in, and when that came.
    list: u64,
    listed_at: Instant,
    /// When it is read at the latest if nothing hinders.
    due: Instant,
    /// Only its age asks for it, so that it may also be read before it is due.
    renewal: bool,
    value: Option<(Arc<T>, Instant)>,
    failed_in_a_row: u32,
    /// Its last read failed, and not because the guest was elsewhere.
    failing: bool,
}

#[derive(Default)]
struct Node {
    started: Option<Instant>,
    rests_until: Option<Instant>,
    failed_in_a_row: u32,
    record: Record,
    last_success: Option<f64>,
    /// The reasons that have been logged since it last worked.
    told: BTreeSet<FailureReason>,
}

/// What the end of a read is worth a line in the log for.
#[derive(Debug)]
pub(super) enum News {
    None,
    /// It failed, for a reason that is new at this node.
    Failed(ApiError),
    /// Every guest of the node can be read again.
    Works,
}

/// A read that has ended.
pub(super) struct Ended<T> {
    pub(super) guest: SurveyGuest,
    pub(super) started: Instant,
    pub(super) unix_seconds: f64,
    pub(super) outcome: Result<T, ApiError>,
}

impl<T> Schedule<T> {
    pub(super) fn new(max_age: Duration) -> Self {
        Self {
            max_age,
            guests: BTreeMap::new(),
            nodes: BTreeMap::new(),
            listed: None,
            list: 0,
            rests_until: None,
            renewal_at: None,
            values: Arc::default(),
            changed: false,
            oldest: None,
        }
    }

    /// Takes over the list of all guests.
    pub(super) fn list(&mut self, guests: &Arc<[Guest]>, now: Instant) {
        if self.listed.as_ref().is_some_and(|listed| Arc::ptr_eq(listed, guests)) {
            return;
        }
        self.listed = Some(Arc::clone(guests));
        let before = self.list;
        self.list += 1;
        for guest in guests.iter() {
            let entry = self
                .guests
                .entry((guest.kind, guest.vmid))
                .or_insert_with(|| Entry::new(guest, before, now));
            if entry.list != before {
                // One that is listed again has its value served again, and is read soon: it may be another one of that number.
                self.changed = true;
                (entry.due, entry.renewal) = (now, false);
            }
            (entry.list, entry.listed_at) = (self.list, now);
            entry.note(guest, now);
        }
        for entry in self.guests.values() {
            self.changed |= entry.list == before;
        }
        self.guests
            .retain(|_, entry| now.saturating_duration_since(entry.listed_at) < REMEMBERED);
        let homes: BTreeSet<_> = self.guests.values().map(|entry| &entry.guest.node).collect();
        self.nodes.retain(|node, _| homes.contains(node));
    }

    /// The guest to read now, of a node that is not `unavailable`: one that has no value before any other, then what else has
    /// news, by turns of the nodes, then the oldest value.
    pub(super) fn next(&self, now: Instant, unavailable: impl Fn(&str) -> bool) -> Option<&SurveyGuest> {
        let rests = |until: Option<Instant>| until.is_some_and(|until| now < until);
        if rests(self.rests_until) {
            return None;
        }
        let node = |entry: &Entry<T>| self.nodes.get(&entry.guest.node);
        let renews = !rests(self.renewal_at);
        self.guests
            .values()
            .filter(|entry| entry.list == self.list && (entry.due <= now || entry.renewal && renews))
            .filter(|entry| !node(entry).is_some_and(|node| rests(node.rests_until)) && !unavailable(&entry.guest.node))
            .min_by_key(|entry| {
                let turn = (!entry.renewal).then(|| node(entry).and_then(|node| node.started));
                (entry.value.is_some(), entry.renewal, turn, entry.due)
            })
            .map(|entry| &entry.guest)
    }

    /// Renewals come one by one at an even pace, and each guest has had one a little before its value is too old.
    fn between_renewals(&self) -> Duration {
        self.max_age * 19 / 20 / self.number()
    }

    fn number(&self) -> u32 {
        u32::try_from(self.guests.len()).unwrap_or(u32::MAX).max(1)
    }

    /// Notes that the read of `guest` has begun. Unless it fails, the next is the renewal.
    pub(super) fn started(&mut self, guest: &SurveyGuest, now: Instant) {
        self.nodes.entry(Arc::clone(&guest.node)).or_default().started = Some(now);
        if let Some(entry) = self.guests.get_mut(&guest.key()) {
            entry.due = now + self.max_age;
            let renewal = std::mem::replace(&mut entry.renewal, true);
            if renewal || entry.value.is_none() {
                let planned = self.renewal_at.filter(|_| renewal).unwrap_or(now);
                self.renewal_at = Some((planned + self.between_renewals()).max(now));
            }
        }
    }

    /// Takes over how a read has ended.
    pub(super) fn ended(&mut self, ended: Ended<T>, now: Instant) -> News {
        let guest = &ended.guest;
        let node = self.nodes.entry(Arc::clone(&guest.node)).or_default();
        node.record.duration = Some(now.saturating_duration_since(ended.started));
        // What a node says of a guest that has moved on meanwhile tells only of the node.
        let entry = self.guests.get_mut(&guest.key());
        let entry = entry.filter(|entry| entry.guest.node == guest.node);
        match ended.outcome {
            Ok(value) => {
                (node.rests_until, node.failed_in_a_row) = (None, 0);
                node.last_success = Some(ended.unix_seconds);
                if let Some(entry) = entry {
                    entry.value = Some((Arc::new(value), ended.started));
                    (entry.failed_in_a_row, entry.failing) = (0, false);
                    self.changed = true;
                }
                self.recovered(&guest.node)
            }
            Err(error) => {
                let elsewhere = is_elsewhere(&error);
                if let Some(entry) = entry {
                    (entry.renewal, entry.failing) = (false, !elsewhere);
                    if is_of_the_node(&error) {
                        // The node rests as a whole, and the guest is read as soon as it is back.
                        entry.due = now;
                    } else {
                        entry.due = now + doubling(GUEST_BACK_OFF, entry.failed_in_a_row);
                        entry.failed_in_a_row = entry.failed_in_a_row.saturating_add(1);
                    }
                }
                if elsewhere {
                    return News::None;
                }
                if matches!(error, ApiError::Forbidden { .. }) {
                    self.rests_until = Some(now + FORBIDDEN_REST);
                }
                if node.failed(&error, now) {
                    News::Failed(error)
                } else {
                    News::None
                }
            }
        }
    }

    fn recovered(&mut self, node: &Arc<str>) -> News {
        let of_node = |entry: &&Entry<T>| entry.list == self.list && entry.guest.node == *node;
        if self.guests.values().filter(of_node).any(|entry| entry.failing) {
            return News::None;
        }
        let told = self.nodes.get_mut(node).map(|node| std::mem::take(&mut node.told));
        if told.is_some_and(|told| !told.is_empty()) {
            News::Works
        } else {
            News::None
        }
    }

    pub(super) fn values(&mut self, now: Instant) -> Arc<Values<T>> {
        let limit = (self.max_age * SERVED).max(SERVED_AT_LEAST);
        let fresh = |at: Instant| now.saturating_duration_since(at) < limit;
        if self.changed || self.oldest.is_some_and(|oldest| !fresh(oldest)) {
            self.changed = false;
            self.oldest = None;
            let mut values = Values::new();
            for (key, entry) in self.guests.iter().filter(|(_, entry)| entry.list == self.list) {
                if let Some((value, at)) = entry.value.as_ref().filter(|(_, at)| fresh(*at)) {
                    values.insert(*key, Arc::clone(value));
                    self.oldest = Some(self.oldest.map_or(*at, |oldest| oldest.min(*at)));
                }
            }
            self.values = Arc::new(values);
        }
        Arc::clone(&self.values)
    }

    pub(super) fn records(
        &self,
        offline: &BTreeSet<Arc<str>>,
        damaged_rows: impl Fn(&T) -> u64,
    ) -> BTreeMap<Arc<str>, NodeRecord> {
        let mut records: BTreeMap<_, NodeRecord> = BTreeMap::new();
        for entry in self.guests.values().filter(|entry| entry.list == self.list) {
            let node = &entry.guest.node;
            let row = match records.get_mut(node) {
                Some(row) => row,
                None => records
                    .entry(Arc::clone(node))
                    .or_insert(self.record(node, offline.contains(node))),
            };
            if entry.failing {
                row.record.up = Some(false);
            }
            if let Some((value, _)) = &entry.value {
                *row.damaged_rows.get_or_insert(0) += damaged_rows(value);
            }
        }
        records
    }

    fn record(&self, node: &str, offline: bool) -> NodeRecord {
        let known = self.nodes.get(node);
        let mut record = known.map(|node| node.record.clone()).unwrap_or_default();
        let last_success = known.and_then(|node| node.last_success);
        record.up = if offline {
            Some(false)
        } else {
            last_success.map(|_| true)
        };
        NodeRecord {
            record,
            last_success,
            damaged_rows: None,
        }
    }
}

impl<T> Entry<T> {
    fn new(guest: &Guest, list: u64, now: Instant) -> Self {
        Self {
            guest: SurveyGuest {
                kind: guest.kind,
                vmid: guest.vmid,
                node: Arc::clone(&guest.node),
            },
            uptime: guest.figures.uptime,
            list,
            listed_at: now,
            due: now,
            renewal: false,
            value: None,
            failed_in_a_row: 0,
            failing: false,
        }
    }

    /// Takes over what the list says; a guest that has moved or started since is read again.
    fn note(&mut self, guest: &Guest, now: Instant) {
        let moved = self.guest.node != guest.node;
        let restarted = match (self.uptime, guest.figures.uptime) {
            (Some(before), Some(uptime)) => uptime < before || before == 0 && uptime > 0,
            _ => false,
        };
        self.uptime = guest.figures.uptime.or(self.uptime);
        if moved {
            self.guest.node = Arc::clone(&guest.node);
            (self.failed_in_a_row, self.failing) = (0, false);
            (self.due, self.renewal) = (now, false);
        } else if restarted && !self.failing {
            // One that restarts all the time is not read all the time.
            let read = self.value.as_ref().map_or(now, |(_, at)| *at + MINUTE);
            let soon = read.max(now);
            if soon < self.due {
                (self.due, self.renewal) = (soon, false);
            }
        }
    }
}

impl Node {
    /// Notes a failure; returns whether its reason is new.
    fn failed(&mut self, error: &ApiError, now: Instant) -> bool {
        let reason = error.reason();
        let resting = matches!(error, ApiError::Resting(_));
        let news = self.told.insert(reason);
        // While an endpoint or the token rests nothing is sent: that is one failure, however often it is looked at.
        if news || !resting {
            *self.record.failures.entry(reason).or_default() += 1;
        }
        if is_of_the_node(error) {
            self.rests_until = Some(now + doubling(NODE_BACK_OFF, self.failed_in_a_row));
            self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
        }
        news
    }
}

/// Whether the node, or the way to it, is at fault rather than what was to be read there.
pub(crate) fn is_of_the_node(error: &ApiError) -> bool {
    match error {
        // PVE's own statuses for a node that cannot be reached or hangs.
        ApiError::Status { status, .. } => *status >= 595,
        ApiError::Unreachable { .. }
        | ApiError::Tls { .. }
        | ApiError::Timeout { .. }
        | ApiError::Unauthorized { .. }
        | ApiError::Incomplete { .. }
        | ApiError::Resting(_)
        | ApiError::Offline { .. } => true,
        ApiError::Forbidden { .. }
        | ApiError::NotImplemented { .. }
        | ApiError::Decode { .. }
        | ApiError::TooLarge { .. }
        | ApiError::Socket { .. }
        | ApiError::Interrupted => false,
    }
}

/// Whether the guest has left the node, or is gone: the next list tells.
fn is_elsewhere(error: &ApiError) -> bool {
    matches!(error, ApiError::Status { status: 500, problem, .. }
        if problem.starts_with("Configuration file") && problem.contains("does not exist"))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::super::limiter::{Limiter, Permit};
    use super::*;
    use crate::config::GuestKind;
    use crate::metrics::labels::Identity;
    use crate::subjects::guest::{Figures, GuestText};

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: u32 = 3600;

    fn guest(vmid: u32, node: &str, uptime: u64) -> Guest {
        Guest {
            identity: Identity::new(&[]),
            kind: GuestKind::Qemu,
            vmid,
            node: node.into(),
            text: GuestText::default(),
            state: "running",
            lock: None,
            ha_state: None,
            figures: Figures {
                uptime: Some(uptime),
                ..Figures::default()
            },
        }
    }

    fn status(status: u16, problem: &str) -> ApiError {
        ApiError::Status {
            path: "/nodes/a/qemu/1/pending".to_owned(),
            status,
            problem: problem.to_owned(),
        }
    }

    fn forbidden() -> ApiError {
        ApiError::Forbidden {
            path: "/nodes/a/qemu/1/pending".to_owned(),
            problem: "Permission check failed".to_owned(),
        }
    }

    struct InFlight {
        guest: SurveyGuest,
        started: Instant,
        ends: u32,
        _permit: Permit,
    }

    /// A survey whose seconds pass by hand; its values are the seconds in which they were read.
    struct Simulation {
        schedule: Schedule<u32>,
        limiter: Arc<Limiter>,
        start: Instant,
        second: u32,
        list: Arc<[Guest]>,
        offline: Vec<&'static str>,
        in_flight: VecDeque<InFlight>,
        /// Second, number and node of each read.
        reads: Vec<(u32, u32, Arc<str>)>,
        log: Vec<&'static str>,
    }

    impl Simulation {
        fn new(list: Vec<Guest>) -> Self {
            Self {
                schedule: Schedule::new(HOUR * SECOND),
                limiter: Arc::default(),
                start: Instant::now(),
                second: 0,
                list: list.into(),
                offline: Vec::new(),
                in_flight: VecDeque::new(),
                reads: Vec::new(),
                log: Vec::new(),
            }
        }

        fn now(&self) -> Instant {
            self.start + self.second * SECOND
        }

        /// Passes `seconds`; `answer` says how long each read takes and how it ends.
        fn pass(&mut self, seconds: u32, mut answer: impl FnMut(&SurveyGuest) -> (u32, Result<(), ApiError>)) {
            for _ in 0..seconds {
                let now = self.now();
                let (ended, running) = self.in_flight.drain(..).partition(|read| read.ends <= self.second);
                self.in_flight = running;
                for read in Vec::from(ended) {
                    let (_, outcome) = answer(&read.guest);
                    let ended = Ended {
                        guest: read.guest,
                        started: read.started,
                        unix_seconds: 0.0,
                        outcome: outcome.map(|()| self.second),
                    };
                    match self.schedule.ended(ended, now) {
                        News::None => {}
                        News::Failed(_) => self.log.push("failed"),
                        News::Works => self.log.push("works"),
                    }
                }
                self.schedule.list(&self.list, now);
                let unavailable = |node: &str| self.offline.contains(&node) || self.limiter.is_busy(node);
                if let Some(guest) = self.schedule.next(now, unavailable).cloned()
                    && let Some(permit) = self
                        .limiter
                        .start(&"t".into(), super::super::Rank::Later, &guest.node, now)
                {
                    self.schedule.started(&guest, now);
                    self.reads.push((self.second, guest.vmid, Arc::clone(&guest.node)));
                    let (takes, _) = answer(&guest);
                    self.in_flight.push_back(InFlight {
                        guest,
                        started: now,
                        ends: self.second + takes,
                        _permit: permit,
                    });
                }
                self.second += 1;
            }
        }

        fn change(&mut self, list: Vec<Guest>) {
            self.list = list.into();
        }

        /// The seconds in which `vmid` was read.
        fn reads_of(&self, vmid: u32) -> Vec<u32> {
            self.reads
                .iter()
                .filter(|read| read.1 == vmid)
                .map(|read| read.0)
                .collect()
        }

        fn most_in_a_minute(&self, from: u32) -> usize {
            let in_minute = |start: u32| {
                self.reads
                    .iter()
                    .filter(|read| (start..start + 60).contains(&read.0))
                    .count()
            };
            (from..self.second).map(in_minute).max().unwrap_or_default()
        }

        fn up(&self, node: &str) -> Option<bool> {
            let offline = self.offline.iter().map(|node| Arc::from(*node)).collect();
            self.schedule.records(&offline, |_| 0)[node].record.up
        }
    }

    fn at_once(_: &SurveyGuest) -> (u32, Result<(), ApiError>) {
        (1, Ok(()))
    }

    fn thousand() -> Vec<Guest> {
        (0..1000)
            .map(|vmid| guest(vmid, &format!("node{}", vmid / 50), 1000))
            .collect()
    }

    #[test]
    fn a_large_cluster_is_read_within_seventeen_minutes_at_one_read_a_second() {
        let mut simulation = Simulation::new(thousand());
        simulation.pass(17 * 60, at_once);
        let read: BTreeSet<_> = simulation.reads.iter().map(|read| read.1).collect();
        assert_eq!(read.len(), 1000);
        simulation.pass(4 * HOUR, at_once);
        assert!(simulation.most_in_a_minute(0) <= 60);
        for vmid in 0..1000 {
            let reads = simulation.reads_of(vmid);
            assert!(reads.len() >= 4, "{reads:?}");
            let longest = reads.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
            assert!(longest < HOUR + 60, "{longest}");
        }
    }

    #[test]
    fn the_nodes_take_turns() {
        let mut simulation = Simulation::new(thousand());
        simulation.pass(20, at_once);
        let nodes: BTreeSet<_> = simulation.reads.iter().map(|read| &read.2).collect();
        assert_eq!(nodes.len(), 20);
    }

    #[test]
    fn renewals_of_what_was_read_in_one_minute_are_spread() {
        let mut simulation = Simulation::new(
            (0..60)
                .map(|vmid| guest(vmid, &format!("node{}", vmid % 3), 1))
                .collect(),
        );
        simulation.pass(60, at_once);
        simulation.pass(HOUR * 19 / 20, at_once);
        let renewed: BTreeSet<_> = simulation.reads[60..].iter().map(|read| read.1).collect();
        assert_eq!(
            (renewed.len(), simulation.reads.len()),
            (60, 120),
            "each was renewed once"
        );
        assert!(simulation.most_in_a_minute(60) <= 2);
    }

    #[test]
    fn the_renewals_of_many_guests_are_spread_over_the_hour() {
        let mut simulation = Simulation::new(thousand());
        simulation.pass(3 * HOUR, at_once);
        let most = simulation.most_in_a_minute(1000);
        assert!(most <= 19, "{most}");
    }

    #[test]
    fn what_nobody_asked_for_in_hours_is_renewed_at_once() {
        let mut simulation = Simulation::new((0..100).map(|vmid| guest(vmid, "a", 1)).collect());
        simulation.pass(500, at_once);
        simulation.second += 2 * HOUR;
        let before = simulation.reads.len();
        simulation.pass(200, at_once);
        assert!(simulation.reads.len() >= before + 100);
    }

    #[test]
    fn the_values_of_thousands_of_guests_are_served_until_their_turn_comes() {
        let mut simulation = Simulation::new((0..10_000).map(|vmid| guest(vmid, "a", 1)).collect());
        // Every other read is that of another survey.
        for _ in 0..10_000 {
            simulation.pass(1, at_once);
            simulation.second += 1;
        }
        let values = simulation.schedule.values(simulation.now());
        assert!(values.len() >= 9_999, "{}", values.len());
    }

    #[test]
    fn a_hanging_node_holds_up_no_other() {
        let mut simulation = Simulation::new(thousand());
        let hanging = |guest: &SurveyGuest| match &*guest.node {
            "node7" => (30, Err(status(596, "Connection timed out"))),
            _ => (1, Ok(())),
        };
        simulation.pass(17 * 60, hanging);
        let read: BTreeSet<_> = simulation.schedule.values(simulation.now()).keys().copied().collect();
        assert_eq!(read.len(), 950);
        let tried = simulation.reads.iter().filter(|read| &*read.2 == "node7").count();
        assert!(
            (8..=20).contains(&tried),
            "a node that hangs is not asked again and again: {tried}"
        );
        assert_eq!(
            (simulation.up("node7"), simulation.up("node8")),
            (Some(false), Some(true))
        );
        assert_eq!(simulation.log, ["failed"]);
        simulation.pass(20 * 60, at_once);
        assert_eq!(simulation.schedule.values(simulation.now()).len(), 1000);
        assert_eq!(
            (simulation.up("node7"), simulation.log),
            (Some(true), vec!["failed", "works"])
        );
    }

    #[test]
    fn a_guest_that_was_never_read_goes_before_renewals() {
        let mut simulation = Simulation::new((0..500).map(|vmid| guest(vmid, "a", 1)).collect());
        simulation.pass(500 * 2, at_once);
        // Nobody scraped for hours: all are due.
        simulation.second += 3 * HOUR;
        let mut list: Vec<_> = simulation.list.to_vec();
        list.push(guest(999, "a", 1));
        simulation.change(list);
        let before = simulation.reads.len();
        simulation.pass(2, at_once);
        assert_eq!(simulation.reads[before].1, 999);
    }

    #[test]
    fn guests_of_offline_nodes_wait() {
        let mut simulation = Simulation::new(vec![guest(1, "a", 1), guest(2, "b", 1)]);
        simulation.offline.push("b");
        simulation.pass(100, at_once);
        assert_eq!(simulation.reads, [(0, 1, "a".into())]);
        assert_eq!((simulation.up("a"), simulation.up("b")), (Some(true), Some(false)));
        simulation.offline.clear();
        simulation.pass(1, at_once);
        assert_eq!(simulation.reads_of(2), [100]);
    }

    #[test]
    fn a_guest_that_moved_or_started_is_read_again_soon() {
        let mut simulation = Simulation::new(vec![guest(1, "a", 1000), guest(2, "a", 0), guest(3, "a", 1000)]);
        simulation.pass(100, at_once);
        simulation.change(vec![guest(1, "b", 1100), guest(2, "a", 5), guest(3, "a", 4)]);
        simulation.pass(100, at_once);
        assert_eq!(simulation.reads.len(), 6);
        // PVE does not know the uptime of a guest for a while, and then again.
        let mut unknown = vec![guest(1, "b", 0), guest(2, "a", 105), guest(3, "a", 104)];
        unknown[0].figures.uptime = None;
        simulation.change(unknown);
        simulation.pass(10, at_once);
        simulation.change(vec![guest(1, "b", 1210), guest(2, "a", 115), guest(3, "a", 114)]);
        simulation.pass(10, at_once);
        assert_eq!(simulation.reads.len(), 6);
    }

    #[test]
    fn a_guest_that_restarts_all_the_time_is_read_once_a_minute() {
        let mut simulation = Simulation::new(vec![guest(1, "a", 1000)]);
        for second in 0..300 {
            simulation.change(vec![guest(1, "a", 1 + second % 5)]);
            simulation.pass(1, at_once);
        }
        assert_eq!(simulation.reads.len(), 5);
    }

    #[test]
    fn a_restart_during_a_read_leads_to_another() {
        let mut simulation = Simulation::new(vec![guest(1, "a", 1000)]);
        let slow = |_: &SurveyGuest| (20, Ok(()));
        simulation.pass(5, slow);
        simulation.change(vec![guest(1, "a", 3)]);
        simulation.pass(55, slow);
        assert_eq!(simulation.reads_of(1), [0, 20]);
    }

    #[test]
    fn a_guest_that_cannot_be_read_is_tried_less_and_less() {
        let mut simulation = Simulation::new(vec![guest(1, "a", 1), guest(2, "a", 1)]);
        let broken = |guest: &SurveyGuest| match guest.vmid {
            1 => (0, Err(status(500, "unable to read the file"))),
            _ => (0, Ok(())),
        };
        simulation.pass(6 * HOUR, broken);
        let minutes: Vec<_> = simulation
            .reads_of(1)
            .windows(2)
            .map(|pair| (pair[1] - pair[0]) / 60)
            .collect();
        assert_eq!(minutes, [1, 2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert_eq!(simulation.up("a"), Some(false), "not every guest can be read");
        assert_eq!(simulation.log, ["failed"], "however often the other one works");
        simulation.pass(2 * HOUR, |_| (0, Ok(())));
        assert_eq!(
            (simulation.up("a"), simulation.log),
            (Some(true), vec!["failed", "works"])
        );
    }

    #[test]
    fn a_guest_that_is_elsewhere_is_no_failure() {
        let gone = "Configuration file 'nodes/a/qemu-server/1.conf' does not exist";
        let mut simulation = Simulation::new(vec![guest(1, "a", 1)]);
        let moved = |guest: &SurveyGuest| match &*guest.node {
            "a" => (0, Err(status(500, gone))),
            _ => (0, Ok(())),
        };
        simulation.pass(30, moved);
        assert_eq!((simulation.reads_of(1), simulation.up("a")), (vec![0], None));
        simulation.change(vec![guest(1, "b", 1)]);
        simulation.pass(2, moved);
        assert_eq!(simulation.reads_of(1), [0, 30]);
        assert_eq!((simulation.up("b"), simulation.log.len()), (Some(true), 0));
        assert_eq!(
            simulation.schedule.records(&BTreeSet::new(), |_| 0)["b"]
                .record
                .failures
                .len(),
            0
        );
    }

    #[test]
    fn a_missing_privilege_rests_the_survey() {
        let mut simulation = Simulation::new((1..20).map(|vmid| guest(vmid, &format!("node{vmid}"), 1)).collect());
        simulation.pass(1500, |_| (0, Err(forbidden())));
        let seconds: Vec<_> = simulation.reads.iter().map(|read| read.0).collect();
        assert_eq!(seconds, [0, 301, 602, 903, 1204]);
    }

    #[test]
    fn a_value_is_served_while_its_guest_is_listed_and_it_is_not_too_old() {
        let mut simulation = Simulation::new(vec![guest(1, "a", 1), guest(2, "a", 1)]);
        simulation.pass(10, at_once);
        let served = |simulation: &mut Simulation| {
            let values = simulation.schedule.values(simulation.now());
            values.keys().map(|key| key.1).collect::<Vec<_>>()
        };
        let first = simulation.schedule.values(simulation.now());
        simulation.change(vec![guest(1, "a", 11), guest(2, "a", 11)]);
        simulation.pass(10, at_once);
        assert!(Arc::ptr_eq(&first, &simulation.schedule.values(simulation.now())));
        simulation.change(vec![guest(1, "a", 21)]);
        simulation.pass(10, at_once);
        assert_eq!(served(&mut simulation), [1]);
        simulation.change(vec![guest(1, "a", 31), guest(2, "a", 31)]);
        simulation.pass(10, at_once);
        assert_eq!(
            (served(&mut simulation), simulation.reads.len()),
            (vec![1, 2], 3),
            "it is remembered, and read soon"
        );
        simulation.change(vec![guest(1, "a", 41)]);
        simulation.pass(HOUR + 1, at_once);
        simulation.change(vec![guest(1, "a", 10_000)]);
        simulation.pass(1, at_once);
        simulation.change(vec![guest(1, "a", 10_000), guest(2, "a", 10_000)]);
        simulation.pass(5, at_once);
        assert_eq!(simulation.reads_of(2).len(), 3, "it was forgotten after an hour");
        simulation.second += 24 * HOUR;
        assert_eq!(served(&mut simulation), [0; 0], "too old");
    }
}
