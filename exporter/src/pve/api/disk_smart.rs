//! `GET /nodes/{node}/disks/smart?disk={device}`: what `smartctl -H -A -f brief` says of one disk.
//!
//! A disk at ATA brings a table of attributes, others the text of `smartctl`. One without SMART has neither and the health
//! `UNKNOWN`; before 9.1 it is a 500.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// What a disk says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct DiskSmart<'a> {
    /// `health`, in the words of `smartctl`: `PASSED` or `FAILED!`, at SAS `OK` or a description of what fails.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub health: Cow<'a, str>,
    /// `text`, of NVMe and SAS: the lines between the health and the end.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub text: Cow<'a, str>,
    /// `wearout`, of NVMe and SAS: 100 less the percentage used, which may exceed 100.
    #[serde(deserialize_with = "perl::float")]
    pub wearout: Option<f64>,
    /// `attributes`, of ATA.
    #[serde(borrow, deserialize_with = "perl::rows")]
    pub attributes: Vec<Option<Attribute<'a>>>,
}

/// One attribute of ATA.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Attribute<'a> {
    /// `id`, padded with blanks.
    #[serde(deserialize_with = "perl::whole")]
    pub id: Option<u64>,
    /// `name`, as the database of `smartctl` has it for the model.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub name: Cow<'a, str>,
    /// `value`: how good it is, in a scale of the vendor.
    #[serde(deserialize_with = "perl::whole")]
    pub value: Option<u64>,
    /// `threshold`: the value at which it fails; 0 for one that cannot.
    #[serde(deserialize_with = "perl::whole")]
    pub threshold: Option<u64>,
    /// `fail`: `NOW`, `Past` or `-`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub fail: Cow<'a, str>,
    /// `raw`: the raw value as `smartctl` prints it, be it `36 (Min/Max 20/55)` or `7963h+07m+54.620s`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub raw: Cow<'a, str>,
}

/// Reads it.
///
/// # Errors
/// When the body is no JSON or has no object under `data`.
pub fn decode(body: &[u8]) -> Result<DiskSmart<'_>, DecodeError> {
    perl::data(body)
}
