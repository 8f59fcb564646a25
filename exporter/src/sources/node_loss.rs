//! Which guests would find no other place if a node died, from what other sources have brought.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::rc::Rc;
use std::sync::Arc;

use crate::sources::guest_config::Configuration;
use crate::sources::ha_rules::{Constraints, NodeNames};
use crate::sources::placement::{Homeless, unplaced};
use crate::sources::resources::{NodeRow, Resources};
use crate::sources::survey::Values;
use crate::subjects::guest::{Guest, GuestKey};
use crate::subjects::guest_drive_config::Media;
use crate::subjects::node;
use crate::subjects::node_loss::NodeLoss;
use crate::subjects::replication::{JobId, ReplicationJob};

use affinity::Affinity;

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
    /// Where HA lets guests run, as far as that is known.
    pub constraints: Option<&'a Constraints>,
    /// The groups of HA that guests are in, likewise.
    pub groups: Option<&'a HashMap<GuestKey, Box<str>>>,
    /// The jobs of replication that have not made a copy yet.
    pub never_synced: &'a BTreeSet<JobId>,
    /// The nodes that take no guests, as the manager of HA tells: before PVE 8.3 the list of nodes does not.
    pub maintenance: &'a BTreeSet<Box<str>>,
}

/// One row for each online node of a cluster of several. None where a filter leaves guests out: the answer for a part of them
/// would be a false comfort. Nor where an online node does not tell its memory, which is so for a token that may not know it.
#[must_use]
pub fn rows(cluster: &str, evidence: Evidence<'_>) -> Arc<[NodeLoss]> {
    let resources = evidence.resources;
    let tells = |node: &NodeRow| node.figures.memory_size.and(node.figures.memory_usage).is_some();
    let is_told = resources
        .nodes
        .values()
        .all(|node| node.up != Some(true) || tells(node));
    if resources.nodes.len() < 2 || resources.existing.len() != resources.guests.len() || !is_told {
        return Arc::default();
    }
    let mut nodes = Nodes::new(resources, evidence.maintenance);
    let mut affinity = Affinity::new(evidence.constraints);
    let mut losses: Vec<Loss> = nodes.free.iter().map(|_| Loss::default()).collect();
    for guest in resources.guests.iter().filter(|guest| runs(guest)) {
        let (Some(memory), Some(node)) = (guest.figures.memory_size, nodes.index.get(&*guest.node).copied()) else {
            continue;
        };
        let Some(loss) = losses.get_mut(node) else {
            continue;
        };
        let place = nodes.place(guest, evidence);
        loss.guests += 1;
        loss.assumed_guests += u64::from(place.assumed);
        let key = (guest.kind, guest.vmid);
        let homeless = Homeless {
            guests: 1,
            memory,
            places: place.nodes,
            apart: affinity.apart(key, node),
        };
        match affinity.together(key, node) {
            Some(set) => loss.join(set, homeless, nodes.free.len()),
            None => loss.homeless.push(homeless),
        }
    }
    let online = resources.nodes.iter().zip(losses).enumerate();
    let rows = online.filter(|(_, ((_, node), _))| node.up == Some(true));
    rows.map(|(index, ((name, _), loss))| {
        let mut free = nodes.free.clone();
        if let Some(lost) = free.get_mut(index) {
            *lost = None;
        }
        let (guests, assumed_guests) = (loss.guests, loss.assumed_guests);
        let unplaced = unplaced(
            &free,
            affinity.taken(index),
            &loss.homeless(index, &affinity, free.len()),
        );
        NodeLoss {
            identity: node::identity(cluster, name),
            guests,
            unplaced_guests: unplaced.guests,
            unplaced_memory: unplaced.memory,
            assumed_guests,
        }
    })
    .collect()
}

/// What the loss of one node means.
#[derive(Default)]
struct Loss {
    guests: u64,
    assumed_guests: u64,
    homeless: Vec<Homeless>,
    /// Those that have to stay together, by the number of their set.
    sets: BTreeMap<usize, Homeless>,
}

