//! What HA makes of the cluster, as one node sees it.

use crate::{
    clock::Milliseconds,
    model::Guest,
    random::{hash, text},
    view::View,
};

/// How long a lost node with services stays unknown before it is fenced.
const FENCED_AFTER: Milliseconds = 60_000;

/// The state of HA, which every node reads from the same files; without quorum nobody writes them any more.
pub(crate) struct Ha<'a> {
    pub(crate) master: usize,
    /// When the manager wrote its state, in seconds.
    pub(crate) timestamp: u64,
    pub(crate) nodes: Vec<HaNode>,
    /// By their ids.
    pub(crate) services: Vec<Service<'a>>,
}

/// A node and its local resource manager.
pub(crate) struct HaNode {
    pub(crate) index: usize,
    pub(crate) state: &'static str,
    /// When its local resource manager wrote its state, in seconds.
    pub(crate) timestamp: u64,
    /// The local resource manager has something to do.
    pub(crate) active: bool,
}

/// A guest that HA manages.
pub(crate) struct Service<'a> {
    pub(crate) guest: &'a Guest,
    /// What the manager made of it.
    pub(crate) state: &'a str,
    pub(crate) requested: &'a str,
}

impl<'a> Ha<'a> {
    /// Nothing if HA manages no guest.
    pub(crate) fn of(view: &View<'a>) -> Option<Self> {
        if !view.model.uses_ha() {
            return None;
        }
        let mut services: Vec<Service<'a>> = view.guests().filter_map(Service::of).collect();
        let written = quorum_lost(view).map_or(view.at, |lost| lost.min(view.at));
        let mut busy = vec![(false, false); view.model.nodes.len()];
        for service in &services {
            let (used, active) = &mut busy[service.guest.node];
            *used = true;
            *active |= service.requested != "stopped" && service.state != "error";
        }
        let node = |index: usize| HaNode {
            index,
            state: node_state(view, index, busy[index].0),
            timestamp: (view.sight(index).lost.map_or(written, |lost| lost.min(written)) / 1_000)
                .saturating_sub(view.model.nodes[index].number % 5),
            active: busy[index].1,
        };
        let nodes: Vec<HaNode> = view.nodes().map(node).collect();
        for service in &mut services {
            if nodes
                .iter()
                .any(|node| node.index == service.guest.node && node.state == "fence")
            {
                service.state = "fence";
            }
        }
        Some(Self {
            master: nodes
                .iter()
                .find(|node| node.state == "online")
                .map_or(0, |node| node.index),
            timestamp: (written / 1_000).saturating_sub(1),
            nodes,
            services,
        })
    }

    /// The state of a guest, if HA manages it.
    pub(crate) fn service_state(&self, vmid: u32) -> Option<&'a str> {
        let place = self.services.binary_search_by_key(&vmid, |service| service.guest.vmid);
        place.ok().map(|place| self.services[place].state)
    }

    pub(crate) fn node_state(&self, index: usize) -> Option<&'static str> {
        self.nodes
            .iter()
            .find(|node| node.index == index)
            .map(|node| node.state)
    }
}

impl<'a> Service<'a> {
    fn of(guest: &'a Guest) -> Option<Self> {
        let state = guest.settings.hastate.as_deref()?;
        let requested = guest.settings.ha_requested.as_deref();
        Some(Self {
            guest,
            state,
            requested: requested.unwrap_or(if state == "stopped" { state } else { "started" }),
        })
    }

    /// PVE's name for it, for example `vm:100`.
    pub(crate) fn id(&self) -> String {
        format!("{}:{}", self.kind(), self.guest.vmid)
    }

    pub(crate) fn kind(&self) -> &'static str {
        match self.guest.kind {
            crate::GuestKind::Qemu => "vm",
            crate::GuestKind::Lxc => "ct",
        }
    }

    /// Names the newest command for it.
    pub(crate) fn command(&self) -> String {
        format!("{:022x}", hash(&[self.guest.stream, text(self.state)]))
    }
}

/// When so many nodes were lost that nobody had quorum any more.
fn quorum_lost(view: &View<'_>) -> Option<Milliseconds> {
    let mut lost: Vec<Milliseconds> = view.nodes().filter_map(|node| view.sight(node).lost).collect();
    lost.sort_unstable();
    let too_many = view.nodes().count().div_ceil(2);
    lost.get(too_many - 1).copied()
}

fn node_state(view: &View<'_>, index: usize, has_services: bool) -> &'static str {
    let sight = view.sight(index);
    match sight.lost.filter(|_| !sight.online) {
        None => "online",
        // Nobody noticed any more.
        Some(since) if quorum_lost(view).is_some_and(|lost| lost <= since) => "online",
        Some(since) if has_services && view.at.saturating_sub(since) >= FENCED_AFTER => "fence",
        Some(_) => "unknown",
    }
}
