//! The turns of nodes that are read without anybody waiting for it.

use std::time::{Duration, Instant};

use crate::sources::pace::Pace;

/// How many nodes without a value, or with one that is overdue, are read at once.
const AT_ONCE: u32 = 5;

/// How far apart the other ones of them are read at most.
const ONE_BY_ONE: Duration = Duration::from_secs(60);

/// For how long a turn is there. Whoever was not asked for anything then has missed it.
const LASTS: Duration = Duration::from_secs(60);

/// Whose turn it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turns {
    began: Instant,
    /// How many may be read out of turn, and when that was last reckoned.
    extra: u32,
    reckoned: Instant,
}

impl Turns {
    /// Turns that begin now.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            began: now,
            extra: AT_ONCE,
            reckoned: now,
        }
    }

    /// Whether the one with this index among `number`, whose value has this age, is due `now`. Each is at its turn, once that is
    /// worth it; out of turn are those that have no value, or one that is overdue since nobody has wanted anything for a while: a
    /// few of them at once, and the others one by one.
    pub(crate) fn is_due(
        &mut self,
        pace: Pace,
        index: u32,
        number: usize,
        age: Option<Duration>,
        now: Instant,
    ) -> bool {
        let period = pace.period();
        if let Some(age) = age.filter(|age| *age < period * 3 / 2) {
            let since = pace.since_turn(index, number, now.saturating_duration_since(self.began));
            // The age that it had when its turn came.
            let aged = since
                .filter(|since| *since < LASTS)
                .and_then(|since| age.checked_sub(since));
            return aged.is_some_and(|aged| aged >= period / 2);
        }
        let step = ONE_BY_ONE.min(period / u32::try_from(number).unwrap_or(u32::MAX).max(1));
        let steps = now.saturating_duration_since(self.reckoned).as_nanos() / step.as_nanos().max(1);
        if let steps @ 1.. = u32::try_from(steps).unwrap_or(u32::MAX) {
            self.extra = self.extra.saturating_add(steps).min(AT_ONCE);
            self.reckoned = now;
        }
        let due = self.extra > 0;
        self.extra = self.extra.saturating_sub(1);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::name::SourceName;

    const SECOND: Duration = Duration::from_secs(1);

    /// When each of `number` nodes is read in the seconds in which anybody wants something.
    fn reads(pace: Pace, number: usize, wanted: impl Iterator<Item = u32>) -> Vec<Vec<u32>> {
        let start = Instant::now();
        let mut turns = Turns::new(start);
        let mut reads = vec![Vec::new(); number];
        for second in wanted {
            for (index, reads) in (0..).zip(&mut reads) {
                let age = reads.last().map(|read| (second - read) * SECOND);
                if turns.is_due(pace, index, number, age, start + second * SECOND) {
                    reads.push(second);
                }
            }
        }
        reads
    }

    #[test]
    fn nodes_are_read_by_turns_from_the_start() {
        let pace = Pace::new(SourceName::Services, 300 * SECOND);
        let reads = reads(pace, 20, 0..3600);
        let within = |from: u32| {
            let all = reads.iter().flatten();
            all.filter(|read| (from..from + 60).contains(*read)).count()
        };
        assert!(within(0) <= 10, "{reads:?}");
        assert!((60..3540).all(|from| within(from) <= 6), "{reads:?}");
        for reads in &reads {
            assert!(reads.windows(2).all(|pair| pair[1] - pair[0] <= 360), "{reads:?}");
        }
    }

    #[test]
    fn live_state_is_read_again_before_it_is_served_no_more() {
        let pace = Pace::new(SourceName::Services, 6 * 3600 * SECOND);
        for reads in reads(pace, 3, 0..7200) {
            let gone = pace.max_stale(15 * SECOND).as_secs();
            assert!(
                reads.windows(2).all(|pair| u64::from(pair[1] - pair[0]) < gone),
                "{reads:?}"
            );
        }
    }

    #[test]
    fn who_is_asked_for_now_and_then_only_reads_every_node() {
        let pace = Pace::new(SourceName::Packages, 6 * 3600 * SECOND);
        // Six minutes of every ten, as after a scrape.
        let wanted = (0..6 * 3600).filter(|second| second % 600 < 360);
        let reads = reads(pace, 20, wanted);
        assert!(reads.iter().all(|reads| (1..=3).contains(&reads.len())), "{reads:?}");
    }

    #[test]
    fn after_a_pause_the_nodes_do_not_all_come_at_once() {
        let pace = Pace::new(SourceName::Services, 300 * SECOND);
        for pause in [200, 400, 3600] {
            let wanted = (0..1000).chain(1000 + pause..2000 + pause);
            let reads = reads(pace, 20, wanted);
            let back = 1000 + pause;
            let at_once = reads.iter().flatten().filter(|read| (back..back + 5).contains(*read));
            assert!(at_once.count() <= 11, "{pause}: {reads:?}");
            let first = |reads: &Vec<u32>| reads.iter().copied().find(|read| *read >= back);
            assert!(
                reads
                    .iter()
                    .all(|reads| first(reads).is_some_and(|read| read < back + 360))
            );
        }
    }
}
