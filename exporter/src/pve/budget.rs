//! The budget: how many requests of ours a node and an endpoint have in flight.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

/// What a request occupies at the node that executes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Memory, pmxcfs or /proc: two may be in flight per node.
    Cheap,
    /// Forks, QMP, slow tools or the network: one may be in flight per node.
    Slow,
}

/// Requests in flight at the node that executes them.
const PER_NODE: usize = 2;

/// Those of them that are slow.
const SLOW_PER_NODE: usize = 1;

/// Requests in flight through one endpoint. PVE gives a hung node 30 s, so those for other nodes leave some places free for
/// what the endpoint answers itself.
pub const PER_ENDPOINT: usize = 8;
const FOR_OTHER_NODES: usize = 6;

/// The places of one cluster.
#[derive(Debug, Default)]
pub struct Budget {
    places: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// A request's places; it gives them back when it is dropped.
#[derive(Debug)]
pub struct Places(#[expect(dead_code, reason = "held for what their end does")] Vec<OwnedSemaphorePermit>);

impl Budget {
    /// Takes a place at `node`, or at the unknown node behind `endpoint`, and one at `endpoint`. Waits until both are free.
    pub async fn take(&self, node: Option<&str>, endpoint: &Url, cost: Cost, for_other_node: bool) -> Places {
        let node = node.map_or_else(|| unknown(endpoint), known);
        // The scarcest place first: who waits for it must not keep others from the rest.
        let mut wanted = Vec::with_capacity(4);
        if cost == Cost::Slow {
            wanted.push((format!("slow {node}"), SLOW_PER_NODE));
        }
        wanted.push((node, PER_NODE));
        if for_other_node {
            wanted.push((format!("others through {endpoint}"), FOR_OTHER_NODES));
        }
        wanted.push((format!("through {endpoint}"), PER_ENDPOINT));
        let mut permits = Vec::with_capacity(wanted.len());
        for (key, size) in wanted {
            // The semaphores are never closed.
            permits.extend(self.semaphore(key, size).acquire_owned().await);
        }
        Places(permits)
    }

    /// Notes that `node` is behind `endpoint`: what is in flight at the one is in flight at the other.
    pub fn learned(&self, endpoint: &Url, node: &str) {
        let semaphore = self.semaphore(unknown(endpoint), PER_NODE);
        self.places
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(known(node))
            .or_insert(semaphore);
    }

    fn semaphore(&self, key: String, size: usize) -> Arc<Semaphore> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(places.entry(key).or_insert_with(|| Arc::new(Semaphore::new(size))))
    }
}

fn known(node: &str) -> String {
    format!("node {node}")
}

fn unknown(endpoint: &Url) -> String {
    format!("node behind {endpoint}")
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use futures_util::FutureExt as _;

    use super::*;

    fn url(name: &str) -> Url {
        Url::parse(&format!("https://{name}:8006")).unwrap()
    }

    /// The places, if they are free at once.
    fn at_once(take: impl Future<Output = Places>) -> Option<Places> {
        take.now_or_never()
    }

    #[test]
    fn a_node_executes_two_requests_of_which_one_is_slow() {
        let (budget, a, b) = (Budget::default(), url("a"), url("b"));
        let slow = at_once(budget.take(Some("pve1"), &a, Cost::Slow, true)).unwrap();
        assert!(at_once(budget.take(Some("pve1"), &b, Cost::Slow, true)).is_none());
        let cheap = at_once(budget.take(Some("pve1"), &b, Cost::Cheap, true)).unwrap();
        assert!(at_once(budget.take(Some("pve1"), &a, Cost::Cheap, true)).is_none());
        assert!(at_once(budget.take(Some("pve2"), &a, Cost::Slow, true)).is_some());
        drop((slow, cheap));
        assert!(at_once(budget.take(Some("pve1"), &a, Cost::Slow, true)).is_some());
    }

    #[test]
    fn an_endpoint_keeps_places_for_what_it_answers_itself() {
        let (budget, a) = (Budget::default(), url("a"));
        let take = |node: usize, other| at_once(budget.take(Some(&format!("pve{node}")), &a, Cost::Cheap, other));
        let others: Vec<_> = (0..6).map(|node| take(node, true).unwrap()).collect();
        assert!(take(6, true).is_none());
        let own: Vec<_> = (6..8).map(|node| take(node, false).unwrap()).collect();
        assert!(take(8, false).is_none(), "eight in all");
        drop((others, own));
    }

    #[test]
    fn a_node_that_is_recognised_has_no_more_places_than_before() {
        let (budget, a) = (Budget::default(), url("a"));
        let unknown: Vec<_> = (0..2)
            .map(|_| at_once(budget.take(None, &a, Cost::Cheap, false)).unwrap())
            .collect();
        budget.learned(&a, "pve1");
        assert!(at_once(budget.take(Some("pve1"), &a, Cost::Cheap, false)).is_none());
        drop(unknown);
        assert!(at_once(budget.take(Some("pve1"), &a, Cost::Cheap, false)).is_some());
    }
}
