//! Replication: the jobs, and how they go at the nodes that have them.

use std::sync::Arc;
use std::time::Instant;

use super::{Known, Shown};
use crate::pve::client::Client;
use crate::sources::cached::{Cached, Same};
use crate::sources::name::SourceName;
use crate::sources::replication::{self, Replication as NodeReplication};
use crate::sources::replication_jobs::{self, ReplicationJobs};
use crate::sources::source::{PerNode, Source, Whole, Wiring};
use crate::subjects::guest::GuestKey;
use crate::subjects::recovery_point::{RecoveryPoint, RecoverySource};
use crate::subjects::replication::{ReplicationJob, ReplicationState};

/// The sources of replication.
pub(super) struct Replication {
    known: Arc<Known>,
    jobs: Whole<ReplicationJobs>,
    states: PerNode<NodeReplication>,
    cluster: Arc<str>,
    merged: Cached<Vec<Instant>, Arc<[ReplicationState]>>,
    replicas: Cached<Same<[ReplicationState]>, Arc<[RecoveryPoint]>>,
}

/// The rows of replication.
pub struct ReplicationRows {
    /// The jobs.
    pub jobs: Arc<[ReplicationJob]>,
    /// How they go.
    pub states: Arc<[ReplicationState]>,
    /// To when guests could be brought back from their replicas.
    pub replicas: Arc<[RecoveryPoint]>,
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
        let name = Arc::clone(&cluster);
        let states = wiring.per_node(SourceName::Replication, move |client: Arc<Client>, node: Arc<str>| {
            let cluster = Arc::clone(&name);
            async move { replication::fetch(&client, &cluster, &node).await }
        });
        Self {
            known: Arc::clone(known),
            jobs: jobs.damaged_by(|value| Some(value.damaged_rows)),
            states: states.damaged_by(|value| Some(value.damaged_rows)),
            cluster,
            merged: Cached::default(),
            replicas: Cached::default(),
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
        let nodes = shown.nodes(&self.states);
        let read = nodes.values().map(|node| node.at).collect();
        let states = self
            .merged
            .of(read, || replication::merge(nodes.values().map(|node| &*node.value)));
        let states = shown
            .admitted
            .rows(&states, |state| Some((state.kind?, state.job.vmid)));
        ReplicationRows {
            jobs: jobs.map_or_else(Arc::default, |jobs| {
                shown.admitted.rows(&jobs.jobs, |job| Some((job.kind?, job.job.vmid)))
            }),
            replicas: self
                .replicas
                .of(Same(Arc::clone(&states)), || self.recovery_points(&states)),
            states,
        }
    }

    fn recovery_points(&self, states: &[ReplicationState]) -> Arc<[RecoveryPoint]> {
        let row = |((kind, vmid), timestamp): (GuestKey, u64)| {
            let id = format!("{}/{vmid}", kind.as_str());
            RecoveryPoint::new(&self.cluster, &id, RecoverySource::Replication, timestamp)
        };
        replication::recovery_points(states).into_iter().map(row).collect()
    }
}
