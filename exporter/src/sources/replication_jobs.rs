//! `/cluster/replication`: the jobs, and which nodes must be asked how they go.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::pve::api;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::replication::{identity, job_id};
use crate::subjects::guest::Guest;
use crate::subjects::replication::ReplicationJob;

/// One answer, as subjects.
#[derive(Debug)]
pub struct ReplicationJobs {
    /// The jobs, by guest and number.
    pub jobs: Arc<[ReplicationJob]>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

impl ReplicationJobs {
    /// The nodes that have the state of the jobs: each where `guests` says that the job's guest is, since the job itself may
    /// name the node that the guest was moved away from, or else where the job says. With `only_listed` no other guests' jobs
    /// are of interest.
    #[must_use]
    pub fn owners(&self, guests: &[Guest], only_listed: bool) -> BTreeSet<Arc<str>> {
        if self.jobs.is_empty() {
            return BTreeSet::new();
        }
        let nodes: HashMap<u32, &Arc<str>> = guests.iter().map(|guest| (guest.vmid, &guest.node)).collect();
        self.jobs
            .iter()
            .filter_map(|job| match nodes.get(&job.job.vmid) {
                None if only_listed => None,
                node => Some(*node.unwrap_or(&&job.source)),
            })
            .filter(|node| !node.is_empty())
            .cloned()
            .collect()
    }
}

/// Reads them. PVE tells only the number of a guest here; its kind is looked up in `guests`.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, guests: &[Guest]) -> Result<ReplicationJobs, ApiError> {
    let request = Request::entry("/cluster/replication");
    let answer = client.get(&request).await?;
    answer.decode(&request.path, |body| convert(body, cluster, guests))
}

fn convert(body: &[u8], cluster: &str, guests: &[Guest]) -> Result<ReplicationJobs, DecodeError> {
    let kinds: HashMap<u32, _> = guests.iter().map(|guest| (guest.vmid, guest.kind)).collect();
    let mut jobs = BTreeMap::new();
    let mut unusable = 0;
    let damaged = api::replication::decode(body, |row| {
        let Some(job) = job_id(&row.id) else {
            unusable += 1;
            return;
        };
        let kind = kinds.get(&job.vmid).copied();
        let row = ReplicationJob {
            identity: identity(cluster, kind, job),
            job,
            kind,
            source: row.source.into(),
            target: row.target.into_owned(),
            schedule: row.schedule.into_owned(),
            plugin: row.kind.into_owned(),
            enabled: row.disable != Some(true),
        };
        jobs.insert(job, row);
    })?;
    Ok(ReplicationJobs {
        jobs: jobs.into_values().collect(),
        damaged_rows: damaged + unusable,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::config::{GuestFilter, GuestKind};
    use crate::sources::resources;

    /// The guests of the recorded cluster: 102 and 200 are on pve1.
    fn guests() -> Arc<[Guest]> {
        let body = include_bytes!("../../tests/fixtures/pve-9.2/cluster__resources.json");
        let mut memory = resources::Memory::default();
        let resources = resources::convert(body, "main", &GuestFilter::default(), &mut memory, Instant::now());
        resources.unwrap().guests
    }

    fn labels(job: &ReplicationJob) -> &str {
        str::from_utf8(job.identity.pairs()).unwrap()
    }

    fn names(owners: &BTreeSet<Arc<str>>) -> Vec<&str> {
        owners.iter().map(|node| &**node).collect()
    }

    #[test]
    fn recorded_jobs() {
        let body = include_bytes!("../../tests/fixtures/pve-9.2/cluster__replication.json");
        let jobs = convert(body, "main", &guests()).unwrap();
        let [disabled, failing] = &*jobs.jobs else {
            panic!("{jobs:?}")
        };
        assert_eq!(labels(disabled), r#"pve_cluster="main",id="qemu/102",job_id="102-0""#);
        assert_eq!(labels(failing), r#"pve_cluster="main",id="lxc/200",job_id="200-0""#);
        assert_eq!((disabled.enabled, failing.enabled), (false, true));
        assert_eq!(
            (&*failing.source, &*failing.target, &*failing.schedule, &*failing.plugin),
            ("pve1", "pve2", "*/5", "local")
        );
        assert_eq!(names(&jobs.owners(&guests(), false)), ["pve1"]);
        assert_eq!(jobs.damaged_rows, 0);
    }

    #[test]
    fn a_job_is_owned_by_the_node_of_its_guest() {
        let body = br#"{"data":[{"id":"102-0","source":"pve7"},{"id":"999-0","source":"pve8"},{"id":"998-0"}]}"#;
        let jobs = convert(body, "main", &guests()).unwrap();
        assert_eq!(names(&jobs.owners(&guests(), false)), ["pve1", "pve8"]);
        assert_eq!(names(&jobs.owners(&[], false)), ["pve7", "pve8"]);
    }

    #[test]
    fn constructed_jobs_of_unknown_guests_have_no_id() {
        let body = include_bytes!("../../tests/fixtures/pve-8/cluster__replication.json");
        let jobs = convert(body, "main", &[]).unwrap();
        let identities: Vec<_> = jobs.jobs.iter().map(labels).collect();
        assert_eq!(
            identities,
            [
                r#"pve_cluster="main",job_id="100-0""#,
                r#"pve_cluster="main",job_id="200-0""#
            ]
        );
    }

    #[test]
    fn a_damaged_row_costs_only_itself() {
        let body = br#"{"data":[{"id":"200-11","disable":"1"},{"id":"200"},{},[],{"id":"200-2","disable":{}},{"id":"200-11"}]}"#;
        let jobs = convert(body, "main", &guests()).unwrap();
        let known: Vec<_> = jobs
            .jobs
            .iter()
            .map(|job| (job.job.number, job.kind, job.enabled))
            .collect();
        let container = Some(GuestKind::Lxc);
        assert_eq!(known, [(2, container, true), (11, container, true)]);
        assert_eq!(jobs.damaged_rows, 3);
    }
}
