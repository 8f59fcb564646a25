//! Reads the exporter's own process, and the name of its machine, from `/proc`.

use std::sync::OnceLock;

use procfs::WithCurrentSystemInfo as _;

use crate::metrics::labels::Identity;
use crate::subjects::process::Process;

/// When the machine booted, in Unix seconds. Read once: the kernel reckons it from the clock, so that it moves where that is set,
/// and a start that moves is taken for another start.
static BOOT: OnceLock<Option<u64>> = OnceLock::new();

/// Reads `/proc/self`; what cannot be read is absent.
#[must_use]
pub fn read() -> Process {
    let process = procfs::process::Process::myself().ok();
    let stat = process.as_ref().and_then(|process| process.stat().ok());
    #[expect(clippy::cast_precision_loss, reason = "ticks and seconds stay far below 2^53")]
    let (ticks, boot) = (
        procfs::ticks_per_second() as f64,
        BOOT.get_or_init(|| procfs::boot_time_secs().ok())
            .map(|boot| boot as f64),
    );
    #[expect(clippy::cast_precision_loss, reason = "as above")]
    let seconds = |count: u64| count as f64 / ticks;
    Process {
        identity: Identity::new(&[]),
        cpu_seconds: stat.as_ref().map(|stat| seconds(stat.utime + stat.stime)),
        resident_bytes: stat.as_ref().map(|stat| stat.rss_bytes().get()),
        virtual_bytes: stat.as_ref().map(|stat| stat.vsize),
        open_fds: process
            .as_ref()
            .and_then(|process| process.fd_count().ok())
            .map(|count| count as u64),
        max_fds: process
            .as_ref()
            .and_then(|process| process.limits().ok())
            .and_then(|limits| match limits.max_open_files.soft_limit {
                procfs::process::LimitValue::Value(limit) => Some(limit),
                procfs::process::LimitValue::Unlimited => None,
            }),
        start_time: stat
            .as_ref()
            .zip(boot)
            .map(|(stat, boot)| boot + seconds(stat.starttime)),
    }
}

/// What the machine is called, without its domain.
///
/// # Errors
/// When it cannot be read.
pub fn host_name() -> std::io::Result<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname")?;
    Ok(name.trim().split('.').next().unwrap_or_default().to_owned())
}
