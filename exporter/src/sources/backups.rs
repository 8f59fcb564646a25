//! The ledger of backups: what the logs of vzdump tasks tell of each guest, and which logs are still to be read.

mod reading;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::GuestKind;
use crate::pve::error::ApiError;
use crate::pve::task_status::TaskResult;
use crate::sources::backup_log::Attempt;
use crate::sources::backups::reading::Reading;
use crate::subjects::backup::{Backup, BackupSuccess};
use crate::subjects::guest::Guest;
use crate::subjects::recovery_point::{RecoveryPoint, RecoverySource};

/// How long a guest must be missing before its backups are forgotten.
const GONE_AFTER: Duration = Duration::from_secs(3600);

/// A vzdump task that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
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
        }
    }
}

type Key = (GuestKind, u32);

/// What is known of the backups of each guest.
#[derive(Debug, Default)]
pub struct BackupLedger {
    guests: BTreeMap<Key, Entry>,
    /// Since when a vmid stands for the guest that has it: what is older belongs to one that was destroyed.
    since: BTreeMap<Key, u64>,
    reading: Reading,
}

#[derive(Debug)]
struct Entry {
    seen: Instant,
    template: bool,
    last_attempt: Option<Attempt>,
    last_success: Option<Attempt>,
}

impl Entry {
    fn new(now: Instant) -> Self {
        Self {
            seen: now,
            template: false,
            last_attempt: None,
            last_success: None,
        }
    }
}

impl BackupLedger {
    /// Notes which guests there are. Call it with each list of guests before anything else; only a `quorate` one, which has all
    /// of them, lets go of those that have been missing for an hour.
    pub fn observe(&mut self, guests: &[Guest], quorate: bool, now: Instant) {
        for guest in guests {
            let entry = self
                .guests
                .entry((guest.kind, guest.vmid))
                .or_insert_with(|| Entry::new(now));
            entry.seen = now;
            entry.template = guest.text.template == Some(true);
        }
        if quorate {
            self.guests
                .retain(|_, entry| now.saturating_duration_since(entry.seen) < GONE_AFTER);
        }
    }

    /// Forgets the backups of a guest that began before `time` in Unix seconds, those that are still to be read too: its vmid
    /// stood for another guest then. `time` is the end of a `qmdestroy` or `vzdestroy` task that succeeded, or the guest's
    /// `meta: ctime`.
    pub fn forget(&mut self, kind: GuestKind, vmid: u32, time: u64) {
        let since = self.since.entry((kind, vmid)).or_default();
        *since = time.max(*since);
        if let Some(entry) = self.guests.get_mut(&(kind, vmid)) {
            entry.last_attempt.take_if(|attempt| attempt.started < time);
            entry.last_success.take_if(|attempt| attempt.started < time);
        }
    }

    /// The task whose log is to be read next, if any: the newest of `finished` first.
    ///
    /// At start it goes back until every guest has a backup that succeeded, and through 200 logs at most. A task that ended
    /// later is asked for once. Answer each with [`consume`](Self::consume) or [`failed`](Self::failed).
    pub fn wanted<'f>(&mut self, finished: &'f [FinishedBackup], now: Instant) -> Option<&'f FinishedBackup> {
        let success = |entry: &Entry| entry.last_success.as_ref().map_or(0, |success| success.finished);
        let guests = || self.guests.iter().filter(|(_, entry)| !entry.template);
        let oldest_success = guests().map(|(_, entry)| success(entry)).min();
        let tells_news = |task: &FinishedBackup| match task.vmid {
            Some(vmid) => guests().any(|((_, known), entry)| *known == vmid && success(entry) < task.end),
            None => oldest_success.is_some_and(|oldest| oldest < task.end),
        };
        self.reading.next(finished, tells_news, now)
    }

    /// Takes what the log of `task` told.
    pub fn consume(&mut self, task: &FinishedBackup, attempts: Vec<Attempt>, now: Instant) {
        if self.reading.done(task) {
            attempts.into_iter().for_each(|attempt| self.enter(attempt, now));
        }
    }

    /// Notes that the log of `task` could not be read: after three attempts it is given up. A node or cluster that cannot be
    /// reached is not held against the log.
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
            kinds.find(|kind| self.guests.contains_key(&(*kind, attempt.vmid)))
        });
        let Some(key) = kind.map(|kind| (kind, attempt.vmid)) else {
            return;
        };
        if self.since.get(&key).is_some_and(|since| attempt.started < *since) {
            return;
        }
        let entry = self.guests.entry(key).or_insert_with(|| Entry::new(now));
        // Logs come in any order. Of two at the same second the better stays, so that the order does not matter.
        let rank = |attempt: &Attempt| (attempt.finished, attempt.started, attempt.result.succeeded());
        if attempt.result.succeeded()
            && entry
                .last_success
                .as_ref()
                .is_none_or(|last| rank(last) < rank(&attempt))
        {
            entry.last_success = Some(attempt.clone());
        }
        if entry
            .last_attempt
            .as_ref()
            .is_none_or(|last| rank(last) < rank(&attempt))
        {
            entry.last_attempt = Some(attempt);
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
    pub fn recovery_points(&self, cluster: &str, guests: &[Guest]) -> Arc<[RecoveryPoint]> {
        self.of(guests)
            .filter_map(|(guest, entry)| {
                let id = format!("{}/{}", guest.kind.as_str(), guest.vmid);
                let started = entry.last_success.as_ref()?.started;
                Some(RecoveryPoint::new(cluster, &id, RecoverySource::Backup, started))
            })
            .collect()
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
