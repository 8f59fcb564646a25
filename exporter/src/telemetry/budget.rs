//! How much of what a guest sends is looked at.

use std::time::{Duration, Instant};

use crate::config::GuestTelemetry;

/// A sample may be large, and several may come at once after a pause: what was not used in so many seconds is kept.
const KEPT_SECONDS: f64 = 16.0;

/// So many times as much is read and thrown away; then the guest has to wait.
const READ: f64 = 16.0;

/// What a read costs, however little it brings: who sends byte by byte makes the exporter work as much.
const LEAST_READ: usize = 1024;

/// What comes in at a rate, is kept up to a limit, and is used up.
#[derive(Debug)]
struct Bucket {
    rate: f64,
    level: f64,
    at: Instant,
}

impl Bucket {
    fn new(rate: f64, now: Instant) -> Self {
        Self {
            rate,
            level: rate * KEPT_SECONDS,
            at: now,
        }
    }

    fn level(&mut self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.level = (self.level + passed * self.rate).min(self.rate * KEPT_SECONDS);
        self.level
    }

    fn take(&mut self, amount: f64, now: Instant) -> bool {
        let enough = self.level(now) >= amount;
        if enough {
            self.level -= amount;
        }
        enough
    }
}

/// The budget of one guest.
#[derive(Debug)]
pub(super) struct Budget {
    bytes: Bucket,
    lines: Bucket,
    read: Bucket,
}

impl Budget {
    pub(super) fn new(settings: &GuestTelemetry, now: Instant) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
        let bytes = settings.bytes_per_second as f64;
        Self {
            bytes: Bucket::new(bytes, now),
            lines: Bucket::new(f64::from(settings.lines_per_second), now),
            read: Bucket::new(bytes * READ, now),
        }
    }

    /// Whether a line of so many bytes may still cost this.
    pub(super) fn bytes(&mut self, length: usize, now: Instant) -> bool {
        self.bytes.take(amount(length), now)
    }

    /// Whether one more line may be decoded.
    pub(super) fn line(&mut self, now: Instant) -> bool {
        self.lines.take(1.0, now)
    }

    /// So many bytes have been read: how long to wait with the next. Below that a guest is always read, since one that nobody
    /// reads keeps old samples, and QEMU loses buffers of the port when such a connection is closed.
    pub(super) fn pause(&mut self, length: usize, now: Instant) -> Option<Duration> {
        let left = self.read.level(now) - amount(length.max(LEAST_READ));
        self.read.level = left;
        (left < 0.0).then(|| Duration::from_secs_f64((-left / self.read.rate).clamp(0.05, 1.0)))
    }
}

fn amount(bytes: usize) -> f64 {
    // A portion that is read is far below 2^32.
    f64::from(u32::try_from(bytes).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_is_kept_for_a_while() {
        let start = Instant::now();
        let mut budget = Budget::new(&GuestTelemetry::default(), start);
        let lines = |budget: &mut Budget, now| (0..1000).filter(|_| budget.line(now)).count();
        assert_eq!(lines(&mut budget, start), 320);
        assert_eq!(lines(&mut budget, start + Duration::from_secs(2)), 40);
        assert_eq!(lines(&mut budget, start + Duration::from_secs(1000)), 320);
        assert!(budget.bytes(2_000_000, start) && !budget.bytes(2_000_000, start));
    }

    #[test]
    fn who_floods_has_to_wait() {
        let start = Instant::now();
        let mut budget = Budget::new(&GuestTelemetry::default(), start);
        let mut now = start;
        let mut read = 0_u64;
        while now < start + Duration::from_secs(100) {
            read += 65_536;
            now += budget.pause(65_536, now).unwrap_or(Duration::from_millis(1));
        }
        let most = (100 + 16 + 2) * 16 * 128 * 1024;
        assert!(read < most && read > most / 2, "{read}");
    }

    #[test]
    fn a_read_of_a_byte_is_not_free() {
        let start = Instant::now();
        let mut budget = Budget::new(&GuestTelemetry::default(), start);
        let mut now = start;
        let mut reads = 0_u64;
        while now < start + Duration::from_secs(10) {
            reads += 1;
            now += budget.pause(1, now).unwrap_or(Duration::from_micros(10));
        }
        let most = (10 + 16 + 2) * 16 * 128;
        assert!(reads < most && reads > most / 2, "{reads}");
    }
}
