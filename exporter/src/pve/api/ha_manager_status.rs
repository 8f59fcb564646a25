//! `GET /cluster/ha/status/manager_status`: what the HA manager wrote down last, and the resource manager of each node.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl::{self, Entries};

/// The answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct HaStatus<'a> {
    /// `manager_status`; empty where HA has never been used.
    #[serde(borrow, deserialize_with = "perl::object")]
    pub manager_status: Manager<'a>,
    /// `lrm_status`: the resource manager of each node, by its name.
    #[serde(borrow, deserialize_with = "perl::object")]
    pub lrm_status: Entries<ResourceManager<'a>>,
    /// `quorum`, of the node that answers.
    #[serde(deserialize_with = "perl::object")]
    pub quorum: Quorum,
}

/// What the manager wrote down.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Manager<'a> {
    /// `master_node`: where the manager is active.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub master_node: Cow<'a, str>,
    /// `timestamp` of its last round in Unix seconds.
    #[serde(deserialize_with = "perl::whole")]
    pub timestamp: Option<u64>,
    /// `node_status`: state by node.
    #[serde(deserialize_with = "perl::object")]
    pub node_status: Entries<String>,
    /// `service_status`: by service id, such as `vm:100`.
    #[serde(borrow, deserialize_with = "perl::object")]
    pub service_status: Entries<Service<'a>>,
}

/// A service: a guest that HA manages.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service<'a> {
    /// `node` that it is placed on.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub node: Cow<'a, str>,
    /// `state`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub state: Cow<'a, str>,
}

/// The local resource manager of a node. Its `results` can be many and are skipped.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResourceManager<'a> {
    /// `mode`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub mode: Cow<'a, str>,
    /// `state`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub state: Cow<'a, str>,
    /// `timestamp` of its last round in Unix seconds.
    #[serde(deserialize_with = "perl::whole")]
    pub timestamp: Option<u64>,
}

/// The quorum.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Quorum {
    /// `quorate`: `"1"` or `""`.
    #[serde(deserialize_with = "perl::truth")]
    pub quorate: Option<bool>,
}

/// Reads the body.
///
/// # Errors
/// When the body is no JSON or has no object under `data`.
pub fn decode(body: &[u8]) -> Result<HaStatus<'_>, DecodeError> {
    perl::data(body)
}
