//! Which logs are still to be read, and which one is next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pve::error::ApiError;
use crate::sources::backups::FinishedBackup;
use crate::sources::survey::is_of_the_node;

/// How many logs from before the start are read of each node at most.
const BACKLOG: u32 = 100;

/// How many of them are read also for guests that no job backs up: somebody else may do so, by cron say.
const AT_FIRST: u32 = 10;

/// How often a log is tried.
const TRIES: u32 = 3;

/// How long a log that failed rests: at first, and when it has failed twice by itself.
const RESTS: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(300)];

/// How many tasks are remembered, and for how long.
const REMEMBERED: usize = 4096;
const REMEMBERED_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// By the tasks' ends, so that the oldest are forgotten first.
type Key = (u64, Arc<str>);

/// The state of the reading.
#[derive(Default)]
pub(super) struct Reading {
    /// Those that may still have to be read.
    tasks: BTreeMap<Key, Pending>,
    /// How many logs from before the start were read, by node.
    backlog_read: BTreeMap<Arc<str>, u32>,
    unreadable: u64,
    /// Those that have to be read, the newest first; `None` after a change.
    due: Option<Vec<Key>>,
}

struct Pending {
    task: FinishedBackup,
    added: Instant,
    failures: u32,
    /// Failures that are the log's own.
    tries: u32,
    /// When it may be tried again.
    after: Option<Instant>,
}

fn key(task: &FinishedBackup) -> Key {
    (task.end, Arc::clone(&task.upid))
}

impl Reading {
    pub(super) fn add(&mut self, task: FinishedBackup, now: Instant) {
        self.look_again();
        let pending = Pending {
            task,
            added: now,
            failures: 0,
            tries: 0,
            after: None,
        };
        self.tasks.insert(key(&pending.task), pending);
        if self.tasks.len() > REMEMBERED
            && let Some((_, oldest)) = self.tasks.pop_first()
        {
            self.unreadable += u64::from(oldest.task.observed);
        }
    }

    pub(super) fn expire(&mut self, now: Instant) {
        let old = |_: &Key, pending: &mut Pending| now.saturating_duration_since(pending.added) >= REMEMBERED_FOR;
        for (_, pending) in self.tasks.extract_if(.., old) {
            self.unreadable += u64::from(pending.task.observed);
            self.due = None;
        }
    }

    /// Something has changed that decides what has to be read.
    pub(super) fn look_again(&mut self) {
        self.due = None;
    }

    /// When the first of the tasks started.
    pub(super) fn oldest_start(&self) -> Option<u64> {
        self.tasks.values().map(|pending| pending.task.start).min()
    }

    /// Finds what has to be read, if anything has changed. `tells_news` says whether a log from before the start is of use; at
    /// first it is so sooner.
    pub(super) fn find_due<F: Fn(&FinishedBackup, bool) -> bool>(&mut self, tells_news: impl FnOnce() -> F) {
        if self.due.is_some() {
            return;
        }
        let tells_news = tells_news();
        let mut read = self.backlog_read.clone();
        let mut is_due = |pending: &Pending| {
            if pending.task.observed || pending.failures > 0 {
                return true;
            }
            let read = read.entry(Arc::clone(&pending.task.node)).or_default();
            let due = *read < BACKLOG && tells_news(&pending.task, *read < AT_FIRST);
            *read += u32::from(due);
            due
        };
        let newest_first = self.tasks.iter().rev();
        let due = newest_first.filter(|(_, pending)| is_due(pending));
        self.due = Some(due.map(|(key, _)| key.clone()).collect());
    }

    pub(super) fn waiting(&self) -> u64 {
        self.due.as_ref().map_or(0, |due| due.len() as u64)
    }

    pub(super) fn next(&self, now: Instant, unavailable: impl Fn(&Arc<str>) -> bool) -> Option<&FinishedBackup> {
        let due = self.due.iter().flatten().filter_map(|key| self.tasks.get(key));
        let mut rested = due.filter(|pending| pending.after.is_none_or(|after| after <= now));
        Some(&rested.find(|pending| !unavailable(&pending.task.node))?.task)
    }

    /// Notes that a log needs no more reading, or is `lost`; returns whether it did need some.
    pub(super) fn done(&mut self, task: &FinishedBackup, lost: bool) -> bool {
        let Some(pending) = self.tasks.remove(&key(task)) else {
            return false;
        };
        self.unreadable += u64::from(lost);
        self.begun(task, pending.failures);
        true
    }

    pub(super) fn failed(&mut self, task: &FinishedBackup, error: &ApiError, now: Instant) {
        let Some(pending) = self.tasks.get_mut(&key(task)) else {
            return;
        };
        let failures = pending.failures;
        pending.failures += 1;
        let elsewhere = is_of_the_node(error) || matches!(error, ApiError::Forbidden { .. });
        pending.tries += u32::from(!elsewhere);
        let [first, later] = RESTS;
        pending.after = Some(now + if pending.tries < 2 { first } else { later });
        if pending.tries == TRIES {
            self.unreadable += 1;
            self.tasks.remove(&key(task));
        }
        self.begun(task, failures);
    }

    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable
    }

    fn begun(&mut self, task: &FinishedBackup, failures: u32) {
        self.look_again();
        if !task.observed && failures == 0 {
            *self.backlog_read.entry(Arc::clone(&task.node)).or_default() += 1;
        }
    }
}
