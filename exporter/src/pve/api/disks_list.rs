//! `GET /nodes/{node}/disks/list`: the disks of one node.
//!
//! PVE runs `smartctl` for each disk, which wakes one that sleeps, unless it is asked with `skipsmart=1` (since PVE 5). Then
//! `health` is `UNKNOWN` and `wearout` `N/A`, just as where a disk does not tell, and neither is read.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One disk.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `devpath`, such as `/dev/sda`, `/dev/nvme0n1` or `/dev/cciss/c0d0`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub devpath: Cow<'a, str>,
    /// `type`: `hdd`, `ssd`, `nvme` or `usb`; `unknown` for what rotates at a speed that udev does not know, which is how disks
    /// at SAS and those of virtual machines look.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub r#type: Cow<'a, str>,
    /// `vendor`, which is `ATA` for most disks at SATA; with trailing blanks.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub vendor: Cow<'a, str>,
    /// `model`; `unknown` where it is not known.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub model: Cow<'a, str>,
    /// `serial`; `unknown` where it is not known.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub serial: Cow<'a, str>,
    /// `wwn`; `unknown` where it is not known.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub wwn: Cow<'a, str>,
    /// `size` in bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub size: Option<u64>,
    /// `rpm`: rotations per minute; 0 for what does not rotate, -1 where it is not known.
    #[serde(deserialize_with = "perl::float")]
    pub rpm: Option<f64>,
    /// `used`: what the disk or its first partition in use is used for, such as `LVM`, `ZFS`, `mounted`, `partitions` or a file
    /// system. Absent for an unused one.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub used: Cow<'a, str>,
    /// `osdid`: the newest of the Ceph OSDs on it, else -1. A string where it comes from LVM.
    #[serde(deserialize_with = "perl::whole")]
    pub osdid: Option<u64>,
    /// `osdid-list`: all Ceph OSDs on it, else null (8.1 and later).
    #[serde(rename = "osdid-list", deserialize_with = "perl::floats")]
    pub osdid_list: Vec<f64>,
}

/// Gives each disk to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
