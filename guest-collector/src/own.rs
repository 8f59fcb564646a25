//! What the collector itself costs.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Reads the resources of this process.
#[derive(Debug)]
pub(crate) struct Own {
    statm: Option<File>,
}

impl Own {
    pub(crate) fn new(proc: &Path) -> Self {
        Self {
            statm: File::open(proc.join("self/statm")).ok(),
        }
    }

    /// CPU time since the start, in microseconds.
    pub(crate) fn cpu_microseconds(&self) -> Option<u64> {
        let time = Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).ok()?;
        u64::try_from(time.as_micros()).ok()
    }

    /// Resident memory, in kB.
    pub(crate) fn resident(&self) -> Option<u64> {
        let mut text = [0; 128];
        let length = rustix::io::pread(self.statm.as_ref()?, &mut text, 0).ok()?;
        let text = std::str::from_utf8(text.get(..length)?).ok()?;
        let pages: u64 = text.split(' ').nth(1)?.parse().ok()?;
        pages.checked_mul(rustix::param::page_size() as u64 / 1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_and_used_time() {
        let own = Own::new(Path::new("/proc"));
        assert!((100..10_000_000).contains(&own.resident().unwrap()));
        assert!(own.cpu_microseconds().unwrap() > 0);
        assert_eq!(Own::new(Path::new("/nowhere")).resident(), None);
    }
}
