//! `GET /nodes/{node}/qemu?full=1`: the virtual machines of one node, with what QEMU's monitor tells of them.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One virtual machine. What comes from QEMU's monitor is absent when that did not answer in time.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `vmid`.
    #[serde(deserialize_with = "perl::whole")]
    pub vmid: Option<u64>,
    /// `status`: `running` or `stopped`, by its process.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub status: Cow<'a, str>,
    /// `uptime` in seconds; 0 when stopped.
    #[serde(deserialize_with = "perl::whole")]
    pub uptime: Option<u64>,
    /// `pressurecpusome`: percent of the last 10 s in which some of its tasks waited for a CPU (9.0 and later).
    #[serde(deserialize_with = "perl::float")]
    pub pressurecpusome: Option<f64>,
    /// `pressurecpufull`: percent of the last 10 s in which all of its tasks waited for a CPU (9.0 and later).
    #[serde(deserialize_with = "perl::float")]
    pub pressurecpufull: Option<f64>,
    /// `pressureiosome`: percent of the last 10 s in which some of its tasks waited for I/O (9.0 and later).
    #[serde(deserialize_with = "perl::float")]
    pub pressureiosome: Option<f64>,
    /// `pressureiofull`: percent of the last 10 s in which all of its tasks waited for I/O (9.0 and later).
    #[serde(deserialize_with = "perl::float")]
    pub pressureiofull: Option<f64>,
    /// `pressurememorysome`: percent of the last 10 s in which some of its tasks waited for memory (9.0 and later).
    #[serde(deserialize_with = "perl::float")]
    pub pressurememorysome: Option<f64>,
    /// `pressurememoryfull`: percent of the last 10 s in which all of its tasks waited for memory (9.0 and later).
    #[serde(deserialize_with = "perl::float")]
    pub pressurememoryfull: Option<f64>,
    /// `running-qemu`: the version of QEMU that runs it, such as `11.0.0`, or `unknown`.
    #[serde(rename = "running-qemu", borrow, deserialize_with = "perl::text")]
    pub running_qemu: Cow<'a, str>,
    /// `running-machine`: the machine type, such as `pc-q35-11.0+pve1`.
    #[serde(rename = "running-machine", borrow, deserialize_with = "perl::text")]
    pub running_machine: Cow<'a, str>,
    /// `balloon`: bytes of memory that the balloon leaves the guest.
    #[serde(deserialize_with = "perl::whole")]
    pub balloon: Option<u64>,
    /// `ballooninfo`.
    #[serde(deserialize_with = "perl::object")]
    pub ballooninfo: BalloonInfo,
    /// `blockstat`: the drives by name, such as `scsi0`.
    #[serde(borrow, deserialize_with = "perl::entries")]
    pub blockstat: perl::EntryList<'a, BlockStat>,
}

/// `ballooninfo`. All but `actual` is told by the guest's balloon driver, and absent where that does not.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct BalloonInfo {
    /// `actual` bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub actual: Option<u64>,
    /// `total_mem` bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub total_mem: Option<u64>,
    /// `free_mem` bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub free_mem: Option<u64>,
    /// `mem_swapped_in` bytes since the guest booted.
    #[serde(deserialize_with = "perl::whole")]
    pub mem_swapped_in: Option<u64>,
    /// `mem_swapped_out` bytes since the guest booted.
    #[serde(deserialize_with = "perl::whole")]
    pub mem_swapped_out: Option<u64>,
    /// `major_page_faults` since the guest booted.
    #[serde(deserialize_with = "perl::whole")]
    pub major_page_faults: Option<u64>,
    /// `minor_page_faults` since the guest booted.
    #[serde(deserialize_with = "perl::whole")]
    pub minor_page_faults: Option<u64>,
    /// `last_update` in Unix seconds of the host; 0 before the first.
    #[serde(deserialize_with = "perl::whole")]
    pub last_update: Option<u64>,
}

/// An entry of `blockstat`: counters since QEMU opened the drive.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct BlockStat {
    /// `rd_bytes`.
    #[serde(deserialize_with = "perl::whole")]
    pub rd_bytes: Option<u64>,
    /// `wr_bytes`.
    #[serde(deserialize_with = "perl::whole")]
    pub wr_bytes: Option<u64>,
    /// `rd_operations`.
    #[serde(deserialize_with = "perl::whole")]
    pub rd_operations: Option<u64>,
    /// `wr_operations`.
    #[serde(deserialize_with = "perl::whole")]
    pub wr_operations: Option<u64>,
    /// `flush_operations`.
    #[serde(deserialize_with = "perl::whole")]
    pub flush_operations: Option<u64>,
    /// `rd_total_time_ns`.
    #[serde(deserialize_with = "perl::whole")]
    pub rd_total_time_ns: Option<u64>,
    /// `wr_total_time_ns`.
    #[serde(deserialize_with = "perl::whole")]
    pub wr_total_time_ns: Option<u64>,
    /// `flush_total_time_ns`.
    #[serde(deserialize_with = "perl::whole")]
    pub flush_total_time_ns: Option<u64>,
    /// `failed_rd_operations`.
    #[serde(deserialize_with = "perl::whole")]
    pub failed_rd_operations: Option<u64>,
    /// `failed_wr_operations`.
    #[serde(deserialize_with = "perl::whole")]
    pub failed_wr_operations: Option<u64>,
    /// `failed_flush_operations`.
    #[serde(deserialize_with = "perl::whole")]
    pub failed_flush_operations: Option<u64>,
    /// `failed_unmap_operations`.
    #[serde(deserialize_with = "perl::whole")]
    pub failed_unmap_operations: Option<u64>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
