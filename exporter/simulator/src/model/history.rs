//! What PVE keeps of the past: averages over periods, at several resolutions.

use super::{Guest, Node};
use crate::{
    Version,
    calendar::{DAY, Seconds, seconds},
    clock::Milliseconds,
    random::{hash, unit, walk},
};

/// How long every node was off before it booted last.
const OFF: Seconds = 7 * DAY;

/// The rows that PVE has for a timeframe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Timeframe {
    pub(crate) step: Seconds,
    pub(crate) count: u64,
}

/// A period, by its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) end: Seconds,
    /// A moment within it, which stands for its average.
    pub(crate) middle: Milliseconds,
}

impl Timeframe {
    /// The timeframe of a name, if the version has it.
    pub(crate) fn named(name: &str, version: Version) -> Option<Self> {
        let (step, count) = if version.has_long_history() {
            match name {
                "hour" => (60, 60),
                "day" => (60, 1_440),
                "week" => (1_800, 336),
                "month" => (1_800, 1_440),
                "year" => (6 * 3_600, 1_440),
                "decade" => (7 * DAY, 570),
                _ => return None,
            }
        } else {
            match name {
                "hour" => (60, 60),
                "day" => (1_800, 70),
                "week" => (3 * 3_600, 70),
                "month" => (12 * 3_600, 70),
                "year" => (7 * DAY, 70),
                _ => return None,
            }
        };
        Some(Self { step, count })
    }

    /// Its periods up to now, the oldest first.
    pub(crate) fn periods(self, now: Seconds) -> impl Iterator<Item = Period> {
        let Self { step, count } = self;
        let last = now / step * step;
        (0..count).rev().map(move |ago| {
            let end = last.saturating_sub(ago * step);
            let middle = (end * 1_000).saturating_sub(step * 500);
            Period { end, middle }
        })
    }
}

impl Node {
    /// Whether it ran then: every one was off for a week before it booted last.
    pub(crate) fn ran(&self, at: Milliseconds) -> bool {
        let (at, booted) = (seconds(at), seconds(self.booted()));
        at >= booted || booted - at > OFF
    }

    /// Bytes per second received and sent.
    pub(crate) fn rates(&self, at: Milliseconds) -> [f64; 2] {
        [(1, 4e6), (2, 3e6)].map(|(number, average)| rate(hash(&[self.number, number]), average, at))
    }

    /// Percent of the time that tasks waited: for CPUs some, for I/O some and all, for memory some and all.
    pub(crate) fn pressure(&self, at: Milliseconds) -> [f64; 5] {
        let some = |number: u64, most: f64| {
            let stream = hash(&[self.number, 0x0070_7369, number]);
            most * walk(stream, at as f64 / 1_000.0, 7_200.0).powi(3)
        };
        let (cpu, io, memory) = (some(1, 20.0), some(2, 10.0), some(3, 2.0));
        [cpu, io, io * 0.8, memory, memory * 0.9]
    }
}

impl Guest {
    /// When its history began, in a cluster that was first seen at `start`.
    pub(crate) fn created(&self, start: Milliseconds) -> Milliseconds {
        let age = 20 * DAY + hash(&[self.stream, 30]) % (700 * DAY);
        start.saturating_sub(age * 1_000)
    }

    /// Bytes per second received, sent, read and written.
    pub(crate) fn rates(&self, at: Milliseconds) -> [f64; 4] {
        [(1, 9e3), (2, 7e3), (3, 2e4), (4, 6e4)]
            .map(|(number, average)| rate(hash(&[self.stream, 31, number]), average, at))
    }
}

fn rate(stream: u64, average: f64, at: Milliseconds) -> f64 {
    average * (0.2 + unit(&[stream])) * (0.5 + walk(stream, at as f64 / 1_000.0, 14_400.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_end_at_multiples_of_their_length() {
        let year = Timeframe::named("year", Version::new(9, 2, 11)).unwrap();
        let periods: Vec<_> = year.periods(1_786_800_000).collect();
        assert_eq!(periods.len(), 1_440);
        assert!(periods.iter().all(|period| period.end % 21_600 == 0));
        assert!(periods.last().unwrap().end > 1_786_800_000 - 21_600);
        assert_eq!(Timeframe::named("decade", Version::new(8, 4, 1)), None);
    }
}
