//! The state of the simulated cluster: its nodes, guests and storages, and how they change.

mod configuration;
mod drives;
mod events;
mod guest;
mod node;
mod population;
mod pressure;
mod replication;
mod storage;

pub use configuration::GuestSnapshot;
pub(crate) use configuration::{Entry, Setting};
pub(crate) use drives::BlockStatistics;
pub(crate) use events::Events;
pub(crate) use guest::{Guest, GuestSample};
pub use guest::{GuestKind, GuestSettings};
pub(crate) use node::{Load, Node, NodeSample};
pub(crate) use pressure::PRESSURES;
pub(crate) use replication::Replication;
pub(crate) use storage::Storage;

use std::collections::BTreeMap;

use crate::{Options, clock::Milliseconds};

/// The pools, whether they have members or not.
pub(crate) const POOLS: [&str; 4] = ["prod", "staging", "dev", "archive"];

/// The cluster without its faults.
#[derive(Debug)]
pub(crate) struct Model {
    pub(crate) seed: u64,
    pub(crate) name: String,
    pub(crate) nodes: Vec<Node>,
    pub(crate) guests: BTreeMap<u32, Guest>,
    pub(crate) storages: Vec<Storage>,
    pub(crate) replications: Vec<Replication>,
}

impl Model {
    pub(crate) fn new(options: &Options, start: Milliseconds) -> Self {
        let guests = population::guests(options, start);
        let nodes = (0..options.nodes)
            .map(|index| Node::new(options, index, start, &guests))
            .collect();
        let replications = replication::replications(options, &guests, start);
        Self {
            seed: options.seed,
            name: options.name.clone(),
            nodes,
            guests: guests.into_iter().map(|guest| (guest.vmid, guest)).collect(),
            storages: storage::storages(options.seed),
            replications,
        }
    }

    /// The settings of a guest about which nothing is known but its name.
    pub(crate) fn plain_settings(name: &str) -> GuestSettings {
        population::settings(name)
    }

    pub(crate) fn node_index(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    /// Whether anything is managed by HA; only then is there a manager.
    pub(crate) fn uses_ha(&self) -> bool {
        self.guests.values().any(|guest| guest.settings.hastate.is_some())
    }

    /// Applies a change to a guest that exists.
    pub(crate) fn change<T>(&mut self, vmid: u32, change: impl FnOnce(&mut Guest) -> T) -> Option<T> {
        self.guests.get_mut(&vmid).map(change)
    }

    /// A free id for a new guest.
    pub(crate) fn next_vmid(&self) -> u32 {
        self.guests.last_key_value().map_or(100, |(vmid, _)| vmid + 1)
    }
}
