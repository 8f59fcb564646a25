//! Counters that must not step because PVE hiccuped.

use std::sync::Arc;

/// How many refreshes a lower value must stand before it is believed.
const BELIEVED_AFTER: u8 = 3;

/// The last believed value of one counter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counter {
    last: Option<u64>,
    lower_for: u8,
}

impl Counter {
    /// Takes a new reading and returns what may be exposed.
    ///
    /// A counter that starts again (`continues` is false: the guest restarted or migrated) may be lower. One that goes on
    /// may not: a lower value is no sample until it has stood for three refreshes.
    pub fn read(&mut self, value: Option<u64>, continues: bool) -> Option<u64> {
        if !continues {
            *self = Self::default();
        }
        let value = value?;
        if self.last.is_some_and(|last| value < last) {
            self.lower_for += 1;
            if self.lower_for < BELIEVED_AFTER {
                return None;
            }
        }
        self.lower_for = 0;
        self.last = Some(value);
        Some(value)
    }
}

/// The run of a guest: while it goes on, the guest's counters only grow.
#[derive(Debug, Default)]
pub struct Run {
    node: Option<Arc<str>>,
    uptime: u64,
}

impl Run {
    /// Whether the run last told of goes on: on the same `node`, with an `uptime` in seconds that is not lower. An unknown one
    /// is taken for not lower.
    pub fn continues(&mut self, node: &Arc<str>, uptime: Option<u64>) -> bool {
        let known = if self.node.as_ref() == Some(node) {
            Some(self.uptime)
        } else {
            self.node = Some(Arc::clone(node));
            None
        };
        self.uptime = uptime.or(known).unwrap_or(0);
        known.is_some_and(|known| self.uptime >= known)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_value_must_stand_for_three_refreshes() {
        let mut counter = Counter::default();
        assert_eq!(counter.read(Some(100), true), Some(100));
        assert_eq!(counter.read(Some(0), true), None);
        assert_eq!(counter.read(Some(110), true), Some(110), "a hiccup leaves no trace");
        assert_eq!(counter.read(Some(5), true), None);
        assert_eq!(counter.read(Some(6), true), None);
        assert_eq!(counter.read(Some(7), true), Some(7));
        assert_eq!(counter.read(Some(8), true), Some(8));
    }

    #[test]
    fn a_restart_may_lower_it_at_once() {
        let mut counter = Counter::default();
        counter.read(Some(100), true);
        assert_eq!(counter.read(Some(3), false), Some(3));
        assert_eq!(counter.read(None, true), None);
        assert_eq!(counter.read(Some(4), true), Some(4));
        assert_eq!(counter.read(None, false), None, "stopped");
        assert_eq!(counter.read(Some(1), true), Some(1), "and started again");
    }

    #[test]
    fn a_run_ends_with_a_restart_and_with_a_migration() {
        let (here, there) = (Arc::from("pve1"), Arc::from("pve2"));
        let mut run = Run::default();
        assert!(!run.continues(&here, Some(60)), "the first time");
        assert!(run.continues(&here, Some(60)));
        assert!(run.continues(&here, None), "unknown");
        assert!(!run.continues(&here, Some(59)), "restarted");
        assert!(!run.continues(&there, Some(100)), "migrated");
        assert!(run.continues(&there, Some(160)));
        assert!(!run.continues(&here, None), "and back");
        assert!(run.continues(&here, Some(5)));
    }
}
