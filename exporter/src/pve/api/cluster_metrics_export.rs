//! `GET /cluster/metrics/export` (PVE 8.3 and later): the newest pvestatd sample of every node, with its time.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One figure.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `id`: `node/pve1`, `qemu/100`, `lxc/200`, `storage/pve1/local`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub id: Cow<'a, str>,
    /// `metric`, such as `cpu_avg1`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub metric: Cow<'a, str>,
    /// `timestamp` of the sample in Unix seconds; 0 in a generation that failed.
    #[serde(deserialize_with = "perl::whole")]
    pub timestamp: Option<u64>,
    /// `value`.
    #[serde(deserialize_with = "perl::float")]
    pub value: Option<f64>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.`data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data", "data"], each)
}
