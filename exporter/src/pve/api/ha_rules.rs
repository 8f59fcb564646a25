//! `GET /cluster/ha/rules`, PVE 9.0 and later: where services may run, and which of them together.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// A rule.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `rule`: its name.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub rule: Cow<'a, str>,
    /// `type`: `node-affinity` or `resource-affinity`.
    #[serde(rename = "type", borrow, deserialize_with = "perl::text")]
    pub kind: Cow<'a, str>,
    /// `resources`: the services, such as `vm:100,ct:101`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub resources: Cow<'a, str>,
    /// `nodes`, of node affinity: with priorities, such as `pve1:2,pve2`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub nodes: Cow<'a, str>,
    /// `strict`, of node affinity: whether no other node will do.
    #[serde(deserialize_with = "perl::truth")]
    pub strict: Option<bool>,
    /// `affinity`, of resource affinity: `positive` for one node, `negative` for different ones.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub affinity: Cow<'a, str>,
    /// `disable`: absent where it is in force.
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
