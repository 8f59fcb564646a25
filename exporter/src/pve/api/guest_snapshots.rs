//! `GET /nodes/{node}/{qemu|lxc}/{vmid}/snapshot`: the snapshots of a guest.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// The name of the row that stands for the guest as it is now.
pub const CURRENT: &str = "current";

/// One snapshot, or the guest as it is now.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `name`; [`CURRENT`] is no snapshot.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub name: Cow<'a, str>,
    /// `snaptime`: when it was taken, in Unix seconds.
    #[serde(deserialize_with = "perl::whole")]
    pub snaptime: Option<u64>,
    /// `vmstate`: it holds the memory of the machine; containers do not have the key.
    #[serde(deserialize_with = "perl::truth")]
    pub vmstate: Option<bool>,
    /// `parent`: the snapshot before it.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub parent: Cow<'a, str>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each).map_err(DecodeError::without_beginning)
}
