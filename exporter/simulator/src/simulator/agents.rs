//! What a test can do to guest agents, and learn about what was asked of them.

use super::Simulator;
use crate::{Agent, AgentCall, GuestKind};

impl Simulator {
    /// Gives a virtual machine such an agent and configures it, unless it is configured; false if it does not exist. To
    /// configure it in another way, or not at all, [set](Self::set_guest) its `agent`.
    pub fn set_agent(&self, vmid: u32, agent: Agent) -> bool {
        self.cluster.change(|model, _| {
            let machine = model
                .guests
                .get_mut(&vmid)
                .filter(|guest| guest.kind == GuestKind::Qemu);
            machine.map(|guest| guest.set_agent(agent)).is_some()
        })
    }

    /// The agent of a virtual machine whose configuration has it on.
    #[must_use]
    pub fn agent(&self, vmid: u32) -> Option<Agent> {
        self.cluster.with_model(|model| {
            let guest = model.guests.get(&vmid)?;
            (guest.agent_is_on() == Some(true)).then(|| guest.agent.clone())
        })
    }

    /// Locks the configuration of a guest (`backup`, `snapshot`, `migrate`), or takes its lock away; false if it does not
    /// exist.
    pub fn lock_guest(&self, vmid: u32, lock: Option<&str>) -> bool {
        self.set_guest(vmid, |settings| settings.lock = lock.map(str::to_owned))
    }

    /// The most calls of guest agents that a node worked on at once. PVE has three workers for them and much else; one goes
    /// on after the client has left.
    #[must_use]
    pub fn highest_agent_concurrency(&self, node: &str) -> usize {
        self.cluster.calls.highest_agent_concurrency(node)
    }

    /// The most calls that were made at once of the agent of one guest.
    #[must_use]
    pub fn highest_agent_concurrency_of(&self, vmid: u32) -> usize {
        self.cluster.calls.highest_agent_concurrency_of(vmid)
    }

    /// How many calls of guest agents a node works on right now.
    #[must_use]
    pub fn running_agent_calls(&self, node: &str) -> usize {
        self.cluster.calls.running_agent_calls(node)
    }

    /// How many calls came to the agent of a guest that was locked, or whose turn in a backup on its node may have come:
    /// one of this guest, or one of many.
    #[must_use]
    pub fn agent_calls_during_backups(&self) -> u64 {
        self.cluster.calls.agent_overlaps()
    }

    /// How many calls of agents came while `vzdump` ran on the node, for whatever guests.
    #[must_use]
    pub fn agent_calls_beside_backups(&self) -> u64 {
        self.cluster.calls.agent_calls_beside_backups()
    }

    /// The calls of agents one by one, in the order in which they came; of very many only the newest 20,000.
    #[must_use]
    pub fn agent_calls(&self) -> Vec<AgentCall> {
        self.cluster.calls.agent_calls()
    }
}
