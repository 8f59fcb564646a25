//! `/nodes/{node}/netstat`: the network interfaces of the guests that run on one node.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::config::GuestKind;
use crate::pve::api::node_netstat::decode;
use crate::pve::budget::Cost;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::counters::Run;
use crate::sources::devices::Devices;
use crate::sources::guest_memory::{GuestMemory, device_identity};
use crate::subjects::guest_interface::GuestInterface;

/// PVE reads one file.
pub const COST: Cost = Cost::Cheap;

/// The interfaces on one node.
#[derive(Debug, Default)]
pub struct Netstat {
    /// Sorted by guest and name.
    pub interfaces: Arc<[GuestInterface]>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// What another source knows of a guest, since the answer holds only its number.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its kind.
    pub kind: GuestKind,
    /// The node that holds it.
    pub node: Arc<str>,
    /// Seconds since it started.
    pub uptime: Option<u64>,
}

/// What is remembered from one answer to the next; one for all nodes of a cluster.
pub type Memory = GuestMemory<Remembered>;

/// What is remembered of a guest.
#[derive(Debug, Default)]
pub struct Remembered {
    run: Run,
    interfaces: Devices<2>,
}

/// Reads it. Guests that `known` does not know, or knows on another node, have no rows: while a guest migrates, its
/// interfaces are there on both.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(
    client: &Client,
    node: &Arc<str>,
    cluster: &str,
    known: impl Fn(u32) -> Option<Known>,
    memory: &Mutex<Memory>,
    now: Instant,
) -> Result<Netstat, ApiError> {
    let request = Request::node(node, "netstat", COST);
    let answer = client.get(&request).await?;
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    answer.decode(&request.path, |body| {
        convert(body, node, cluster, known, &mut memory, now)
    })
}

/// Turns a body into subjects; `known` as in [`fetch`].
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(
    body: &[u8],
    node: &Arc<str>,
    cluster: &str,
    known: impl Fn(u32) -> Option<Known>,
    memory: &mut Memory,
    now: Instant,
) -> Result<Netstat, DecodeError> {
    let mut guests: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    let mut unusable = 0;
    let damaged = decode(body, |row| {
        let vmid = row.vmid.and_then(|vmid| u32::try_from(vmid).ok());
        match vmid.filter(|_| !row.dev.is_empty()) {
            Some(vmid) => guests
                .entry(vmid)
                .or_default()
                .push((row.dev, [row.received, row.transmitted])),
            None => unusable += 1,
        }
    })?;
    let mut interfaces = Vec::new();
    for (vmid, readings) in guests {
        let Some(known) = known(vmid).filter(|known| known.node == *node) else {
            continue;
        };
        let guest = (known.kind, vmid);
        let remembered = memory.seen(guest, now, Remembered::default);
        if !remembered.run.continues(node, known.uptime) {
            remembered.interfaces = Devices::default();
        }
        remembered.interfaces.read(
            readings,
            |name| device_identity(cluster, guest, "interface", name),
            |identity, [receive, transmit]| {
                interfaces.push(GuestInterface {
                    identity: identity.clone(),
                    guest,
                    receive,
                    transmit,
                });
            },
        );
    }
    memory.forget(now);
    // Stable: the interfaces of a guest are sorted by name.
    interfaces.sort_by_key(|row| row.guest);
    Ok(Netstat {
        interfaces: interfaces.into(),
        damaged_rows: damaged + unusable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the cluster knows: virtual machines below 200, containers above, and nothing of 999.
    fn known(node: &str, uptime: u64) -> impl Fn(u32) -> Option<Known> {
        move |vmid| {
            (vmid != 999).then(|| Known {
                kind: if vmid < 200 { GuestKind::Qemu } else { GuestKind::Lxc },
                node: node.into(),
                uptime: Some(uptime),
            })
        }
    }

    fn answer(body: &[u8]) -> Netstat {
        let mut memory = Memory::default();
        convert(
            body,
            &"pve1".into(),
            "main",
            known("pve1", 60),
            &mut memory,
            Instant::now(),
        )
        .unwrap()
    }

    fn rows(netstat: &Netstat) -> Vec<(&str, Option<u64>, Option<u64>)> {
        let rows = netstat.interfaces.iter();
        rows.map(|row| (str::from_utf8(row.identity.pairs()).unwrap(), row.receive, row.transmit))
            .collect()
    }

    #[test]
    fn recorded_interfaces_belong_to_guests_of_both_kinds() {
        let recorded = answer(include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__netstat.json"));
        assert_eq!(
            rows(&recorded),
            [
                (
                    r#"pve_cluster="main",id="qemu/100",interface="net0""#,
                    Some(48258),
                    Some(936)
                ),
                (r#"pve_cluster="main",id="lxc/200",interface="net0""#, Some(0), Some(0)),
            ]
        );
        assert_eq!(recorded.damaged_rows, 0);
        let other = answer(include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve2__netstat.json"));
        assert_eq!(other.interfaces.len(), 2);
    }

    #[test]
    fn constructed_interfaces_are_those_of_all_versions() {
        let netstat = answer(include_bytes!("../../tests/fixtures/pve-9/nodes__pve1__netstat.json"));
        let bytes: Vec<_> = rows(&netstat)
            .into_iter()
            .map(|(_, receive, _)| receive.unwrap())
            .collect();
        assert_eq!(bytes, [91_823_740_000, 6123, 812_345_678]);
    }

    #[test]
    fn damaged_and_unknown_rows_cost_only_themselves() {
        let netstat = answer(
            br#"{"data":[{"vmid":"100","dev":"net0","in":"x","out":"7"},{"vmid":"100","dev":"net0","in":"1"},{"vmid":"101","dev":"a b"},
                {"vmid":"101"},{"dev":"net0"},3,{"vmid":"999","dev":"net0","in":"1","out":"1"}]}"#,
        );
        assert_eq!(
            rows(&netstat),
            [(r#"pve_cluster="main",id="qemu/100",interface="net0""#, None, Some(7))]
        );
        assert_eq!(netstat.damaged_rows, 3);
    }

    #[test]
    fn counters_fall_only_when_the_guest_restarts_or_migrates() {
        let mut memory = Memory::default();
        let mut received = |asked: &str, at: &str, uptime, bytes: u64| {
            let body = format!(r#"{{"data":[{{"vmid":"100","dev":"net0","in":"{bytes}","out":"0"}}]}}"#);
            let known = known(at, uptime);
            convert(
                body.as_bytes(),
                &asked.into(),
                "main",
                known,
                &mut memory,
                Instant::now(),
            )
            .unwrap()
            .interfaces
            .first()
            .and_then(|row| row.receive)
        };
        assert_eq!(received("pve1", "pve1", 60, 100), Some(100));
        assert_eq!(received("pve1", "pve1", 70, 0), None, "a hiccup");
        assert_eq!(received("pve1", "pve1", 70, 110), Some(110));
        assert_eq!(received("pve2", "pve1", 80, 5), None, "it only prepares to come here");
        assert_eq!(received("pve1", "pve1", 80, 120), Some(120));
        assert_eq!(received("pve2", "pve2", 10, 6), Some(6), "it has come");
        assert_eq!(received("pve2", "pve2", 3, 1), Some(1), "restarted");
    }
}
