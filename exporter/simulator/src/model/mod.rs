//! The state of the simulated cluster: its nodes, guests and storages, and how they change.

mod agent;
mod backup_job;
mod backup_run;
mod backups;
mod configuration;
mod disks;
mod drives;
mod events;
mod guest;
mod history;
mod machine;
mod node;
mod population;
mod pressure;
mod replication;
mod schedule;
mod storage;
mod storage_health;
mod tasks;

pub use agent::{Agent, AgentMix};
pub(crate) use backup_job::{BackupJob, Selection, id_list};
pub use backup_run::BackupResult;
pub(crate) use backup_run::{BackupRun, GuestRun, PlannedBackup};
pub(crate) use backups::{Backups, Volume, backup_file, file_format};
pub use configuration::GuestSnapshot;
pub(crate) use configuration::{Entry, Setting};
pub(crate) use disks::{Disk, DiskKind, DiskSample};
pub(crate) use drives::BlockStatistics;
pub(crate) use events::{Events, lost_nodes};
pub(crate) use guest::{Guest, GuestSample};
pub use guest::{GuestKind, GuestSettings};
pub(crate) use history::{Period, Timeframe};
pub(crate) use node::{Load, Node, NodeSample};
pub(crate) use pressure::PRESSURES;
pub(crate) use replication::Replication;
pub(crate) use schedule::Schedule;
pub(crate) use storage::Storage;
pub(crate) use storage_health::{CephDisk, StorageHealth, ThinPool, VOLUME_GROUP, ZfsDisk, ZfsPool};
pub(crate) use tasks::{End, NewTask, Task, Tasks, UNEXPECTED, Upid, guest_task};

use std::collections::BTreeMap;

use crate::{Options, calendar::seconds, clock::Milliseconds};

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
    pub(crate) storage_health: StorageHealth,
    pub(crate) backups: Backups,
    pub(crate) schedule: Schedule,
    pub(crate) tasks: Tasks,
    pub(crate) replications: Vec<Replication>,
}

impl Model {
    pub(crate) fn new(options: &Options, start: Milliseconds) -> Self {
        let guests = population::guests(options, start);
        let nodes = (0..options.nodes)
            .map(|index| Node::new(options, index, start, &guests))
            .collect();
        let replications = replication::replications(options, &guests, start);
        let guests = guests.into_iter().map(|guest| (guest.vmid, guest)).collect();
        let mut model = Self {
            seed: options.seed,
            name: options.name.clone(),
            nodes,
            storages: storage::storages(options.seed),
            storage_health: StorageHealth::new(options),
            replications,
            tasks: Tasks::new(options.nodes, options.archived_tasks),
            backups: Backups::new(options, &guests, seconds(start)),
            schedule: Schedule::new(options, seconds(start)),
            guests,
        };
        model.live_through_the_past(options, seconds(start));
        model
    }

    /// The settings of a guest about which nothing is known but its name.
    pub(crate) fn plain_settings(name: &str) -> GuestSettings {
        population::settings(name)
    }

    pub(crate) fn node_index(&self, name: &str) -> Option<usize> {
        self.nodes.iter().position(|node| node.name == name)
    }

    pub(crate) fn storage(&self, name: &str) -> Option<&Storage> {
        self.storages.iter().find(|storage| storage.name == name)
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
