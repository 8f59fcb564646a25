//! `GET /nodes/{node}/subscription`: the subscription of one node. The key and the server's id in it are not read.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// The answer. Without `Sys.Audit` only the status is in it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Subscription<'a> {
    /// `status`: `new`, `notfound`, `active`, `invalid`, `expired` or `suspended`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub status: Cow<'a, str>,
    /// `level`: `c`, `b`, `s` or `p`; only while it is active.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub level: Cow<'a, str>,
    /// `productname`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub productname: Cow<'a, str>,
    /// `sockets` of the host.
    #[serde(deserialize_with = "perl::whole")]
    pub sockets: Option<u64>,
    /// `nextduedate`, such as `2027-03-31`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub nextduedate: Cow<'a, str>,
}

/// Reads the body, of which no error shows anything.
///
/// # Errors
/// When the body is no JSON or has no object under `data`.
pub fn decode(body: &[u8]) -> Result<Subscription<'_>, DecodeError> {
    perl::data(body).map_err(DecodeError::without_beginning)
}
