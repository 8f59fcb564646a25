//! `GET /cluster/tasks` and `GET /nodes/{node}/tasks`: running and finished tasks.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One task. Its node, type, id and start stand in the UPID as well and are read from there. It has no `Debug`, because the UPID
/// names a user.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `upid`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub upid: Cow<'a, str>,
    /// `endtime` in Unix seconds of the node's clock; absent while the task runs.
    #[serde(deserialize_with = "perl::whole")]
    pub endtime: Option<u64>,
    /// `status`: how the task ended, in words; while it runs, absent or `RUNNING`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub status: Cow<'a, str>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each).map_err(DecodeError::without_beginning)
}
