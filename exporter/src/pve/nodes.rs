//! Nodes that are online for the cluster and do not answer.
//!
//! PVE gives a node that hangs 30 s, and each request that waits for it holds a place at the endpoint which the other nodes need.
//! So a node that has not answered requests of two kinds is asked by one request at a time, and not at once again. One kind alone
//! may hang for reasons of its own.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::pve::budget::Cost;
use crate::pve::endpoints::doubling;
use crate::pve::error::ApiError;

/// How long a node that did not answer is left alone, the first time and at most.
const REST: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// The nodes of one cluster that did not answer the last time, or did so again.
#[derive(Debug, Default)]
pub struct SilentNodes(Mutex<HashMap<Arc<str>, Silence>>);

#[derive(Debug)]
struct Silence {
    /// The kinds of requests that were not answered since the last answer.
    kinds: BTreeSet<String>,
    failed_in_a_row: u32,
    until: Instant,
    error: ApiError,
    /// When it last answered again.
    back_at: Option<Instant>,
}

impl SilentNodes {
    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Silence>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why `node` is not asked now; none if it may be.
    #[must_use]
    pub fn why_resting(&self, node: &str, now: Instant) -> Option<ApiError> {
        let nodes = self.lock();
        let silence = nodes
            .get(node)
            .filter(|silence| silence.is_certain() && now < silence.until)?;
        Some(silence.error.clone())
    }

    /// The same for a request that goes out now unless there is a reason: it is the only one for the next `time`, where the node
    /// did not answer before.
    pub fn admit(&self, node: &str, now: Instant, time: Duration) -> Option<ApiError> {
        let mut nodes = self.lock();
        let silence = nodes.get_mut(node).filter(|silence| silence.is_certain())?;
        if now < silence.until {
            return Some(silence.error.clone());
        }
        silence.until = now + time;
        None
    }

    /// When `node`, which had not answered, did so again.
    #[must_use]
    pub fn back_at(&self, node: &str) -> Option<Instant> {
        self.lock().get(node)?.back_at
    }

    /// Notes how a request for `path` ended, which `node` executes at this cost.
    pub fn note<T>(&self, node: &Arc<str>, path: &str, cost: Cost, outcome: &Result<T, ApiError>, now: Instant) {
        let error = match outcome {
            // A slow call may take too long for reasons of its own, such as a storage that hangs.
            Err(ApiError::Timeout { .. } | ApiError::Status { status: 596, .. }) if cost != Cost::Cheap => return,
            Err(error @ (ApiError::Timeout { .. } | ApiError::Status { status: 595..=599, .. })) => error,
            Err(ApiError::Unreachable { .. } | ApiError::Tls { .. } | ApiError::Resting(_)) => return,
            _ => {
                if let Some(silence) = self.lock().get_mut(node) {
                    if silence.is_certain() {
                        tracing::info!(node = &**node, "node answers again");
                        silence.back_at = Some(now);
                    }
                    silence.kinds.clear();
                    silence.failed_in_a_row = 0;
                }
                return;
            }
        };
        let mut nodes = self.lock();
        let silence = nodes.entry(Arc::clone(node)).or_insert_with(|| Silence {
            kinds: BTreeSet::new(),
            failed_in_a_row: 0,
            until: now,
            error: error.clone(),
            back_at: None,
        });
        silence.kinds.insert(kind(path).to_owned());
        if !silence.is_certain() {
            return;
        }
        if silence.failed_in_a_row == 0 {
            tracing::warn!(node = &**node, problem = %error, "node does not answer");
        }
        silence.until = now + doubling(REST, silence.failed_in_a_row);
        silence.failed_in_a_row = silence.failed_in_a_row.saturating_add(1);
        silence.error = error.clone();
    }
}

impl Silence {
    fn is_certain(&self) -> bool {
        self.kinds.len() > 1
    }
}

/// The last part of a path, which is the same for all guests and nodes.
fn kind(path: &str) -> &str {
    let path = path.split('?').next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn silent() -> Result<(), ApiError> {
        Err(ApiError::Timeout {
            endpoint: "e".to_owned(),
            path: "/p".to_owned(),
            limit: SECOND,
        })
    }

    #[test]
    fn a_silent_node_is_asked_by_one_request_at_a_time() {
        let (nodes, node, now) = (SilentNodes::default(), Arc::from("pve1"), Instant::now());
        assert!(nodes.admit("pve1", now, 35 * SECOND).is_none());
        for vmid in [100, 101] {
            nodes.note(
                &node,
                &format!("/nodes/pve1/qemu/{vmid}/pending"),
                Cost::Cheap,
                &silent(),
                now,
            );
        }
        assert!(
            nodes.admit("pve1", now, 35 * SECOND).is_none(),
            "it may be the configurations"
        );
        nodes.note(&node, "/nodes/pve1/tasks?source=archive", Cost::Cheap, &silent(), now);
        assert!(nodes.why_resting("pve1", now + 4 * SECOND).is_some());
        assert!(nodes.why_resting("pve2", now).is_none());
        let later = now + 5 * SECOND;
        assert!(nodes.admit("pve1", later, 35 * SECOND).is_none());
        assert!(
            nodes.admit("pve1", later + SECOND, 35 * SECOND).is_some(),
            "one asks already"
        );
        nodes.note(&node, "/nodes/pve1/status", Cost::Cheap, &silent(), later + SECOND);
        assert!(
            nodes.why_resting("pve1", later + 10 * SECOND).is_some(),
            "longer each time"
        );
        nodes.note(&node, "/nodes/pve1/lxc", Cost::Slow, &Ok(()), later + 10 * SECOND);
        assert!(nodes.admit("pve1", later + 10 * SECOND, 35 * SECOND).is_none());
        assert!(
            nodes.admit("pve1", later + 10 * SECOND, 35 * SECOND).is_none(),
            "it is back"
        );
    }

    #[test]
    fn a_slow_call_that_takes_too_long_says_nothing_of_its_node() {
        let (nodes, node, now) = (SilentNodes::default(), Arc::from("pve1"), Instant::now());
        for path in ["/nodes/pve1/lxc", "/nodes/pve1/replication"] {
            nodes.note(&node, path, Cost::Slow, &silent(), now);
        }
        assert!(nodes.why_resting("pve1", now).is_none());
    }
}
