//! The budget: how many requests of ours a node and an endpoint have in flight.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use url::Url;

/// What a request occupies at the node that executes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// Memory, pmxcfs or /proc: two may be in flight per node.
    Cheap,
    /// Forks, QMP, slow tools or the network: one may be in flight per node.
    Slow,
    /// A slow one that looks at a storage, which may hang: one may be in flight per node, and only for as long as it may
    /// still be at work others that are slow wait for it.
    Storage,
    /// One that PVE passes on to an agent inside a guest, which may not answer: it never waits for a place, and begins only
    /// where nothing else is in flight at the node. What is slow waits for it, so that the other place is for what is cheap.
    Agent,
}

/// Requests in flight at the node that executes them.
const PER_NODE: usize = 2;

/// Those of them that are slow, and those that look at storages.
const SLOW_PER_NODE: usize = 1;
const STORAGE_PER_NODE: usize = 1;

/// What looks at a storage mostly takes less. What takes longer does not keep others that are slow from the node any more.
pub const STORAGE_PATIENCE: Duration = Duration::from_secs(3);

/// Requests in flight through one endpoint. PVE gives a hung node 30 s, so those for other nodes leave some places free for
/// what the endpoint answers itself.
pub const PER_ENDPOINT: usize = 8;
const FOR_OTHER_NODES: usize = 6;

/// Those of them that look at storages: one that all nodes share may hang at all of them.
const STORAGE_FOR_OTHER_NODES: usize = 2;

/// Those of them that wait for agents: there may be dead ones at all nodes.
const AGENTS_FOR_OTHER_NODES: usize = 4;

/// The places of one cluster.
#[derive(Debug, Default)]
pub struct Budget {
    places: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// A request's places; it gives them back when it is dropped.
#[derive(Debug)]
pub struct Places {
    slow: Option<OwnedSemaphorePermit>,
    may_hang: bool,
    _others: Vec<OwnedSemaphorePermit>,
}

impl Places {
    /// Waits for `call`, whose places these are.
    pub async fn hold<T>(mut self, call: impl Future<Output = T>) -> T {
        let mut call = pin!(call);
        if self.may_hang {
            if let Ok(outcome) = timeout(STORAGE_PATIENCE, &mut call).await {
                return outcome;
            }
            self.slow = None;
        }
        call.await
    }
}

impl Budget {
    /// Takes a place at `node`, or at the unknown node behind `endpoint`, and one at `endpoint`. Waits until both are free.
    pub async fn take(&self, node: Option<&str>, endpoint: &Url, cost: Cost, for_other_node: bool) -> Places {
        let node = node.map_or_else(|| unknown(endpoint), known);
        // The scarcest place first: who waits for it must not keep others from the rest.
        let mut others = Vec::with_capacity(5);
        if cost == Cost::Storage {
            others.push(self.one(format!("storage {node}"), STORAGE_PER_NODE).await);
            if for_other_node {
                let through = format!("storage of others through {endpoint}");
                others.push(self.one(through, STORAGE_FOR_OTHER_NODES).await);
            }
        }
        let slow = match cost {
            Cost::Cheap => None,
            Cost::Slow | Cost::Storage | Cost::Agent => Some(self.one(format!("slow {node}"), SLOW_PER_NODE).await),
        };
        others.push(self.one(node, PER_NODE).await);
        if for_other_node {
            let through = format!("others through {endpoint}");
            others.push(self.one(through, FOR_OTHER_NODES).await);
        }
        others.push(self.one(format!("through {endpoint}"), PER_ENDPOINT).await);
        Places {
            slow: slow.flatten(),
            may_hang: cost == Cost::Storage,
            _others: others.into_iter().flatten().collect(),
        }
    }

