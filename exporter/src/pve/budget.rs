//! The budget: how many requests of ours a node and an endpoint have in flight.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use crate::sources::name::Cost;

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
