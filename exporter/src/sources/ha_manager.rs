//! `/cluster/ha/status/manager_status`: quorum, the manager, its view of the nodes, and the guests that it looks after.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::GuestKind;
use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::subjects::ha::{self, fold};
use crate::subjects::ha_guest::{GUEST_STATES, HaGuest};
use crate::subjects::ha_node::{HaNode, LRM_MODES, LRM_STATES, NODE_STATES};

/// How long the moves of a guest that HA manages no more are remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// One answer, as subjects.
#[derive(Debug)]
pub struct HaManager {
    /// Of the cluster: one row.
    pub manager: Arc<[ha::HaManager]>,
    /// The nodes, by name; none where HA has never been used.
    pub nodes: Arc<[HaNode]>,
    /// Those that take no guests for the time being.
    pub maintenance: BTreeSet<Box<str>>,
    /// The guests, by kind and number.
    pub guests: Arc<[HaGuest]>,
    /// Entries that could not be read.
    pub damaged_rows: u64,
}

/// How often each guest has been seen on another node than before.
#[derive(Debug, Default)]
pub struct Moves(HashMap<(GuestKind, u32), Placed>);

#[derive(Debug)]
struct Placed {
    node: String,
    moves: u64,
    seen_at: Instant,
}

impl Moves {
    fn see(&mut self, guest: (GuestKind, u32), node: &str, now: Instant) {
        let placed = self.0.entry(guest).or_insert_with(|| Placed {
            node: node.to_owned(),
            moves: 0,
            seen_at: now,
        });
        placed.seen_at = now;
        if placed.node != node {
            node.clone_into(&mut placed.node);
            placed.moves += 1;
        }
    }

    fn of(&self, guest: (GuestKind, u32)) -> Option<u64> {
        self.0.get(&guest).map(|placed| placed.moves)
    }

    fn forget(&mut self, now: Instant) {
        self.0
            .retain(|_, placed| now.saturating_duration_since(placed.seen_at) < REMEMBERED);
    }
}

/// Reads it.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, moves: &Mutex<Moves>, now: Instant) -> Result<HaManager, ApiError> {
    let request = Request::entry("/cluster/ha/status/manager_status");
    let answer = client.get(&request).await?;
    let mut moves = moves.lock().unwrap_or_else(PoisonError::into_inner);
    answer.decode(&request.path, |body| convert(body, cluster, &mut moves, now))
}

fn convert(body: &[u8], cluster: &str, moves: &mut Moves, now: Instant) -> Result<HaManager, DecodeError> {
    let status = api::ha_manager_status::decode(body)?;
    let (manager, lrms, quorate) = (status.manager_status, status.lrm_status, status.quorum.quorate);
    let (states, services) = (manager.node_status, manager.service_status);

    let in_maintenance = |name: &&String| states.get(name).is_some_and(|state| *state == "maintenance");
    let names: BTreeSet<&String> = states.0.keys().chain(lrms.0.keys()).collect();
    let node = |name: &String| {
        let lrm = lrms.get(name);
        HaNode {
            identity: Identity::new(&[
                ("pve_cluster", cluster),
                ("id", &format!("node/{name}")),
                ("node", name),
            ]),
            state: states.get(name).and_then(|state| fold(state, NODE_STATES)),
            lrm_mode: lrm.and_then(|lrm| fold(&lrm.mode, LRM_MODES)),
            lrm_state: lrm.and_then(|lrm| fold(&lrm.state, LRM_STATES)),
            lrm_timestamp: lrm.and_then(|lrm| lrm.timestamp),
        }
    };

    let mut guests = BTreeMap::new();
    for (sid, service) in &services.0 {
        let (Some(guest), Some(service)) = (guest(sid), service) else {
            continue;
        };
        // Without quorum a node answers with what it knew before.
        if quorate == Some(true) && !service.node.is_empty() {
            moves.see(guest, &service.node, now);
        }
        let row = HaGuest {
            identity: guest_identity(cluster, guest),
            kind: guest.0,
            vmid: guest.1,
            state: fold(&service.state, GUEST_STATES),
            moves: moves.of(guest),
        };
        guests.insert(guest, row);
    }
    moves.forget(now);

    Ok(HaManager {
        maintenance: names
            .iter()
            .copied()
            .filter(in_maintenance)
            .map(|name| name.as_str().into())
            .collect(),
        nodes: names.into_iter().map(node).collect(),
        guests: guests.into_values().collect(),
        damaged_rows: states.damaged() + lrms.damaged() + services.damaged(),
        manager: Arc::new([ha::HaManager {
            identity: Identity::new(&[("pve_cluster", cluster)]),
            quorate,
            node: manager.master_node.into_owned(),
            timestamp: manager.timestamp,
        }]),
    })
}

/// The guest that a service id such as `vm:100` or `ct:200` stands for; `None` for a kind of service that a later PVE brings.
pub(super) fn guest(sid: &str) -> Option<(GuestKind, u32)> {
    let (kind, vmid) = sid.split_once(':')?;
    let kind = match kind {
        "vm" => GuestKind::Qemu,
        "ct" => GuestKind::Lxc,
        _ => return None,
    };
    Some((kind, vmid.parse().ok()?))
}

