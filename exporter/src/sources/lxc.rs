//! `/nodes/{node}/lxc`: pressure and swap of the containers of one node.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::config::GuestKind;
use crate::metrics::labels::Identity;
use crate::pve::api::node_lxc::decode;
use crate::pve::budget::Cost;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::guest_memory::{GuestMemory, identity};
use crate::subjects::container::Container;
use crate::subjects::guest_pressure::{GuestPressure, Percent};

/// PVE forks two programs per container.
pub const COST: Cost = Cost::Slow;

/// The running containers of one node, each list sorted by guest.
#[derive(Debug, Default)]
pub struct NodeLxc {
    /// Their swap.
    pub containers: Arc<[Container]>,
    /// The pressure on them.
    pub pressures: Arc<[GuestPressure]>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// What is remembered from one answer to the next, their labels; one for all nodes of a cluster.
pub type Memory = GuestMemory<Identity>;

/// Reads it.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(
    client: &Client,
    node: &Arc<str>,
    cluster: &str,
    memory: &Mutex<Memory>,
    now: Instant,
) -> Result<NodeLxc, ApiError> {
    let request = Request::node(node, "lxc", COST);
    let answer = client.get(&request).await?;
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    answer.decode(&request.path, |body| convert(body, cluster, &mut memory, now))
}

/// Turns a body into subjects.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(body: &[u8], cluster: &str, memory: &mut Memory, now: Instant) -> Result<NodeLxc, DecodeError> {
    let (mut containers, mut pressures) = (Vec::new(), Vec::new());
    // A second row of one container would be a second series of one name.
    let mut seen = HashSet::new();
    let mut unusable = 0;
    let damaged = decode(body, |row| {
        let vmid = row.vmid.and_then(|vmid| u32::try_from(vmid).ok());
        let Some(vmid) = vmid.filter(|vmid| seen.insert(*vmid)) else {
            unusable += 1;
            return;
        };
        if row.status != "running" {
            return;
        }
        let guest = (GuestKind::Lxc, vmid);
        let identity = memory.seen(guest, now, || identity(cluster, guest));
        containers.push(Container {
            identity: identity.clone(),
            guest,
            swap_size: row.maxswap,
            swap_usage: row.swap,
        });
        let percent = Percent {
            cpu_some: row.pressurecpusome,
            cpu_full: row.pressurecpufull,
            io_some: row.pressureiosome,
            io_full: row.pressureiofull,
            memory_some: row.pressurememorysome,
            memory_full: row.pressurememoryfull,
        };
        if percent != Percent::default() {
            pressures.push(GuestPressure {
                identity: identity.clone(),
                guest,
                percent,
            });
        }
    })?;
    memory.forget(now);
    containers.sort_unstable_by_key(|row| row.guest);
    pressures.sort_unstable_by_key(|row| row.guest);
    Ok(NodeLxc {
        containers: containers.into(),
        pressures: pressures.into(),
        damaged_rows: damaged + unusable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(body: &[u8]) -> NodeLxc {
        convert(body, "main", &mut Memory::default(), Instant::now()).unwrap()
    }

    #[test]
    fn recorded_containers_tell_swap_and_pressure_while_they_run() {
        let bodies: [(&[u8], u32, u64); 2] = [
            (
                include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__lxc.json"),
                200,
                67_108_864,
            ),
            (
                include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve2__lxc.json"),
                210,
                536_870_912,
            ),
        ];
        for (body, vmid, swap) in bodies {
            let answer = answer(body);
            let [container] = &*answer.containers else {
                panic!("{answer:?}")
            };
            assert_eq!(container.guest, (GuestKind::Lxc, vmid));
            assert_eq!((container.swap_size, container.swap_usage), (Some(swap), Some(0)));
            assert_eq!(answer.pressures.len(), 1);
            assert_eq!(answer.pressures[0].percent.memory_full, Some(0.0));
            assert_eq!(answer.damaged_rows, 0);
        }
    }

    #[test]
    fn constructed_containers_have_pressure_from_9_0_on_and_a_text_for_vmid_before_8_2() {
        let bodies: [(&[u8], Option<f64>); 3] = [
            (include_bytes!("../../tests/fixtures/pve-7/nodes__pve1__lxc.json"), None),
            (include_bytes!("../../tests/fixtures/pve-8/nodes__pve1__lxc.json"), None),
            (
                include_bytes!("../../tests/fixtures/pve-9/nodes__pve1__lxc.json"),
                Some(0.12),
            ),
        ];
        for (body, io_some) in bodies {
            let answer = answer(body);
            let [container] = &*answer.containers else {
                panic!("{answer:?}")
            };
            assert_eq!(
                str::from_utf8(container.identity.pairs()),
                Ok(r#"pve_cluster="main",id="lxc/200""#)
            );
            assert_eq!(container.swap_size, Some(536_870_912));
            assert_eq!(answer.pressures.first().and_then(|row| row.percent.io_some), io_some);
            assert_eq!(answer.damaged_rows, 0);
        }
    }

    #[test]
    fn damaged_rows_cost_only_themselves() {
        let answer = answer(
            br#"{"data":[{"vmid":201,"status":"running","swap":"x","pressureiofull":"1.50"},null,{"vmid":-1,"status":"running"},
                {"vmid":200,"status":"running","swap":"12","maxswap":{}},{"vmid":201,"status":"running"}]}"#,
        );
        let swap: Vec<_> = answer
            .containers
            .iter()
            .map(|row| (row.guest.1, row.swap_size, row.swap_usage))
            .collect();
        assert_eq!(swap, [(200, None, Some(12)), (201, None, None)]);
        assert_eq!(answer.pressures[0].percent.io_full, Some(1.5));
        assert_eq!(answer.damaged_rows, 3);
    }
}
