//! `GET /nodes/{node}/disks/zfs/{pool}`: what `zpool status` says, cut into fields and a tree.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// The pool.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Pool<'a> {
    /// `scan`: a sentence about the last scrub or resilver, with a date in the node's local time.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub scan: Cow<'a, str>,
    /// `errors`: a sentence.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub errors: Cow<'a, str>,
    /// `children`: the pool itself, then its logs, caches and spares.
    #[serde(borrow, deserialize_with = "perl::rows")]
    pub children: Vec<Option<Vdev<'a>>>,
}

/// A virtual device, or a section such as `logs`. One without children is a disk.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Vdev<'a> {
    /// `state`; a section has none.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub state: Cow<'a, str>,
    /// `read` errors. Of a figure such as `1.2K` PVE keeps 1.2, here and below.
    #[serde(deserialize_with = "perl::float")]
    pub read: Option<f64>,
    /// `write` errors.
    #[serde(deserialize_with = "perl::float")]
    pub write: Option<f64>,
    /// `cksum` errors.
    #[serde(deserialize_with = "perl::float")]
    pub cksum: Option<f64>,
    /// `children`.
    #[serde(borrow, deserialize_with = "perl::rows")]
    pub children: Vec<Option<Vdev<'a>>>,
}

/// Reads the pool.
///
/// # Errors
/// When the body is no JSON or has no object under `data`.
pub fn decode(body: &[u8]) -> Result<Pool<'_>, DecodeError> {
    perl::data(body)
}
