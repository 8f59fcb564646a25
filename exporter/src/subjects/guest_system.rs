//! The system inside a guest, as its agent tells.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One system. Text that is not known is empty.
#[derive(Clone, Debug, PartialEq)]
pub struct GuestSystem {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
    /// The operating system's short name.
    pub os: Box<str>,
    /// Its full name.
    pub name: Box<str>,
    /// Its version.
    pub version: Box<str>,
    /// The release of its kernel.
    pub kernel: Box<str>,
    /// The architecture.
    pub machine: Box<str>,
    /// The guest's name for itself.
    pub hostname: Box<str>,
    /// The name of its time zone.
    pub timezone: Box<str>,
    /// The version of its agent.
    pub agent_version: Box<str>,
    /// Seconds that its local time is ahead of UTC.
    pub utc_offset: Option<f64>,
    /// Seconds that its clock is ahead of the exporter's.
    pub clock_offset: Option<f64>,
    /// Users that are logged in.
    pub users: Option<u64>,
    /// Processors in use.
    pub vcpus_online: Option<u64>,
    /// Bytes of memory that are plugged at once.
    pub memory_block_size: Option<u64>,
    /// Whether its file systems are frozen.
    pub frozen: Option<bool>,
}

impl GuestSystem {
    /// A system of which nothing is known.
    #[must_use]
    pub fn unknown(identity: Identity) -> Self {
        Self {
            identity,
            os: Box::default(),
            name: Box::default(),
            version: Box::default(),
            kernel: Box::default(),
            machine: Box::default(),
            hostname: Box::default(),
            timezone: Box::default(),
            agent_version: Box::default(),
            utc_offset: None,
            clock_offset: None,
            users: None,
            vcpus_online: None,
            memory_block_size: None,
            frozen: None,
        }
    }

    fn texts(&self) -> [(&'static str, &str); 7] {
        [
            ("os", &self.os),
            ("name", &self.name),
            ("version", &self.version),
            ("kernel", &self.kernel),
            ("machine", &self.machine),
            ("hostname", &self.hostname),
            ("timezone", &self.timezone),
        ]
    }
}

impl Subject for GuestSystem {
    const NAME: &'static str = "guest system";
    const ROWS: &'static str = "one per virtual machine whose agent answers";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_guest_system_info",
            &["os", "name", "version", "kernel", "machine", "hostname", "timezone"],
            "The system inside the guest in its own words, cut to 128 bytes each; /nodes/{node}/qemu/{vmid}/agent get-osinfo id, pretty-name, version-id, kernel-release, machine; get-host-name host-name; get-timezone zone.",
            |system, labels| {
                let texts = system.texts();
                for (name, text) in texts {
                    labels.label(name, text);
                }
                texts.iter().any(|(_, text)| !text.is_empty())
            },
        ),
        Metric::info(
            "pve_guest_agent_info",
            &["version"],
            "The version of the guest agent; /nodes/{node}/qemu/{vmid}/agent/info version.",
            |system, labels| {
                labels.label("version", &system.agent_version);
                !system.agent_version.is_empty()
            },
        ),
        Metric::gauge(
            "pve_guest_clock_offset_seconds",
            Unit::Seconds,
            "How far the guest's clock is ahead of the exporter's, or behind where it is negative, when it was last asked; right to half of the call's duration, and absent when that was more than 2 s; /nodes/{node}/qemu/{vmid}/agent/get-time.",
            |system| system.clock_offset.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_utc_offset_seconds",
            Unit::Seconds,
            "How far the guest's local time is ahead of UTC; /nodes/{node}/qemu/{vmid}/agent/get-timezone offset.",
            |system| system.utc_offset.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_users",
            Unit::None,
            "Users that are logged in inside the guest; /nodes/{node}/qemu/{vmid}/agent/get-users.",
            |system| system.users.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_vcpus_online",
            Unit::None,
            "Processors that the guest uses; /nodes/{node}/qemu/{vmid}/agent/get-vcpus online.",
            |system| system.vcpus_online.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_memory_block_size_bytes",
            Unit::Bytes,
            "Bytes of memory that the guest plugs or unplugs at once; /nodes/{node}/qemu/{vmid}/agent/get-memory-block-info size.",
            |system| system.memory_block_size.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_filesystem_frozen",
            Unit::None,
            "Whether the guest's file systems are frozen; asked only where the agent has commands disabled, and absent elsewhere; /nodes/{node}/qemu/{vmid}/agent/fsfreeze-status.",
            |system| system.frozen.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
