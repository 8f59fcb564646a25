//! `GET /nodes/{node}/services`: what systemd says of a fixed list of services of one node.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One service.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `service`: its name without `.service`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub service: Cow<'a, str>,
    /// `state`: systemd's SubState, or of a unit that runs once and has ended its result, such as `success`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub state: Cow<'a, str>,
    /// `active-state`: systemd's ActiveState (7.0 and later).
    #[serde(rename = "active-state", borrow, deserialize_with = "perl::text")]
    pub active_state: Cow<'a, str>,
    /// `unit-state`: systemd's UnitFileState, or `not-found` for one that is not installed (7.0 and later).
    #[serde(rename = "unit-state", borrow, deserialize_with = "perl::text")]
    pub unit_state: Cow<'a, str>,
}

/// Gives each service to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
