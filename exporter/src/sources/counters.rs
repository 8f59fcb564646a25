//! Counters that must not step because PVE hiccuped.

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
}
