//! `GET /cluster/replication`, the configuration of the jobs, and `GET /nodes/{node}/replication`, which adds the state of
//! those whose guest is on the node.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One job.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `id`: the guest's number and the job's, such as `100-0`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub id: Cow<'a, str>,
    /// `guest`: its number.
    #[serde(deserialize_with = "perl::whole")]
    pub guest: Option<u64>,
    /// `type`: `local`.
    #[serde(rename = "type", borrow, deserialize_with = "perl::text")]
    pub kind: Cow<'a, str>,
    /// `source`: the node that it was last known to read from; absent in older versions.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub source: Cow<'a, str>,
    /// `target`: the node that it writes to.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub target: Cow<'a, str>,
    /// `schedule`: a calendar event; absent for PVE's default.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub schedule: Cow<'a, str>,
    /// `disable`.
    #[serde(deserialize_with = "perl::truth")]
    pub disable: Option<bool>,
    /// `vmtype`, of a state: `qemu` or `lxc`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub vmtype: Cow<'a, str>,
    /// `last_sync`, of a state: Unix seconds of the last success; 0 is never.
    #[serde(deserialize_with = "perl::whole")]
    pub last_sync: Option<u64>,
    /// `last_try`, of a state: Unix seconds; 0 is never.
    #[serde(deserialize_with = "perl::whole")]
    pub last_try: Option<u64>,
    /// `next_sync`, of a state: Unix seconds; 0 is never and 1 as soon as possible.
    #[serde(deserialize_with = "perl::whole")]
    pub next_sync: Option<u64>,
    /// `fail_count`, of a state: failures since the last success.
    #[serde(deserialize_with = "perl::whole")]
    pub fail_count: Option<u64>,
    /// `duration`, of a state: seconds that the last attempt took.
    #[serde(deserialize_with = "perl::float")]
    pub duration: Option<f64>,
    /// `error`, of a state: what the last attempt failed with.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub error: Cow<'a, str>,
    /// `pid`, of a state: of the process that runs the job now.
    #[serde(deserialize_with = "perl::whole")]
    pub pid: Option<u64>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
