//! Replication: the jobs, and how they go at the nodes that have them.

use std::sync::Arc;

use super::{Known, Shown};
use crate::pve::client::Client;
use crate::sources::name::SourceName;
use crate::sources::replication::{self, Replication as NodeReplication};
use crate::sources::replication_jobs::{self, ReplicationJobs};
use crate::sources::source::{PerNode, Source, Whole, Wiring};
use crate::subjects::replication::{ReplicationJob, ReplicationState};

/// The sources of replication.
pub(super) struct Replication {
    known: Arc<Known>,
    jobs: Whole<ReplicationJobs>,
    states: PerNode<NodeReplication>,
}

/// The rows of replication.
pub struct ReplicationRows {
    /// The jobs.
    pub jobs: Arc<[ReplicationJob]>,
    /// How they go.
    pub states: Arc<[ReplicationState]>,
}

impl Replication {
    /// Nothing is fetched yet.
    pub(super) fn new(wiring: &Wiring<'_>, known: &Arc<Known>) -> Self {
        let (cluster, guests): (Arc<str>, _) = (wiring.cluster.into(), Arc::clone(known));
        let name = Arc::clone(&cluster);
        let jobs = wiring.whole(SourceName::ReplicationJobs, move |client: Arc<Client>| {
            let (cluster, guests) = (Arc::clone(&name), guests.guests());
            async move { replication_jobs::fetch(&client, &cluster, &guests).await }
        });
        let states = wiring.per_node(SourceName::Replication, move |client: Arc<Client>, node: Arc<str>| {
            let cluster = Arc::clone(&cluster);
            async move { replication::fetch(&client, &cluster, &node).await }
        });
        Self {
            known: Arc::clone(known),
            jobs: jobs.damaged_by(|value| Some(value.damaged_rows)),
            states: states.damaged_by(|value| Some(value.damaged_rows)),
        }
    }

    /// Its sources.
    pub(super) fn sources(&self) -> [&dyn Source; 2] {
        [&self.jobs, &self.states]
    }

    /// Says which nodes have jobs: no other is asked, since each call takes a lock that the whole cluster shares.
    pub(super) fn find_owners(&self) {
        if let Some(jobs) = self.jobs.held().latest() {
            let owners = jobs.value.owners(&self.known.guests());
            let nodes = self.known.nodes(false).into_iter().filter(|node| owners.contains(node));
            self.states.set_nodes(&nodes.collect::<Vec<_>>());
        }
    }

    /// What they bring.
    pub(super) fn rows(&self, shown: &Shown<'_>) -> ReplicationRows {
        let jobs = shown.whole(&self.jobs).map(|latest| latest.value);
        let states = shown.nodes(&self.states);
        let states = replication::merge(states.values().map(|state| &*state.value));
        ReplicationRows {
            jobs: jobs.map_or_else(Arc::default, |jobs| {
                shown.admitted.rows(&jobs.jobs, |job| Some((job.kind?, job.job.vmid)))
            }),
            states: shown
                .admitted
                .rows(&states, |state| Some((state.kind?, state.job.vmid))),
        }
    }
}
