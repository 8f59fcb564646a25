//! What the balloon driver in a virtual machine tells of its memory.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};
use crate::subjects::guest::GuestKey;

/// The statistics of one virtual machine.
#[derive(Clone, Debug, PartialEq)]
pub struct GuestBalloon {
    /// `pve_cluster` and `id`.
    pub identity: Identity,
    /// The guest.
    pub guest: GuestKey,
    /// Bytes of memory that the guest has.
    pub total: Option<u64>,
    /// Bytes of memory that it does not use.
    pub free: Option<u64>,
    /// Bytes read back from swap since it booted.
    pub swapped_in: Option<u64>,
    /// Bytes written to swap since it booted.
    pub swapped_out: Option<u64>,
    /// Page faults with I/O since it booted.
    pub major_faults: Option<u64>,
    /// Page faults since it booted.
    pub minor_faults: Option<u64>,
    /// When it told them last, in Unix seconds.
    pub last_update: Option<u64>,
}

impl Subject for GuestBalloon {
    const NAME: &'static str = "guest balloon";
    const ROWS: &'static str = "one per running virtual machine whose balloon driver tells statistics";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_guest_balloon_total_bytes",
            Unit::Bytes,
            "Memory that the operating system of the guest has; /nodes/{node}/qemu?full=1 ballooninfo total_mem.",
            |balloon| balloon.total.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_balloon_free_bytes",
            Unit::Bytes,
            "Memory that the guest does not use at all, not even for its page cache; /nodes/{node}/qemu?full=1 ballooninfo free_mem.",
            |balloon| balloon.free.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_balloon_swapped_in_bytes_total",
            Unit::Bytes,
            "Bytes that the guest read back from its swap since it booted; virtio defines this statistic in bytes; /nodes/{node}/qemu?full=1 ballooninfo mem_swapped_in.",
            |balloon| balloon.swapped_in.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_balloon_swapped_out_bytes_total",
            Unit::Bytes,
            "Bytes that the guest wrote to its swap since it booted; virtio defines this statistic in bytes; /nodes/{node}/qemu?full=1 ballooninfo mem_swapped_out.",
            |balloon| balloon.swapped_out.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_balloon_major_faults_total",
            Unit::None,
            "Page faults in the guest that needed I/O since it booted; /nodes/{node}/qemu?full=1 ballooninfo major_page_faults.",
            |balloon| balloon.major_faults.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_balloon_minor_faults_total",
            Unit::None,
            "Page faults in the guest since it booted; Linux counts the major ones in; /nodes/{node}/qemu?full=1 ballooninfo minor_page_faults.",
            |balloon| balloon.minor_faults.map(Into::into),
        ),
        Metric::gauge(
            "pve_guest_balloon_last_update_timestamp_seconds",
            Unit::Seconds,
            "When the guest told these figures last, by the clock of its node; /nodes/{node}/qemu?full=1 ballooninfo last_update.",
            |balloon| balloon.last_update.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
