//! `get-osinfo`.

use std::borrow::Cow;

use serde::Deserialize;

use super::{object, useless};
use crate::pve::api::agent::text::clean;
use crate::pve::error::DecodeError;
use crate::pve::perl;

/// The operating system. What the agent does not tell is empty; not all of it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OperatingSystem {
    /// `id`, such as `debian` or `mswindows`.
    pub id: Box<str>,
    /// `pretty-name`, such as `Debian GNU/Linux 13 (trixie)`; or else `name`.
    pub name: Box<str>,
    /// `version-id`, such as `13` or `2025`; or else `version`.
    pub version: Box<str>,
    /// `kernel-release`, such as `6.12.43+deb13-amd64`; the build number of Windows.
    pub kernel: Box<str>,
    /// `machine`, such as `x86_64`.
    pub machine: Box<str>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Row<'a> {
    #[serde(borrow, deserialize_with = "perl::text")]
    id: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "perl::text")]
    name: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "perl::text")]
    pretty_name: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "perl::text")]
    version: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "perl::text")]
    version_id: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "perl::text")]
    kernel_release: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "perl::text")]
    machine: Cow<'a, str>,
}

pub(super) fn read(result: &str) -> Result<OperatingSystem, DecodeError> {
    let row: Row<'_> = object(result)?;
    let either = |one: &str, other: &str| Some(clean(one)).filter(|text| !text.is_empty()).unwrap_or(clean(other));
    let system = OperatingSystem {
        id: clean(&row.id),
        name: either(&row.pretty_name, &row.name),
        version: either(&row.version_id, &row.version),
        kernel: clean(&row.kernel_release),
        machine: clean(&row.machine),
    };
    if system == OperatingSystem::default() {
        return Err(useless(result));
    }
    Ok(system)
}
