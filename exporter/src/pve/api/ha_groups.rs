//! `GET /cluster/ha/groups`, until PVE 8: the nodes that services prefer. Once PVE 9 has made rules of them it answers 500.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// A group.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `group`: its name.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub group: Cow<'a, str>,
    /// `nodes`: with priorities, such as `pve1:2,pve2`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub nodes: Cow<'a, str>,
    /// `restricted`: whether no other node will do.
    #[serde(deserialize_with = "perl::truth")]
    pub restricted: Option<bool>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
