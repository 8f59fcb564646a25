//! Which guests would find no other place if a node died, from what other sources have brought.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use crate::sources::guest_config::Configuration;
use crate::sources::ha_rules::Bound;
use crate::sources::placement::{Homeless, unplaced};
use crate::sources::resources::{NodeRow, Resources};
use crate::sources::survey::Values;
use crate::subjects::guest::Guest;
use crate::subjects::guest_drive_config::Media;
use crate::subjects::node;
use crate::subjects::node_loss::NodeLoss;
use crate::subjects::replication::ReplicationJob;

/// What a node keeps for itself: a share of its memory, one in so many bytes.
const RESERVE: u64 = 20;

/// What it keeps at least: 1 GiB.
const LEAST_RESERVE: u64 = 1 << 30;

/// What the answer is made of.
#[derive(Clone, Copy)]
pub struct Evidence<'a> {
    /// Nodes, guests and storages.
    pub resources: &'a Resources,
    /// The configurations that have been read.
    pub configurations: &'a Values<Configuration>,
    /// Replication.
    pub jobs: &'a [ReplicationJob],
    /// The guests that HA keeps to some nodes, as far as that is known.
    pub bound: Option<&'a Bound>,
}

/// One row for each online node of a cluster of several. None where a filter leaves guests out: the answer for a part of them
/// would be a false comfort.
#[must_use]
pub fn rows(cluster: &str, evidence: Evidence<'_>) -> Arc<[NodeLoss]> {
    let resources = evidence.resources;
    if resources.nodes.len() < 2 || resources.existing.len() != resources.guests.len() {
        return Arc::default();
    }
    let mut nodes = Nodes::new(resources);
    let mut homeless = vec![(Vec::new(), 0); nodes.free.len()];
    for guest in resources.guests.iter().filter(|guest| runs(guest)) {
        let (Some(memory), Some(node)) = (guest.figures.memory_size, nodes.index.get(&*guest.node)) else {
            continue;
        };
        let Some((homeless, assumed)) = homeless.get_mut(*node) else {
            continue;
        };
        let place = nodes.place(guest, evidence);
        homeless.push(Homeless {
            memory,
            places: place.nodes,
        });
        *assumed += u64::from(place.assumed);
    }
    let online = resources.nodes.iter().zip(homeless).enumerate();
    let rows = online.filter(|(_, ((_, node), _))| node.up == Some(true));
    rows.map(|(index, ((name, _), (homeless, assumed_guests)))| {
        let mut free = nodes.free.clone();
        if let Some(lost) = free.get_mut(index) {
            *lost = None;
        }
        let unplaced = unplaced(&free, &homeless);
        NodeLoss {
            identity: node::identity(cluster, name),
            guests: homeless.len() as u64,
            unplaced_guests: unplaced.guests,
            unplaced_memory: unplaced.memory,
            assumed_guests,
        }
    })
    .collect()
}

/// Whether a guest takes memory, be it paused.
fn runs(guest: &Guest) -> bool {
    guest.text.template != Some(true) && !matches!(guest.state, "stopped" | "unknown")
}

/// The bytes that a node has for guests of others; `None` where it takes none.
fn free(node: &NodeRow) -> Option<u64> {
    let takes = node.up == Some(true) && node.ha_state.as_deref() != Some("maintenance");
    let (size, usage) = (node.figures.memory_size?, node.figures.memory_usage?);
    let reserve = (size / RESERVE).max(LEAST_RESERVE);
    takes.then(|| size.saturating_sub(usage).saturating_sub(reserve))
}

/// The nodes by number, in the order of their names, and what they have.
struct Nodes<'a> {
    index: HashMap<&'a str, usize>,
    free: Vec<Option<u64>>,
    storages: HashMap<&'a str, Storage>,
    /// The nodes that have the same storages, for guests that nothing else tells apart.
    places: HashMap<Vec<&'a str>, Place>,
}

struct Storage {
    shared: bool,
    /// The nodes from which it is reachable.
    nodes: Vec<usize>,
}

/// Where a guest may run.
#[derive(Clone)]
struct Place {
    /// Every node if there is no list.
    nodes: Option<Rc<[usize]>>,
    /// Whether it lies on storages of which nothing is known.
    assumed: bool,
}

