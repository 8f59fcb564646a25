//! `get-fsinfo`.

use std::borrow::Cow;

use serde::Deserialize;

use super::{MOST_ROWS, exact, rows};
use crate::pve::api::agent::text::clean;
use crate::pve::error::DecodeError;
use crate::pve::perl;

/// A mounted file system.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileSystem {
    /// `mountpoint`, such as `/` or `C:\`. A Windows volume without one is `System Reserved`.
    pub mountpoint: Box<str>,
    /// `name` of its device, such as `sda1` or `dm-0`; of a Windows volume its GUID path.
    pub device: Box<str>,
    /// `type`, such as `ext4` or `NTFS`.
    pub kind: Box<str>,
    /// `total-bytes`: what is used and what users may still use.
    pub total: Option<u64>,
    /// `total-bytes-privileged`: the same with what is kept for root; older agents and Windows do not tell it.
    pub total_privileged: Option<u64>,
    /// `used-bytes`.
    pub used: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Row<'a> {
    #[serde(borrow, deserialize_with = "perl::text")]
    mountpoint: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "perl::text")]
    name: Cow<'a, str>,
    #[serde(rename = "type", borrow, deserialize_with = "perl::text")]
    kind: Cow<'a, str>,
    #[serde(deserialize_with = "exact")]
    total_bytes: Option<u64>,
    #[serde(deserialize_with = "exact")]
    total_bytes_privileged: Option<u64>,
    #[serde(deserialize_with = "exact")]
    used_bytes: Option<u64>,
}

pub(super) fn read(result: &str) -> Result<Vec<FileSystem>, DecodeError> {
    let mut file_systems = Vec::new();
    rows(result, |row: Row<'_>| {
        if file_systems.len() < MOST_ROWS {
            file_systems.push(FileSystem {
                mountpoint: clean(&row.mountpoint),
                device: clean(&row.name),
                kind: clean(&row.kind),
                total: row.total_bytes,
                total_privileged: row.total_bytes_privileged,
                used: row.used_bytes,
            });
        }
    })?;
    Ok(file_systems)
}
