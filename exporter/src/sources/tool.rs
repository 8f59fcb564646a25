//! A tool that nodes run to answer us, such as `zpool`: where it is not installed, and where it hangs.
//!
//! A call that hangs at a node keeps one of the few workers there that serve PVE's API, long after we have given it up. A node
//! is therefore left alone for long when a call was not answered in time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::pve::budget::Cost;
use crate::pve::client::{Answer, Client, Request};
use crate::pve::error::ApiError;

/// How long the answer that it is not there is believed.
const ABSENT: Duration = Duration::from_secs(3600);

/// How long a node where it hangs is left alone, the first time and at most. There are three workers, and each call that hangs
/// takes one.
const HANGS: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(4 * 3600));

/// By how much longer each time.
const LONGER: u32 = 4;

/// What the tool gets for an answer: nothing else that is slow is asked of the node meanwhile.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What is known of the tool at the nodes.
pub struct Tool {
    clock: Clock,
    is_absent: fn(&str) -> bool,
    nodes: Mutex<BTreeMap<Arc<str>, AtNode>>,
}

type AtNode = Arc<tokio::sync::Mutex<Option<Found>>>;

#[derive(Debug)]
enum Found {
    Absent {
        until: Instant,
    },
    Hangs {
        until: Instant,
        rest: Duration,
        error: ApiError,
    },
}

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

    /// The answer of `node` to a slow call of `path` below it; `None` where the tool is not there.
    ///
    /// # Errors
    /// Every [`ApiError`]; [`ApiError::Resting`] with that of the last call where the tool hangs and is not asked again yet.
    pub async fn get(&self, client: &Client, node: &Arc<str>, path: &str) -> Result<Option<Answer>, ApiError> {
        let at_node = {
            let mut nodes = self.nodes.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(nodes.entry(Arc::clone(node)).or_default())
        };
        // One call at a time: the next one shall know whether this one hung.
        let mut found = at_node.lock().await;
        if client.offline().contains(node) {
            // What hung there does so no more when the node is back.
            *found = None;
            return Err(ApiError::Offline { node: node.to_string() });
        }
        if let Some(known) = known(found.as_ref(), self.clock.now()) {
            return known.map(|()| None);
        }
        let request = Request {
            timeout: Some(TIMEOUT),
            ..Request::node(node, path, Cost::Slow)
        };
        let outcome = client.get(&request).await;
        let hangs = outcome.as_ref().is_err_and(|error| hangs(client, error));
        self.note(&mut found, outcome, hangs)
    }

    fn note<T>(
        &self,
        found: &mut Option<Found>,
        outcome: Result<T, ApiError>,
        hangs: bool,
    ) -> Result<Option<T>, ApiError> {
        let now = self.clock.now();
        match outcome {
            Err(error) if self.says_absent(&error) => {
                *found = Some(Found::Absent { until: now + ABSENT });
                Ok(None)
            }
            Err(error) if hangs => {
                let rest = match found {
                    Some(Found::Hangs { rest, .. }) => (*rest * LONGER).min(HANGS.1),
                    _ => HANGS.0,
                };
                *found = Some(Found::Hangs {
                    until: now + rest,
                    rest,
                    error: error.clone(),
                });
                Err(error)
            }
            Err(error) => Err(error),
            Ok(answer) => {
                *found = None;
                Ok(Some(answer))
            }
        }
    }

    fn says_absent(&self, error: &ApiError) -> bool {
        match error {
            ApiError::NotImplemented { .. } => true,
            ApiError::Status { problem, .. } => (self.is_absent)(problem),
            _ => false,
        }
    }
}

/// What needs no call, since it was found out lately: that the tool is not there, or the error with which it hangs.
fn known(found: Option<&Found>, now: Instant) -> Option<Result<(), ApiError>> {
    match found? {
        Found::Absent { until } => (now < *until).then_some(Ok(())),
        Found::Hangs { until, error, .. } => (now < *until).then(|| Err(ApiError::Resting(Box::new(error.clone())))),
    }
}

/// Whether the node did not answer in time, and not the endpoint through which it was asked.
fn hangs(client: &Client, error: &ApiError) -> bool {
    match error {
        // PVE's own proxy has given the node up.
        ApiError::Status { status: 596, .. } => true,
        ApiError::Timeout { endpoint, .. } => {
            let endpoints = client.endpoints().all();
            !endpoints
                .iter()
                .any(|known| known.url.as_str() == endpoint && known.out_of_use())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, problem: &str) -> ApiError {
        ApiError::Status {
            path: "/nodes/pve1/disks/zfs".to_owned(),
            status,
            problem: problem.to_owned(),
        }
    }

    struct Node {
        tool: Tool,
        clock: Clock,
        found: Option<Found>,
    }

    impl Node {
        fn new() -> Self {
            let clock = Clock::default();
            Self {
                tool: Tool::new(&clock, |problem| problem.contains("not installed")),
                clock,
                found: None,
            }
        }

        fn answers(&mut self, outcome: Result<u8, ApiError>) -> Result<Option<u8>, ApiError> {
            self.tool.note(&mut self.found, outcome, false)
        }

        fn hangs(&mut self) {
            let error = status(596, "Connection timed out");
            assert!(self.tool.note::<u8>(&mut self.found, Err(error), true).is_err());
        }

        fn known_after(&self, time: Duration) -> Option<Result<(), ApiError>> {
            self.clock.advance(time);
            known(self.found.as_ref(), self.clock.now())
        }
    }

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    #[test]
    fn a_tool_that_is_not_there_is_asked_for_every_hour() {
        let unknown = ApiError::NotImplemented { path: "/x".to_owned() };
        for absent in [status(500, "zfsutils-linux not installed\n"), unknown] {
            let mut node = Node::new();
            assert!(matches!(node.answers(Err(absent)), Ok(None)));
            assert!(matches!(node.known_after(minutes(59)), Some(Ok(()))));
            assert!(node.known_after(minutes(1)).is_none());
        }
    }

    #[test]
    fn a_node_where_it_hangs_is_left_alone_for_longer_each_time() {
        let mut node = Node::new();
        let second = Duration::from_secs(1);
        for rest in [10, 40, 160, 240, 240] {
            node.hangs();
            let known = node.known_after(minutes(rest) - second);
            assert!(matches!(known, Some(Err(ApiError::Resting(_)))), "{rest}");
            assert!(node.known_after(second).is_none());
        }
        assert!(matches!(node.answers(Ok(1)), Ok(Some(1))));
        node.hangs();
        assert!(
            node.known_after(minutes(10)).is_none(),
            "an answer in between makes it good"
        );
    }

    #[test]
    fn other_failures_are_nothing_to_remember() {
        let mut node = Node::new();
        assert!(node.answers(Err(status(500, "exit code 1"))).is_err());
        assert!(node.known_after(Duration::ZERO).is_none());
    }
}
