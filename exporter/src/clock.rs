//! The time that decides how old a value is. Tests move it on by hand instead of waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A clock that runs with the system's, ahead by what [`Clock::advance`] added, unless it stands.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    ahead: Arc<AtomicU64>,
    stands_at: Option<(Instant, SystemTime)>,
}

impl Clock {
    /// One that stands at a moment, in seconds since the Unix epoch, and moves only by [`Clock::advance`].
    #[must_use]
    pub fn standing_at(unix_seconds: u64) -> Self {
        let moment = UNIX_EPOCH + Duration::from_secs(unix_seconds);
        Self {
            stands_at: Some((Instant::now(), moment)),
            ..Self::default()
        }
    }

    /// The moment.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.stands_at.map_or_else(Instant::now, |(now, _)| now) + self.ahead()
    }

    /// The moment in seconds since the Unix epoch.
    #[must_use]
    pub fn unix_seconds(&self) -> f64 {
        let now = self.stands_at.map_or_else(SystemTime::now, |(_, now)| now);
        (now + self.ahead())
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs_f64()
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        let milliseconds = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.ahead.fetch_add(milliseconds, Ordering::Relaxed);
    }

    fn ahead(&self) -> Duration {
        Duration::from_millis(self.ahead.load(Ordering::Relaxed))
    }
}
