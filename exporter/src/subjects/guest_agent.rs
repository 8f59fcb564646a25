//! The agent inside a virtual machine, as it answers.

use std::time::Duration;

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One agent.
#[derive(Clone, Debug, PartialEq)]
pub struct GuestAgent {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
    /// How it is.
    pub state: AgentState,
    /// When it last answered, be it with an error, in Unix seconds.
    pub last_answer: Option<f64>,
    /// How long the newest call took, be it in vain.
    pub call_duration: Option<Duration>,
    /// When it is asked again after it has not answered, in Unix seconds.
    pub retry: Option<f64>,
    /// How often something that it told was left out.
    pub label_sets_dropped: u64,
}

/// How an agent is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentState {
    /// The guest's configuration has none.
    NotConfigured,
    /// The guest does not run.
    Stopped,
    /// It has not been asked yet.
    Unknown,
    /// It answers.
    Healthy,
    /// It does not answer.
    Unresponsive,
    /// It answers, and commands are disabled in the guest.
    CommandDisabled,
    /// The guest's file systems are frozen.
    Frozen,
}

impl AgentState {
    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Unresponsive => "unresponsive",
            Self::CommandDisabled => "command_disabled",
            Self::Frozen => "frozen",
        }
    }
}

impl Subject for GuestAgent {
    const NAME: &'static str = "guest agent";
    const ROWS: &'static str = "one per virtual machine";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::state(
            "pve_guest_agent_state",
            &["state"],
            "The state of the guest agent: not_configured, stopped, unknown (not asked yet), healthy, unresponsive, command_disabled or frozen; what /nodes/{node}/qemu/{vmid}/agent answers.",
            |agent| Some(agent.state.as_str()),
        ),
        Metric::gauge(
            "pve_guest_agent_last_answer_timestamp_seconds",
            Unit::Seconds,
            "When the guest agent last answered, be it with an error; absent before the first answer; /nodes/{node}/qemu/{vmid}/agent.",
            |agent| agent.last_answer.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_agent_call_duration_seconds",
            Unit::Seconds,
            "How long the newest call of the guest agent took, PVE's ping before it included, be it in vain; /nodes/{node}/qemu/{vmid}/agent.",
            |agent| agent.call_duration.map(|took| took.as_secs_f64().into()),
        ),
        Metric::gauge(
            "pve_guest_agent_retry_timestamp_seconds",
            Unit::Seconds,
            "When a guest agent that does not answer is asked again; absent while it answers; the exporter's own reckoning of /nodes/{node}/qemu/{vmid}/agent.",
            |agent| agent.retry.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_agent_label_sets_dropped_total",
            Unit::None,
            "How often a file system, interface, address or text that the guest agent told was left out, since a guest gets 64 new label sets a day; absent before the first; /nodes/{node}/qemu/{vmid}/agent.",
            |agent| (agent.label_sets_dropped > 0).then(|| agent.label_sets_dropped.into()),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
