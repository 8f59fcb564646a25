//! `GET /nodes/{node}/lxc`: the containers of one node.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One container.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `vmid`; a string before 8.2.
    #[serde(deserialize_with = "perl::whole")]
    pub vmid: Option<u64>,
    /// `status`: `running` or `stopped`, by its process.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub status: Cow<'a, str>,
    /// `swap` in bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub swap: Option<u64>,
    /// `maxswap` in bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub maxswap: Option<u64>,
    /// `pressurecpusome`: percent of the last 10 s in which some of its tasks waited for a CPU (9.0 and later; a string).
    #[serde(deserialize_with = "perl::float")]
    pub pressurecpusome: Option<f64>,
    /// `pressurecpufull`: percent of the last 10 s in which all of its tasks waited for a CPU (9.0 and later; a string).
    #[serde(deserialize_with = "perl::float")]
    pub pressurecpufull: Option<f64>,
    /// `pressureiosome`: percent of the last 10 s in which some of its tasks waited for I/O (9.0 and later; a string).
    #[serde(deserialize_with = "perl::float")]
    pub pressureiosome: Option<f64>,
    /// `pressureiofull`: percent of the last 10 s in which all of its tasks waited for I/O (9.0 and later; a string).
    #[serde(deserialize_with = "perl::float")]
    pub pressureiofull: Option<f64>,
    /// `pressurememorysome`: percent of the last 10 s in which some of its tasks waited for memory (9.0 and later; a string).
    #[serde(deserialize_with = "perl::float")]
    pub pressurememorysome: Option<f64>,
    /// `pressurememoryfull`: percent of the last 10 s in which all of its tasks waited for memory (9.0 and later; a string).
    #[serde(deserialize_with = "perl::float")]
    pub pressurememoryfull: Option<f64>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
