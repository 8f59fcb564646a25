//! `/nodes/{node}/status`: kernel, processor and memory of one node, and its load where no better source has it.

use std::sync::Arc;

use crate::pve::api;
use crate::pve::client::{Client, Request};
use crate::pve::error::ApiError;
use crate::sources::name::SourceName;
use crate::subjects::node::{Activity, System};

/// What one node told of itself.
#[derive(Debug)]
pub struct NodeStatus {
    /// Kernel, processor, memory.
    pub system: Arc<System>,
    /// Load and swap. Its CPU shares are left out: they are 0 on a worker's first call.
    pub activity: Activity,
}

/// Reads it.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, node: &Arc<str>) -> Result<NodeStatus, ApiError> {
    let request = Request::node(node, "status", SourceName::NodeStatus.cost());
    let answer = client.get(&request).await?;
    answer.decode(&request.path, |body| Ok(convert(api::node_status::decode(body)?)))
}

fn convert(status: api::node_status::NodeStatus<'_>) -> NodeStatus {
    let api::node_status::NodeStatus {
        current_kernel,
        boot_info,
        cpuinfo,
        memory,
        swap,
        rootfs,
        ksm,
        ..
    } = status;
    let kernel = if current_kernel.release.is_empty() {
        // Before 8.1 only the text of uname is there: "Linux 5.15.30-2-pve #1 SMP ...".
        status.kversion.split_whitespace().nth(1).unwrap_or_default().to_owned()
    } else {
        current_kernel.release.into_owned()
    };
    let pve_version = status
        .pveversion
        .split('/')
        .nth(1)
        .unwrap_or(&status.pveversion)
        .to_owned();
    let mut load = status.loadavg.iter().copied();
    NodeStatus {
        activity: Activity {
            load1: load.next(),
            load5: load.next(),
            load15: load.next(),
            swap_size: swap.total,
            swap_usage: swap.used,
            ..Activity::default()
        },
        system: Arc::new(System {
            kernel,
            pve_version,
            cpu_model: cpuinfo.model.into_owned(),
            machine: current_kernel.machine.into_owned(),
            boot_mode: boot_info.mode.into_owned(),
            secure_boot: boot_info.secureboot,
            cpu_sockets: cpuinfo.sockets,
            cpu_cores: cpuinfo.cores,
            cpu_frequency: cpuinfo.mhz.map(|mhz| mhz * 1e6),
            memory_available: memory.available,
            memory_free: memory.free,
            ksm_shared: ksm.shared,
            root_available: rootfs.avail,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_known_before_8_1_as_well() {
        let body = br#"{"data":{"kversion":"Linux 5.15.30-2-pve #1 SMP PVE 5.15.30-3","pveversion":"pve-manager/7.2-3/c743d6c1","loadavg":["0.50","x","3.79"],"memory":"gone"}}"#;
        let status = convert(api::node_status::decode(body).unwrap());
        assert_eq!(status.system.kernel, "5.15.30-2-pve");
        assert_eq!(status.system.pve_version, "7.2-3");
        assert_eq!(status.activity.load1, Some(0.5));
        assert_eq!(status.system.memory_free, None);
    }
}
