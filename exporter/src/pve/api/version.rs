//! `GET /version`: the version of the node that answers.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// The answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Version<'a> {
    /// `release`, such as `9.2`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub release: Cow<'a, str>,
    /// `version`, such as `9.2.11`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub version: Cow<'a, str>,
    /// `repoid`, the commit that it was built from.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub repoid: Cow<'a, str>,
}

/// Reads the body.
///
/// # Errors
/// When the body is no JSON or has no object under `data`.
pub fn decode(body: &[u8]) -> Result<Version<'_>, DecodeError> {
    perl::data(body)
}
