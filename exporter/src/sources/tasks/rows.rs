//! The rows that a ledger gives.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::journal::Failed;
use super::ledger::{Ledger, Node};
use crate::metrics::labels::Identity;
use crate::pve::upid::Upid;
use crate::subjects::task::{FailedTask, FinishedTasks, TaskHistory, TaskType};

/// The rows of one cluster's tasks.
#[derive(Clone, Debug)]
pub struct TaskRows {
    /// By node, type and result.
    pub finished: Arc<[FinishedTasks]>,
    /// By node and type.
    pub types: Arc<[TaskType]>,
    /// By node.
    pub history: Arc<[TaskHistory]>,
    /// The newest failed tasks.
    pub failed: Arc<[FailedTask]>,
}

impl Ledger {
    /// The rows; made again only when something was applied since.
    pub fn rows(&mut self, cluster: &str) -> TaskRows {
        if let Some(rows) = &self.rows {
            return rows.clone();
        }
        let (mut finished, mut types, mut history) = (Vec::new(), Vec::new(), Vec::new());
        for (name, node) in &self.nodes {
            let here = [("pve_cluster", cluster), ("node", name)];
            history.push(TaskHistory {
                identity: Identity::new(&here),
                gaps: node.tally.gaps,
            });
            add_types(here, node, &mut types, &mut finished);
        }
        let rows = TaskRows {
            finished: finished.into(),
            types: types.into(),
            history: history.into(),
            failed: self
                .journal
                .failed()
                .iter()
                .map(|failed| row(cluster, failed))
                .collect(),
        };
        self.rows.insert(rows).clone()
    }
}

fn add_types(
    [cluster, name]: [(&'static str, &str); 2],
    node: &Node,
    types: &mut Vec<TaskType>,
    finished: &mut Vec<FinishedTasks>,
) {
    let mut running: BTreeMap<&str, (u64, u32)> = BTreeMap::new();
    for (key, task) in node.history.running() {
        let (count, oldest) = running
            .entry(node.tally.counted_as(&task.kind))
            .or_insert((0, key.start));
        *count += 1;
        *oldest = key.start.min(*oldest);
    }
    for (kind, tasks) in node.tally.types() {
        let running = running.get(kind).filter(|_| node.history.is_here());
        types.push(TaskType {
            identity: Identity::new(&[cluster, name, ("type", kind)]),
            running: node.history.is_here().then(|| running.map_or(0, |(count, _)| *count)),
            running_oldest_start: running.map(|(_, oldest)| u64::from(*oldest)),
            last_success: tasks.last_success.map(u64::from),
            last_failure: tasks.last_failure.map(u64::from),
            last_duration: tasks.last_duration().map(u64::from),
        });
        for (result, sum) in tasks.finished() {
            finished.push(FinishedTasks {
                identity: Identity::new(&[cluster, name, ("type", kind), ("result", result.as_str())]),
                finished: sum.count,
                duration: sum.duration,
            });
        }
    }
}

fn row(cluster: &str, failed: &Failed) -> FailedTask {
    let Failed { node, task, .. } = failed;
    let upid = Upid::parse(&task.upid).map_or("", |upid| upid.without_user);
    FailedTask {
        identity: Identity::new(&[
            ("pve_cluster", cluster),
            ("node", node),
            ("upid", upid),
            ("type", &task.kind),
            ("task_id", &task.id),
        ]),
    }
}
