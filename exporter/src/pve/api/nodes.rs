//! `GET /nodes`: read only for the certificate fingerprints, which it gives for every node.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

#[derive(Default, Deserialize)]
#[serde(default)]
struct Node<'a> {
    #[serde(borrow, deserialize_with = "perl::text")]
    node: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "perl::text")]
    ssl_fingerprint: Cow<'a, str>,
}

/// Reads the SHA-256 fingerprints, `AA:BB:...`, of the nodes that have one, by the nodes' names.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn fingerprints(body: &[u8]) -> Result<Vec<(String, String)>, DecodeError> {
    let mut fingerprints = Vec::new();
    perl::for_each_row(body, &["data"], |node: Node<'_>| {
        if !node.ssl_fingerprint.is_empty() {
            fingerprints.push((node.node.into_owned(), node.ssl_fingerprint.into_owned()));
        }
    })?;
    Ok(fingerprints)
}
