//! `get-vcpus`.

use serde::Deserialize;

use super::rows;
use crate::pve::error::DecodeError;
use crate::pve::perl;

/// The guest's processors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vcpus {
    /// Those with `online`.
    pub online: u64,
    /// All of them.
    pub all: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Row {
    #[serde(deserialize_with = "perl::truth")]
    online: Option<bool>,
}

pub(super) fn read(result: &str) -> Result<Vcpus, DecodeError> {
    let mut vcpus = Vcpus::default();
    rows(result, |row: Row| {
        vcpus.all += 1;
        vcpus.online += u64::from(row.online == Some(true));
    })?;
    Ok(vcpus)
}
