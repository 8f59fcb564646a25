//! What has been counted on one node, by type.

use std::collections::BTreeMap;

use super::task::{End, OTHER, Task};
use crate::pve::task_status::TaskResult;

/// The types that people page on: they are there from the start, so that the first failure is an increase.
const PAGED: [&str; 8] = [
    "aptupdate",
    "qmigrate",
    "qmrestore",
    "qmstart",
    "vzdump",
    "vzmigrate",
    "vzrestore",
    "vzstart",
];

/// PVE has about a hundred types in all, and no node sees half of them.
const MAX_TYPES: usize = 100;

/// The tasks of one type.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Type {
    finished: [Finished; TaskResult::ALL.len()],
    last: Option<(u32, u32)>,
    pub(super) last_success: Option<u32>,
    pub(super) last_failure: Option<u32>,
}

/// The tasks of one type and result.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Finished {
    pub(super) count: u64,
    /// In seconds, all together.
    pub(super) duration: u64,
}

impl Type {
    pub(super) fn finished(&self) -> impl Iterator<Item = (TaskResult, Finished)> {
        TaskResult::ALL.into_iter().zip(self.finished)
    }

    /// How long the task that ended last ran.
    pub(super) fn last_duration(&self) -> Option<u32> {
        self.last.map(|(_, duration)| duration)
    }

    fn add(&mut self, task: &Task, end: End, counts: bool, believed: bool) {
        let duration = end.at.saturating_sub(task.key.start);
        if believed {
            self.last = self.last.max(Some((end.at, duration)));
            let last = if end.result.succeeded() {
                &mut self.last_success
            } else {
                &mut self.last_failure
            };
            *last = (*last).max(Some(end.at));
        }
        for (result, finished) in TaskResult::ALL.into_iter().zip(&mut self.finished) {
            if counts && result == end.result {
                finished.count += 1;
                finished.duration += u64::from(duration);
            }
        }
    }
}

/// All types of one node.
#[derive(Debug)]
pub(super) struct Tally {
    types: BTreeMap<Box<str>, Type>,
    pub(super) gaps: u64,
}

impl Default for Tally {
    fn default() -> Self {
        let types = PAGED.map(|kind| (Box::from(kind), Type::default()));
        Self {
            types: types.into(),
            gaps: 0,
        }
    }
}

impl Tally {
    pub(super) fn types(&self) -> impl Iterator<Item = (&str, &Type)> {
        self.types.iter().map(|(kind, tasks)| (&**kind, tasks))
    }

    /// The type under which tasks of `kind` are counted.
    pub(super) fn counted_as<'a>(&self, kind: &'a str) -> &'a str {
        if self.types.contains_key(kind) { kind } else { OTHER }
    }

    /// Makes room for a type, if there is any left.
    pub(super) fn meet(&mut self, kind: &str) -> &mut Type {
        let room = self.types.len() < MAX_TYPES;
        let name = if room { kind } else { self.counted_as(kind) };
        self.types.entry(name.into()).or_default()
    }

    pub(super) fn add(&mut self, task: &Task, end: End, counts: bool, believed: bool) {
        self.meet(&task.kind).add(task, end, counts, believed);
    }
}
