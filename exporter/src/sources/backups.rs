//! The ledger of backups: what the logs of vzdump tasks tell of each guest, and which logs are still to be read.

mod reading;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::GuestKind;
use crate::metrics::labels::Identity;
use crate::pve::error::ApiError;
use crate::pve::task_status::TaskResult;
use crate::sources::backup_coverage::NotBackedUp;
use crate::sources::backup_log::{Attempt, LogRead};
use crate::sources::backups::reading::Reading;
use crate::subjects::backup::{Backup, BackupSuccess};
use crate::subjects::backup_failure::BackupFailure;
use crate::subjects::guest::{Guest, GuestKey};
use crate::subjects::recovery_point::{RecoveryPoint, RecoverySource};

/// How long a guest must be missing before its backups are forgotten: its logs are not read again. That a number is used again
/// is noticed otherwise.
const GONE_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

/// A vzdump task that has ended. It has no `Debug`, because its UPID names a user.
#[derive(Clone)]
pub struct FinishedBackup {
    /// The node that ran it and has its log.
    pub node: Arc<str>,
    /// The task.
    pub upid: Arc<str>,
    /// The guest; absent for a job of several, whose task has an empty id.
    pub vmid: Option<u32>,
    /// Unix seconds.
    pub start: u64,
    /// Unix seconds.
    pub end: u64,
    /// How the task ended.
    pub result: TaskResult,
    /// Whether it ended under observation, and not before the exporter's start.
    pub observed: bool,
}

impl From<crate::sources::tasks::FinishedBackup> for FinishedBackup {
    fn from(task: crate::sources::tasks::FinishedBackup) -> Self {
        Self {
            node: task.node,
            upid: task.upid,
            vmid: task.id.parse().ok(),
            start: task.start.into(),
            end: task.end.into(),
            result: task.result,
            observed: task.observed,
        }
    }
}

/// What is known of the backups of each guest of a cluster.
#[derive(Default)]
pub struct BackupLedger {
    cluster: Arc<str>,
    guests: BTreeMap<GuestKey, Entry>,
    uncovered: Option<Arc<NotBackedUp>>,
    /// By node: when a task last failed of which nobody can tell whom it was to back up.
    unattributed: BTreeMap<Arc<str>, u64>,
    reading: Reading,
    revision: u64,
}

struct Entry {
    seen: Instant,
    /// Whether the newest list has it.
    listed: bool,
    template: bool,
    /// What began earlier belongs to a guest that was destroyed.
    since: u64,
    last_attempt: Option<Attempt>,
    last_success: Option<Attempt>,
    /// Of the last success.
    recovery_point: Option<RecoveryPoint>,
}

impl Entry {
    fn new(now: Instant) -> Self {
        Self {
            seen: now,
            listed: false,
            template: false,
            since: 0,
            last_attempt: None,
            last_success: None,
            recovery_point: None,
        }
    }

    fn wants_backups(&self) -> bool {
        self.listed && !self.template
    }

    fn success(&self) -> u64 {
        self.last_success.as_ref().map_or(0, |success| success.finished)
    }
}

impl BackupLedger {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(cluster: &str) -> Self {
        Self {
            cluster: cluster.into(),
            ..Self::default()
        }
    }

    /// Another number whenever what is known has changed.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// Adds tasks that have ended; each is given once.
    pub fn add(&mut self, finished: impl IntoIterator<Item = FinishedBackup>, now: Instant) {
        for task in finished {
            self.reading.add(task, now);
        }
    }

    /// Notes which guests there are, with each new list; only a `quorate` one, which has all of them, lets go of those that have
    /// been missing for a week.
    pub fn observe(&mut self, guests: &[Guest], quorate: bool, now: Instant) {
        self.reading.expire(now);
        for guest in guests {
            let entry = self
                .guests
                .entry((guest.kind, guest.vmid))
                .or_insert_with(|| Entry::new(now));
            let template = guest.text.template == Some(true);
            if !entry.listed || entry.template != template {
                self.reading.look_again();
            }
            (entry.seen, entry.listed, entry.template) = (now, true, template);
        }
        if quorate {
            let oldest_task = self.reading.oldest_start();
            self.guests.retain(|_, entry| {
                entry.listed = entry.seen == now;
                let lately = now.saturating_duration_since(entry.seen) < GONE_AFTER;
                lately || oldest_task.is_some_and(|oldest| oldest < entry.since)
            });
        }
    }

