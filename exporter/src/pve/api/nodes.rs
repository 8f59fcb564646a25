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

/// Reads the nodes' names and SHA-256 fingerprints, `AA:BB:...`; empty for a node that PVE knows none of.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn fingerprints(body: &[u8]) -> Result<Vec<(String, String)>, DecodeError> {
    let mut fingerprints = Vec::new();
    perl::for_each_row(body, &["data"], |node: Node<'_>| {
        fingerprints.push((node.node.into_owned(), node.ssl_fingerprint.into_owned()));
    })?;
    Ok(fingerprints)
}
