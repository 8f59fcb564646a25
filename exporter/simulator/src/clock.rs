//! The time of the simulated cluster.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// How often PVE samples its guests, nodes and storages.
pub const SAMPLE_PERIOD: Duration = Duration::from_secs(10);

/// What moves the simulated time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    /// Wall time.
    Real,
    /// Only [`Simulator::advance`](crate::Simulator::advance).
    Manual,
}

/// A point of simulated time, in milliseconds since the epoch.
pub(crate) type Milliseconds = u64;

/// Simulated time since a start; both clocks can be moved forward by hand.
#[derive(Debug)]
pub(crate) struct SimulatedTime {
    start: Milliseconds,
    running_since: Option<Instant>,
    advanced: AtomicU64,
}

impl SimulatedTime {
    pub(crate) fn new(clock: Clock, start: SystemTime) -> Self {
        Self {
            start: milliseconds(start.duration_since(UNIX_EPOCH).unwrap_or_default()),
            running_since: (clock == Clock::Real).then(Instant::now),
            advanced: AtomicU64::new(0),
        }
    }

    pub(crate) fn start(&self) -> Milliseconds {
        self.start
    }

    pub(crate) fn now(&self) -> Milliseconds {
        let running = self.running_since.map_or(0, |since| milliseconds(since.elapsed()));
        self.start + running + self.advanced.load(Ordering::SeqCst)
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.advanced.fetch_add(milliseconds(by), Ordering::SeqCst);
    }

    /// How many samples were taken since the start.
    pub(crate) fn generation(&self) -> u64 {
        (self.now() - self.start) / milliseconds(SAMPLE_PERIOD)
    }

    /// When the newest sample at or before `time` was taken.
    pub(crate) fn sample_at(&self, time: Milliseconds) -> Milliseconds {
        let period = milliseconds(SAMPLE_PERIOD);
        self.start + time.saturating_sub(self.start) / period * period
    }
}

/// A duration in milliseconds; what does not fit is the far future.
pub(crate) fn milliseconds(duration: Duration) -> Milliseconds {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand() {
        let time = SimulatedTime::new(Clock::Manual, UNIX_EPOCH + Duration::from_secs(1_000));
        assert_eq!((time.now(), time.generation()), (1_000_000, 0));
        time.advance(Duration::from_millis(25_500));
        assert_eq!((time.now(), time.generation()), (1_025_500, 2));
        assert_eq!(time.sample_at(time.now()), 1_020_000);
    }
}
