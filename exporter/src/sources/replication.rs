//! `/nodes/{node}/replication`: how the jobs of the guests on one node go.
//!
//! PVE takes a lock on all of the cluster to answer: only nodes that own jobs are worth it, and not often.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::GuestKind;
use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::api::replication::Row;
use crate::pve::budget::Cost;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::subjects::replication::{JobId, ReplicationState};

/// What one node told, as subjects.
#[derive(Debug)]
pub struct Replication {
    /// The jobs of guests on the node, by guest and number.
    pub states: Arc<[ReplicationState]>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads it.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, node: &Arc<str>) -> Result<Replication, ApiError> {
    let request = Request::node(node, "replication", Cost::Slow);
    let answer = client.get(&request).await?;
    answer.decode(&request.path, |body| convert(body, cluster))
}

/// The states of all nodes in one. A guest that moved may stand in the answers of two nodes: the one that tried last counts.
pub fn merge<'a>(nodes: impl IntoIterator<Item = &'a Replication>) -> Arc<[ReplicationState]> {
    let mut merged: BTreeMap<JobId, &ReplicationState> = BTreeMap::new();
    for state in nodes.into_iter().flat_map(|node| &*node.states) {
        let newest = merged.entry(state.job).or_insert(state);
        if state.last_try > newest.last_try {
            *newest = state;
        }
    }
    merged.into_values().cloned().collect()
}

/// To which time, in Unix seconds, each guest has a copy on another node: that of its job which succeeded last.
#[must_use]
pub fn recovery_points(states: &[ReplicationState]) -> BTreeMap<(GuestKind, u32), u64> {
    let mut points = BTreeMap::new();
    for state in states {
        if let (Some(kind), Some(last_sync)) = (state.kind, state.last_sync) {
            let newest = points.entry((kind, state.job.vmid)).or_insert(last_sync);
            *newest = last_sync.max(*newest);
        }
    }
    points
}

fn convert(body: &[u8], cluster: &str) -> Result<Replication, DecodeError> {
    let mut states = BTreeMap::new();
    let mut unusable = 0;
    let damaged = api::replication::decode(body, |row| match job_id(&row.id) {
        Some(job) => drop(states.insert(job, state(&row, cluster, job))),
        None => unusable += 1,
    })?;
    Ok(Replication {
        states: states.into_values().collect(),
        damaged_rows: damaged + unusable,
    })
}

fn state(row: &Row<'_>, cluster: &str, job: JobId) -> ReplicationState {
    let kind = match &*row.vmtype {
        "qemu" => Some(GuestKind::Qemu),
        "lxc" => Some(GuestKind::Lxc),
        _ => None,
    };
    let last_try = row.last_try.filter(|time| *time > 0);
    ReplicationState {
        identity: identity(cluster, kind, job),
        job,
        kind,
        last_sync: row.last_sync.filter(|time| *time > 0),
        last_try,
        // PVE computes it from the last attempt: without one it lies near 1970, and it does so for a disabled job, too.
        next_sync: row
            .next_sync
            .filter(|next| row.disable != Some(true) && last_try.is_some_and(|last| *next > last)),
        last_duration: row.duration,
        failures: row.fail_count,
        error: !row.error.is_empty(),
        running: row.pid.is_some(),
    }
}

pub(super) fn job_id(id: &str) -> Option<JobId> {
    let (vmid, number) = id.split_once('-')?;
    Some(JobId {
        vmid: vmid.parse().ok()?,
        number: number.parse().ok()?,
    })
}

