//! `GET /access/permissions`: the token's own effective privileges, by path.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// Path to privileges; the value of a privilege says whether it propagates to the paths below.
pub type Permissions = BTreeMap<String, BTreeMap<String, Flag>>;

/// A Perl truth value.
#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Flag(#[serde(deserialize_with = "perl::truth")] pub Option<bool>);

/// Reads the body.
///
/// # Errors
/// When the body is no JSON or has no object under `data`.
pub fn decode(body: &[u8]) -> Result<Permissions, DecodeError> {
    perl::data(body)
}
