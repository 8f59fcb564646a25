//! `/nodes/{node}/ceph/status`: the health of Ceph, its daemons and its placement groups.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::api::ceph_status::Status;
use crate::pve::client::Client;
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::ceph::Ceph;
use crate::subjects::ceph::{self, CephCheck, CephPlacementGroups, HEALTH};
use crate::subjects::ha::fold;

/// The most checks, and the most states of placement groups, that are reported on.
const MOST_CHECKS: usize = 64;
const MOST_STATES: usize = 64;

/// The longest code of a check, and the longest state of placement groups.
const LONGEST: usize = 128;

const PATH: &str = "ceph/status";

/// The status, as subjects; nothing where there is no Ceph.
#[derive(Debug, Default)]
pub struct CephStatus {
    /// Of the cluster: one row.
    pub ceph: Arc<[ceph::Ceph]>,
    /// The checks that fail, by code.
    pub checks: Arc<[CephCheck]>,
    /// The placement groups, by state.
    pub placement_groups: Arc<[CephPlacementGroups]>,
    /// Parts that could not be read.
    pub damaged_rows: u64,
}

/// Reads it at one of `nodes`.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, nodes: &[Arc<str>], ceph: &Ceph) -> Result<CephStatus, ApiError> {
    let Some(answer) = ceph.get(client, nodes, PATH).await? else {
        return Ok(CephStatus::default());
    };
    answer.decode(PATH, |body| convert(body, cluster))
}

fn convert(body: &[u8], cluster: &str) -> Result<CephStatus, DecodeError> {
    let status = api::ceph_status::decode(body)?;
    let mut damaged_rows = status.health.checks.damaged();
    let mut checks = BTreeMap::new();
    for (code, check) in &status.health.checks.0 {
        let Some(check) = check else { continue };
        let Some(severity) = fold(&check.severity, HEALTH).filter(|_| is_code(code)) else {
            damaged_rows += 1;
            continue;
        };
        if check.muted != Some(true) {
            checks.insert(code, severity);
        }
    }
    let check = |(code, severity): (&String, &str)| CephCheck {
        identity: Identity::new(&[("pve_cluster", cluster), ("check", code), ("severity", severity)]),
    };

    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    for in_state in &status.pgmap.pgs_by_state {
        let known = in_state
            .as_ref()
            .and_then(|state| Some((&*state.state_name, state.count?)));
        match known.filter(|(state, _)| is_state(state)) {
            Some((state, count)) => {
                let admitted = states.len() < MOST_STATES || states.contains_key(state);
                *states.entry(if admitted { state } else { "other" }).or_default() += count;
            }
            None => damaged_rows += 1,
        }
    }
    let in_state = |(state, count): (&str, u64)| CephPlacementGroups {
        identity: Identity::new(&[("pve_cluster", cluster), ("state", state)]),
        count,
    };

    Ok(CephStatus {
        checks: checks.into_iter().take(MOST_CHECKS).map(check).collect(),
        placement_groups: states.into_iter().map(in_state).collect(),
        damaged_rows,
        ceph: Arc::from([row(&status, cluster)]),
    })
}

fn row(status: &Status<'_>, cluster: &str) -> ceph::Ceph {
    let (osds, pgs) = (&status.osdmap, &status.pgmap);
    // Without the number of objects it is not known whether the others were left out for being none.
    let counted = |objects: Option<u64>| pgs.num_objects.and(objects);
    let share = |ratio: Option<f64>| pgs.num_objects.and(ratio).filter(is_ratio);
    let some = |count: usize| (count > 0).then_some(count as u64);
    ceph::Ceph {
        identity: Identity::new(&[("pve_cluster", cluster)]),
        health: fold(&status.health.status, HEALTH),
        osds: osds.num_osds,
        osds_up: osds.num_up_osds,
        osds_in: osds.num_in_osds,
        monitors: some(status.monmap.mons.len()),
        monitors_in_quorum: some(status.quorum.len()),
        objects: pgs.num_objects,
        objects_degraded: counted(pgs.degraded_objects),
        degraded_ratio: share(pgs.degraded_ratio),
        objects_misplaced: counted(pgs.misplaced_objects),
        misplaced_ratio: share(pgs.misplaced_ratio),
        objects_unfound: counted(pgs.unfound_objects),
        size: pgs.bytes_total,
        usage: pgs.bytes_used,
        available: pgs.bytes_avail,
    }
}

fn is_ratio(ratio: &f64) -> bool {
    (0.0..=1.0).contains(ratio)
}

