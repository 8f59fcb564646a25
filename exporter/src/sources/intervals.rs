//! How often somebody scrapes.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How many intervals between scrapes are remembered. The longest counts, so that several Prometheis that scrape close together
/// are not taken for a fast one.
const REMEMBERED: usize = 16;

/// When the last scrape was, and the time between the last few.
#[derive(Debug, Default)]
pub struct Intervals {
    last: Option<Instant>,
    intervals: VecDeque<Duration>,
}

impl Intervals {
    /// Notes a scrape.
    pub fn note(&mut self, now: Instant) {
        if let Some(last) = self.last {
            if self.intervals.len() == REMEMBERED {
                self.intervals.pop_front();
            }
            self.intervals.push_back(now.saturating_duration_since(last));
        }
        self.last = Some(now);
    }

    /// When the last scrape was.
    #[must_use]
    pub fn last(&self) -> Option<Instant> {
        self.last
    }

    /// The time between scrapes.
    #[must_use]
    pub fn interval(&self) -> Duration {
        let mut longest: Vec<Duration> = self.intervals.iter().copied().collect();
        longest.sort_unstable_by(|left, right| right.cmp(left));
        // One pause of the scraper among several intervals is none of them.
        longest.get(usize::from(longest.len() > 2)).copied().unwrap_or_default()
    }
}
