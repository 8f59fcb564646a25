//! `info`.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Command, object, rows, useless};
use crate::pve::api::agent::text::clean;
use crate::pve::error::DecodeError;
use crate::pve::perl;

/// What the agent is and can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// `version`, such as `10.0.2`, or empty.
    pub version: Box<str>,
    /// The commands of ours that are there and not `enabled`. While file systems are frozen that is nearly all of them.
    pub disabled: Vec<Command>,
    /// The commands of ours that are not there; none where the agent lists no command at all.
    pub missing: Vec<Command>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Wire<'a> {
    #[serde(borrow, deserialize_with = "perl::text")]
    version: Cow<'a, str>,
    #[serde(borrow)]
    supported_commands: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Supported<'a> {
    #[serde(borrow, deserialize_with = "perl::text")]
    name: Cow<'a, str>,
    #[serde(deserialize_with = "perl::truth")]
    enabled: Option<bool>,
}

pub(super) fn read(result: &str) -> Result<Info, DecodeError> {
    let wire: Wire<'_> = object(result)?;
    let (mut missing, mut disabled, mut listed) = (Command::ALL.to_vec(), Vec::new(), false);
    if let Some(commands) = wire.supported_commands {
        rows(commands.get(), |row: Supported<'_>| {
            listed = true;
            if let Some(index) = missing.iter().position(|command| command.qga_name() == row.name) {
                let command = missing.swap_remove(index);
                if row.enabled == Some(false) {
                    disabled.push(command);
                }
            }
        })?;
    }
    let version = clean(&wire.version);
    if !listed {
        if version.is_empty() {
            return Err(useless(result));
        }
        missing.clear();
    }
    missing.sort_unstable();
    disabled.sort_unstable();
    Ok(Info {
        version,
        disabled,
        missing,
    })
}
