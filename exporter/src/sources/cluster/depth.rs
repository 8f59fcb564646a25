//! Guests in depth, by one call for all of a kind on a node: drives, interfaces, pressure, QEMU itself, swap.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::{Known, Shown};
use crate::config::{GuestKind, Metrics};
use crate::pve::client::Client;
use crate::sources::lxc::{self, NodeLxc};
use crate::sources::merged::Merged;
use crate::sources::name::SourceName;
use crate::sources::netstat::{self, Netstat};
use crate::sources::qemu::{self, NodeQemu};
use crate::sources::source::{PerNode, Source, Wiring};
use crate::subjects::container::Container;
use crate::subjects::guest::Guest;
use crate::subjects::guest_balloon::GuestBalloon;
use crate::subjects::guest_drive::GuestDrive;
use crate::subjects::guest_interface::GuestInterface;
use crate::subjects::guest_machine::GuestMachine;
use crate::subjects::guest_pressure::GuestPressure;

/// The sources.
pub(super) struct Depth {
    known: Arc<Known>,
    qemu: PerNode<NodeQemu>,
    lxc: PerNode<NodeLxc>,
    netstat: PerNode<Netstat>,
    merged: MergedRows,
}

#[derive(Default)]
struct MergedRows {
    drives: Merged<GuestDrive>,
    interfaces: Merged<GuestInterface>,
    machine_pressures: Merged<GuestPressure>,
    container_pressures: Merged<GuestPressure>,
    machines: Merged<GuestMachine>,
    balloons: Merged<GuestBalloon>,
    containers: Merged<Container>,
}

/// The rows.
pub struct DepthRows {
    /// Drives of virtual machines.
    pub drives: Arc<[GuestDrive]>,
    /// Network interfaces.
    pub interfaces: Arc<[GuestInterface]>,
    /// Pressure of virtual machines.
    pub machine_pressures: Arc<[GuestPressure]>,
    /// Pressure of containers.
    pub container_pressures: Arc<[GuestPressure]>,
    /// QEMU itself.
    pub machines: Arc<[GuestMachine]>,
    /// Statistics of balloons.
    pub balloons: Arc<[GuestBalloon]>,
    /// Swap of containers.
    pub containers: Arc<[Container]>,
}

impl Depth {
    /// Nothing is fetched yet.
    pub(super) fn new(wiring: &Wiring<'_>, known: &Arc<Known>) -> Self {
        let (name, clock): (Arc<str>, _) = (wiring.cluster.into(), wiring.clock.clone());
        let (memory, cluster, time) = (Arc::<Mutex<qemu::Memory>>::default(), Arc::clone(&name), clock.clone());
        let qemu = wiring.per_node(SourceName::Qemu, move |client: Arc<Client>, node: Arc<str>| {
            let (memory, cluster, now) = (Arc::clone(&memory), Arc::clone(&cluster), time.now());
            async move { qemu::fetch(&client, &node, &cluster, &memory, now).await }
        });
        let (memory, cluster, time) = (Arc::<Mutex<lxc::Memory>>::default(), Arc::clone(&name), clock.clone());
        let lxc = wiring.per_node(SourceName::Lxc, move |client: Arc<Client>, node: Arc<str>| {
            let (memory, cluster, now) = (Arc::clone(&memory), Arc::clone(&cluster), time.now());
            async move { lxc::fetch(&client, &node, &cluster, &memory, now).await }
        });
        let (memory, guests) = (Arc::<Mutex<netstat::Memory>>::default(), Arc::clone(known));
        let netstat = wiring.per_node(SourceName::Netstat, move |client: Arc<Client>, node: Arc<str>| {
            let (memory, cluster, now) = (Arc::clone(&memory), Arc::clone(&name), clock.now());
            let guests = guests.guests();
            async move {
                let known = |vmid| named(&guests, vmid);
                netstat::fetch(&client, &node, &cluster, known, &memory, now).await
            }
        });
        Self {
            known: Arc::clone(known),
            qemu: qemu.damaged_by(|value| Some(value.damaged_rows)),
            lxc: lxc.damaged_by(|value| Some(value.damaged_rows)),
            netstat: netstat.damaged_by(|value| Some(value.damaged_rows)),
            merged: MergedRows::default(),
        }
    }

    /// Its sources.
    pub(super) fn sources(&self) -> [&dyn Source; 3] {
        [&self.qemu, &self.lxc, &self.netstat]
    }

    /// Says which nodes have guests of each kind; the others are not asked.
    pub(super) fn find_nodes(&self) {
        let guests = self.known.guests();
        let of = |kind: Option<GuestKind>| {
            let guests = guests.iter().filter(|guest| kind.is_none_or(|kind| kind == guest.kind));
            let nodes: BTreeSet<Arc<str>> = guests.map(|guest| Arc::clone(&guest.node)).collect();
            nodes.into_iter().collect::<Vec<_>>()
        };
        self.qemu.set_nodes(&of(Some(GuestKind::Qemu)));
        self.lxc.set_nodes(&of(Some(GuestKind::Lxc)));
        self.netstat.set_nodes(&of(None));
    }

    /// What they bring.
    pub(super) fn rows(&self, shown: &Shown<'_>, metrics: &Metrics) -> DepthRows {
        let (qemu, lxc, netstat) = (
            shown.nodes(&self.qemu),
            shown.nodes(&self.lxc),
            shown.nodes(&self.netstat),
        );
        let (merged, placed) = (&self.merged, &shown.placed);
        DepthRows {
            drives: if metrics.guest_drives {
                merged.drives.of(&qemu, placed, |node| &node.drives, |row| row.guest)
            } else {
                Arc::default()
            },
            interfaces: if metrics.guest_interfaces {
                merged
                    .interfaces
                    .of(&netstat, placed, |node| &node.interfaces, |row| row.guest)
            } else {
                Arc::default()
            },
            machine_pressures: merged
                .machine_pressures
                .of(&qemu, placed, |node| &node.pressures, |row| row.guest),
            container_pressures: merged
                .container_pressures
                .of(&lxc, placed, |node| &node.pressures, |row| row.guest),
            machines: merged
                .machines
                .of(&qemu, placed, |node| &node.machines, |row| row.guest),
            balloons: if metrics.guest_balloon {
                merged
                    .balloons
                    .of(&qemu, placed, |node| &node.balloons, |row| row.guest)
            } else {
                Arc::default()
            },
            containers: merged
                .containers
                .of(&lxc, placed, |node| &node.containers, |row| row.guest),
        }
    }
}

/// What `guests`, which are sorted, say of the one of this number.
fn named(guests: &[Guest], vmid: u32) -> Option<netstat::Known> {
    let find = |kind| {
        let at = guests.binary_search_by_key(&(kind, vmid), |guest| (guest.kind, guest.vmid));
        guests.get(at.ok()?)
    };
    let guest = find(GuestKind::Qemu).or_else(|| find(GuestKind::Lxc))?;
    Some(netstat::Known {
        kind: guest.kind,
        node: Arc::clone(&guest.node),
        uptime: guest.figures.uptime,
    })
}