impl<'a> Nodes<'a> {
    fn new(resources: &'a Resources) -> Self {
        let index: HashMap<&str, usize> = resources.nodes.keys().map(|name| &**name).zip(0..).collect();
        let mut storages: HashMap<&str, Storage> = HashMap::new();
        for row in &resources.storages {
            let storage = storages.entry(&row.name).or_insert(Storage {
                shared: row.on_node.shared == Some(true),
                nodes: Vec::new(),
            });
            storage
                .nodes
                .extend(index.get(&*row.node).filter(|_| row.on_node.up == Some(true)));
        }
        Self {
            free: resources.nodes.values().map(free).collect(),
            index,
            storages,
            places: HashMap::new(),
        }
    }

    fn place(&mut self, guest: &Guest, evidence: Evidence<'a>) -> Place {
        let key = (guest.kind, guest.vmid);
        let bound = evidence.bound.and_then(|bound| bound.get(&key));
        let copies: Vec<usize> = copies(guest, evidence.jobs)
            .filter_map(|target| self.index.get(target).copied())
            .collect();
        let Some(configuration) = evidence.configurations.get(&key) else {
            return self.bounded(
                Place {
                    nodes: None,
                    assumed: true,
                },
                bound,
            );
        };
        let storages = disks(configuration);
        if !copies.is_empty() {
            let place = self.reachable(&storages, &copies);
            return self.bounded(place, bound);
        }
        let place = match self.places.get(&storages) {
            Some(place) => place.clone(),
            None => {
                let place = self.reachable(&storages, &copies);
                self.places.insert(storages, place.clone());
                place
            }
        };
        self.bounded(place, bound)
    }

    /// The nodes from which all of `storages` can be used by a guest that has copies at the nodes `copies`.
    fn reachable(&self, storages: &[&str], copies: &[usize]) -> Place {
        let mut place = Place {
            nodes: None,
            assumed: false,
        };
        for name in storages {
            let usable: Vec<usize> = match self.storages.get(name) {
                // A device or a file of the node itself.
                _ if name.is_empty() => Vec::new(),
                None => {
                    place.assumed = true;
                    continue;
                }
                Some(storage) => {
                    let usable = |node: &&usize| storage.shared || copies.contains(node);
                    storage.nodes.iter().filter(usable).copied().collect()
                }
            };
            place.keep(|node| usable.contains(&node), self.free.len());
        }
        place
    }

    fn bounded(&self, mut place: Place, bound: Option<&Arc<[Box<str>]>>) -> Place {
        if let Some(bound) = bound {
            let bound: Vec<_> = bound.iter().filter_map(|node| self.index.get(&**node)).collect();
            place.keep(|node| bound.contains(&&node), self.free.len());
        }
        place
    }
}

impl Place {
    /// Leaves out the nodes that `admits` refuses, of so many.
    fn keep(&mut self, admits: impl Fn(usize) -> bool, nodes: usize) {
        let kept = match &self.nodes {
            None => (0..nodes).filter(|node| admits(*node)).collect(),
            Some(nodes) => nodes.iter().copied().filter(|node| admits(*node)).collect(),
        };
        self.nodes = Some(kept);
    }
}

/// The storages of a guest's disks, each once; an empty name for what is on none.
fn disks(configuration: &Configuration) -> Vec<&str> {
    let drives = configuration.drives.iter();
    let disks = drives.filter(|drive| drive.media == Media::Disk);
    let mut storages: Vec<&str> = disks.map(|drive| &*drive.storage).collect();
    storages.sort_unstable();
    storages.dedup();
    storages
}

/// The nodes that `guest` is copied to. `jobs` are sorted by guest.
fn copies<'a>(guest: &Guest, jobs: &'a [ReplicationJob]) -> impl Iterator<Item = &'a str> {
    let vmid = guest.vmid;
    let first = jobs.partition_point(|job| job.job.vmid < vmid);
    let jobs = jobs.iter().skip(first).take_while(move |job| job.job.vmid == vmid);
    jobs.filter(|job| job.enabled).map(|job| &*job.target)
}

#[cfg(test)]
mod tests;
