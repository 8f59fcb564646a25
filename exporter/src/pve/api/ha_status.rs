//! `GET /cluster/ha/status/current`: the same state for people to read, and what is asked of each service.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One row. Its `status` is a sentence that differs between versions, so it is not read; most else is read from
/// [`super::ha_manager_status`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `type`: `quorum`, `master`, `fencing`, `lrm` or `service`.
    #[serde(rename = "type", borrow, deserialize_with = "perl::text")]
    pub kind: Cow<'a, str>,
    /// `sid`, of a service row: such as `vm:100`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub sid: Cow<'a, str>,
    /// `request_state`, of a service row; absent for one that is being removed from HA.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub request_state: Cow<'a, str>,
    /// `group`, of a service row; until PVE 8.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub group: Cow<'a, str>,
    /// `armed-state`, of the fencing row; PVE 9.2 and later.
    #[serde(rename = "armed-state", borrow, deserialize_with = "perl::text")]
    pub armed_state: Cow<'a, str>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
