//! What a guest's configuration says of the guest as a whole.

use std::sync::Arc;

use crate::metrics::labels::{Identity, LabelWriter};
use crate::metrics::table::{Metric, Subject, Unit};

/// The configuration in use of one guest. A field that the configuration does not set is `None` or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestConfig {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
    /// Whether it is started when its node boots.
    pub onboot: Option<bool>,
    /// Whether it is protected from removal.
    pub protection: Option<bool>,
    /// Whether PVE is to talk to the guest agent.
    pub agent: Option<bool>,
    /// Its place in the order of starting.
    pub start_order: Option<u32>,
    /// The type of its processor.
    pub cpu_type: Arc<str>,
    /// The type of its machine.
    pub machine: Arc<str>,
    /// The operating system that it was made for.
    pub ostype: Arc<str>,
    /// Whether a container is unprivileged.
    pub unprivileged: Option<bool>,
    /// Keys that are to change with the next start.
    pub pending_changes: u64,
    /// When a virtual machine was created, in Unix seconds.
    pub created: Option<u64>,
}

impl GuestConfig {
    /// A configuration that sets nothing.
    #[must_use]
    pub fn unset(identity: Identity) -> Self {
        Self {
            identity,
            onboot: None,
            protection: None,
            agent: None,
            start_order: None,
            cpu_type: Arc::default(),
            machine: Arc::default(),
            ostype: Arc::default(),
            unprivileged: None,
            pending_changes: 0,
            created: None,
        }
    }
}

impl Subject for GuestConfig {
    const NAME: &'static str = "guest configuration";
    const ROWS: &'static str = "one per guest whose configuration has been read";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_guest_config_info",
            &[
                "onboot",
                "protection",
                "agent",
                "start_order",
                "cpu_type",
                "machine",
                "ostype",
                "unprivileged",
            ],
            "The guest's configuration in use, 1 and 0 for yes and no; a label is absent where the configuration does not set the key; /nodes/{node}/{type}/{vmid}/pending value of onboot, protection, agent, startup, cpu, machine, ostype, unprivileged.",
            |config, labels| {
                truth(labels, "onboot", config.onboot);
                truth(labels, "protection", config.protection);
                truth(labels, "agent", config.agent);
                if let Some(order) = config.start_order {
                    labels.label("start_order", itoa::Buffer::new().format(order));
                }
                labels.label("cpu_type", &config.cpu_type);
                labels.label("machine", &config.machine);
                labels.label("ostype", &config.ostype);
                truth(labels, "unprivileged", config.unprivileged);
                true
            },
        ),
        Metric::gauge(
            "pve_guest_pending_changes",
            Unit::None,
            "Keys of the configuration that change with the guest's next start; /nodes/{node}/{type}/{vmid}/pending pending, delete.",
            |config| Some(config.pending_changes.into()),
        ),
        Metric::gauge(
            "pve_guest_created_timestamp_seconds",
            Unit::Seconds,
            "When the virtual machine was created or cloned; PVE does not know it of a container; /nodes/{node}/qemu/{vmid}/pending meta ctime.",
            |config| config.created.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

fn truth(labels: &mut LabelWriter<'_>, name: &'static str, value: Option<bool>) {
    if let Some(value) = value {
        labels.label(name, if value { "1" } else { "0" });
    }
}
