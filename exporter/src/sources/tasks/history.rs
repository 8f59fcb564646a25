//! Which tasks of one node have been accounted for: the part of the ledger that decides what counts.

use std::collections::{BTreeMap, BTreeSet};

use super::task::{Key, Task};

/// PVE's list of a node holds the running tasks and finished ones up to this number; until it is reached nothing is left out.
const LIST_ROWS: usize = 25;

/// PVE leaves tasks out of a list of 32 KiB. A row may be 4 KiB and take twice of what it seems to in PVE's JSON.
const LIST_BYTES: usize = 12 * 1024;

/// PVE moves an archive of this size away, and the one that it had moved away before is gone.
const ARCHIVE_BYTES: usize = 50_000;

/// How long before the oldest task in PVE's list another may have started and still be told apart from the forgotten, in seconds.
const MARGIN: u32 = 3600;

/// Twice as many as the two files of an archive can hold.
const MAX_SEEN: usize = 4096;

/// A real list has no room for so many.
const MAX_RUNNING: usize = 1000;

/// How long a task may be in no list while nobody reads an archive, in seconds.
const UNLISTED: u32 = 86_400;

/// In how many answers that must have it a task may be missing.
const MAX_MISSED: u8 = 3;

/// A task that runs, or is not known to have ended.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) kind: Box<str>,
    /// Whether the latest list had it.
    pub(super) listed: bool,
    /// How many complete archives have not had it since the lists stopped to.
    missed: u8,
    /// The horizon when the lists stopped to have it.
    unlisted_since: Option<u32>,
}

/// See [`super::ledger`] for why this counts each task once.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Finished tasks that started after `old_until` and have been reported.
    seen: BTreeSet<Key>,
    /// A task that started until then is accounted for, unless it is in `running`.
    old_until: u32,
    running: BTreeMap<Key, Running>,
    /// Finished tasks from the last moment when nothing was missing: an archive with one of them has all that came later.
    anchors: Vec<Key>,
    /// The latest time of the latest list: what starts later starts then or after.
    latest: u32,
    /// The latest time that is believed at this moment.
    horizon: u32,
    /// Whether the latest list had finished tasks.
    had_finished: bool,
    /// Whether there has been a list with a task in it, or an archive.
    begun: bool,
    /// Whether there has been an archive.
    archived: bool,
    /// Whether the first list told nothing of what had finished before it.
    blind: bool,
    /// Whether the node was there in the latest answer.
    here: bool,
    wanted: bool,
    /// Changes whenever another archive is needed than the one that may be on its way.
    ticket: u64,
}

impl History {
    pub(super) fn running(&self) -> impl Iterator<Item = (&Key, &Running)> {
        self.running.iter().filter(|(_, task)| task.listed)
    }

    pub(super) fn is_here(&self) -> bool {
        self.here
    }

    /// The node is offline or absent from the list.
    pub(super) fn leave(&mut self) {
        self.here = false;
    }

    /// Which archive is needed: since which start, and the ticket to hand back with it.
    pub(super) fn wanted(&self) -> Option<(u32, u64)> {
        let anchor = self.anchors.iter().map(|key| key.start).min().filter(|_| self.archived);
        let since = anchor.map_or(0, |anchor| {
            let running = self.running.keys().map(|key| key.start).min();
            running
                .map_or(anchor, |running| anchor.min(running))
                .saturating_sub(MARGIN)
        });
        (self.wanted && self.here).then_some((since, self.ticket))
    }

    /// Takes PVE's list and reports each finished task that is new, and whether it ended under observation. Times beyond `horizon`
    /// are not believed.
    ///
    /// Returns whether tasks may have been lost.
    pub(super) fn list(&mut self, tasks: Vec<Task>, horizon: u32, mut report: impl FnMut(Task, bool)) -> bool {
        self.horizon = horizon;
        let believed = |time: &u32| *time <= horizon;
        let first = !self.begun;
        let bytes: usize = tasks.iter().map(|task| task.list_bytes).sum();
        let full = tasks.len() >= LIST_ROWS || bytes >= LIST_BYTES;
        let finished = finished(&tasks);
        let joined = !first && self.here && self.joins(&finished, full);
        let oldest = finished.iter().map(|key| key.start).filter(believed).min();
        let latest = tasks.iter().map(Task::latest).filter(believed).max();
        // A node that has just started has published nothing yet: that says nothing of what was.
        self.begun |= !tasks.is_empty();
        if first {
            let ended = tasks.iter().filter(|task| task.end.is_some()).map(Task::latest);
            let ended = ended.filter(believed).max();
            // What was left out of the list started while it was being filled, and what is new starts after that.
            let filled = if full { ended } else { oldest };
            self.blind = filled.is_none();
            self.old_until = filled.unwrap_or(0).saturating_sub(1);
        }
        for task in self.running.values_mut() {
            task.listed = false;
        }
        for task in tasks {
            if task.end.is_none() {
                self.run(task, first);
            } else if first {
                self.remember(task.key);
                report(task, false);
            } else if let Some(counts) = self.meet(task.key, false) {
                report(task, counts);
            }
        }
        if !joined || self.running.values().any(|task| !task.listed) {
            self.ticket += 1;
            self.wanted = true;
        }
        if first || !self.wanted {
            self.anchor(&finished);
        }
        if let Some(oldest) = oldest.filter(|_| !self.wanted) {
            self.forget(oldest.saturating_sub(MARGIN));
        }
        self.here = true;
        self.had_finished = !finished.is_empty();
        self.latest = latest.unwrap_or(self.latest);
        self.give_up()
    }

