//! `GET /nodes/{node}/hardware/pci`: the PCI devices of one node, without bridges, memory controllers and processors.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One function of a device.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `class`: base class, subclass and interface of the device, such as `0x020000`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub class: Cow<'a, str>,
}

/// Gives each device to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
