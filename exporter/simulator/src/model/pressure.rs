//! What holds up a guest: the share of the last ten seconds in which some or all of its tasks waited.

use super::Guest;
use crate::{
    clock::Milliseconds,
    random::{hash, unit, walk},
};

/// PVE's keys, in the order of [`Guest::pressure`].
pub(crate) const PRESSURES: [&str; 6] = [
    "pressurecpusome",
    "pressurecpufull",
    "pressureiosome",
    "pressureiofull",
    "pressurememorysome",
    "pressurememoryfull",
];

impl Guest {
    /// In percent, with two digits.
    pub(crate) fn pressure(&self, at: Milliseconds) -> [f64; 6] {
        let held = self.held_since.is_some_and(|held| held <= at);
        let some = |number: u64, most: f64| {
            let stream = hash(&[self.stream, 0x0070_7369, number]);
            let share = unit(&[stream]).powi(4) * walk(stream, at as f64 / 1_000.0, 240.0).powi(2);
            if held { 0.0 } else { share * most }
        };
        let (cpu, io, memory) = (some(1, 60.0), some(2, 80.0), some(3, 10.0));
        [cpu, cpu * 0.4, io, io * 0.8, memory, memory * 0.9].map(|percent| (percent * 100.0).round() / 100.0)
    }
}
