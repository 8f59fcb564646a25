//! `GET /nodes/{node}/ceph/status`: what `ceph status` and `ceph health detail` say.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl::{self, Entries};

/// The status.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Status<'a> {
    /// `health`.
    #[serde(borrow, deserialize_with = "perl::object")]
    pub health: Health<'a>,
    /// `quorum`: the ranks of the monitors in it.
    #[serde(deserialize_with = "perl::floats")]
    pub quorum: Vec<f64>,
    /// `monmap`.
    #[serde(deserialize_with = "perl::object")]
    pub monmap: Monitors,
    /// `osdmap`.
    #[serde(deserialize_with = "perl::object")]
    pub osdmap: Osds,
    /// `pgmap`.
    #[serde(borrow, deserialize_with = "perl::object")]
    pub pgmap: PlacementGroups<'a>,
}

/// `health`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Health<'a> {
    /// `status`: `HEALTH_OK`, `HEALTH_WARN` or `HEALTH_ERR`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub status: Cow<'a, str>,
    /// `checks`, by code: those that fail.
    #[serde(borrow, deserialize_with = "perl::object")]
    pub checks: Entries<Check<'a>>,
}

/// A check that fails.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Check<'a> {
    /// `severity`, in the words of a status.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub severity: Cow<'a, str>,
    /// `muted`: it does not count.
    #[serde(deserialize_with = "perl::truth")]
    pub muted: Option<bool>,
}

/// `monmap`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Monitors {
    /// `mons`.
    #[serde(deserialize_with = "perl::rows")]
    pub mons: Vec<Option<Monitor>>,
}

/// A monitor.
#[derive(Debug, Default, Deserialize)]
pub struct Monitor {}

/// `osdmap`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Osds {
    /// `num_osds`.
    #[serde(deserialize_with = "perl::whole")]
    pub num_osds: Option<u64>,
    /// `num_up_osds`.
    #[serde(deserialize_with = "perl::whole")]
    pub num_up_osds: Option<u64>,
    /// `num_in_osds`.
    #[serde(deserialize_with = "perl::whole")]
    pub num_in_osds: Option<u64>,
}

/// `pgmap`. Of the objects that are not as they should be Ceph leaves out those of which there are none.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct PlacementGroups<'a> {
    /// `pgs_by_state`.
    #[serde(borrow, deserialize_with = "perl::rows")]
    pub pgs_by_state: Vec<Option<InState<'a>>>,
    /// `num_objects`.
    #[serde(deserialize_with = "perl::whole")]
    pub num_objects: Option<u64>,
    /// `degraded_objects`: copies that are missing.
    #[serde(default = "no_objects", deserialize_with = "perl::whole")]
    pub degraded_objects: Option<u64>,
    /// `degraded_ratio`.
    #[serde(default = "no_share", deserialize_with = "perl::float")]
    pub degraded_ratio: Option<f64>,
    /// `misplaced_objects`: copies that are elsewhere than they should be.
    #[serde(default = "no_objects", deserialize_with = "perl::whole")]
    pub misplaced_objects: Option<u64>,
    /// `misplaced_ratio`.
    #[serde(default = "no_share", deserialize_with = "perl::float")]
    pub misplaced_ratio: Option<f64>,
    /// `unfound_objects`.
    #[serde(default = "no_objects", deserialize_with = "perl::whole")]
    pub unfound_objects: Option<u64>,
    /// `bytes_total`.
    #[serde(deserialize_with = "perl::whole")]
    pub bytes_total: Option<u64>,
    /// `bytes_used`.
    #[serde(deserialize_with = "perl::whole")]
    pub bytes_used: Option<u64>,
    /// `bytes_avail`.
    #[serde(deserialize_with = "perl::whole")]
    pub bytes_avail: Option<u64>,
}

fn no_objects() -> Option<u64> {
    Some(0)
}

fn no_share() -> Option<f64> {
    Some(0.0)
}

/// How many placement groups are in a state.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct InState<'a> {
    /// `state_name`, such as `active+clean`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub state_name: Cow<'a, str>,
    /// `count`.
    #[serde(deserialize_with = "perl::whole")]
    pub count: Option<u64>,
}

/// Reads the status.
///
/// # Errors
/// When the body is no JSON or has no object under `data`.
pub fn decode(body: &[u8]) -> Result<Status<'_>, DecodeError> {
    perl::data(body)
}