fn is_code(code: &str) -> bool {
    let mut bytes = code.bytes();
    (1..=LONGEST).contains(&code.len())
        && bytes.all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

fn is_state(state: &str) -> bool {
    let mut bytes = state.bytes();
    (1..=LONGEST).contains(&state.len())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"+_-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> CephStatus {
        convert(body, "main").unwrap()
    }

    fn labels(identity: &Identity) -> &str {
        str::from_utf8(identity.pairs()).unwrap()
    }

    #[test]
    fn constructed_status() {
        let status = read(include_bytes!(
            "../../tests/fixtures/pve-9/nodes__pve1__ceph__status.json"
        ));
        let [ceph] = &*status.ceph else { panic!("{status:?}") };
        assert_eq!(ceph.health, Some("HEALTH_WARN"));
        assert_eq!((ceph.osds, ceph.osds_up, ceph.osds_in), (Some(3), Some(2), Some(2)));
        assert_eq!((ceph.monitors, ceph.monitors_in_quorum), (Some(3), Some(3)));
        assert_eq!(
            (ceph.objects, ceph.objects_degraded, ceph.misplaced_ratio),
            (Some(123_456), Some(61_728), Some(1200.0 / 370_368.0))
        );
        assert_eq!(
            (ceph.size, ceph.usage, ceph.available),
            (
                Some(6_000_000_000_000),
                Some(1_534_567_890_123),
                Some(4_465_432_109_877)
            )
        );
        let [unfound, near_full, degraded] = &*status.checks else {
            panic!("{status:?}")
        };
        assert_eq!(
            [unfound, near_full, degraded].map(|check| labels(&check.identity)),
            [
                r#"pve_cluster="main",check="OBJECT_UNFOUND",severity="HEALTH_WARN""#,
                r#"pve_cluster="main",check="OSD_NEARFULL",severity="HEALTH_WARN""#,
                r#"pve_cluster="main",check="PG_DEGRADED",severity="HEALTH_WARN""#
            ]
        );
        let states: Vec<_> = status
            .placement_groups
            .iter()
            .map(|pgs| (labels(&pgs.identity), pgs.count))
            .collect();
        assert_eq!(
            states,
            [
                (r#"pve_cluster="main",state="active+clean""#, 63),
                (r#"pve_cluster="main",state="active+clean+scrubbing""#, 1),
                (r#"pve_cluster="main",state="active+undersized+degraded""#, 65)
            ]
        );
        assert_eq!(status.damaged_rows, 0);
    }

    #[test]
    fn what_is_degraded_is_told_and_what_is_muted_is_not() {
        let status = read(
            br#"{"data":{"health":{"status":"HEALTH_ERR","checks":{"OSD_DOWN":{"severity":"HEALTH_WARN","muted":true},
                    "PG_DAMAGED":{"severity":"HEALTH_ERR","muted":false}}},"quorum":["0",1],
                "pgmap":{"num_objects":100,"degraded_objects":"12","degraded_total":300,"degraded_ratio":0.04,"misplaced_objects":3,
                    "misplaced_ratio":1.5,"unfound_objects":1}}}"#,
        );
        let ceph = &status.ceph[0];
        assert_eq!(ceph.health, Some("HEALTH_ERR"));
        assert_eq!((ceph.objects_degraded, ceph.degraded_ratio), (Some(12), Some(0.04)));
        assert_eq!((ceph.objects_misplaced, ceph.misplaced_ratio), (Some(3), None));
        assert_eq!(
            (ceph.objects_unfound, ceph.monitors_in_quorum, ceph.monitors),
            (Some(1), Some(2), None)
        );
        let checks: Vec<_> = status.checks.iter().map(|check| labels(&check.identity)).collect();
        assert_eq!(
            checks,
            [r#"pve_cluster="main",check="PG_DAMAGED",severity="HEALTH_ERR""#]
        );
    }

    #[test]
    fn what_is_damaged_costs_only_itself() {
        let status = read(
            br#"{"data":{"health":{"status":"HEALTH_BAD","checks":{"a b":{"severity":"HEALTH_WARN"},"OSD_DOWN":7,"OLD":{},
                    "NEW":{"severity":"HEALTH_FINE"}}},"monmap":7,"quorum":{},"osdmap":[{"num_osds":1}],
                "pgmap":{"bytes_total":{},"bytes_used":5,"pgs_by_state":[7,{"state_name":"active+clean","count":5},
                    {"state_name":"A b","count":1},{"state_name":"peering"}]}}}"#,
        );
        let ceph = &status.ceph[0];
        assert_eq!(
            (ceph.health, ceph.osds, ceph.size, ceph.usage),
            (Some("other"), None, None, Some(5))
        );
        assert_eq!((ceph.monitors, ceph.monitors_in_quorum), (None, None));
        assert_eq!((status.checks.len(), status.placement_groups.len()), (1, 1));
        assert_eq!(status.damaged_rows, 6);
        assert!(convert(br#"{"data":null,"message":"binary not installed"}"#, "main").is_err());
    }

    #[test]
    fn what_ceph_leaves_out_is_none_and_what_is_damaged_is_not_known() {
        let figures = |pgmap: &str| {
            let status = read(format!(r#"{{"data":{{"pgmap":{pgmap}}}}}"#).as_bytes());
            let ceph = &status.ceph[0];
            let objects = [ceph.objects_degraded, ceph.objects_misplaced, ceph.objects_unfound];
            (objects, [ceph.degraded_ratio, ceph.misplaced_ratio])
        };
        assert_eq!(figures(r#"{"num_objects":7}"#), ([Some(0); 3], [Some(0.0); 2]));
        assert_eq!(figures("{}"), ([None; 3], [None; 2]));
        let (objects, ratios) = figures(r#"{"num_objects":7,"degraded_objects":{},"misplaced_ratio":"?"}"#);
        assert_eq!((objects, ratios), ([None, Some(0), Some(0)], [Some(0.0), None]));
    }

    #[test]
    fn states_beyond_the_limit_are_counted_together() {
        let states: Vec<_> = (10..90)
            .map(|n| format!(r#"{{"state_name":"active+s{n}","count":1}}"#))
            .collect();
        let status = read(format!(r#"{{"data":{{"pgmap":{{"pgs_by_state":[{}]}}}}}}"#, states.join(",")).as_bytes());
        assert_eq!(status.placement_groups.len(), MOST_STATES + 1);
        let other = status.placement_groups.last().unwrap();
        assert_eq!(
            (labels(&other.identity), other.count),
            (r#"pve_cluster="main",state="other""#, 16)
        );
    }
}