pub(super) fn identity(cluster: &str, kind: Option<GuestKind>, JobId { vmid, number }: JobId) -> Identity {
    let id = kind.map_or_else(String::new, |kind| format!("{}/{vmid}", kind.as_str()));
    let job = format!("{vmid}-{number}");
    Identity::new(&[("pve_cluster", cluster), ("id", &id), ("job_id", &job)])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(state: &ReplicationState) -> &str {
        str::from_utf8(state.identity.pairs()).unwrap()
    }

    fn times(state: &ReplicationState) -> [Option<u64>; 3] {
        [state.last_sync, state.last_try, state.next_sync]
    }

    #[test]
    fn recorded_states() {
        let body = include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__replication.json");
        let node = convert(body, "main").unwrap();
        let [disabled, failing] = &*node.states else {
            panic!("{node:?}")
        };
        assert_eq!(labels(disabled), r#"pve_cluster="main",id="qemu/102",job_id="102-0""#);
        assert_eq!(times(disabled), [None; 3], "never run; its next_sync is 9000");
        assert_eq!(
            (disabled.last_duration, disabled.failures, disabled.error),
            (None, Some(0), false)
        );
        assert_eq!(labels(failing), r#"pve_cluster="main",id="lxc/200",job_id="200-0""#);
        assert_eq!(times(failing), [None, Some(1_795_151_340), Some(1_795_151_940)]);
        assert_eq!(
            (failing.last_duration, failing.failures, failing.error, failing.running),
            (Some(0.008_089), Some(2), true, false)
        );
        let body = include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve2__replication.json");
        assert!(convert(body, "main").unwrap().states.is_empty());
    }

    #[test]
    fn constructed_states() {
        let body = include_bytes!("../../tests/fixtures/pve-8/nodes__pve1__replication.json");
        let node = convert(body, "main").unwrap();
        let times: Vec<_> = node.states.iter().map(times).collect();
        assert_eq!(
            times,
            [
                [Some(1_786_799_100), Some(1_786_799_100), Some(1_786_800_000)],
                [Some(1_786_713_600), Some(1_786_798_200), None],
            ]
        );
        let points = recovery_points(&node.states);
        assert_eq!(points[&(GuestKind::Qemu, 100)], 1_786_799_100);
        assert_eq!(
            points[&(GuestKind::Lxc, 200)],
            1_786_713_600,
            "failing, but the old copy is there"
        );
    }

    #[test]
    fn the_next_attempt_is_known_only_after_one() {
        let body = br#"{"data":[{"id":"100-0","last_try":0,"next_sync":9000},{"id":"100-1","last_try":50,"next_sync":1},
            {"id":"100-2","last_try":50,"next_sync":60,"disable":"1"},{"id":"100-3","last_try":"50","next_sync":"60","pid":7}]}"#;
        let node = convert(body, "main").unwrap();
        let known: Vec<_> = node
            .states
            .iter()
            .map(|state| (state.next_sync, state.running))
            .collect();
        assert_eq!(known, [(None, false), (None, false), (None, false), (Some(60), true)]);
    }

    #[test]
    fn a_damaged_row_costs_only_itself() {
        let body = br#"{"data":[{"id":"200-10","vmtype":"lxc","last_sync":{},"fail_count":"x"},"x",{"id":"-1"},{"id":"200-9"}]}"#;
        let node = convert(body, "main").unwrap();
        let identities: Vec<_> = node.states.iter().map(labels).collect();
        assert_eq!(
            identities,
            [
                r#"pve_cluster="main",job_id="200-9""#,
                r#"pve_cluster="main",id="lxc/200",job_id="200-10""#
            ]
        );
        assert_eq!((node.states[1].last_sync, node.states[1].failures), (None, None));
        assert_eq!(node.damaged_rows, 2);
    }

    #[test]
    fn a_guest_that_moved_counts_once_and_its_best_copy_counts() {
        let node = |body: &str| convert(body.as_bytes(), "main").unwrap();
        let old = node(
            r#"{"data":[{"id":"100-0","vmtype":"qemu","last_try":90,"last_sync":50},{"id":"100-1","vmtype":"qemu","last_try":70,"last_sync":70}]}"#,
        );
        let new = node(r#"{"data":[{"id":"100-0","vmtype":"qemu","last_try":100,"last_sync":60}]}"#);
        for nodes in [[&old, &new], [&new, &old]] {
            let states = merge(nodes);
            let synced: Vec<_> = states.iter().map(|state| state.last_sync).collect();
            assert_eq!(synced, [Some(60), Some(70)]);
            assert_eq!(recovery_points(&states), BTreeMap::from([((GuestKind::Qemu, 100), 70)]));
        }
    }
}
