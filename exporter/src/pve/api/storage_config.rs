//! `GET /storage`: the storages as they are configured, those that the token may see.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// A storage.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `storage`: its name.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub storage: Cow<'a, str>,
    /// `disable`: absent where it is enabled.
    #[serde(deserialize_with = "perl::truth")]
    pub disable: Option<bool>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
