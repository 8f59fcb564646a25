//! The virtual machines of a cluster as PVE tells of them, for who talks to the collectors inside: how they are called, and which
//! have the port.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thiserror::Error;

use super::ClusterSources;
use crate::config::GuestKind;
use crate::sources::name::SourceName;
use crate::subjects::guest::Guest;

/// After how long names are read again that nobody else wants. They change seldom, and every node may have an exporter.
const NAMES_RENEWED: Duration = Duration::from_secs(300);

/// What PVE tells of a virtual machine.
#[derive(Debug)]
pub enum Told {
    /// What it is called and belongs to, be it from the day before.
    Guest(Box<Guest>),
    /// Nothing: there is no list, or it is not on it yet.
    Nothing,
    /// The configuration leaves it out.
    LeftOut,
}

/// Why it cannot be told which machines have the port.
#[derive(Debug, Error)]
pub enum PortsUnknown {
    /// There is no list of guests that counts.
    #[error("PVE's list of guests is not known")]
    Guests,
    /// The exporter's own node is none of PVE's.
    #[error("PVE has no node {0:?}: guest_telemetry.node must be the one on which the exporter runs")]
    Node(String),
    /// Nobody reads configurations.
    #[error("the source guest_config is switched off, which tells who has a port")]
    SwitchedOff,
    /// The survey has not come to all of them.
    #[error("{missing} configurations have not been read yet, that of qemu/{first} for one")]
    Configurations {
        /// How many are missing.
        missing: usize,
        /// The guest of one of them.
        first: u32,
    },
}

impl ClusterSources {
    /// What PVE tells of a virtual machine. Nobody waits for it: an old list is read anew behind who asks.
    #[must_use]
    pub fn told(&self, vmid: u32) -> Told {
        let now = self.clock.now();
        let Some(list) = self.remembered() else {
            self.renew_names();
            return Told::Nothing;
        };
        if now.saturating_duration_since(list.at) >= NAMES_RENEWED {
            self.renew_names();
        }
        let key = (GuestKind::Qemu, vmid);
        let mut guests = list.value.guests.iter();
        match guests.find(|guest| (guest.kind, guest.vmid) == key) {
            Some(guest) => Told::Guest(Box::new(guest.clone())),
            None if list.value.existing.contains(&key) => Told::LeftOut,
            None => Told::Nothing,
        }
    }

    /// Whether there is a list of guests, be it from the day before.
    #[must_use]
    pub fn tells_names(&self) -> bool {
        self.remembered().is_some()
    }

    fn renew_names(&self) {
        if self.enabled(SourceName::Resources) && self.resources.held().may_start() {
            self.resources.start();
        }
    }

    /// Reads PVE's list of guests, as far as it is old, until `deadline`.
    pub async fn refresh_guests(&self, deadline: tokio::time::Instant) {
        self.refresh(&BTreeSet::from([SourceName::Resources]), deadline).await;
    }

    /// The virtual machines of PVE's list, by number, for the node `own`.
    ///
    /// # Errors
    /// When there is no list that counts, or this node is not on it.
    pub fn machines(&self, own: &str) -> Result<BTreeMap<u32, Guest>, PortsUnknown> {
        let list = self
            .resources
            .servable(self.interval())
            .ok_or(PortsUnknown::Guests)?
            .value;
        if !list.nodes.contains_key(own) {
            return Err(PortsUnknown::Node(own.to_owned()));
        }
        let machines = list.guests.iter().filter(|guest| guest.kind == GuestKind::Qemu);
        Ok(machines.map(|guest| (guest.vmid, guest.clone())).collect())
    }

    /// Reads what tells which machines have the port, as far as it is old, until `deadline`.
    pub async fn refresh_ports(&self, deadline: tokio::time::Instant) {
        let needed = BTreeSet::from([SourceName::Resources, SourceName::GuestConfig]);
        self.refresh(&needed, deadline).await;
    }

    /// The machines with the port that are not known to be stopped.
    ///
    /// # Errors
    /// When some may be missing. One on a node that is offline may: nobody could read it.
    pub fn machines_with_port(&self) -> Result<Vec<Guest>, PortsUnknown> {
        if !self.enabled(SourceName::GuestConfig) {
            return Err(PortsUnknown::SwitchedOff);
        }
        let list = self
            .resources
            .servable(self.interval())
            .ok_or(PortsUnknown::Guests)?
            .value;
        let configurations = self.inventory.configurations();
        let (mut found, mut missing, mut first) = (Vec::new(), 0, 0);
        let may_run = |guest: &&Guest| {
            guest.kind == GuestKind::Qemu && guest.text.template != Some(true) && guest.state != "stopped"
        };
        for guest in list.guests.iter().filter(may_run) {
            match configurations.get(&(guest.kind, guest.vmid)) {
                Some(configuration) if configuration.telemetry_port => found.push(guest.clone()),
                Some(_) => {}
                None if list.nodes.get(&guest.node).is_some_and(|node| node.up == Some(false)) => {}
                None => {
                    missing += 1;
                    first = guest.vmid;
                }
            }
        }
        if missing > 0 {
            return Err(PortsUnknown::Configurations { missing, first });
        }
        Ok(found)
    }
}
