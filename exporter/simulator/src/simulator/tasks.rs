//! What a test can do to tasks.

use std::time::Duration;

use super::Simulator;
use crate::{
    BackupResult,
    calendar::{Seconds, seconds},
    model::{BackupRun, End, Model, NewTask, PlannedBackup, Upid},
};

/// A run of `vzdump`: with one guest it is about this guest, with more it is like that of a job and its task has no id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewBackup {
    /// The node that runs it.
    pub node: String,
    /// Where it stores: `backup` (a Proxmox Backup Server), `nas` or `local`.
    pub storage: String,
    /// The guests, and how it ends for each. One that does not exist cannot be backed up.
    pub guests: Vec<(u32, BackupResult)>,
    /// How long each guest takes; a failed one takes a second.
    pub each: Duration,
}

impl Simulator {
    /// Starts a task that runs until [`Self::end_task`], and says its UPID; nothing if there is no such node. `id` is
    /// what PVE puts into the UPID: mostly the id of a guest, or nothing.
    pub fn start_task(&self, node: &str, kind: &str, id: &str) -> Option<String> {
        self.cluster.change(|model, now| {
            let task = NewTask::new(model.node_index(node)?, kind.to_owned(), id, seconds(now));
            Some(started(model, task))
        })
    }

    /// Ends a running task with a status such as `OK`, `WARNINGS: 2`, `received interrupt` or `unexpected status`; false
    /// if no such task runs. A backup stops where it is.
    pub fn end_task(&self, upid: &str, status: &str) -> bool {
        self.cluster.change(|model, now| {
            let Some(upid) = Upid::parse(upid) else { return false };
            let node = model.node_index(upid.node);
            let Some(number) = node.and_then(|node| model.tasks.running_number(node, &upid)) else {
                return false;
            };
            let end = End {
                at: seconds(now),
                status: status.to_owned().into(),
            };
            let ended = model.tasks.end(number, end);
            model.finish_tasks(seconds(now));
            ended
        })
    }

    /// Adds a task that has just ended after this time, and says its UPID; nothing if there is no such node.
    pub fn run_task(&self, node: &str, kind: &str, id: &str, status: &str, duration: Duration) -> Option<String> {
        self.cluster.change(|model, now| {
            let (now, node) = (seconds(now), model.node_index(node)?);
            let task = NewTask::new(node, kind.to_owned(), id, now.saturating_sub(duration.as_secs()));
            let upid = started(model, task.ending(now, status.to_owned()));
            model.finish_tasks(now);
            Some(upid)
        })
    }

    /// Starts a backup, which moves on with the clock, and says its UPID; nothing without such a node or guests.
    pub fn start_backup(&self, backup: &NewBackup) -> Option<String> {
        self.cluster
            .change(|model, now| Some(started(model, planned(model, backup, seconds(now))?)))
    }

    /// Adds a backup that has just ended, and says its UPID; nothing without such a node or guests.
    pub fn run_backup(&self, backup: &NewBackup) -> Option<String> {
        self.cluster.change(|model, now| {
            let now = seconds(now);
            let takes = planned(model, backup, now)?.end?.at - now;
            let task = planned(model, backup, now.saturating_sub(takes))?;
            let upid = started(model, task);
            model.finish_tasks(now);
            Some(upid)
        })
    }

    /// Moves the index of a node's archive aside, as PVE does when it is large: what was moved aside before is lost.
    /// False if there is no such node.
    pub fn rotate_archive(&self, node: &str) -> bool {
        self.cluster.change(|model, _| {
            let node = model.node_index(node);
            node.inspect(|node| model.tasks.rotate(*node)).is_some()
        })
    }
}

fn planned(model: &Model, backup: &NewBackup, begins: Seconds) -> Option<NewTask> {
    let plan = PlannedBackup {
        storage: &backup.storage,
        guests: backup.guests.clone(),
        begins,
        each: Some(backup.each.as_secs()),
    };
    BackupRun::plan(model, model.node_index(&backup.node)?, plan)
}

/// Starts a task and says its UPID.
fn started(model: &mut Model, task: NewTask) -> String {
    let node = task.node;
    let number = model.start_task(task);
    let task = model.tasks.numbered(node, number);
    task.map(|task| task.upid(&model.nodes[node].name)).unwrap_or_default()
}
