//! Replication: the jobs, and how they go at the nodes that have them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Known, Shown};
use crate::pve::client::Client;
use crate::sources::cached::Cached;
use crate::sources::name::SourceName;
use crate::sources::replication::{self, Replication as NodeReplication};
use crate::sources::replication_jobs::{self, ReplicationJobs};
use crate::sources::source::{PerNode, Source, Whole, Wiring};
use crate::subjects::guest::GuestKey;
use crate::subjects::replication::{JobId, ReplicationJob, ReplicationState};

/// The sources of replication.
pub(super) struct Replication {
    known: Arc<Known>,
    jobs: Whole<ReplicationJobs>,
    states: PerNode<NodeReplication>,
    /// When each guest was last copied: true still when its node is dead, which is when somebody asks.
    points: Mutex<BTreeMap<GuestKey, u64>>,
    /// Whether only the guests of a list are reported on.
    filtered: bool,
    merged: Cached<Vec<Instant>, Arc<[ReplicationState]>>,
}

/// The rows of replication.
pub struct ReplicationRows {
    /// The jobs.
    pub jobs: Arc<[ReplicationJob]>,
    /// How they go.
    pub states: Arc<[ReplicationState]>,
    /// To when each guest could be brought back, in Unix seconds.
    pub points: BTreeMap<GuestKey, u64>,
}

impl Replication {
    /// Nothing is fetched yet.
    pub(super) fn new(wiring: &Wiring<'_>, known: &Arc<Known>, filtered: bool) -> Self {
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
            points: Mutex::default(),
            filtered,
            merged: Cached::default(),
        }
    }

    /// Its sources.
    pub(super) fn sources(&self) -> [&dyn Source; 2] {
        [&self.jobs, &self.states]
    }

    /// Says which nodes have jobs: no other is asked, since each call takes a lock that the whole cluster shares.
    pub(super) fn find_owners(&self) {
        if let Some(jobs) = self.jobs.held().latest() {
            let owners = jobs.value.owners(&self.known.guests(), self.filtered);
            let nodes = self.known.nodes(false).into_iter().filter(|node| owners.contains(node));
            self.states.set_nodes(&nodes.collect::<Vec<_>>());
        }
    }

    /// The jobs, whatever the scrape selects; none while they are not known.
    pub(super) fn jobs(&self, interval: Duration) -> Option<Arc<ReplicationJobs>> {
        Some(self.jobs.servable(interval)?.value)
    }

    /// The jobs that have never succeeded, likewise: there is no copy yet.
    pub(super) fn never_synced(&self, interval: Duration) -> BTreeSet<JobId> {
        let nodes = self.states.servable(interval);
        let states = || nodes.values().flat_map(|node| &*node.value.states);
        let synced: BTreeSet<_> = states()
            .filter(|state| state.last_sync.is_some())
            .map(|state| state.job)
            .collect();
        states()
            .map(|state| state.job)
            .filter(|job| !synced.contains(job))
            .collect()
    }

    /// What they bring.
    pub(super) fn rows(&self, shown: &Shown<'_>) -> ReplicationRows {
        let jobs = shown.whole(&self.jobs).map(|latest| latest.value);
        let nodes = shown.nodes(&self.states);
        let read = nodes.values().map(|node| node.at).collect();
        let states = self
            .merged
            .of(read, || replication::merge(nodes.values().map(|node| &*node.value)));
        let mut points = self.points.lock().unwrap_or_else(PoisonError::into_inner);
        points.extend(replication::recovery_points(&states));
        if let Some(jobs) = self.jobs.held().latest() {
            let replicated: BTreeSet<_> = jobs.value.jobs.iter().map(|job| job.job.vmid).collect();
            points.retain(|(_, vmid), _| replicated.contains(vmid));
        }
        let mut shown_points = BTreeMap::new();
        if shown.selection.contains(&SourceName::Replication) {
            shown_points.extend(points.iter().filter(|(guest, _)| shown.placed.contains(**guest)));
        }
        ReplicationRows {
            // A job of a guest that nothing else knows would change its labels when it is known.
            jobs: jobs.map_or_else(Arc::default, |jobs| {
                let known = jobs.jobs.iter().filter(|job| job.kind.is_some()).cloned().collect();
                shown.placed.rows(&known, |job| Some((job.kind?, job.job.vmid)))
            }),
            states: shown.placed.rows(&states, |state| Some((state.kind?, state.job.vmid))),
            points: shown_points,
        }
    }
}
