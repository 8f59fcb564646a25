//! `GET /nodes/{node}/{qemu|lxc}/{vmid}/pending`: a guest's configuration, and which of its keys are about to change.
//!
//! The values hold descriptions, start arguments and the like: no error of this module repeats any of them.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One key of the configuration.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `key`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub key: Cow<'a, str>,
    /// `value` in use, a string or a number; empty for a key that is only about to be set.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub value: Cow<'a, str>,
    /// `pending`: there is a value to come. What it is does not matter.
    pub pending: Option<IgnoredAny>,
    /// `delete`: the key is about to go; 2 when it is forced.
    #[serde(deserialize_with = "perl::truth")]
    pub delete: Option<bool>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each).map_err(DecodeError::without_beginning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_does_not_repeat_the_body() {
        let error = decode(br#"{"data":[{"key":"args","value":"geheim"}"#, |_| ()).unwrap_err();
        assert!(!error.to_string().contains("geheim"), "{error}");
        assert!(!error.to_string().contains("args"), "{error}");
    }
}
