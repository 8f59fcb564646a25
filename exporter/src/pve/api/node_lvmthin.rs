//! `GET /nodes/{node}/disks/lvmthin`: the thin pools among what `lvs` says.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// A thin pool.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `vg`: its volume group.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub vg: Cow<'a, str>,
    /// `lv`: its name.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub lv: Cow<'a, str>,
    /// `lv_state`: `a` where it is active, `-` where it is not.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub lv_state: Cow<'a, str>,
    /// `lv_size` in bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub lv_size: Option<u64>,
    /// `used` in bytes; 0 where the pool is not active.
    #[serde(deserialize_with = "perl::whole")]
    pub used: Option<u64>,
    /// `metadata_size` in bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub metadata_size: Option<u64>,
    /// `metadata_used` in bytes; 0 where the pool is not active.
    #[serde(deserialize_with = "perl::whole")]
    pub metadata_used: Option<u64>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
