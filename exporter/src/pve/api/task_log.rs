//! `GET /nodes/{node}/tasks/{upid}/log`: the lines that a task wrote.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One line. It has no `Debug`, because users may stand in it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Line<'a> {
    /// `n`: its number, from 1.
    #[serde(deserialize_with = "perl::whole")]
    pub n: Option<u64>,
    /// `t`: its text. What a task was told by a guest or by a file's name stands in it as well.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub t: Cow<'a, str>,
}

/// Gives each line to `each`; returns how many were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Line<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each).map_err(DecodeError::without_beginning)
}
