//! A drive of a virtual machine, as QEMU counts what is done with it.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit, Value};
use crate::subjects::guest::GuestKey;

/// One drive that has been used since the machine started.
#[derive(Clone, Debug, PartialEq)]
pub struct GuestDrive {
    /// `pve_cluster`, `id` and `drive`.
    pub identity: Identity,
    /// The guest.
    pub guest: GuestKey,
    /// Bytes read.
    pub read_bytes: Option<u64>,
    /// Bytes written.
    pub written_bytes: Option<u64>,
    /// Reads that succeeded.
    pub reads: Option<u64>,
    /// Writes that succeeded.
    pub writes: Option<u64>,
    /// Flushes that succeeded.
    pub flushes: Option<u64>,
    /// Nanoseconds that reads took.
    pub read_nanoseconds: Option<u64>,
    /// Nanoseconds that writes took.
    pub write_nanoseconds: Option<u64>,
    /// Nanoseconds that flushes took.
    pub flush_nanoseconds: Option<u64>,
    /// Reads, writes, flushes and discards that failed.
    pub failed_operations: Option<u64>,
}

impl Subject for GuestDrive {
    const NAME: &'static str = "guest drive";
    const ROWS: &'static str = "one per drive of a running virtual machine that has been used since the machine started; none while the monitor of QEMU is silent";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "drive"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::counter(
            "pve_guest_drive_read_bytes_total",
            Unit::Bytes,
            "Bytes that the guest read from the drive since QEMU started; /nodes/{node}/qemu?full=1 blockstat rd_bytes.",
            |drive| drive.read_bytes.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_drive_written_bytes_total",
            Unit::Bytes,
            "Bytes that the guest wrote to the drive since QEMU started; /nodes/{node}/qemu?full=1 blockstat wr_bytes.",
            |drive| drive.written_bytes.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_drive_reads_total",
            Unit::None,
            "Reads that succeeded since QEMU started; /nodes/{node}/qemu?full=1 blockstat rd_operations.",
            |drive| drive.reads.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_drive_writes_total",
            Unit::None,
            "Writes that succeeded since QEMU started; /nodes/{node}/qemu?full=1 blockstat wr_operations.",
            |drive| drive.writes.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_drive_flushes_total",
            Unit::None,
            "Flushes of the cache that succeeded since QEMU started; /nodes/{node}/qemu?full=1 blockstat flush_operations.",
            |drive| drive.flushes.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_drive_read_seconds_total",
            Unit::Seconds,
            "Time that reads took, those at the same time added up: its rate divided by that of the reads is their latency; /nodes/{node}/qemu?full=1 blockstat rd_total_time_ns.",
            |drive| drive.read_nanoseconds.map(seconds),
        ),
        Metric::counter(
            "pve_guest_drive_write_seconds_total",
            Unit::Seconds,
            "Time that writes took, those at the same time added up: its rate divided by that of the writes is their latency; /nodes/{node}/qemu?full=1 blockstat wr_total_time_ns.",
            |drive| drive.write_nanoseconds.map(seconds),
        ),
        Metric::counter(
            "pve_guest_drive_flush_seconds_total",
            Unit::Seconds,
            "Time that flushes took: its rate divided by that of the flushes is their latency; /nodes/{node}/qemu?full=1 blockstat flush_total_time_ns.",
            |drive| drive.flush_nanoseconds.map(seconds),
        ),
        Metric::counter(
            "pve_guest_drive_failed_operations_total",
            Unit::None,
            "Reads, writes, flushes and discards that failed since QEMU started; /nodes/{node}/qemu?full=1 blockstat failed_rd_operations, failed_wr_operations, failed_flush_operations and failed_unmap_operations.",
            |drive| drive.failed_operations.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "nanoseconds beyond 2^53, which is 104 days of I/O, stay right to a microsecond"
)]
fn seconds(nanoseconds: u64) -> Value {
    (nanoseconds as f64 / 1e9).into()
}
