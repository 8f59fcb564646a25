//! Guest agents: what runs in a virtual machine, and which machines have one.

use std::{collections::BTreeMap, time::Duration};

use super::Guest;
use crate::Options;

/// What answers the guest agent's commands in a virtual machine whose configuration has its agent on.
///
/// Machines with an even id have version 10.0 of it, the others 7.2, whose words differ.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Agent {
    /// An agent of Linux that answers everything at once.
    #[default]
    Healthy,
    /// One whose root file system is nearly full.
    Full,
    /// One with so many networks and file systems that not all are shown.
    Crowded,
    /// One of Windows, with a full CD and a clock that is 1.5 s ahead.
    Windows,
    /// One of FreeBSD, which knows no file systems, virtual CPUs and statistics of interfaces.
    Bsd,
    /// Nothing answers: PVE waits for [`Options::agent_silence`](crate::Options::agent_silence).
    Dead,
    /// It answers a ping, but takes this long for everything else; PVE waits for it only for
    /// [`Options::agent_timeout`](crate::Options::agent_timeout).
    Hung(Duration),
    /// These commands are disabled, named as in their paths: `get-users`.
    Disabled(Vec<&'static str>),
    /// Version 2.5, which lacks commands and values.
    Old,
    /// Its file systems are frozen: it only tells that.
    Frozen,
    /// Its answers are as wrong as JSON can be, and some are none.
    Lying,
}

/// Which virtual machines of a new cluster have an agent, and of which kind. By default no machine of a quiet cluster has
/// one, and a lively one is [`lively`](Self::lively).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AgentMix {
    others: Others,
    single: BTreeMap<u32, Agent>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
enum Others {
    #[default]
    AsEvents,
    Without,
    Lively,
    All(Agent),
}

impl AgentMix {
    /// No machine has an agent configured, whatever happens in the cluster.
    #[must_use]
    pub fn none() -> Self {
        Self::of_others(Others::Without)
    }

    /// Most machines have an agent. The one of the first machine (100) is dead, that of 101 nearly full, that of 106 has
    /// disabled commands and that of 117 very much to tell; those of others are healthy or of another kind, and some are not configured or off.
    #[must_use]
    pub fn lively() -> Self {
        Self::of_others(Others::Lively)
    }

    /// Every machine that is no template has such an agent.
    #[must_use]
    pub fn all(agent: Agent) -> Self {
        Self::of_others(Others::All(agent))
    }

    fn of_others(others: Others) -> Self {
        Self {
            others,
            single: BTreeMap::new(),
        }
    }

    /// Gives one machine such an agent, whatever the others have.
    #[must_use]
    pub fn with(mut self, vmid: u32, agent: Agent) -> Self {
        self.single.insert(vmid, agent);
        self
    }

    /// The agent of a machine and how it is configured.
    pub(super) fn of(&self, vmid: u32, place: u32, options: &Options) -> Option<(Agent, &'static str)> {
        let on = if place.is_multiple_of(3) {
            "enabled=1,fstrim_cloned_disks=1"
        } else {
            "1"
        };
        if let Some(agent) = self.single.get(&vmid) {
            return Some((agent.clone(), on));
        }
        match &self.others {
            Others::Without => None,
            Others::AsEvents if !options.events => None,
            Others::AsEvents if options.calm => Some((Agent::Healthy, on)),
            Others::AsEvents | Others::Lively => lively(place, on),
            Others::All(agent) => Some((agent.clone(), on)),
        }
    }
}

fn lively(place: u32, on: &'static str) -> Option<(Agent, &'static str)> {
    let agent = match (place, place % 20) {
        (0, _) => Agent::Dead,
        (1, _) => Agent::Full,
        (6, _) => Agent::Disabled(vec!["get-users", "network-get-interfaces"]),
        (17, _) => Agent::Crowded,
        (_, 3 | 14) => Agent::Windows,
        (_, 10) => return None,
        (_, 11) => Agent::Old,
        (_, 13) => return Some((Agent::Healthy, "fstrim_cloned_disks=1,enabled=0")),
        (_, 16) => Agent::Bsd,
        (_, 19) => return Some((Agent::Healthy, "0")),
        _ => Agent::Healthy,
    };
    Some((agent, on))
}

/// Whether the value of `agent` in a configuration lets the machine start with a socket for its agent.
fn is_on(value: &str) -> bool {
    let enabled = value.split(',').find_map(|part| {
        part.strip_prefix("enabled=")
            .or(Some(part).filter(|part| !part.contains('=')))
    });
    matches!(enabled, Some("1" | "yes" | "on" | "true"))
}

impl Guest {
    /// Whether its configuration has its agent on; nothing if it does not mention it.
    pub(crate) fn agent_is_on(&self) -> Option<bool> {
        self.settings.agent.as_deref().map(is_on)
    }

    /// Whether nothing answers at the socket of its agent: nothing runs there, or the machine is paused.
    pub(crate) fn agent_is_silent(&self) -> bool {
        self.agent == Agent::Dead || self.held_since.is_some()
    }

    /// Gives it such an agent and configures it, if it is a virtual machine.
    pub(crate) fn set_agent(&mut self, agent: Agent) {
        self.agent = agent;
        if self.agent_is_on() != Some(true) {
            self.settings.agent = Some("1".to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_on;

    #[test]
    fn configurations_have_their_properties_in_any_order() {
        for (value, expected) in [
            ("1", true),
            ("enabled=1,fstrim_cloned_disks=1", true),
            ("fstrim_cloned_disks=1,enabled=1", true),
            ("type=virtio,1", true),
            ("0", false),
            ("fstrim_cloned_disks=1,enabled=0", false),
            ("fstrim_cloned_disks=1", false),
        ] {
            assert_eq!(is_on(value), expected, "{value}");
        }
    }
}
