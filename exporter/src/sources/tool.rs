//! A tool that nodes run to answer us, such as `zpool`, which is not installed everywhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::pve::budget::Cost;
use crate::pve::client::{Answer, Client, Request};
use crate::pve::error::ApiError;

/// How long the answer that it is not there is believed.
const ABSENT: Duration = Duration::from_secs(3600);

/// What the tool gets for an answer: no other storage of the node is asked for meanwhile.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What is known of the tool at the nodes.
pub struct Tool {
    clock: Clock,
    is_absent: fn(&str) -> bool,
    nodes: Mutex<BTreeMap<Arc<str>, AbsentUntil>>,
}

type AbsentUntil = Arc<tokio::sync::Mutex<Option<Instant>>>;

impl Tool {
    /// Nothing is known yet. `is_absent` recognises the words with which PVE says that the tool is not there.
    #[must_use]
    pub fn new(clock: &Clock, is_absent: fn(&str) -> bool) -> Self {
        Self {
            clock: clock.clone(),
            is_absent,
            nodes: Mutex::default(),
        }
    }

    /// The answer of `node` to a call of `path` below it that looks at a storage; `None` where the tool is not there.
    ///
    /// # Errors
    /// Every [`ApiError`].
    pub async fn get(&self, client: &Client, node: &Arc<str>, path: &str) -> Result<Option<Answer>, ApiError> {
        let at_node = {
            let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(nodes.entry(Arc::clone(node)).or_default())
        };
        // One call at a time: the next one shall know what came of this one.
        let mut absent = at_node.lock().await;
        let now = self.clock.now();
        if !client.offline().contains(node) && absent.is_some_and(|until| now < until) {
            return Ok(None);
        }
        let request = Request {
            timeout: Some(TIMEOUT),
            ..Request::node(node, path, Cost::Storage)
        };
        let outcome = client.get(&request).await;
        let is_absent = outcome.as_ref().is_err_and(|error| self.says_absent(error));
        *absent = is_absent.then(|| self.clock.now() + ABSENT);
        if is_absent { Ok(None) } else { outcome.map(Some) }
    }

    fn says_absent(&self, error: &ApiError) -> bool {
        match error {
            ApiError::NotImplemented { .. } => true,
            ApiError::Status { problem, .. } => (self.is_absent)(problem),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_absent_where_pve_says_so_or_does_not_know_the_path() {
        let tool = Tool::new(&Clock::default(), |problem| problem.contains("not installed"));
        let status = |problem: &str| ApiError::Status {
            path: "/nodes/pve1/disks/zfs".to_owned(),
            status: 500,
            problem: problem.to_owned(),
        };
        assert!(tool.says_absent(&status("zfsutils-linux not installed\n")));
        assert!(tool.says_absent(&ApiError::NotImplemented { path: "/x".to_owned() }));
        assert!(!tool.says_absent(&status("exit code 1")));
    }
}
