//! `GET /nodes/{node}/netstat`: the network interfaces of the guests that run on one node, as its kernel counts them.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One interface. PVE sends all of it as strings.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `vmid` of the guest.
    #[serde(deserialize_with = "perl::whole")]
    pub vmid: Option<u64>,
    /// `dev`: the interface in the guest's configuration, such as `net0`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub dev: Cow<'a, str>,
    /// `in`: bytes to the guest.
    #[serde(rename = "in", deserialize_with = "perl::whole")]
    pub received: Option<u64>,
    /// `out`: bytes from the guest.
    #[serde(rename = "out", deserialize_with = "perl::whole")]
    pub transmitted: Option<u64>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
