//! The ledger of a cluster's tasks: counts each task that ends once, from lists that leave tasks out.
//!
//! # What PVE shows
//! A node keeps its running tasks and the finished ones that *started* last, 25 in all, in a list of its own that the cluster
//! shares (`/cluster/tasks`); a task that ran for long can be missing from it the moment it ends. When a task has ended, the node
//! first appends it to its archive (`/nodes/{node}/tasks`), in the order of ends, and then publishes the list. The archive can be
//! read from a *start* on, and it is cut: of two files of 50 kB the older is thrown away.
//!
//! # Why no task is counted twice
//! A task is known by its start, process id and process start. It is reported when it is first met as finished, and then stands
//! among the seen ones, or started so long ago (`old_until`) that only a task known to run is still accepted. Both hold as well
//! for a list or an archive that is older than the one before it, which a cluster may give.
//!
//! # Why none is lost
//! With each list the ledger asks whether a task can have ended unseen since the list before. Such a task either ran in the list
//! before: then it must run or have ended in this one. Or it started after it, and so at the latest time in that list or later. A
//! list drops those first that started first; so a task that was known as finished before, started earlier than that latest time
//! and still stands in the list proves that nothing newer was dropped. A list that PVE had no reason to cut needs no such proof
//! beyond one finished task that is known, which shows that it has not been started afresh.
//! Otherwise the archive is read, from the start of the oldest task that is unaccounted for. Since it is a log in the order of
//! ends, any task in it that had ended when nothing was missing proves that all that ended later is there. Where there is none,
//! and where a task that ran is in neither list nor archive for good, a gap is counted: tasks are never guessed.
//! A request for the archive has a ticket, and an answer is taken only while nothing has gone missing since it was asked for.
//!
//! # What counts
//! What a node's first list shows as finished is where the count begins, and so is what it left out: that started before the
//! latest end in the list, and what is new starts after it. If that list has no finished task at all, the count begins with the
//! first archive. A list without any task is no first list: a node that has just started has published none yet.
//!
//! All times are compared with times of the same node, so that clocks may differ. A node's clock that is set back by more than an
//! hour hides short tasks until it is where it was: PVE's own list hides them as well then. Times that are more than a day ahead
//! of the exporter's are not believed: their tasks count, and nothing is compared with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::history::History;
use super::journal::{FinishedBackup, Journal, RemovedGuest};
use super::rows::TaskRows;
use super::tally::Tally;
use super::task::Task;
use crate::pve::perl::float_to_whole;

/// Corosync is not made for half as many.
const MAX_NODES: usize = 256;

/// How far a node's clock may be ahead, in seconds.
const AHEAD: u64 = 86_400;

/// How long a node that has left the cluster is remembered, in seconds.
const REMEMBERED: f64 = 86_400.0;

/// One node.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) history: History,
    pub(super) tally: Tally,
    absent_since: Option<f64>,
}

/// The latest time that is believed while the exporter's clock shows `now`.
fn horizon(now: f64) -> u32 {
    let seconds = float_to_whole(now).unwrap_or(0).saturating_add(AHEAD);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// An archive that the ledger needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveRequest {
    /// The node whose archive it is.
    pub node: Arc<str>,
    /// The start of the oldest task that is needed, in Unix seconds of the node's clock.
    pub since: u32,
    ticket: u64,
}

/// The tasks of one cluster.
#[derive(Default)]
pub struct Ledger {
    pub(super) nodes: BTreeMap<Arc<str>, Node>,
    pub(super) journal: Journal,
    pub(super) rows: Option<TaskRows>,
    at_work: AtWork,
}

/// What is being worked on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AtWork {
    /// The nodes at which a `vzdump` task runs.
    pub backing_up: BTreeSet<Arc<str>>,
    /// The virtual machines at which a task works: that starts, stops, moves, copies or changes them.
    pub machines: BTreeSet<u32>,
}

impl AtWork {
    fn of(tasks: &[Task]) -> Self {
        let mut at_work = Self::default();
        for task in tasks.iter().filter(|task| task.end.is_none()) {
            if &*task.kind == "vzdump" {
                at_work.backing_up.insert(task.node.as_ref().into());
            } else if task.kind.starts_with("qm") {
                at_work.machines.extend(task.id.parse::<u32>());
            }
        }
        at_work
    }
}

impl Ledger {
    /// An empty ledger that shows the `show_failed` newest failed tasks by their UPIDs, at most 100.
    #[must_use]
    pub fn new(show_failed: usize) -> Self {
        Self {
            journal: Journal::new(show_failed),
            ..Self::default()
        }
    }

