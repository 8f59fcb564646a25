//! `/cluster/ha/status/current`: what HA is told to do with each guest, and whether it fences.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::ha_manager::{guest, guest_identity};
use crate::subjects::guest::GuestKey;
use crate::subjects::ha::{FENCING_STATES, HaFencing, fold};
use crate::subjects::ha_guest::{HaGuestRequest, REQUESTED_STATES};

/// One answer, as subjects.
#[derive(Debug)]
pub struct HaStatus {
    /// At most one row: none before PVE 9.2, and none where HA has never been used.
    pub fencing: Arc<[HaFencing]>,
    /// The guests that HA is told to manage, by kind and number.
    pub requests: Arc<[HaGuestRequest]>,
    /// The groups that guests are in; none from PVE 9 on.
    pub groups: HashMap<GuestKey, Box<str>>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads it.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str) -> Result<HaStatus, ApiError> {
    let request = Request::entry("/cluster/ha/status/current");
    let answer = client.get(&request).await?;
    answer.decode(&request.path, |body| convert(body, cluster))
}

fn convert(body: &[u8], cluster: &str) -> Result<HaStatus, DecodeError> {
    let (mut armed, mut used) = (None, false);
    let (mut requests, mut groups) = (BTreeMap::new(), HashMap::new());
    let damaged_rows = api::ha_status::decode(body, |row| match &*row.kind {
        "master" => used = true,
        "fencing" => armed = fold(&row.armed_state, FENCING_STATES),
        "service" => {
            // An old name that a configuration may still have.
            let state = if row.request_state == "enabled" {
                "started"
            } else {
                &*row.request_state
            };
            if let Some(guest) = guest(&row.sid).filter(|_| !row.group.is_empty()) {
                groups.insert(guest, row.group.into());
            }
            if let (Some(guest), Some(state)) = (guest(&row.sid), fold(state, REQUESTED_STATES)) {
                let row = HaGuestRequest {
                    identity: guest_identity(cluster, guest),
                    kind: guest.0,
                    vmid: guest.1,
                    state,
                };
                requests.insert(guest, row);
            }
        }
        _ => {}
    })?;
    // PVE tells of standby where there has never been a manager, too.
    let fencing = armed.filter(|_| used).map(|state| HaFencing {
        identity: Identity::new(&[("pve_cluster", cluster)]),
        state,
    });
    Ok(HaStatus {
        fencing: fencing.into_iter().collect(),
        requests: requests.into_values().collect(),
        groups,
        damaged_rows,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GuestKind;

    fn read(body: &[u8]) -> (Vec<&'static str>, Vec<(u32, &'static str)>, u64) {
        let status = convert(body, "main").unwrap();
        (
            status.fencing.iter().map(|fencing| fencing.state).collect(),
            status.requests.iter().map(|guest| (guest.vmid, guest.state)).collect(),
            status.damaged_rows,
        )
    }

    #[test]
    fn recorded_status() {
        let body = include_bytes!("../../tests/fixtures/pve-9.2/cluster__ha__status__current.json");
        assert_eq!(read(body), (vec!["armed"], vec![(101, "started"), (102, "stopped")], 0));
    }

    #[test]
    fn constructed_statuses_before_and_after_the_fencing_row() {
        let asked = vec![(100, "started"), (103, "started")];
        let body = include_bytes!("../../tests/fixtures/pve-8/cluster__ha__status__current.json");
        assert_eq!(read(body), (vec![], asked.clone(), 0));
        let groups = convert(body, "main").unwrap().groups;
        assert_eq!(groups, [((GuestKind::Qemu, 100), "prefer-pve1".into())].into());
        let body = include_bytes!("../../tests/fixtures/pve-9/cluster__ha__status__current.json");
        assert_eq!(read(body), (vec!["armed"], asked, 0));
    }

    #[test]
    fn where_ha_is_unused_nothing_is_known() {
        let body = br#"{"data":[{"type":"quorum","quorate":1},{"type":"fencing","armed-state":"standby"}]}"#;
        assert_eq!(read(body), (vec![], vec![], 0));
    }

    #[test]
    fn a_damaged_row_costs_only_itself() {
        let body = br#"{"data":[{"type":"master"},7,{"type":"fencing","armed-state":"melting"},null,
            {"type":"service","sid":"vm:103"},{"type":"service","sid":{}, "request_state":"started"},
            {"type":"service","sid":"ct:200","request_state":"meditating"},{"type":"new"}]}"#;
        assert_eq!(read(body), (vec!["other"], vec![(200, "other")], 2));
    }
}
