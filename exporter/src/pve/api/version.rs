//! `GET /version`: the version of the node that answers.

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// The answer.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Version {
    /// `release`, such as `9.2`.
    pub release: String,
    /// `version`, such as `9.2.11`.
    pub version: String,
    /// `repoid`, the commit that it was built from.
    pub repoid: String,
}

/// Reads the body.
///
/// # Errors
/// When the body is no JSON or has no object under `data`.
pub fn decode(body: &[u8]) -> Result<Version, DecodeError> {
    perl::data(body)
}
