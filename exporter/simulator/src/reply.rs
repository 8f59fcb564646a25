//! Answers, and the ways in which PVE says no.

use bytes::Bytes;

use crate::{Version, json::Json, json::Numbers};

/// An answer before it is damaged and sent.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) reason: Option<String>,
    pub(crate) is_json: bool,
    /// The body, in pieces that are sent one after the other.
    pub(crate) body: Vec<Bytes>,
}

/// Why a call is refused by its handler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) reason: String,
    /// What is wrong with which parameter.
    pub(crate) parameters: Vec<(String, String)>,
}

impl Refusal {
    pub(crate) fn new(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: reason.into(),
            parameters: Vec::new(),
        }
    }

    pub(crate) fn parameter(name: &str, problem: impl Into<String>) -> Self {
        let parameters = vec![(name.to_owned(), problem.into())];
        Self {
            status: 400,
            reason: "Parameter verification failed.".to_owned(),
            parameters,
        }
    }

    pub(crate) fn permission(path: &str, privilege: &str) -> Self {
        Self::new(403, format!("Permission check failed ({path}, {privilege})"))
    }

    pub(crate) fn not_implemented(method: &str, path: &str) -> Self {
        Self::new(501, format!("Method '{method} {path}' not implemented"))
    }
}

impl Reply {
    pub(crate) fn json(body: Vec<Bytes>) -> Self {
        Self {
            status: 200,
            reason: None,
            is_json: true,
            body,
        }
    }

    /// An error without a body: the status line is all there is.
    pub(crate) fn bare(status: u16, reason: impl Into<String>) -> Self {
        Self {
            status,
            reason: Some(reason.into()),
            is_json: false,
            body: Vec::new(),
        }
    }

    /// An error with PVE's JSON body, in which older versions leave out the message.
    pub(crate) fn refusal(refusal: &Refusal, version: Version) -> Self {
        let mut json = Json::new(Numbers::Plain, false);
        json.begin_object();
        json.key("data");
        json.null();
        if version.has_error_message() {
            // The 501 of an unknown path is the one message that ends without a new line.
            let end = if refusal.status == 501 { "" } else { "\n" };
            json.string_field("message", &format!("{}{end}", refusal.reason));
        }
        if !refusal.parameters.is_empty() {
            json.key("errors");
            json.begin_object();
            for (name, problem) in &refusal.parameters {
                json.string_field(name, problem);
            }
            json.end_object();
        }
        json.end_object();
        Self {
            status: refusal.status,
            reason: Some(refusal.reason.clone()),
            is_json: true,
            body: vec![Bytes::from(json.finish())],
        }
    }
}
