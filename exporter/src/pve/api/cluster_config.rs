//! `GET /cluster/config/nodes` and `GET /cluster/config/qdevice`: who votes in the cluster.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// A node of corosync's configuration.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `node`: its name.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub node: Cow<'a, str>,
    /// `quorum_votes`: its votes.
    #[serde(deserialize_with = "perl::whole")]
    pub quorum_votes: Option<u64>,
}

/// The QDevice, as the daemon on the node that answers tells it; all empty where none runs.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct QDevice<'a> {
    /// `State`: `Connected`, or why not.
    #[serde(rename = "State", borrow, deserialize_with = "perl::text")]
    pub state: Cow<'a, str>,
    /// `Algorithm`: `Fifty-Fifty split` or `LMS`.
    #[serde(rename = "Algorithm", borrow, deserialize_with = "perl::text")]
    pub algorithm: Cow<'a, str>,
    /// `Model`: `Net`.
    #[serde(rename = "Model", borrow, deserialize_with = "perl::text")]
    pub model: Cow<'a, str>,
    /// `QNetd host`: the machine that votes, such as `192.0.2.9:5403`.
    #[serde(rename = "QNetd host", borrow, deserialize_with = "perl::text")]
    pub host: Cow<'a, str>,
    /// `Tie-breaker`: which half goes on, such as `Node with lowest node ID`.
    #[serde(rename = "Tie-breaker", borrow, deserialize_with = "perl::text")]
    pub tie_breaker: Cow<'a, str>,
}

/// Gives each node to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn nodes<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}

/// Reads the QDevice.
///
/// # Errors
/// When the body is no JSON or has no object under `data`.
pub fn qdevice(body: &[u8]) -> Result<QDevice<'_>, DecodeError> {
    perl::data(body)
}
