//! `GET /cluster/firewall/options` and `GET /nodes/{node}/firewall/options`: whether the firewall is on.

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// The options that are set; what is not set has PVE's default.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Options {
    /// `enable`: 0 is off.
    #[serde(deserialize_with = "perl::whole")]
    pub enable: Option<u64>,
}

/// Reads them.
///
/// # Errors
/// When the body is no JSON or has no object under `data`.
pub fn decode(body: &[u8]) -> Result<Options, DecodeError> {
    perl::data(body)
}
