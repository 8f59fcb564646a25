//! `POST /access/ticket`: what PVE gives for a password. It is as secret as the password, so nothing here has a `Debug`.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// The answer.
#[derive(Default, Deserialize)]
#[serde(default)]
pub struct AccessTicket<'a> {
    /// `ticket`, which requests show as a cookie.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub ticket: Cow<'a, str>,
    /// `CSRFPreventionToken`, which everything but a GET has to show as well.
    #[serde(rename = "CSRFPreventionToken", borrow, deserialize_with = "perl::text")]
    pub csrf_prevention_token: Cow<'a, str>,
    /// `NeedTFA`: the ticket is good for nothing but giving a second factor.
    #[serde(rename = "NeedTFA", deserialize_with = "perl::truth")]
    pub need_tfa: Option<bool>,
}

/// Reads the body.
///
/// # Errors
/// When the body is no JSON or has no object under `data`; the error repeats none of it.
pub fn decode(body: &[u8]) -> Result<AccessTicket<'_>, DecodeError> {
    perl::data(body).map_err(DecodeError::without_beginning)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_and_a_broken_one_is_not_repeated() {
        let answer = decode(br#"{"data":{"ticket":"PVE:a@pve:1::x","username":"a@pve","NeedTFA":1,"cap":{}}}"#);
        let answer = answer.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((&*answer.ticket, answer.need_tfa), ("PVE:a@pve:1::x", Some(true)));
        assert_eq!(answer.csrf_prevention_token, "");
        for broken in [
            r#"{"data":{"ticket":"PVE:secret"#,
            r#"{"data":"PVE:secret"}"#,
            "PVE:secret",
        ] {
            let error = decode(broken.as_bytes())
                .err()
                .map(|error| format!("{error} {error:?}"));
            assert!(error.is_some_and(|error| !error.contains("secret")));
        }
    }
}
