//! How many label sets a guest may bring about.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

/// The new label sets that a guest gets in a day.
pub const NEW_A_DAY: u32 = 64;

/// No guest has more at a time. One that tells all of them anew each day is not remembered with ever more.
const MOST: usize = 8192;

const DAY: f64 = 24.0 * 3600.0;

/// The label sets of one guest. One that is known goes on; one that was not seen for a day or two is new again.
///
/// It holds a number for each, and no more than 8192 of them.
#[derive(Debug)]
pub struct LabelSets {
    new_a_day: u32,
    /// How many may be new today.
    allowed: u32,
    /// How many may be new in the first day, until that has begun.
    first_day: u32,
    hasher: RandomState,
    /// When each was last seen, in Unix seconds, by its hash.
    seen: HashMap<u64, f64>,
    /// When the day began in which `new` have come.
    since: f64,
    new: u32,
    dropped: u64,
}

impl Default for LabelSets {
    fn default() -> Self {
        Self::new(NEW_A_DAY)
    }
}

impl LabelSets {
    /// None are known; so many new ones come in a day.
    #[must_use]
    pub fn new(new_a_day: u32) -> Self {
        Self {
            new_a_day,
            allowed: new_a_day,
            first_day: 0,
            hasher: RandomState::new(),
            seen: HashMap::new(),
            since: 0.0,
            new: 0,
            dropped: 0,
        }
    }

    /// So many, if that is more, are new in the first day, which begins with the first of them: all that the guest has.
    #[must_use]
    pub fn with_first_day(mut self, first_day: u32) -> Self {
        self.first_day = first_day;
        self
    }

    /// Whether the label set of `labels` may be exposed `now`, in Unix seconds. One that may not is counted, each time.
    pub fn admit(&mut self, labels: impl Hash, now: f64) -> bool {
        // A clock that was set back ends the day, too.
        if (now - self.since).abs() > DAY {
            (self.since, self.new) = (now, 0);
            self.allowed = self.new_a_day.max(std::mem::take(&mut self.first_day));
            self.seen.retain(|_, seen| (now - *seen).abs() <= DAY);
        }
        let hash = self.hasher.hash_one(labels);
        if !self.seen.contains_key(&hash) {
            if self.new >= self.allowed || self.seen.len() >= MOST {
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
    fn the_first_day_brings_more() {
        let mut sets = LabelSets::new(10).with_first_day(100);
        assert_eq!(admitted(&mut sets, 0..60, START), 60);
        assert_eq!(admitted(&mut sets, 0..200, START + DAY - 1.0), 100);
        let next_day = START + DAY + 1.0;
        assert_eq!(admitted(&mut sets, 0..200, next_day), 110);
        assert_eq!(admitted(&mut sets, 1000..2000, next_day + DAY + 1.0), 10);
        let mut sets = LabelSets::new(10).with_first_day(5);
        assert_eq!(admitted(&mut sets, 0..60, START), 10);
    }

    #[test]
    fn those_that_go_on_are_not_ever_more() {
        let mut sets = LabelSets::new(1000);
        for day in 0..12 {
            let begins = START + f64::from(day) * (DAY + 2.0);
            let all = 1000 * (day + 1);
            let known = admitted(&mut sets, 0..all, begins);
            // They are told once more before it ends.
            admitted(&mut sets, 0..all, begins + DAY - 1.0);
            assert_eq!(known, MOST.min(1000 * (day as usize + 1)), "day {day}");
        }
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
