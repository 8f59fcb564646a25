//! What tells a sample from those before: the boot, the start of the collector, and the clocks.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime};

use pve_guest_protocol::{BootId, Header};
use rustix::time::{ClockId, clock_gettime};

/// Which boot and which run of the collector this is.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) boot_id: BootId,
    pub(crate) start_seconds: f64,
    sequence: u64,
}

impl Identity {
    /// Reads the boot's id below `proc`. Where there is none, all boots look the same but for their clocks.
    pub(crate) fn new(proc: &Path) -> Self {
        let path = proc.join("sys/kernel/random/boot_id");
        let text = fs::read_to_string(&path).unwrap_or_default();
        let boot_id = text.trim_end().parse().unwrap_or_else(|problem| {
            tracing::warn!(path = %path.display(), problem, "the boot has no id");
            BootId::default()
        });
        Self {
            boot_id,
            start_seconds: uptime(),
            sequence: 0,
        }
    }

    /// The header of the next sample, taken now.
    pub(crate) fn next(&mut self, interval: Duration) -> Header {
        self.sequence += 1;
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Header {
            boot_id: self.boot_id,
            start_seconds: self.start_seconds,
            sequence: self.sequence,
            monotonic_seconds: uptime(),
            time_seconds: wall.unwrap_or_default().as_secs_f64(),
            interval_seconds: interval.as_secs_f64(),
            ..Header::default()
        }
    }
}

fn uptime() -> f64 {
    let now = clock_gettime(ClockId::Boottime);
    Duration::try_from(now).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_follow_each_other() {
        let mut identity = Identity::new(Path::new("/proc"));
        assert_ne!(identity.boot_id, BootId::default());
        let first = identity.next(Duration::from_secs(10));
        let second = identity.next(Duration::from_secs(10));
        assert_eq!((first.sequence, second.sequence), (1, 2));
        assert_eq!(
            (first.boot_id, first.start_seconds),
            (second.boot_id, second.start_seconds)
        );
        assert!(first.monotonic_seconds <= second.monotonic_seconds);
        assert!(first.monotonic_seconds >= first.start_seconds);
    }

    #[test]
    fn a_boot_without_an_id_still_counts() {
        let mut identity = Identity::new(Path::new("/nowhere"));
        assert_eq!(identity.boot_id, BootId::default());
        assert_eq!(identity.next(Duration::from_secs(1)).sequence, 1);
    }
}
