//! `GET /nodes/{node}/rrddata`: averages of what pvestatd recorded of one node, which every node has a copy of.

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One minute. What was not recorded is absent; the newest rows may hold nothing but their time.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row {
    /// `time` at the end of the minute, in Unix seconds.
    #[serde(deserialize_with = "perl::whole")]
    pub time: Option<u64>,
    /// `cpu` as a ratio, which every version records.
    #[serde(deserialize_with = "perl::float")]
    pub cpu: Option<f64>,
    /// `arcsize` in bytes (9.0 and later); 0 without ZFS.
    #[serde(deserialize_with = "perl::whole")]
    pub arcsize: Option<u64>,
    /// `pressurecpusome` in percent (9.0 and later), as are the other pressures.
    #[serde(deserialize_with = "perl::float")]
    pub pressurecpusome: Option<f64>,
    /// `pressureiosome`.
    #[serde(deserialize_with = "perl::float")]
    pub pressureiosome: Option<f64>,
    /// `pressureiofull`.
    #[serde(deserialize_with = "perl::float")]
    pub pressureiofull: Option<f64>,
    /// `pressurememorysome`.
    #[serde(deserialize_with = "perl::float")]
    pub pressurememorysome: Option<f64>,
    /// `pressurememoryfull`.
    #[serde(deserialize_with = "perl::float")]
    pub pressurememoryfull: Option<f64>,
}

/// Gives each minute to `each`, the oldest first; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode(body: &[u8], each: impl FnMut(Row)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