    /// Takes the places of an agent's call if they are free at once and nothing else is in flight at the node.
    pub fn take_for_agent(&self, node: &str, endpoint: &Url, for_other_node: bool) -> Option<Places> {
        let node = known(node);
        let slow = self.at_once(format!("slow {node}"), SLOW_PER_NODE)?;
        let all = self.semaphore(node, PER_NODE);
        if all.available_permits() < PER_NODE {
            return None;
        }
        let mut others = vec![all.try_acquire_owned().ok()?];
        if for_other_node {
            others.push(self.at_once(format!("agents of others through {endpoint}"), AGENTS_FOR_OTHER_NODES)?);
            others.push(self.at_once(format!("others through {endpoint}"), FOR_OTHER_NODES)?);
        }
        others.push(self.at_once(format!("through {endpoint}"), PER_ENDPOINT)?);
        Some(Places {
            slow: Some(slow),
            may_hang: false,
            _others: others,
        })
    }

    fn at_once(&self, key: String, size: usize) -> Option<OwnedSemaphorePermit> {
        self.semaphore(key, size).try_acquire_owned().ok()
    }

    async fn one(&self, key: String, size: usize) -> Option<OwnedSemaphorePermit> {
        // The semaphores are never closed.
        self.semaphore(key, size).acquire_owned().await.ok()
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

    #[test]
    fn an_agent_is_asked_where_nothing_else_is_and_leaves_a_place_to_what_is_cheap() {
        let (budget, a) = (Budget::default(), url("a"));
        let others = |cost| at_once(budget.take(Some("pve1"), &a, cost, true));
        let agent = || budget.take_for_agent("pve1", &a, true);
        for cost in [Cost::Cheap, Cost::Slow] {
            let other = others(cost).unwrap();
            assert!(agent().is_none(), "{cost:?}");
            drop(other);
        }
        let asked = agent().unwrap();
        assert!(agent().is_none(), "one at a node");
        assert!(others(Cost::Slow).is_none() && others(Cost::Storage).is_none());
        let cheap = others(Cost::Cheap).unwrap();
        assert!(others(Cost::Cheap).is_none(), "two in all");
        drop((asked, cheap));
        assert!(agent().is_some());
    }

    #[test]
    fn agents_leave_places_at_an_endpoint_and_take_none_that_is_not_free() {
        let (budget, a) = (Budget::default(), url("a"));
        let agent = |node: usize| budget.take_for_agent(&format!("pve{node}"), &a, true);
        let asked: Vec<_> = (0..AGENTS_FOR_OTHER_NODES).map(|node| agent(node).unwrap()).collect();
        assert!(agent(9).is_none());
        let cheap = |node: usize| at_once(budget.take(Some(&format!("pve{node}")), &a, Cost::Cheap, true));
        let others: Vec<_> = (10..12).map(|node| cheap(node).unwrap()).collect();
        drop(asked);
        assert!(agent(9).is_some(), "what was refused has left nothing behind");
        drop(others);
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_at_a_storage_leaves_the_slow_place_to_others() {
        let (budget, a) = (Arc::new(Budget::default()), url("a"));
        let at = |cost| at_once(budget.take(Some("pve1"), &a, cost, true));
        let hung = at(Cost::Storage).unwrap();
        assert!(at(Cost::Slow).is_none(), "it may still be at work");
        let hung = tokio::spawn(hung.hold(std::future::pending::<()>()));
        tokio::time::sleep(STORAGE_PATIENCE * 2).await;
        assert!(at(Cost::Storage).is_none(), "another one may hang as well");
        let slow = at(Cost::Slow).unwrap();
        assert!(at(Cost::Cheap).is_none(), "two in all");
        drop(slow);
        hung.abort();
        drop(hung.await);
        assert!(at(Cost::Storage).is_some());
    }

    #[test]
    fn a_storage_that_all_nodes_share_may_hang_at_all_of_them() {
        let (budget, a) = (Budget::default(), url("a"));
        let take = |node: usize, cost| at_once(budget.take(Some(&format!("pve{node}")), &a, cost, true));
        let hung: Vec<_> = (0..2).map(|node| take(node, Cost::Storage).unwrap()).collect();
        assert!(take(2, Cost::Storage).is_none());
        assert!(take(2, Cost::Slow).is_some());
        drop(hung);
        assert!(take(2, Cost::Storage).is_some());
    }
}
