//! What was asked of guest agents: when, how many at once, and whether it came at a bad time.

use std::{collections::VecDeque, sync::Arc, time::SystemTime};

use super::Concurrency;
use crate::cluster::Cluster;

/// How many calls are remembered one by one.
const REMEMBERED: usize = 20_000;

/// A call of a guest agent that arrived at the node of its guest, whatever became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCall {
    /// When it arrived, in simulated time.
    pub at: SystemTime,
    /// The node.
    pub node: String,
    /// The guest.
    pub vmid: u32,
    /// The end of the path, for example `get-fsinfo`.
    pub command: &'static str,
    /// What held the configuration of the guest.
    pub lock: Option<String>,
    /// What `vzdump` did on the node.
    pub backup: Option<BackupBeside>,
}

impl AgentCall {
    /// Whether a backup, or whatever holds the guest, may have come to harm.
    #[must_use]
    pub fn is_overlap(&self) -> bool {
        self.lock.is_some() || self.backup == Some(BackupBeside::MayBeNext)
    }
}

/// What a backup on the node of a guest had to do with the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BackupBeside {
    /// It was about other guests only.
    Others,
    /// It was about this guest, or about many, so that its turn may have come at any time.
    MayBeNext,
}

/// The books of guest agents.
#[derive(Debug, Default)]
pub(super) struct AgentBooks {
    by_node: Concurrency,
    by_guest: Concurrency,
    overlaps: u64,
    beside_backups: u64,
    newest: VecDeque<AgentCall>,
}

impl AgentBooks {
    fn begin(&mut self, call: AgentCall) {
        self.by_node.begin(&call.node);
        self.by_guest.begin(&call.vmid.to_string());
        self.overlaps += u64::from(call.is_overlap());
        self.beside_backups += u64::from(call.backup.is_some());
        if self.newest.len() >= REMEMBERED {
            self.newest.pop_front();
        }
        self.newest.push_back(call);
    }

    /// Forgets everything but the calls that still run.
    pub(super) fn reset(self) -> Self {
        let Self {
            mut by_node,
            mut by_guest,
            ..
        } = self;
        by_node.forget();
        by_guest.forget();
        Self {
            by_node,
            by_guest,
            ..Self::default()
        }
    }
}

/// A call of a guest agent for as long as it occupies a worker of its node.
#[derive(Debug)]
pub(crate) struct RunningAgentCall {
    cluster: Arc<Cluster>,
    node: String,
    vmid: u32,
}

impl RunningAgentCall {
    pub(crate) fn begin(cluster: &Arc<Cluster>, call: AgentCall) -> Self {
        let running = Self {
            cluster: Arc::clone(cluster),
            node: call.node.clone(),
            vmid: call.vmid,
        };
        cluster.calls.books().agents.begin(call);
        running
    }
}

impl Drop for RunningAgentCall {
    fn drop(&mut self) {
        let mut books = self.cluster.calls.books();
        books.agents.by_node.end(&self.node);
        books.agents.by_guest.end(&self.vmid.to_string());
    }
}

impl super::Calls {
    pub(crate) fn highest_agent_concurrency(&self, node: &str) -> usize {
        self.books().agents.by_node.highest(node)
    }

    pub(crate) fn highest_agent_concurrency_of(&self, vmid: u32) -> usize {
        self.books().agents.by_guest.highest(&vmid.to_string())
    }

    pub(crate) fn running_agent_calls(&self, node: &str) -> usize {
        self.books().agents.by_node.running(node)
    }

    pub(crate) fn agent_overlaps(&self) -> u64 {
        self.books().agents.overlaps
    }

    pub(crate) fn agent_calls_beside_backups(&self) -> u64 {
        self.books().agents.beside_backups
    }

    pub(crate) fn agent_calls(&self) -> Vec<AgentCall> {
        self.books().agents.newest.iter().cloned().collect()
    }
}
