//! What was asked of the simulated cluster: counts, concurrency, and the last request.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

mod agents;

pub(crate) use agents::RunningAgentCall;
pub use agents::{AgentCall, BackupBeside};

/// What the paths of guest agents have in common.
const AGENT: &str = "/nodes/{node}/qemu/{vmid}/agent/";

/// The endpoints that make a node fork, ask QEMU's monitor, take a lock of the cluster or look through a storage.
const SLOW: [&str; 17] = [
    "/nodes/{node}/apt/versions",
    "/nodes/{node}/ceph/osd",
    "/nodes/{node}/ceph/pool",
    "/nodes/{node}/ceph/status",
    "/nodes/{node}/disks/list",
    "/nodes/{node}/disks/lvm",
    "/nodes/{node}/disks/lvmthin",
    "/nodes/{node}/disks/smart",
    "/nodes/{node}/disks/zfs",
    "/nodes/{node}/disks/zfs/{name}",
    "/nodes/{node}/lxc",
    "/nodes/{node}/network",
    "/nodes/{node}/qemu",
    "/nodes/{node}/replication",
    "/nodes/{node}/services",
    "/nodes/{node}/storage/{storage}/content",
    "/nodes/{node}/time",
];

/// How often each endpoint was called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallCounts {
    executed: BTreeMap<(String, String), u64>,
    received: BTreeMap<(String, String), u64>,
}

impl CallCounts {
    /// Requests that arrived at any endpoint, answered or not.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received.values().sum()
    }

    /// Requests for a path template, such as `/nodes/{node}/status`, that arrived at any endpoint, answered or not.
    /// Those for paths that do not exist have the template `unknown`.
    #[must_use]
    pub fn received_for(&self, template: &str) -> u64 {
        total(&self.received, |(path, _)| path == template)
    }

    /// Every path template with the number of requests for it that arrived at any endpoint, answered or not.
    #[must_use]
    pub fn received_by_template(&self) -> BTreeMap<&str, u64> {
        let mut sums = BTreeMap::new();
        for ((template, _), count) in &self.received {
            *sums.entry(template.as_str()).or_default() += count;
        }
        sums
    }

    /// Requests that arrived at the endpoint of a node, answered or not.
    #[must_use]
    pub fn received_by(&self, node: &str) -> u64 {
        total(&self.received, |(_, name)| name == node)
    }

    /// Calls that nodes executed; a fan-out counts once at every node that it reached.
    #[must_use]
    pub fn executed(&self) -> u64 {
        self.executed.values().sum()
    }

    /// Calls of a path template that nodes executed.
    #[must_use]
    pub fn executed_for(&self, template: &str) -> u64 {
        total(&self.executed, |(path, _)| path == template)
    }

    /// Calls that a node executed, directly or through another node.
    #[must_use]
    pub fn executed_by(&self, node: &str) -> u64 {
        total(&self.executed, |(_, name)| name == node)
    }

    /// Calls of a path template that a node executed.
    #[must_use]
    pub fn executed_for_by(&self, template: &str, node: &str) -> u64 {
        total(&self.executed, |(path, name)| path == template && name == node)
    }

    /// Calls of guest agents that nodes executed.
    #[must_use]
    pub fn agent_calls(&self) -> u64 {
        total(&self.executed, |(path, _)| path.starts_with(AGENT))
    }

    /// Every path template and node with the number of calls executed there.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.executed
            .iter()
            .map(|((template, node), count)| (template.as_str(), node.as_str(), *count))
    }
}

fn total(counts: &BTreeMap<(String, String), u64>, wanted: impl Fn(&(String, String)) -> bool) -> u64 {
    counts
        .iter()
        .filter(|(key, _)| wanted(key))
        .map(|(_, count)| count)
        .sum()
}

/// The newest request that arrived, without its credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastRequest {
    /// The node whose endpoint received it.
    pub node: String,
    /// Path and query.
    pub path: String,
    /// Header names in lower case, and their values.
    pub headers: Vec<(String, String)>,
}

impl LastRequest {
    /// The value of a header, by its name in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// How many calls run at each node (or guest), and the most that ran there at once.
#[derive(Debug, Default)]
struct Concurrency {
    running: BTreeMap<String, usize>,
    highest: BTreeMap<String, usize>,
}

impl Concurrency {
    fn begin(&mut self, node: &str) {
        let running = self.running.entry(node.to_owned()).or_default();
        *running += 1;
        let highest = self.highest.entry(node.to_owned()).or_default();
        *highest = (*highest).max(*running);
    }

