//! `GET /nodes/{node}/status`: kernel, CPU model, memory, root file system and load of one node.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// The answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct NodeStatus<'a> {
    /// `loadavg` of 1, 5 and 15 minutes; PVE sends strings.
    #[serde(deserialize_with = "perl::floats")]
    pub loadavg: Vec<f64>,
    /// `pveversion`, such as `pve-manager/9.2.11/14a22df35955d97d`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub pveversion: Cow<'a, str>,
    /// `kversion`, the only kernel text before 8.1.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub kversion: Cow<'a, str>,
    /// `current-kernel` (8.1 and later).
    #[serde(rename = "current-kernel", borrow, deserialize_with = "perl::object")]
    pub current_kernel: Kernel<'a>,
    /// `boot-info` (8.1 and later).
    #[serde(rename = "boot-info", borrow, deserialize_with = "perl::object")]
    pub boot_info: BootInfo<'a>,
    /// `cpuinfo`.
    #[serde(borrow, deserialize_with = "perl::object")]
    pub cpuinfo: CpuInfo<'a>,
    /// `memory` in bytes.
    #[serde(deserialize_with = "perl::object")]
    pub memory: Memory,
    /// `swap` in bytes.
    #[serde(deserialize_with = "perl::object")]
    pub swap: Memory,
    /// `rootfs` in bytes.
    #[serde(deserialize_with = "perl::object")]
    pub rootfs: FileSystem,
    /// `ksm`.
    #[serde(deserialize_with = "perl::object")]
    pub ksm: Ksm,
}

/// `current-kernel`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Kernel<'a> {
    /// `release`, such as `6.17.4-1-pve`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub release: Cow<'a, str>,
    /// `machine`, such as `x86_64`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub machine: Cow<'a, str>,
}

/// `boot-info`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct BootInfo<'a> {
    /// `mode`: `efi` or `legacy-bios`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub mode: Cow<'a, str>,
    /// `secureboot`; absent without EFI.
    #[serde(deserialize_with = "perl::truth")]
    pub secureboot: Option<bool>,
}

/// `cpuinfo`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct CpuInfo<'a> {
    /// `model`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub model: Cow<'a, str>,
    /// `sockets`.
    #[serde(deserialize_with = "perl::whole")]
    pub sockets: Option<u64>,
    /// `cores`: in all.
    #[serde(deserialize_with = "perl::whole")]
    pub cores: Option<u64>,
    /// `mhz` of the first CPU at the moment; PVE sends a string.
    #[serde(deserialize_with = "perl::float")]
    pub mhz: Option<f64>,
}

/// `memory` and `swap`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// `total` bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub total: Option<u64>,
    /// `used` bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub used: Option<u64>,
    /// `free` bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub free: Option<u64>,
    /// `available` bytes (9.0 and later; memory only).
    #[serde(deserialize_with = "perl::whole")]
    pub available: Option<u64>,
}

/// `rootfs`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct FileSystem {
    /// `avail`: bytes that users without privileges can still write.
    #[serde(deserialize_with = "perl::whole")]
    pub avail: Option<u64>,
}

/// `ksm`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Ksm {
    /// `shared` bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub shared: Option<u64>,
}

/// Reads the body.
///
/// # Errors
/// When the body is no JSON or has no object under `data`.
pub fn decode(body: &[u8]) -> Result<NodeStatus<'_>, DecodeError> {
    perl::data(body)
}
