//! `/nodes/{node}/disks/smart`: what disks say of themselves, read one disk after the other.
//!
//! Each read runs `smartctl` at the node, for 10 s at most since PVE 9.1, and wakes a disk that sleeps.

use std::sync::Arc;

use crate::pve::api::disk_smart::decode;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::name::SourceName;
use crate::subjects::disk_smart::Readings;

mod ata;
mod rounds;
mod text;

pub use rounds::{NodeSmart, Rounds};

/// In seconds. Some disks count their hours from a number that would make them older than that.
const CENTURY: f64 = 36_525.0 * 86_400.0;

/// Reads the disk `device`, whose name is one of [`NodeDisks`](crate::sources::disks::NodeDisks). A disk without SMART says
/// nothing, and that is no error.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, node: &Arc<str>, device: &str) -> Result<Readings, ApiError> {
    let path = format!("disks/smart?disk=/dev/{device}");
    let request = Request::node(node, &path, SourceName::DiskSmart.cost());
    match client.get(&request).await {
        // Before PVE 9.1; later such a disk has the health UNKNOWN. A disk that is gone is no longer one soon.
        Err(ApiError::Status {
            status: 500, problem, ..
        }) if problem.contains("S.M.A.R.T.") || problem.contains("not a valid block device") => Ok(Readings::default()),
        answer => answer?.decode(&request.path, convert),
    }
}

fn convert(body: &[u8]) -> Result<Readings, DecodeError> {
    let smart = decode(body)?;
    let mut readings = Readings {
        health: health(&smart.health),
        life_used: smart.wearout.and_then(life_used),
        ..Readings::default()
    };
    text::read(&smart.text, &mut readings);
    ata::read(&smart.attributes, &mut readings);
    readings.power_on = readings.power_on.filter(|seconds| (0.0..CENTURY).contains(seconds));
    Ok(readings)
}

/// The state behind the words of `smartctl`; none where it says nothing.
///
/// ATA and NVMe say `PASSED` or `FAILED!`, SAS `OK` or what fails, with the codes of it: `... [asc=5d, ascq=10]`.
fn health(words: &str) -> Option<&'static str> {
    match words.trim() {
        "" => None,
        "PASSED" | "OK" => Some("ok"),
        words if words.starts_with("FAIL") || words.contains("[asc=") => Some("failing"),
        _ => Some("unknown"),
    }
}

/// The share that is used of a life of which `left` percent are left: NVMe counts to 255 % used. A value above 100 is none in
/// percent, but one in a scale of the vendor.
fn life_used(left: f64) -> Option<f64> {
    (-155.0..=100.0).contains(&left).then(|| (100.0 - left) / 100.0)
}

#[cfg(test)]
mod tests;
