//! `GET /nodes/{node}/apt/versions`: the packages that Proxmox VE is made of, all kernels among them.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One package. `proxmox-kernel-helper` has two rows, since its name is one of a kernel.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct Row<'a> {
    /// `Package`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub package: Cow<'a, str>,
    /// `Version` that APT would install.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub version: Cow<'a, str>,
    /// `OldVersion`: the installed one; absent when the package is not installed.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub old_version: Cow<'a, str>,
    /// `CurrentState`: `Installed`, `NotInstalled`, `HalfConfigured` and so on.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub current_state: Cow<'a, str>,
    /// `RunningKernel`, of `proxmox-ve`: the release, such as `6.17.4-1-pve`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub running_kernel: Cow<'a, str>,
}

/// Gives each package to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