    /// Notes which guests no job backs up: nobody searches long for their backups.
    pub fn observe_uncovered(&mut self, uncovered: Arc<NotBackedUp>) {
        self.uncovered = Some(uncovered);
        self.reading.look_again();
    }

    /// Forgets nodes that `known` does not admit.
    pub fn retain_nodes(&mut self, known: impl Fn(&Arc<str>) -> bool) {
        self.unattributed.retain(|node, _| known(node));
    }

    /// Forgets the backups of a guest that began before `time` in Unix seconds, those that are still to be read too: its vmid
    /// stood for another guest then. `time` is the end of a `qmdestroy` or `vzdestroy` task that succeeded, or the guest's
    /// `meta: ctime`.
    pub fn forget(&mut self, guest: GuestKey, time: u64, now: Instant) {
        let entry = self.guests.entry(guest).or_insert_with(|| Entry::new(now));
        entry.since = time.max(entry.since);
        let attempt = entry.last_attempt.take_if(|attempt| attempt.started < time);
        let success = entry.last_success.take_if(|attempt| attempt.started < time);
        if success.is_some() {
            entry.recovery_point = None;
        }
        if attempt.is_some() || success.is_some() {
            self.revision += 1;
            self.reading.look_again();
        }
    }

    /// The task whose log is to be read next, if any: the newest that is not at an `unavailable` node.
    ///
    /// Those that ended under observation are all read. Of the others, from before the exporter's start, so many that every guest
    /// has a backup that succeeded, and 100 of each node at most. Answer each with [`consume`](Self::consume) or
    /// [`failed`](Self::failed).
    pub fn wanted(&mut self, now: Instant, unavailable: impl Fn(&Arc<str>) -> bool) -> Option<FinishedBackup> {
        self.find_due();
        self.reading.next(now, unavailable).cloned()
    }

    /// How many logs are still to be read, those among them that failed and will be tried again.
    pub fn waiting(&mut self) -> u64 {
        self.find_due();
        self.reading.waiting()
    }

    fn find_due(&mut self) {
        let Self {
            guests,
            uncovered,
            reading,
            ..
        } = self;
        reading.find_due(|| {
            let wanting = || guests.iter().filter(|(_, entry)| entry.wants_backups());
            let is_covered = |(kind, vmid): &GuestKey| {
                let uncovered = uncovered.as_ref();
                uncovered.is_none_or(|uncovered| uncovered.guests.get(vmid) != Some(kind))
            };
            let oldest = wanting().map(|(_, entry)| entry.success()).min();
            let covered = wanting().filter(|(guest, _)| is_covered(guest));
            let oldest_covered = covered.map(|(_, entry)| entry.success()).min();
            move |task: &FinishedBackup, at_first: bool| match task.vmid {
                Some(vmid) => [GuestKind::Qemu, GuestKind::Lxc].into_iter().any(|kind| {
                    let entry = guests.get(&(kind, vmid)).filter(|entry| entry.wants_backups());
                    entry.is_some_and(|entry| entry.success() < task.end)
                }),
                None => {
                    let oldest = if at_first { oldest } else { oldest_covered };
                    oldest.is_some_and(|oldest| oldest < task.end)
                }
            }
        });
    }

    /// Takes what the log of `task` told.
    pub fn consume(&mut self, task: &FinishedBackup, log: LogRead, now: Instant) {
        if !self.reading.done(task, log.lost) {
            return;
        }
        if task.vmid.is_none() && log.attempts.is_empty() && !log.lost && !task.result.succeeded() {
            let last = self.unattributed.entry(Arc::clone(&task.node)).or_default();
            *last = task.end.max(*last);
            self.revision += 1;
        }
        for attempt in log.attempts {
            self.enter(attempt, now);
        }
    }

