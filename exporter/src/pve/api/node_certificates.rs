//! `GET /nodes/{node}/certificates/info`: the certificates of one node. Names and keys in them are not read.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One certificate.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `filename`: `pve-root-ca.pem`, `pve-ssl.pem` or `pveproxy-ssl.pem`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub filename: Cow<'a, str>,
    /// `notbefore` in Unix seconds.
    #[serde(deserialize_with = "perl::whole")]
    pub notbefore: Option<u64>,
    /// `notafter` in Unix seconds.
    #[serde(deserialize_with = "perl::whole")]
    pub notafter: Option<u64>,
}

/// Gives each certificate to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
