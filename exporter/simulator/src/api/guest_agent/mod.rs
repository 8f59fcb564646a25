//! `/nodes/{node}/qemu/{vmid}/agent` and what is below it.

mod answers;
mod file_systems;
mod info;
mod interfaces;
mod lies;

pub(crate) use file_systems::{linux as linux_file_systems, write_at as write_file_systems};
pub(crate) use info::write_of as write_agent_info;

use super::{ALWAYS, Answer, Endpoint, Parameter, Scene};
use crate::{Agent, json::Json, model::Guest};

/// A command of the guest agent as PVE offers it.
pub(crate) struct AgentCommand {
    /// The end of its path; the agent's own name for it begins with `guest-`.
    pub(crate) name: &'static str,
    /// The privileges of PVE 9, of which one is enough.
    pub(crate) privileges: &'static str,
    /// Writes the answer of an agent that is well; nothing for a command that changes the guest or reads its files.
    pub(crate) render: Option<fn(&Scene<'_>, &Guest, &mut Json)>,
}

const AUDIT: &str = "VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted";
const STATUS: &str = "VM.GuestAgent.Audit|VM.GuestAgent.FileSystemMgmt|VM.GuestAgent.Unrestricted";
const FREEZE: &str = "VM.GuestAgent.FileSystemMgmt|VM.GuestAgent.Unrestricted";
const READ: &str = "VM.GuestAgent.FileRead|VM.GuestAgent.Unrestricted";
const WRITE: &str = "VM.GuestAgent.FileWrite|VM.GuestAgent.Unrestricted";
const POWER: &str = "VM.PowerMgmt|VM.GuestAgent.Unrestricted";
const ANYTHING: &str = "VM.GuestAgent.Unrestricted";

macro_rules! command {
    ($method:literal, $name:literal, $privileges:expr, $render:expr) => {
        command!($method, $name, $privileges, Some($render), &[])
    };
    ($method:literal, $name:literal, $privileges:expr) => {
        command!(
            $method,
            $name,
            $privileges,
            None,
            &[Parameter::new("file"), Parameter::new("pid")]
        )
    };
    ($method:literal, $name:literal, $privileges:expr, $render:expr, $parameters:expr) => {
        Endpoint {
            method: $method,
            template: concat!("/nodes/{node}/qemu/{vmid}/agent/", $name),
            since: ALWAYS,
            parameters: $parameters,
            privilege: None,
            answer: Answer::Agent(&AgentCommand {
                name: $name,
                privileges: $privileges,
                render: $render,
            }),
        }
    };
}

/// Every command that PVE knows.
pub(super) static ENDPOINTS: [Endpoint; 25] = [
    command!("GET", "get-fsinfo", AUDIT, file_systems::write),
    command!("GET", "get-host-name", AUDIT, answers::host_name),
    command!("GET", "get-memory-block-info", AUDIT, answers::memory_block_info),
    command!("GET", "get-memory-blocks", AUDIT, answers::memory_blocks),
    command!("GET", "get-osinfo", AUDIT, answers::operating_system),
    command!("GET", "get-time", AUDIT, answers::time),
    command!("GET", "get-timezone", AUDIT, answers::time_zone),
    command!("GET", "get-users", AUDIT, answers::users),
    command!("GET", "get-vcpus", AUDIT, answers::virtual_cpus),
    command!("GET", "info", AUDIT, info::write),
    command!("GET", "network-get-interfaces", AUDIT, interfaces::write),
    command!("POST", "ping", AUDIT, answers::ping),
    command!("POST", "fsfreeze-status", STATUS, answers::freeze_status),
    command!("POST", "fsfreeze-freeze", FREEZE),
    command!("POST", "fsfreeze-thaw", FREEZE),
    command!("POST", "fstrim", FREEZE),
    command!("GET", "file-read", READ),
    command!("POST", "file-write", WRITE),
    command!("POST", "exec", ANYTHING),
    command!("GET", "exec-status", ANYTHING),
    command!("POST", "set-user-password", ANYTHING),
    command!("POST", "shutdown", POWER),
    command!("POST", "suspend-disk", POWER),
    command!("POST", "suspend-hybrid", POWER),
    command!("POST", "suspend-ram", POWER),
];

pub(super) const INDEX: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/qemu/{vmid}/agent",
    since: ALWAYS,
    parameters: &[],
    privilege: None,
    answer: Answer::One(|_, json| {
        let mut names: Vec<&str> = ENDPOINTS.iter().filter_map(Endpoint::agent_command).collect();
        names.sort_unstable();
        json.begin_list();
        for name in names {
            json.begin_row();
            json.string_field("name", name);
            json.end_object();
        }
        json.end_list();
        Ok(())
    }),
};

impl Endpoint {
    fn agent_command(&self) -> Option<&'static str> {
        match self.answer {
            Answer::Agent(command) => Some(command.name),
            _ => None,
        }
    }
}

/// Whether the agent of a guest has the words and the values of version 10.0, not of 7.2.
fn is_new(guest: &Guest) -> bool {
    guest.vmid.is_multiple_of(2)
}

impl AgentCommand {
    /// Writes what the agent of a guest answers.
    pub(crate) fn write(&self, scene: &Scene<'_>, guest: &Guest, json: &mut Json) {
        if let Some((class, description)) = self.error(guest) {
            json.begin_object();
            json.key("error");
            json.begin_object();
            json.string_field("class", class);
            json.string_field("desc", &description);
            json.end_object();
            json.end_object();
        } else if guest.agent == Agent::Lying {
            lies::write(self.name, json);
        } else if let Some(render) = self.render {
            render(scene, guest, json);
        }
    }

    /// The class and the text of the error that an agent answers.
    fn error(&self, guest: &Guest) -> Option<(&'static str, String)> {
        let name = self.name;
        let unknown = || {
            Some((
                "CommandNotFound",
                format!("The command guest-{name} has not been found"),
            ))
        };
        let disabled = |old: &str| {
            let why = if is_new(guest) {
                ": the command is not allowed"
            } else {
                old
            };
            Some((
                "CommandNotFound",
                format!("Command guest-{name} has been disabled{why}"),
            ))
        };
        match &guest.agent {
            Agent::Disabled(commands) if commands.contains(&name) => disabled(""),
            Agent::Frozen if !matches!(name, "ping" | "info" | "fsfreeze-status") => {
                disabled(": the agent is in frozen state")
            }
            agent if !info::lacks(agent).contains(&name) => None,
            Agent::Bsd if !is_new(guest) => {
                let unsupported = "this feature or command is not currently supported";
                Some(("GenericError", unsupported.to_owned()))
            }
            _ => unknown(),
        }
    }
}
