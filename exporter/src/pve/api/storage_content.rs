//! `GET /nodes/{node}/storage/{storage}/content`: the volumes of a storage, of which only backups are read.
//!
//! PVE leaves out each backup that the token may not restore: without Datastore.Allocate on the storage, or
//! Datastore.AllocateSpace there and VM.Backup on the guest, the list is empty and the status is 200.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One volume.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `volid`, such as `pbs:backup/vm/100/2026-08-15T12:00:02Z`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub volid: Cow<'a, str>,
    /// `content`: `backup` for a backup.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub content: Cow<'a, str>,
    /// `format`, such as `vma.zst`, `tar.zst`, `pbs-vm` or `pbs-ct`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub format: Cow<'a, str>,
    /// `vmid` of the guest, where PVE can read it from the volume's name.
    #[serde(deserialize_with = "perl::whole")]
    pub vmid: Option<u64>,
    /// `subtype`: `qemu` or `lxc`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub subtype: Cow<'a, str>,
    /// `size` in bytes; of a backup on a Proxmox Backup Server before deduplication.
    #[serde(deserialize_with = "perl::whole")]
    pub size: Option<u64>,
    /// `ctime`: when the backup began, in Unix seconds.
    #[serde(deserialize_with = "perl::whole")]
    pub ctime: Option<u64>,
    /// `protected`: it is not pruned. Absent when it is not.
    #[serde(deserialize_with = "perl::truth")]
    pub protected: Option<bool>,
    /// `encrypted`: the key's fingerprint or 1. Absent when it is not.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub encrypted: Cow<'a, str>,
    /// `verification`, of a backup on a Proxmox Backup Server that has been verified.
    #[serde(borrow, deserialize_with = "perl::object")]
    pub verification: Verification<'a>,
}

/// `verification`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Verification<'a> {
    /// `state`: `ok` or `failed`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub state: Cow<'a, str>,
}

/// Gives each volume to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