    fn end(&mut self, node: &str) {
        if let Some(running) = self.running.get_mut(node) {
            *running -= 1;
        }
    }

    fn running(&self, node: &str) -> usize {
        self.running.get(node).copied().unwrap_or(0)
    }

    fn highest(&self, node: &str) -> usize {
        self.highest.get(node).copied().unwrap_or(0)
    }

    /// The same calls run, and nothing is known of any before.
    fn forget(&mut self) {
        self.highest.clone_from(&self.running);
    }
}

#[derive(Debug, Default)]
struct Books {
    counts: CallCounts,
    all: Concurrency,
    slow: Concurrency,
    agents: agents::AgentBooks,
    connections: BTreeMap<String, u64>,
    smartctl: BTreeMap<String, u64>,
    last: Option<LastRequest>,
}

/// Keeps the books.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    books: Mutex<Books>,
}

/// A call that runs until this is dropped.
#[derive(Debug)]
pub(crate) struct RunningCall<'a> {
    calls: &'a Calls,
    node: String,
    slow: bool,
}

impl Calls {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn received(&self, template: &str, request: LastRequest) {
        let mut books = self.books();
        *books
            .counts
            .received
            .entry((template.to_owned(), request.node.clone()))
            .or_default() += 1;
        books.last = Some(request);
    }

    pub(crate) fn connected(&self, node: &str) {
        *self.books().connections.entry(node.to_owned()).or_default() += 1;
    }

    /// Counts a call at the node that executes it, for as long as the result lives.
    pub(crate) fn begin(&self, template: &str, node: &str) -> RunningCall<'_> {
        let mut books = self.books();
        *books
            .counts
            .executed
            .entry((template.to_owned(), node.to_owned()))
            .or_default() += 1;
        let slow = SLOW.contains(&template);
        books.all.begin(node);
        if slow {
            books.slow.begin(node);
        }
        RunningCall {
            calls: self,
            node: node.to_owned(),
            slow,
        }
    }

    pub(crate) fn ran_smartctl(&self, node: &str, times: u64) {
        if times > 0 {
            *self.books().smartctl.entry(node.to_owned()).or_default() += times;
        }
    }

    pub(crate) fn smartctl_runs(&self, node: &str) -> u64 {
        self.books().smartctl.get(node).copied().unwrap_or(0)
    }

    pub(crate) fn counts(&self) -> CallCounts {
        self.books().counts.clone()
    }

    pub(crate) fn last(&self) -> Option<LastRequest> {
        self.books().last.clone()
    }

    pub(crate) fn highest_concurrency(&self, node: &str) -> usize {
        self.books().all.highest(node)
    }

    pub(crate) fn highest_slow_concurrency(&self, node: &str) -> usize {
        self.books().slow.highest(node)
    }

    pub(crate) fn running(&self, node: &str) -> usize {
        self.books().all.running(node)
    }

    pub(crate) fn connections(&self, node: &str) -> u64 {
        self.books().connections.get(node).copied().unwrap_or(0)
    }

    /// Forgets everything but the calls that still run.
    pub(crate) fn reset(&self) {
        let mut books = self.books();
        let Books {
            mut all,
            mut slow,
            agents,
            ..
        } = std::mem::take(&mut *books);
        all.forget();
        slow.forget();
        *books = Books {
            all,
            slow,
            agents: agents.reset(),
            ..Books::default()
        };
    }
}

impl Drop for RunningCall<'_> {
    fn drop(&mut self) {
        let mut books = self.calls.books();
        books.all.end(&self.node);
        if self.slow {
            books.slow.end(&self.node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrency_is_the_most_that_ran_at_once() {
        let calls = Calls::default();
        let first = calls.begin("/version", "pve1");
        let second = calls.begin("/version", "pve1");
        drop((first, second));
        let _third = calls.begin("/nodes", "pve1");
        assert_eq!((calls.highest_concurrency("pve1"), calls.running("pve1")), (2, 1));
        assert_eq!(calls.counts().executed_for_by("/version", "pve1"), 2);
        assert_eq!(calls.highest_slow_concurrency("pve1"), 0);
        drop(calls.begin("/nodes/{node}/lxc", "pve1"));
        assert_eq!(calls.highest_slow_concurrency("pve1"), 1);
        calls.reset();
        assert_eq!((calls.highest_concurrency("pve1"), calls.counts().executed()), (1, 0));
        assert_eq!(calls.highest_slow_concurrency("pve1"), 0);
    }
}
