//! `info`: the version of an agent and what it can do.

use super::{Scene, is_new};
use crate::{Agent, json::Json, model::Guest};

/// What agents of Linux can do, in the order in which they say it.
const COMMANDS: [&str; 43] = [
    "network-get-route",
    "get-load",
    "get-cpustats",
    "get-diskstats",
    "ssh-remove-authorized-keys",
    "ssh-add-authorized-keys",
    "ssh-get-authorized-keys",
    "get-osinfo",
    "get-timezone",
    "get-users",
    "get-host-name",
    "exec",
    "exec-status",
    "get-memory-block-info",
    "set-memory-blocks",
    "get-memory-blocks",
    "set-user-password",
    "get-fsinfo",
    "get-disks",
    "set-vcpus",
    "get-vcpus",
    "network-get-interfaces",
    "suspend-hybrid",
    "suspend-ram",
    "suspend-disk",
    "fstrim",
    "fsfreeze-thaw",
    "fsfreeze-freeze-list",
    "fsfreeze-freeze",
    "fsfreeze-status",
    "file-flush",
    "file-seek",
    "file-write",
    "file-read",
    "file-close",
    "file-open",
    "shutdown",
    "info",
    "set-time",
    "get-time",
    "ping",
    "sync",
    "sync-delimited",
];

/// The commands that version 7.2 does not have.
const NEW: [&str; 2] = ["network-get-route", "get-load"];

/// The commands that work while file systems are frozen.
const FROZEN: [&str; 6] = [
    "ping",
    "info",
    "sync",
    "sync-delimited",
    "fsfreeze-status",
    "fsfreeze-thaw",
];

/// The commands that a kind of agent does not have.
pub(super) fn lacks(agent: &Agent) -> &'static [&'static str] {
    match agent {
        Agent::Windows => &[
            "get-load",
            "get-cpustats",
            "get-diskstats",
            "get-memory-block-info",
            "get-memory-blocks",
            "network-get-route",
            "set-memory-blocks",
            "set-vcpus",
            "suspend-hybrid",
        ],
        Agent::Bsd => &[
            "get-cpustats",
            "get-disks",
            "get-diskstats",
            "get-fsinfo",
            "get-load",
            "get-memory-block-info",
            "get-memory-blocks",
            "get-vcpus",
            "network-get-route",
            "set-memory-blocks",
            "set-vcpus",
        ],
        Agent::Old => &[
            "get-cpustats",
            "get-disks",
            "get-diskstats",
            "get-host-name",
            "get-load",
            "get-osinfo",
            "get-timezone",
            "get-users",
            "network-get-route",
            "ssh-add-authorized-keys",
            "ssh-get-authorized-keys",
            "ssh-remove-authorized-keys",
        ],
        _ => &[],
    }
}

pub(super) fn write(_: &Scene<'_>, guest: &Guest, json: &mut Json) {
    write_of(guest, json);
}

/// Writes what the agent of a guest answers, whoever asks.
pub(crate) fn write_of(guest: &Guest, json: &mut Json) {
    let version = match guest.agent {
        Agent::Windows => "109.1.0",
        Agent::Old => "2.5.0",
        _ if is_new(guest) => "10.0.13",
        _ => "7.2.22",
    };
    json.begin_object();
    json.string_field("version", version);
    json.key("supported_commands");
    json.begin_list();
    let is_known = |name: &&str| {
        let unsupported = lacks(&guest.agent).contains(name);
        !unsupported && (is_new(guest) || !NEW.contains(name))
    };
    for name in COMMANDS.into_iter().filter(is_known) {
        let enabled = match &guest.agent {
            Agent::Disabled(commands) => !commands.contains(&name),
            Agent::Frozen => FROZEN.contains(&name),
            _ => true,
        };
        json.begin_row();
        json.string_field("name", &format!("guest-{name}"));
        json.key("enabled");
        json.boolean(enabled);
        json.key("success-response");
        json.boolean(name != "shutdown" && !name.starts_with("suspend"));
        json.end_object();
    }
    json.end_list();
    json.end_object();
}
