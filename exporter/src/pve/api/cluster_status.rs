//! `GET /cluster/status`: corosync's view from the node that answers.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One row: the cluster (absent on a standalone node) or a node.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `type`: `cluster` or `node`.
    #[serde(rename = "type", borrow, deserialize_with = "perl::text")]
    pub kind: Cow<'a, str>,
    /// `name` of the cluster or node.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub name: Cow<'a, str>,
    /// `quorate`, of the cluster row.
    #[serde(deserialize_with = "perl::truth")]
    pub quorate: Option<bool>,
    /// `nodes`, of the cluster row: how many are configured.
    #[serde(deserialize_with = "perl::whole")]
    pub nodes: Option<u64>,
    /// `version`, of the cluster row: of the corosync configuration.
    #[serde(deserialize_with = "perl::whole")]
    pub version: Option<u64>,
    /// `nodeid`, of a node row; 0 on a standalone node.
    #[serde(deserialize_with = "perl::whole")]
    pub nodeid: Option<u64>,
    /// `ip`, of a node row: its address in the cluster network.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub ip: Cow<'a, str>,
    /// `level`, of a node row: its subscription's; empty without one.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub level: Cow<'a, str>,
    /// `local`, of a node row: this node answered.
    #[serde(deserialize_with = "perl::truth")]
    pub local: Option<bool>,
    /// `online`, of a node row.
    #[serde(deserialize_with = "perl::truth")]
    pub online: Option<bool>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
