//! `GET /nodes/{node}/disks/lvm`: what `vgs` says, as a tree of two levels.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// A volume group.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `name`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub name: Cow<'a, str>,
    /// `size` in bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub size: Option<u64>,
    /// `free` in bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub free: Option<u64>,
    /// `lvcount`.
    #[serde(deserialize_with = "perl::whole")]
    pub lvcount: Option<u64>,
    /// `children`: the physical volumes.
    #[serde(borrow, deserialize_with = "perl::rows")]
    pub children: Vec<Option<PhysicalVolume<'a>>>,
}

/// A physical volume.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PhysicalVolume<'a> {
    /// `name`: its device, or `[unknown]` where that is missing.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub name: Cow<'a, str>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `children`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data", "children"], each)
}
