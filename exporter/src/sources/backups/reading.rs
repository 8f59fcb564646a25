//! Which logs have been read, which failed, and which one is next.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::pve::error::ApiError;
use crate::sources::backups::FinishedBackup;
use crate::sources::survey::is_of_the_node;

/// How many logs from before the start are read at most.
const BACKLOG: u32 = 200;

/// How often a log is tried.
const TRIES: u32 = 3;

/// The distance after the first failure; each further one makes it five times as long.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// How many tasks are remembered.
const REMEMBERED: usize = 4096;

/// The state of the reading.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// By the tasks' ends, so that the oldest are forgotten first.
    tasks: BTreeMap<(u64, Arc<str>), State>,
    /// Tasks that ended until then were over when the first list came, or have been forgotten.
    backlog_until: Option<u64>,
    backlog_read: u32,
    unreadable: u64,
}

#[derive(Debug)]
enum State {
    Over,
    Again { tries: u32, after: Instant },
}

fn key(task: &FinishedBackup) -> (u64, Arc<str>) {
    (task.end, Arc::clone(&task.upid))
}

impl Reading {
    pub(super) fn next<'f>(
        &mut self,
        finished: &'f [FinishedBackup],
        tells_news: impl Fn(&FinishedBackup) -> bool,
        now: Instant,
    ) -> Option<&'f FinishedBackup> {
        let newest = finished.iter().map(|task| task.end).max()?;
        let backlog_until = *self.backlog_until.get_or_insert(newest);
        finished
            .iter()
            .filter(|task| match self.tasks.get(&key(task)) {
                Some(State::Over) => false,
                Some(State::Again { after, .. }) => *after <= now,
                None => task.end > backlog_until || self.backlog_read < BACKLOG && tells_news(task),
            })
            .max_by_key(|task| (task.end, &task.upid))
    }

    /// Notes that a task needs no more reading; returns whether it did until now.
    pub(super) fn done(&mut self, task: &FinishedBackup) -> bool {
        let before = self.tasks.insert(key(task), State::Over);
        if before.is_none() {
            self.begun(task);
        }
        !matches!(before, Some(State::Over))
    }

    pub(super) fn failed(&mut self, task: &FinishedBackup, error: &ApiError, now: Instant) {
        let before = match self.tasks.get(&key(task)) {
            Some(State::Over) => return,
            Some(State::Again { tries, .. }) => *tries,
            None => {
                self.begun(task);
                0
            }
        };
        let elsewhere = is_of_the_node(error) || matches!(error, ApiError::Forbidden { .. });
        let tries = before + u32::from(!elsewhere);
        let state = if tries < TRIES {
            let after = now + RETRY_AFTER * 5_u32.pow(tries.saturating_sub(1));
            State::Again { tries, after }
        } else {
            self.unreadable += 1;
            State::Over
        };
        self.tasks.insert(key(task), state);
    }

    pub(super) fn unreadable(&self) -> u64 {
        self.unreadable
    }

    fn begun(&mut self, task: &FinishedBackup) {
        if self.backlog_until.is_some_and(|until| task.end <= until) {
            self.backlog_read += 1;
        }
        if self.tasks.len() > REMEMBERED
            && let Some(((end, _), _)) = self.tasks.pop_first()
        {
            // It must not come up again as a later one.
            self.backlog_until = self.backlog_until.max(Some(end));
        }
    }
}
