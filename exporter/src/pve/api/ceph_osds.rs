//! `GET /nodes/{node}/ceph/osd`: the CRUSH tree with the OSDs as its leaves, and the flags that are set.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// The answer.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Osds<'a> {
    /// `flags`, separated by commas.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub flags: Cow<'a, str>,
    /// `root`, above all trees.
    #[serde(borrow, deserialize_with = "perl::object")]
    pub root: Item<'a>,
}

/// A bucket of the tree, or an OSD.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Item<'a> {
    /// `type`: `osd`, or the kind of bucket.
    #[serde(rename = "type", borrow, deserialize_with = "perl::text")]
    pub kind: Cow<'a, str>,
    /// `id`; that of a bucket is negative, and then absent here.
    #[serde(deserialize_with = "perl::whole")]
    pub id: Option<u64>,
    /// `host`: the bucket of type `host` that it is in.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub host: Cow<'a, str>,
    /// `status`: `up`, `down` or `destroyed`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub status: Cow<'a, str>,
    /// `in`.
    #[serde(rename = "in", deserialize_with = "perl::truth")]
    pub is_in: Option<bool>,
    /// `total_space` in bytes; 1024 where it is not known.
    #[serde(deserialize_with = "perl::whole")]
    pub total_space: Option<u64>,
    /// `bytes_used`.
    #[serde(deserialize_with = "perl::whole")]
    pub bytes_used: Option<u64>,
    /// `commit_latency_ms`.
    #[serde(deserialize_with = "perl::float")]
    pub commit_latency_ms: Option<f64>,
    /// `apply_latency_ms`.
    #[serde(deserialize_with = "perl::float")]
    pub apply_latency_ms: Option<f64>,
    /// `pgs`.
    #[serde(deserialize_with = "perl::whole")]
    pub pgs: Option<u64>,
    /// `children`.
    #[serde(borrow, deserialize_with = "perl::rows")]
    pub children: Vec<Option<Item<'a>>>,
}

/// Reads the answer.
///
/// # Errors
/// When the body is no JSON or has no object under `data`.
pub fn decode(body: &[u8]) -> Result<Osds<'_>, DecodeError> {
    perl::data(body)
}