    /// Takes the rows of `/cluster/tasks`.
    ///
    /// `online` has all nodes of the cluster and whether they are online; without it, a node is online that has a row. `now` is in
    /// Unix seconds. Returns how many rows have times that are too far ahead of it to be believed.
    pub fn apply_recent(&mut self, tasks: Vec<Task>, online: Option<&BTreeMap<Arc<str>, bool>>, now: f64) -> u64 {
        self.rows = None;
        self.at_work = AtWork::of(&tasks);
        let horizon = horizon(now);
        let unbelieved = count_beyond(horizon, &tasks);
        let mut lists = by_node(tasks, online);
        for name in lists.keys() {
            if self.nodes.len() < MAX_NODES && !self.nodes.contains_key(name) {
                self.nodes.insert(Arc::clone(name), Node::default());
            }
        }
        for (name, node) in &mut self.nodes {
            let list = lists.remove(name);
            node.absent_since = match list {
                Some(_) => None,
                None => node.absent_since.or(Some(now)),
            };
            let is_online = online.is_none_or(|online| online.get(name) == Some(&true));
            let Some(list) = list.filter(|_| is_online) else {
                node.history.leave();
                continue;
            };
            let Node { history, tally, .. } = node;
            let lost = history.list(list, horizon, |task, counts| {
                let believed = task.latest() <= horizon;
                self.journal.enter(name, tally, task, counts, believed);
            });
            tally.gaps += u64::from(lost);
            for (_, running) in history.running() {
                tally.meet(&running.kind);
            }
        }
        let remembered = |node: &Node| node.absent_since.is_none_or(|since| now - since < REMEMBERED);
        self.nodes.retain(|_, node| remembered(node));
        self.journal.retain(|node| self.nodes.contains_key(node));
        unbelieved
    }

    /// The archives without which the counts are not complete. They stay wanted until they have been applied.
    #[must_use]
    pub fn archive_wanted(&self) -> Vec<ArchiveRequest> {
        let request = |(name, node): (&Arc<str>, &Node)| {
            node.history.wanted().map(|(since, ticket)| ArchiveRequest {
                node: Arc::clone(name),
                since,
                ticket,
            })
        };
        self.nodes.iter().filter_map(request).collect()
    }

    /// Takes the rows of the archive that `request` asked for, in PVE's order; `now` and what is returned are those of
    /// [`Self::apply_recent`].
    pub fn apply_archive(&mut self, request: &ArchiveRequest, mut tasks: Vec<Task>, now: f64) -> u64 {
        let Some(node) = self.nodes.get_mut(&request.node) else {
            return 0;
        };
        self.rows = None;
        let horizon = horizon(now);
        let unbelieved = count_beyond(horizon, &tasks);
        tasks.retain(|task| *task.node == *request.node);
        let Node { history, tally, .. } = node;
        let lost = history.archive(request.ticket, tasks, horizon, |task, counts| {
            let believed = task.latest() <= horizon;
            self.journal.enter(&request.node, tally, task, counts, believed);
        });
        tally.gaps += u64::from(lost);
        unbelieved
    }

    /// The nodes that have tasks, or may have some.
    #[must_use]
    pub fn node_names(&self) -> Vec<Arc<str>> {
        self.nodes.keys().cloned().collect()
    }

    /// What runs, as far as the newest list tells.
    #[must_use]
    pub fn at_work(&self) -> &AtWork {
        &self.at_work
    }

    /// The `vzdump` tasks found finished since this was last called, those from before the exporter's start among them; the newest
    /// first, at most 1000.
    pub fn take_finished_backups(&mut self) -> Vec<FinishedBackup> {
        self.journal.take_finished_backups()
    }

    /// The guests found removed since this was last called.
    pub fn take_removed_guests(&mut self) -> Vec<RemovedGuest> {
        self.journal.take_removed_guests()
    }
}

fn count_beyond(horizon: u32, tasks: &[Task]) -> u64 {
    tasks.iter().filter(|task| task.latest() > horizon).count() as u64
}

fn by_node(tasks: Vec<Task>, online: Option<&BTreeMap<Arc<str>, bool>>) -> BTreeMap<Arc<str>, Vec<Task>> {
    let names = online.into_iter().flat_map(BTreeMap::keys);
    let mut lists: BTreeMap<_, Vec<Task>> = names.map(|name| (Arc::clone(name), Vec::new())).collect();
    for task in tasks {
        // A node that was renamed has tasks under its old name: it is none of the cluster's.
        if let Some(list) = lists.get_mut(&*task.node) {
            list.push(task);
        } else if online.is_none() && lists.len() < MAX_NODES {
            lists.insert(Arc::from(&*task.node), vec![task]);
        }
    }
    lists
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pve::api::tasks::Row;

    #[test]
    fn what_is_at_work_is_told_by_tasks_that_run() {
        let task = |node: &str, kind: &str, id: &str, end: Option<u64>| {
            let upid = format!("UPID:{node}:0001E240:0540A840:6A806762:{kind}:{id}:root@pam:");
            let row = Row {
                upid: upid.into(),
                status: if end.is_some() { "OK" } else { "" }.into(),
                endtime: end,
            };
            Task::read(&row).unwrap()
        };
        let tasks = [
            task("pve1", "vzdump", "", None),
            task("pve2", "vzdump", "", Some(1_786_799_990)),
            task("pve2", "qmigrate", "100", None),
            task("pve2", "qmsnapshot", "101", Some(1_786_799_990)),
            task("pve3", "vzmigrate", "200", None),
            task("pve3", "vncproxy", "102", None),
        ];
        let at_work = AtWork::of(&tasks);
        assert_eq!(at_work.backing_up, BTreeSet::from(["pve1".into()]));
        assert_eq!(at_work.machines, BTreeSet::from([100]));
    }
}
