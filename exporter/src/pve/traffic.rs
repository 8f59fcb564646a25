//! How much a cluster has been asked lately.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const MINUTE: Duration = Duration::from_secs(60);

/// When the requests of the last two minutes were sent.
#[derive(Debug, Default)]
pub struct Traffic(Mutex<VecDeque<Instant>>);

impl Traffic {
    /// Notes that a request is sent.
    pub fn note(&self, now: Instant) {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut sent, now);
        sent.push_back(now);
    }

    /// How many were sent within the minute before `now`, or in one of the last two on average, where that is more: what comes at
    /// once, at the first scrape say, counts for a while.
    #[must_use]
    pub fn a_minute(&self, now: Instant) -> usize {
        let mut sent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        forget(&mut sent, now);
        let older = sent.partition_point(|time| now.saturating_duration_since(*time) >= MINUTE);
        (sent.len() - older).max(sent.len() / 2)
    }
}

fn forget(sent: &mut VecDeque<Instant>, now: Instant) {
    while sent
        .front()
        .is_some_and(|first| now.saturating_duration_since(*first) >= 2 * MINUTE)
    {
        sent.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_minute_old_counts_half_and_then_no_more() {
        let (traffic, start) = (Traffic::default(), Instant::now());
        for _ in 0..10 {
            traffic.note(start);
        }
        traffic.note(start + MINUTE / 2);
        let after = |seconds| traffic.a_minute(start + Duration::from_secs(seconds));
        assert_eq!([after(31), after(60), after(119), after(120)], [11, 5, 5, 0]);
    }
}
