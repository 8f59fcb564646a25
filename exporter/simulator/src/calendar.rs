//! Dates and times of day, as schedules and logs need them.

/// Seconds since the epoch; local time is counted as if it were UTC.
pub(crate) type Seconds = u64;

pub(crate) const DAY: Seconds = 86_400;

/// The seconds of a point of simulated time.
pub(crate) fn seconds(at: crate::clock::Milliseconds) -> Seconds {
    at / 1_000
}

/// A date and a time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DateTime {
    pub(crate) year: u64,
    pub(crate) month: u64,
    pub(crate) day: u64,
    /// Since the epoch.
    days: u64,
    /// In seconds.
    time: u64,
}

impl DateTime {
    pub(crate) fn at(seconds: Seconds) -> Self {
        // Years begin in March here, so that the leap day is the last one.
        let days = seconds / DAY + 719_468;
        let (era, of_era) = (days / 146_097, days % 146_097);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        Self {
            year: era * 400 + year + u64::from(month >= 10),
            month: if month < 10 { month + 3 } else { month - 9 },
            day: of_year - (153 * month + 2) / 5 + 1,
            days: seconds / DAY,
            time: seconds % DAY,
        }
    }

    /// `2026-08-15 01:00:03`
    pub(crate) fn plain(self) -> String {
        self.text('-', ' ', ':')
    }

    /// `2026-08-14T23:00:03Z`
    pub(crate) fn iso(self) -> String {
        self.text('-', 'T', ':') + "Z"
    }

    /// `2026_08_15-01_00_03`
    pub(crate) fn of_file(self) -> String {
        self.text('_', '-', '_')
    }

    /// `Sat Aug 15 01:00:03 2026`, as C prints it.
    pub(crate) fn of_c(self) -> String {
        const MONTHS: [&str; 12] = [
            "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
        ];
        // The epoch was a Thursday.
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        let name = |names: &[&'static str], of: u64| {
            let index = usize::try_from(of % names.len() as u64).unwrap_or_default();
            names.get(index).copied().unwrap_or_default()
        };
        let plain = self.plain();
        let (_, time) = plain.split_once(' ').unwrap_or_default();
        format!(
            "{} {} {:2} {time} {}",
            name(&DAYS, self.days),
            name(&MONTHS, self.month + 11),
            self.day,
            self.year
        )
    }

    fn text(self, date: char, middle: char, time: char) -> String {
        let Self { year, month, day, .. } = self;
        let (hour, minute, second) = (self.time / 3_600, self.time / 60 % 60, self.time % 60);
        format!("{year}{date}{month:02}{date}{day:02}{middle}{hour:02}{time}{minute:02}{time}{second:02}")
    }
}

/// Whether a day is a Sunday.
pub(crate) fn is_sunday(at: Seconds) -> bool {
    // The epoch was a Thursday.
    at / DAY % 7 == 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, plain) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_786_800_000, "2026-08-15 13:20:00"),
            (1_798_761_599, "2026-12-31 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(DateTime::at(seconds).plain(), plain);
        }
        assert_eq!(DateTime::at(1_786_800_000).iso(), "2026-08-15T13:20:00Z");
        assert_eq!(DateTime::at(1_786_800_000).of_file(), "2026_08_15-13_20_00");
        assert_eq!(DateTime::at(0).of_c(), "Thu Jan  1 00:00:00 1970");
        assert_eq!(DateTime::at(1_798_761_599).of_c(), "Thu Dec 31 23:59:59 2026");
        assert_eq!(DateTime::at(1_786_235_795).of_c(), "Sun Aug  9 00:36:35 2026");
        assert!(!is_sunday(1_786_800_000) && is_sunday(1_786_800_000 + DAY));
    }
}