    /// Gives up what has been in no list for a day, though the archive could not be read or is not to be; whether there was any.
    fn give_up(&mut self) -> bool {
        let (horizon, before) = (self.horizon, self.running.len());
        self.running.retain(|_, task| {
            if task.listed {
                return true;
            }
            let since = *task.unlisted_since.get_or_insert(horizon);
            horizon.saturating_sub(since) < UNLISTED
        });
        self.running.len() < before
    }

    /// Whether no task can have ended unseen between the list before and one with these finished tasks.
    fn joins(&self, finished: &[Key], full: bool) -> bool {
        let knows =
            |key: &&Key| self.seen.contains(key) || key.start <= self.old_until && !self.running.contains_key(key);
        let mut known = finished.iter().filter(knows).peekable();
        match known.peek() {
            None => !self.had_finished && !full,
            Some(_) if !full => true,
            Some(_) => {
                let known: Vec<_> = known.collect();
                known.len() == finished.len() || known.iter().any(|key| key.start < self.latest)
            }
        }
    }

    /// Takes a task that runs. One that is known to have ended stands in a list that was older than the one before.
    fn run(&mut self, task: Task, first: bool) {
        if let Some(known) = self.running.get_mut(&task.key) {
            (known.listed, known.missed, known.unlisted_since) = (true, 0, None);
            return;
        }
        let new = first || task.key.start > self.old_until && !self.seen.contains(&task.key);
        if new && self.running.len() < MAX_RUNNING {
            let running = Running {
                kind: task.kind,
                listed: true,
                missed: 0,
                unlisted_since: None,
            };
            self.running.insert(task.key, running);
        }
    }

    /// Takes a task that has ended: `None` if it is known, else whether it counts. `restoring` wants what is old as well.
    fn meet(&mut self, key: Key, restoring: bool) -> Option<bool> {
        let observed = self.running.remove(&key).is_some();
        let beyond = key.start > self.horizon;
        let old = key.start <= self.old_until || restoring && (self.blind || beyond);
        if old && !observed && !restoring || !self.remember(key) {
            return None;
        }
        Some(observed || !old)
    }

    /// Adds a task to the seen ones; whether it was not among them.
    fn remember(&mut self, key: Key) -> bool {
        let new = self.seen.insert(key);
        if self.seen.len() > MAX_SEEN
            && let Some(oldest) = self.seen.pop_first()
        {
            self.old_until = self.old_until.max(oldest.start.min(self.horizon));
        }
        new
    }

    /// Takes the archive that [`Self::wanted`] asked for with `ticket`, newest first, and reports like [`Self::list`].
    ///
    /// Returns whether tasks may have been lost. An answer to an earlier question is of no use: it may lack what is wanted by now.
    pub(super) fn archive(
        &mut self,
        ticket: u64,
        tasks: Vec<Task>,
        horizon: u32,
        mut report: impl FnMut(Task, bool),
    ) -> bool {
        self.horizon = horizon;
        if !self.wanted || ticket != self.ticket {
            return false;
        }
        let restoring = !self.archived;
        self.archived = true;
        self.begun = true;
        let bytes: usize = tasks.iter().map(|task| task.archive_bytes).sum();
        let finished = finished(&tasks);
        for task in tasks {
            if task.end.is_some()
                && let Some(counts) = self.meet(task.key, restoring)
            {
                report(task, counts);
            }
        }
        self.wanted = false;
        let complete = if self.anchors.is_empty() {
            // Nothing had finished when nothing was missing: it is all there unless a file of it is gone.
            restoring || bytes <= ARCHIVE_BYTES
        } else {
            finished.iter().any(|key| self.anchors.contains(key))
        };
        let running = self.running.len();
        // A node that has just started publishes nothing until it has looked after the tasks from before.
        let published = self.had_finished || self.running.values().any(|task| task.listed);
        self.running.retain(|_, task| {
            task.missed += u8::from(published && !task.listed);
            task.listed || complete && task.missed < MAX_MISSED
        });
        self.anchors.clear();
        self.anchor(&finished);
        !complete || self.running.len() < running
    }

    fn anchor(&mut self, finished: &[Key]) {
        if !finished.is_empty() {
            self.anchors = finished.iter().take(LIST_ROWS).copied().collect();
        }
    }

    fn forget(&mut self, until: u32) {
        if until > self.old_until {
            self.old_until = until;
            self.seen.retain(|key| key.start > until);
        }
    }
}

fn finished(tasks: &[Task]) -> Vec<Key> {
    let finished = tasks.iter().filter(|task| task.end.is_some());
    finished.map(|task| task.key).collect()
}
