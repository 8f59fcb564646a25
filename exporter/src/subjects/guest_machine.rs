//! The QEMU process that runs a virtual machine.

use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};
use crate::subjects::guest::GuestKey;

/// The QEMU of one running virtual machine.
#[derive(Clone, Debug, PartialEq)]
pub struct GuestMachine {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
    /// The guest.
    pub guest: GuestKey,
    /// Version of the running QEMU; empty when not known.
    pub version: Arc<str>,
    /// Machine type, such as `pc-q35-11.0+pve1`.
    pub machine: Arc<str>,
    /// Bytes of memory that the balloon leaves the guest.
    pub balloon_size: Option<u64>,
}

impl Subject for GuestMachine {
    const NAME: &'static str = "guest machine";
    const ROWS: &'static str = "one per running virtual machine whose monitor answers";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::info(
            "pve_guest_qemu_info",
            &["version", "machine"],
            "The QEMU that runs the machine, which is not the installed one until the machine is started anew, and the machine type; /nodes/{node}/qemu?full=1 running-qemu and running-machine.",
            |machine, labels| {
                labels.label("version", &machine.version);
                labels.label("machine", &machine.machine);
                !machine.version.is_empty()
            },
        ),
        Metric::gauge(
            "pve_guest_balloon_size_bytes",
            Unit::Bytes,
            "Memory that the balloon leaves the guest; /nodes/{node}/qemu?full=1 ballooninfo actual or balloon.",
            |machine| machine.balloon_size.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
