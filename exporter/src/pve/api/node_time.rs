//! `GET /nodes/{node}/time`: the clock and the time zone of one node.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// The answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Time<'a> {
    /// `time` in Unix seconds, cut off to whole ones.
    #[serde(deserialize_with = "perl::float")]
    pub time: Option<f64>,
    /// `localtime`: the same as if local time were UTC.
    #[serde(deserialize_with = "perl::float")]
    pub localtime: Option<f64>,
    /// `timezone`, such as `Europe/Vienna`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub timezone: Cow<'a, str>,
}

/// Reads the body.
///
/// # Errors
/// When the body is no JSON or has no object under `data`.
pub fn decode(body: &[u8]) -> Result<Time<'_>, DecodeError> {
    perl::data(body)
}
