//! Tasks of the cluster that are of interest one by one: the newest that failed, and backups.

use std::cmp::Reverse;
use std::sync::Arc;

use super::tally::Tally;
use super::task::{End, Task};
use crate::config::GuestKind;
use crate::pve::task_status::TaskResult;
use crate::subjects::guest::GuestKey;

/// How many failed tasks can be shown by their UPIDs.
const MAX_FAILED: usize = 100;

/// How many finished backups wait to be taken, and how many removals.
const MAX_BACKUPS: usize = 1000;

/// A finished `vzdump` task. It has no `Debug`, because its UPID names a user.
#[derive(Clone)]
pub struct FinishedBackup {
    /// The node that ran it.
    pub node: Arc<str>,
    /// The whole UPID, to read the log with; not for a label.
    pub upid: Arc<str>,
    /// The guest's number, or empty for a job.
    pub id: Box<str>,
    /// When it started, in Unix seconds of the node's clock.
    pub start: u32,
    /// When it ended.
    pub end: u32,
    /// How it ended.
    pub result: TaskResult,
    /// Whether it ended under observation, and not before the exporter's start.
    pub observed: bool,
}

/// The removal of a guest: whoever has its number from then on is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemovedGuest {
    /// What was removed.
    pub guest: GuestKey,
    /// When, in Unix seconds of the node's clock.
    pub at: u32,
}

/// A task that failed.
pub(super) struct Failed {
    pub(super) node: Arc<str>,
    pub(super) task: Task,
    at: u32,
}

#[derive(Default)]
pub(super) struct Journal {
    show_failed: usize,
    failed: Vec<Failed>,
    backups: Vec<FinishedBackup>,
    removed: Vec<RemovedGuest>,
}

impl Journal {
    pub(super) fn new(show_failed: usize) -> Self {
        Self {
            show_failed: show_failed.min(MAX_FAILED),
            ..Self::default()
        }
    }

    /// The newest first.
    pub(super) fn failed(&self) -> &[Failed] {
        &self.failed
    }

    /// Enters a finished task here and in the tally of its node. One whose times are not `believed` is only counted: no later
    /// one would ever be newer.
    pub(super) fn enter(&mut self, node: &Arc<str>, tally: &mut Tally, task: Task, counts: bool, believed: bool) {
        let Some(end) = task.end else { return };
        tally.add(&task, end, counts, believed);
        if !believed {
            return;
        }
        match &*task.kind {
            "vzdump" => self.add_backup(node, &task, end, counts),
            "qmdestroy" => self.add_removed(GuestKind::Qemu, &task, end),
            "vzdestroy" => self.add_removed(GuestKind::Lxc, &task, end),
            _ => {}
        }
        if !end.result.succeeded() && self.show_failed > 0 {
            self.failed.push(Failed {
                node: Arc::clone(node),
                task,
                at: end.at,
            });
            self.failed
                .sort_by(|a, b| (b.at, &a.node, a.task.key).cmp(&(a.at, &b.node, b.task.key)));
            self.failed.truncate(self.show_failed);
        }
    }

    fn add_backup(&mut self, node: &Arc<str>, task: &Task, end: End, observed: bool) {
        self.backups.push(FinishedBackup {
            node: Arc::clone(node),
            upid: Arc::clone(&task.upid),
            id: task.id.clone(),
            start: task.key.start,
            end: end.at,
            result: end.result,
            observed,
        });
        if self.backups.len() >= 2 * MAX_BACKUPS {
            self.keep_newest_backups();
        }
    }

    fn add_removed(&mut self, kind: GuestKind, task: &Task, end: End) {
        if let (true, Ok(vmid)) = (end.result.succeeded(), task.id.parse()) {
            let guest = (kind, vmid);
            self.removed.push(RemovedGuest { guest, at: end.at });
            if self.removed.len() >= 2 * MAX_BACKUPS {
                self.removed.sort_by_key(|removed| Reverse(removed.at));
                self.removed.truncate(MAX_BACKUPS);
            }
        }
    }

    pub(super) fn take_removed_guests(&mut self) -> Vec<RemovedGuest> {
        std::mem::take(&mut self.removed)
    }

    fn keep_newest_backups(&mut self) {
        self.backups.sort_by_key(|backup| Reverse(backup.end));
        self.backups.truncate(MAX_BACKUPS);
    }

    pub(super) fn take_finished_backups(&mut self) -> Vec<FinishedBackup> {
        self.keep_newest_backups();
        std::mem::take(&mut self.backups)
    }

    pub(super) fn retain(&mut self, known: impl Fn(&Arc<str>) -> bool) {
        self.failed.retain(|failed| known(&failed.node));
    }
}
