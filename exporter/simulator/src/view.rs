//! The cluster as one node sees it at a time: what is lost, cut off or frozen is part of the view.

use std::hash::{DefaultHasher, Hash, Hasher};

use crate::{
    GuestKind,
    clock::{Milliseconds, SimulatedTime},
    faults::ActiveFaults,
    model::{Guest, GuestSample, Load, Model, Storage},
};

/// How long PVE shows a sample before it forgets it.
const LONGEST_AGE: Milliseconds = 300_000;

/// What a node knows about another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Sight {
    /// It is part of the cluster.
    pub(crate) known: bool,
    /// It is a living member, as far as the viewer knows.
    pub(crate) online: bool,
    /// It can be reached right now.
    pub(crate) reachable: bool,
    /// Since when it is out of reach, dead or cut off.
    pub(crate) lost: Option<Milliseconds>,
    /// When the newest sample was taken that the viewer has from it, if that is not too old.
    pub(crate) sample: Option<Milliseconds>,
}

/// The cluster as one node sees it.
pub(crate) struct View<'a> {
    pub(crate) model: &'a Model,
    pub(crate) faults: &'a ActiveFaults,
    pub(crate) generation: u64,
    /// When live values are read, which no frozen pvestatd holds: they move once per sample, like everything else.
    pub(crate) at: Milliseconds,
    sights: Vec<Sight>,
}

impl<'a> View<'a> {
    pub(crate) fn new(
        model: &'a Model,
        faults: &'a ActiveFaults,
        time: &SimulatedTime,
        viewer: usize,
        standalone: bool,
        stale_after: Milliseconds,
    ) -> Self {
        let sight = |node| sight(model, faults, time, viewer, node, standalone, stale_after);
        let sights = (0..model.nodes.len()).map(sight).collect();
        Self {
            model,
            faults,
            generation: time.generation(),
            at: time.sample_at(time.now()),
            sights,
        }
    }

    /// The newest sample of a node that its own pvestatd took, as old as it may be.
    pub(crate) fn own_sample(model: &Model, faults: &ActiveFaults, time: &SimulatedTime, node: usize) -> Milliseconds {
        let now = time.now();
        time.sample_at(
            faults
                .frozen(&model.nodes[node].name)
                .map_or(now, |since| since.min(now)),
        )
    }

    pub(crate) fn sight(&self, node: usize) -> Sight {
        self.sights[node]
    }

    /// The nodes that the viewer knows.
    pub(crate) fn nodes(&self) -> impl Iterator<Item = usize> {
        (0..self.sights.len()).filter(|node| self.sights[*node].known)
    }

    /// Whether more than half of the known nodes are there.
    pub(crate) fn quorate(&self) -> bool {
        let online = self.nodes().filter(|node| self.sights[*node].online).count();
        online * 2 > self.nodes().count()
    }

    /// Everything that the view depends on besides the model and its time.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.sights.hash(&mut hasher);
        hasher.finish()
    }

    /// The guests that the viewer knows.
    pub(crate) fn guests(&self) -> impl Iterator<Item = &'a Guest> {
        let known = |guest: &&Guest| self.sights[guest.node].known && !self.faults.vanished(guest.vmid);
        self.model.guests.values().filter(known)
    }

    /// The guests of one kind on a node, in an order of its own.
    pub(crate) fn guests_on(&self, node: usize, kind: GuestKind) -> Vec<&'a Guest> {
        let mut guests: Vec<&Guest> = self
            .guests()
            .filter(|guest| guest.node == node && guest.kind == kind)
            .collect();
        guests.sort_unstable_by_key(|guest| guest.stream);
        guests
    }

    /// The numbers of a guest in a sample.
    pub(crate) fn guest_sample(&self, guest: &Guest, at: Milliseconds) -> GuestSample {
        let mut sample = guest.sample(at);
        if self
            .faults
            .qmp_times_out(&self.model.nodes[guest.node].name, guest.vmid)
            && guest.kind == GuestKind::Qemu
        {
            (sample.disk_read, sample.disk_write) = (0, 0);
        }
        sample
    }

    /// What the guests of a node need together.
    pub(crate) fn load(&self, node: usize, at: Milliseconds) -> Load {
        let mut load = Load::default();
        for guest in self.model.guests.values().filter(|guest| guest.node == node) {
            load.add(guest, &guest.sample(at));
        }
        load
    }

    /// Whether a storage can be reached from a node.
    pub(crate) fn storage_available(&self, storage: &Storage, node: usize) -> bool {
        self.generation >= storage.failing_until
            && !self
                .faults
                .storage_unavailable(&self.model.nodes[node].name, &storage.name)
    }
}

fn sight(
    model: &Model,
    faults: &ActiveFaults,
    time: &SimulatedTime,
    viewer: usize,
    node: usize,
    standalone: bool,
    stale_after: Milliseconds,
) -> Sight {
    let now = time.now();
    let (viewer_name, name) = (&model.nodes[viewer].name, &model.nodes[node].name);
    let own = View::own_sample(model, faults, time, node);
    let fresh = |sample: Milliseconds| (now.saturating_sub(sample) <= LONGEST_AGE).then_some(sample);
    if node == viewer {
        return Sight {
            known: true,
            online: true,
            reachable: true,
            lost: None,
            sample: fresh(own),
        };
    }
    if standalone || faults.standalone(viewer_name) || faults.standalone(name) {
        return Sight {
            known: false,
            online: false,
            reachable: false,
            lost: None,
            sample: None,
        };
    }
    let cut = [faults.partitioned(viewer_name), faults.partitioned(name)]
        .into_iter()
        .flatten()
        .min();
    let dead = faults.dead(name);
    let Some(since) = cut.into_iter().chain(dead.map(|gone| gone.since)).min() else {
        return Sight {
            known: true,
            online: true,
            reachable: true,
            lost: None,
            sample: fresh(own),
        };
    };
    // A node that drops out of the cluster is noticed as soon as the totem token is lost, a plain loss after `stale_after`.
    let online = cut.is_none() && now < since.saturating_add(stale_after);
    let shows_last = online || cut.is_some() || dead.is_some_and(|gone| gone.shows_last_numbers);
    let last = own.min(time.sample_at(since));
    Sight {
        known: true,
        online,
        reachable: false,
        lost: Some(since),
        sample: if shows_last { fresh(last) } else { None },
    }
}