pub(super) fn guest_identity(cluster: &str, (kind, vmid): (GuestKind, u32)) -> Identity {
    Identity::new(&[("pve_cluster", cluster), ("id", &format!("{}/{vmid}", kind.as_str()))])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> HaManager {
        convert(body, "main", &mut Moves::default(), Instant::now()).unwrap()
    }

    fn labels(identity: &Identity) -> &str {
        str::from_utf8(identity.pairs()).unwrap()
    }

    #[test]
    fn recorded_status() {
        let status = read(include_bytes!(
            "../../tests/fixtures/pve-9.2/cluster__ha__status__manager_status.json"
        ));
        let manager = &status.manager[0];
        assert_eq!((manager.quorate, &*manager.node), (Some(true), "pve2"));
        assert_eq!(manager.timestamp, Some(1_795_151_628));
        let nodes: Vec<_> = status
            .nodes
            .iter()
            .map(|node| (node.state, node.lrm_mode, node.lrm_state, node.lrm_timestamp))
            .collect();
        let (online, active) = (Some("online"), Some("active"));
        assert_eq!(
            nodes,
            [
                (online, active, active, Some(1_795_151_629)),
                (online, active, Some("wait_for_agent_lock"), Some(1_795_151_636)),
            ]
        );
        assert_eq!(
            labels(&status.nodes[1].identity),
            r#"pve_cluster="main",id="node/pve2",node="pve2""#
        );
        let guests: Vec<_> = status
            .guests
            .iter()
            .map(|guest| (labels(&guest.identity), guest.state, guest.moves))
            .collect();
        assert_eq!(
            guests,
            [
                (r#"pve_cluster="main",id="qemu/101""#, Some("started"), Some(0)),
                (r#"pve_cluster="main",id="qemu/102""#, Some("stopped"), Some(0)),
            ]
        );
        assert_eq!(status.damaged_rows, 0);
    }

    #[test]
    fn constructed_status_of_pve_8() {
        let status = read(include_bytes!(
            "../../tests/fixtures/pve-8/cluster__ha__status__manager_status.json"
        ));
        let nodes: Vec<_> = status.nodes.iter().map(|node| (node.state, node.lrm_mode)).collect();
        assert_eq!(
            nodes,
            [
                (Some("online"), Some("active")),
                (Some("maintenance"), Some("maintenance")),
                (Some("fence"), Some("active")),
            ]
        );
        assert_eq!(status.maintenance, BTreeSet::from(["pve2".into()]));
        let states: Vec<_> = status.guests.iter().map(|guest| guest.state).collect();
        assert_eq!(states, [Some("started"), Some("fence")]);
    }

    #[test]
    fn where_ha_is_unused_only_quorum_is_known() {
        let status = read(br#"{"data":{"manager_status":{},"quorum":{"node":"pve1","quorate":"1"}}}"#);
        let manager = &status.manager[0];
        assert_eq!(
            (manager.quorate, &*manager.node, manager.timestamp),
            (Some(true), "", None)
        );
        assert_eq!(
            (status.nodes.len(), status.guests.len(), status.damaged_rows),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_damaged_entry_costs_only_itself() {
        let status = read(
            br#"{"data":{"quorum":{"quorate":1},"manager_status":{"timestamp":"12",
                "node_status":{"pve1":"online","pve2":{"x":1},"pve3":"levitating"},
                "service_status":{"vm:100":{"state":"started","node":"pve1"},"ct:200":7,"ct:30":{"state":"dreaming"},
                    "vm:9x":{"state":"started"},"volume:1":{"state":"started"}}},
                "lrm_status":{"pve1":{"mode":[],"state":1e999},"pve2":{"mode":"active"},"pve3":{}}}}"#,
        );
        assert_eq!(status.manager[0].timestamp, Some(12));
        let nodes: Vec<_> = status.nodes.iter().map(|node| (node.state, node.lrm_mode)).collect();
        assert_eq!(
            nodes,
            [(Some("online"), None), (None, Some("active")), (Some("other"), None)]
        );
        let guests: Vec<_> = status
            .guests
            .iter()
            .map(|guest| (guest.vmid, guest.state, guest.moves))
            .collect();
        assert_eq!(guests, [(100, Some("started"), Some(0)), (30, Some("other"), None)]);
        assert_eq!(status.damaged_rows, 3);
    }

    #[test]
    fn moves_are_counted_with_quorum_only() {
        let (mut moves, start) = (Moves::default(), Instant::now());
        let mut see = |node: &str, quorate: &str, after: u64| {
            let body = format!(
                r#"{{"data":{{"manager_status":{{"service_status":{{"ct:200":{{"node":"{node}","state":"started"}}}}}},"quorum":{{"quorate":"{quorate}"}}}}}}"#
            );
            let now = start + Duration::from_secs(after);
            let status = convert(body.as_bytes(), "main", &mut moves, now).unwrap();
            (status.manager[0].quorate, status.guests[0].moves)
        };
        assert_eq!(see("pve1", "", 0), (Some(false), None));
        assert_eq!(
            see("pve2", "1", 10),
            (Some(true), Some(0)),
            "the first sight is no move"
        );
        assert_eq!(see("pve2", "1", 20).1, Some(0));
        assert_eq!(see("pve1", "1", 30).1, Some(1));
        assert_eq!(see("pve2", "", 40).1, Some(1), "the minority knows only how it was");
        assert_eq!(see("pve2", "1", 50).1, Some(2));
    }

    #[test]
    fn moves_are_forgotten_after_a_day() {
        let (mut moves, start) = (Moves::default(), Instant::now());
        let guest = (GuestKind::Qemu, 100);
        moves.see(guest, "pve1", start);
        moves.see(guest, "pve2", start);
        moves.forget(start + Duration::from_secs(23 * 3600));
        assert_eq!(moves.of(guest), Some(1));
        moves.forget(start + REMEMBERED);
        assert_eq!(moves.of(guest), None);
    }
}
