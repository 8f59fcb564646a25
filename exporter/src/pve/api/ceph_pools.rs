//! `GET /nodes/{node}/ceph/pool`: the pools of Ceph.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// A pool.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `pool_name`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub pool_name: Cow<'a, str>,
    /// `size`: copies, or chunks of an erasure-coded pool.
    #[serde(deserialize_with = "perl::whole")]
    pub size: Option<u64>,
    /// `min_size`: with fewer of them it takes no writes.
    #[serde(deserialize_with = "perl::whole")]
    pub min_size: Option<u64>,
    /// `pg_num`.
    #[serde(deserialize_with = "perl::whole")]
    pub pg_num: Option<u64>,
    /// `bytes_used`, all copies together.
    #[serde(deserialize_with = "perl::whole")]
    pub bytes_used: Option<u64>,
    /// `percent_used`, which is a share from 0 to 1.
    #[serde(deserialize_with = "perl::float")]
    pub percent_used: Option<f64>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
