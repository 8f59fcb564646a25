//! `GET /cluster/metrics/server`: the servers that PVE itself sends figures to.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// A server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `id`: its name.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub id: Cow<'a, str>,
    /// `disable`: absent where it is in use.
    #[serde(deserialize_with = "perl::truth")]
    pub disable: Option<bool>,
}

/// Gives each server to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
