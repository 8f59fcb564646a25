//! How often something may happen.

use std::time::{Duration, Instant};

/// Lets `burst` things happen at once and then one each `pause`.
#[derive(Debug)]
pub(crate) struct Rate {
    burst: u32,
    pause: Duration,
    left: u32,
    counted: Instant,
}

impl Rate {
    pub(crate) fn new(burst: u32, pause: Duration, now: Instant) -> Self {
        Self {
            burst,
            pause,
            left: burst,
            counted: now,
        }
    }

    /// Whether one more may happen now.
    pub(crate) fn allows(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.counted).as_nanos() / self.pause.as_nanos().max(1);
        let passed = u32::try_from(passed).unwrap_or(u32::MAX);
        if passed >= self.burst - self.left {
            self.left = self.burst;
            self.counted = now;
        } else {
            self.left += passed;
            self.counted += self.pause * passed;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_the_pace() {
        let start = Instant::now();
        let mut rate = Rate::new(3, Duration::from_secs(10), start);
        let allowed = |rate: &mut Rate, seconds| {
            let now = start + Duration::from_secs(seconds);
            (0..5).filter(|_| rate.allows(now)).count()
        };
        assert_eq!(allowed(&mut rate, 0), 3);
        assert_eq!(allowed(&mut rate, 9), 0);
        assert_eq!(allowed(&mut rate, 10), 1);
        assert_eq!(allowed(&mut rate, 25), 1);
        assert_eq!(allowed(&mut rate, 30), 1, "the half pause before counts");
        assert_eq!(allowed(&mut rate, 1_000_000), 3);
    }
}