impl Loss {
    /// Takes a guest of a set that has to stay together, in a cluster of so many nodes.
    fn join(&mut self, set: usize, guest: Homeless, nodes: usize) {
        match self.sets.entry(set) {
            Entry::Vacant(entry) => {
                entry.insert(guest);
            }
            Entry::Occupied(mut entry) => {
                let all = entry.get_mut();
                all.guests += guest.guests;
                all.memory = all.memory.saturating_add(guest.memory);
                all.apart.extend(guest.apart);
                if let Some(places) = guest.places {
                    keep(&mut all.places, |node| places.contains(&node), nodes);
                }
            }
        }
    }

    /// Everybody that needs a place when the node `lost` of so many is gone.
    fn homeless(mut self, lost: usize, affinity: &Affinity<'_>, nodes: usize) -> Vec<Homeless> {
        for (set, mut all) in self.sets {
            if let Some(others) = affinity.others(set, lost) {
                keep(&mut all.places, |node| node == others, nodes);
            }
            self.homeless.push(all);
        }
        self.homeless
    }
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
    fn new(resources: &'a Resources, maintenance: &BTreeSet<Box<str>>) -> Self {
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
            free: resources
                .nodes
                .iter()
                .map(|(name, node)| free(node).filter(|_| !maintenance.contains(&**name)))
                .collect(),
            index,
            storages,
            places: HashMap::new(),
        }
    }

    fn place(&mut self, guest: &Guest, evidence: Evidence<'a>) -> Place {
        let key = (guest.kind, guest.vmid);
        let bound = evidence.constraints.and_then(|constraints| {
            let group = evidence.groups.and_then(|groups| groups.get(&key));
            let of_group = group.and_then(|group| constraints.groups.get(group));
            constraints.bound.get(&key).or(of_group)
        });
        let copies: Vec<usize> = copies(guest, evidence)
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
            keep(&mut place.nodes, |node| usable.contains(&node), self.free.len());
        }
        place
    }

    fn bounded(&self, mut place: Place, bound: Option<&NodeNames>) -> Place {
        if let Some(bound) = bound {
            let bound: Vec<_> = bound.iter().filter_map(|node| self.index.get(&**node)).collect();
            keep(&mut place.nodes, |node| bound.contains(&&node), self.free.len());
        }
        place
    }
}

/// Leaves out the nodes that `admits` refuses, of so many.
fn keep(places: &mut Option<Rc<[usize]>>, admits: impl Fn(usize) -> bool, nodes: usize) {
    let kept = match &*places {
        None => (0..nodes).filter(|node| admits(*node)).collect(),
        Some(places) => places.iter().copied().filter(|node| admits(*node)).collect(),
    };
    *places = Some(kept);
}

/// The storages of a guest's disks, each once; an empty name for what is on none.
fn disks(configuration: &Configuration) -> Vec<&str> {
    let drives = configuration.drives.iter();
    let disks = drives.filter(|drive| matches!(drive.media, Media::Disk | Media::Device));
    let mut storages: Vec<&str> = disks.map(|drive| &*drive.storage).collect();
    storages.sort_unstable();
    storages.dedup();
    storages
}

/// The nodes that `guest` is copied to. `jobs` are sorted by guest.
fn copies<'a>(guest: &Guest, evidence: Evidence<'a>) -> impl Iterator<Item = &'a str> {
    let (vmid, jobs) = (guest.vmid, evidence.jobs);
    let first = jobs.partition_point(|job| job.job.vmid < vmid);
    let jobs = jobs.iter().skip(first).take_while(move |job| job.job.vmid == vmid);
    jobs.filter(move |job| job.enabled && !evidence.never_synced.contains(&job.job))
        .map(|job| &*job.target)
}

mod affinity;
#[cfg(test)]
mod tests;
