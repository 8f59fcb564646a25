//! How many label sets a guest may bring about.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

/// The new label sets that a guest gets in a day.
pub const NEW_A_DAY: u32 = 64;

const DAY: f64 = 24.0 * 3600.0;

/// The label sets of one guest. One that is known goes on; one that was not seen for a day or two is new again.
///
/// It holds a number for each, and no more of them than a guest may have at a time and [`NEW_A_DAY`].
#[derive(Debug, Default)]
pub struct LabelSets {
    hasher: RandomState,
    /// When each was last seen, in Unix seconds, by its hash.
    seen: HashMap<u64, f64>,
    /// When the day began in which `new` have come.
    since: f64,
    new: u32,
    dropped: u64,
}

impl LabelSets {
    /// Whether the label set of `labels` may be exposed `now`, in Unix seconds. One that may not is counted, each time.
    pub fn admit(&mut self, labels: impl Hash, now: f64) -> bool {
        // A clock that was set back ends the day, too.
        if (now - self.since).abs() > DAY {
            (self.since, self.new) = (now, 0);
            self.seen.retain(|_, seen| (now - *seen).abs() <= DAY);
        }
        let hash = self.hasher.hash_one(labels);
        if !self.seen.contains_key(&hash) {
            if self.new >= NEW_A_DAY {
                self.dropped += 1;
                return false;
            }
            self.new += 1;
        }
        self.seen.insert(hash, now);
        true
    }

    /// How many were not admitted.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: f64 = 1_786_800_000.0;

    fn admitted(sets: &mut LabelSets, labels: std::ops::Range<u32>, now: f64) -> usize {
        labels.filter(|labels| sets.admit(labels, now)).count()
    }

    #[test]
    fn a_day_brings_64_and_the_known_go_on() {
        let mut sets = LabelSets::default();
        assert_eq!(admitted(&mut sets, 0..60, START), 60);
        assert_eq!(admitted(&mut sets, 0..100, START + 300.0), 64);
        assert_eq!(sets.dropped(), 36);
        assert_eq!(admitted(&mut sets, 0..100, START + 600.0), 64, "the same ones");
        assert_eq!(sets.dropped(), 72);
        let next_day = START + DAY + 1.0;
        assert_eq!(admitted(&mut sets, 0..200, next_day), 128);
        assert_eq!(sets.seen.len(), 128);
    }

    #[test]
    fn what_was_not_seen_for_a_day_is_forgotten() {
        let mut sets = LabelSets::default();
        for day in 0..50 {
            let first = 1000 * day;
            let now = START + f64::from(day) * (DAY + 1.0);
            assert_eq!(admitted(&mut sets, first..first + 1000, now), 64, "day {day}");
            assert!(sets.seen.len() <= 128);
        }
    }

    #[test]
    fn a_clock_that_jumps_blocks_nothing_for_ever() {
        let mut sets = LabelSets::default();
        assert_eq!(admitted(&mut sets, 0..100, START + 1e9), 64);
        assert_eq!(admitted(&mut sets, 100..200, START), 64);
    }
}
