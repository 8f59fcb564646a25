//! `GET /nodes/{node}/disks/zfs`: what `zpool list` says. Perl makes numbers of its columns, and 0 of a column without a value.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// A pool.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `name`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub name: Cow<'a, str>,
    /// `health`: `ONLINE`, `DEGRADED` and so on.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub health: Cow<'a, str>,
    /// `size` in bytes; 0 where the pool cannot be opened.
    #[serde(deserialize_with = "perl::whole")]
    pub size: Option<u64>,
    /// `alloc` in bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub alloc: Option<u64>,
    /// `free` in bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub free: Option<u64>,
    /// `frag` in percent.
    #[serde(deserialize_with = "perl::float")]
    pub frag: Option<f64>,
    /// `dedup`: 1 where nothing is stored twice.
    #[serde(deserialize_with = "perl::float")]
    pub dedup: Option<f64>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
