//! `GET /access/users?full=1`: users and their tokens. Names of persons, mail addresses and comments are read past.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// A user.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `userid`: `user@realm`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub userid: Cow<'a, str>,
    /// `enable`.
    #[serde(deserialize_with = "perl::truth")]
    pub enable: Option<bool>,
    /// `expire`: Unix seconds; 0 is never.
    #[serde(deserialize_with = "perl::whole")]
    pub expire: Option<u64>,
    /// `totp-locked`: too many wrong codes have been tried (8.0 and later).
    #[serde(rename = "totp-locked", deserialize_with = "perl::truth")]
    pub totp_locked: Option<bool>,
    /// `tfa-locked-until`: Unix seconds until which no second factor is accepted, for the same reason.
    #[serde(rename = "tfa-locked-until", deserialize_with = "perl::whole")]
    pub tfa_locked_until: Option<u64>,
    /// `tokens`.
    #[serde(borrow, deserialize_with = "perl::rows")]
    pub tokens: Vec<Option<Token<'a>>>,
}

/// A token of a user.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Token<'a> {
    /// `tokenid`: its name without the user's.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub tokenid: Cow<'a, str>,
    /// `expire`: Unix seconds; 0 is never.
    #[serde(deserialize_with = "perl::whole")]
    pub expire: Option<u64>,
}

/// Gives each user to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