    /// Notes that the log of `task` could not be read: after three failures that are its own it is given up.
    pub fn failed(&mut self, task: &FinishedBackup, error: &ApiError, now: Instant) {
        self.reading.failed(task, error, now);
    }

    /// How many logs were given up.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.reading.unreadable()
    }

    fn enter(&mut self, attempt: Attempt, now: Instant) {
        let kind = attempt.kind.or_else(|| {
            // No vmid has two kinds at a time.
            let mut kinds = [GuestKind::Qemu, GuestKind::Lxc].into_iter();
            kinds.find(|kind| {
                self.guests
                    .get(&(*kind, attempt.vmid))
                    .is_some_and(|entry| entry.listed)
            })
        });
        let Some(kind) = kind else { return };
        let entry = self
            .guests
            .entry((kind, attempt.vmid))
            .or_insert_with(|| Entry::new(now));
        if attempt.started < entry.since {
            return;
        }
        // Logs come in any order. Of two at the same second the better stays, so that the order does not matter.
        let rank = |attempt: &Attempt| (attempt.finished, attempt.started, attempt.result.succeeded());
        let is_newer = |last: &Option<Attempt>| last.as_ref().is_none_or(|last| rank(last) < rank(&attempt));
        if attempt.result.succeeded() && !attempt.empty && is_newer(&entry.last_success) {
            let id = format!("{}/{}", kind.as_str(), attempt.vmid);
            let point = RecoveryPoint::new(&self.cluster, &id, RecoverySource::Backup, attempt.started);
            entry.recovery_point = Some(point);
            entry.last_success = Some(attempt.clone());
            self.revision += 1;
        }
        if is_newer(&entry.last_attempt) {
            entry.last_attempt = Some(attempt);
            self.revision += 1;
        }
    }

    fn of<'a>(&'a self, guests: &'a [Guest]) -> impl Iterator<Item = (&'a Guest, &'a Entry)> {
        guests
            .iter()
            .filter_map(|guest| Some((guest, self.guests.get(&(guest.kind, guest.vmid))?)))
    }

    /// The backups of `guests`, in their order; a guest of which no attempt is known has no row.
    #[must_use]
    pub fn rows(&self, guests: &[Guest]) -> Arc<[Backup]> {
        self.of(guests)
            .filter_map(|(guest, entry)| {
                let last = entry.last_attempt.as_ref()?;
                Some(Backup {
                    identity: guest.identity.clone(),
                    last_attempt: Some((last.finished, last.result)),
                    last_success: entry.last_success.as_ref().map(success),
                })
            })
            .collect()
    }

    /// As of when the data of `guests` can be had back from a backup, in their order.
    #[must_use]
    pub fn recovery_points(&self, guests: &[Guest]) -> Arc<[RecoveryPoint]> {
        self.of(guests)
            .filter_map(|(_, entry)| entry.recovery_point.clone())
            .collect()
    }

    /// The failures that are held against no guest, by node.
    #[must_use]
    pub fn failures(&self) -> Arc<[BackupFailure]> {
        let row = |(node, last): (&Arc<str>, &u64)| BackupFailure {
            identity: Identity::new(&[("pve_cluster", &self.cluster), ("node", node)]),
            last: *last,
        };
        self.unattributed.iter().map(row).collect()
    }
}

fn success(attempt: &Attempt) -> BackupSuccess {
    BackupSuccess {
        started: attempt.started,
        finished: attempt.finished,
        duration: attempt.duration,
        size: attempt.size,
        transferred: attempt.transferred,
        freeze_skipped: attempt.freeze_skipped,
        mode: attempt.mode,
        storage: attempt.storage.clone(),
    }
}

#[cfg(test)]
mod tests;
