//! The sentence with which `zpool status` tells of the last scrub or resilver.

/// What the sentence says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// When the last scrub ended, in seconds of the node's local time; absent while one runs and where none has ended.
    pub scrubbed: Option<i64>,
    /// The errors that it could not repair.
    pub scrub_errors: Option<u64>,
    /// A scrub is under way and not paused.
    pub is_scrubbing: bool,
    /// A resilver is under way.
    pub is_resilvering: bool,
}

/// Reads it; `None` where it is empty or of a form that is not known.
#[must_use]
pub fn parse(sentence: &str) -> Option<Scan> {
    let idle = Scan::default();
    if sentence.starts_with("scrub repaired ") {
        let (before, date) = sentence.split_once(" errors on ")?;
        return Some(Scan {
            scrubbed: local_seconds(date),
            scrub_errors: before.rsplit(' ').next()?.parse().ok(),
            ..idle
        });
    }
    if sentence.starts_with("scrub in progress since ") {
        return Some(Scan {
            is_scrubbing: true,
            ..idle
        });
    }
    // A resilver that rebuilds in order names the device: `resilver (mirror-0) in progress since`, `resilvered (mirror-0)`.
    if sentence.starts_with("resilver ") && sentence.contains(" in progress since ") {
        return Some(Scan {
            is_resilvering: true,
            ..idle
        });
    }
    let known = [
        "none requested",
        "scrub canceled on ",
        "scrub paused since ",
        "resilver canceled on ",
        "resilvered ",
    ];
    known.iter().any(|start| sentence.starts_with(start)).then_some(idle)
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// The seconds of a date such as `Sun Aug  9 00:36:35 2026`, counted as if it were UTC; what follows it does not matter.
fn local_seconds(date: &str) -> Option<i64> {
    let mut words = date.split_whitespace().skip(1);
    let month = words.next()?;
    let month = MONTHS.iter().zip(1_i64..).find(|(name, _)| **name == month)?.1;
    let day = number(words.next()?, 1, 31)?;
    let mut time = words.next()?.split(':');
    let hour = number(time.next()?, 0, 23)?;
    let minute = number(time.next()?, 0, 59)?;
    let second = number(time.next()?, 0, 60)?;
    let year = number(words.next()?, 1970, 9999)?;
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

fn number(text: &str, least: i64, most: i64) -> Option<i64> {
    text.parse().ok().filter(|number| (least..=most).contains(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_form() {
        let scrubbed = |scrub_errors, scrubbed| Scan {
            scrubbed: Some(scrubbed),
            scrub_errors: Some(scrub_errors),
            ..Scan::default()
        };
        for (sentence, scan) in [
            (
                "scrub repaired 0B in 00:12:34 with 0 errors on Sun Aug  9 00:36:35 2026",
                scrubbed(0, 1_786_235_795),
            ),
            (
                "scrub repaired 1.50M in 2 days 03:00:00 with 17 errors on Thu Feb 29 23:59:59 2024",
                scrubbed(17, 1_709_251_199),
            ),
            (
                "scrub repaired 0 in 0h36m with 3 errors on Sat Jan  1 00:00:00 2000",
                scrubbed(3, 946_684_800),
            ),
            ("none requested", Scan::default()),
            ("scrub canceled on Sun Aug  9 00:36:35 2026", Scan::default()),
            (
                "scrub paused since Sun Aug  9 00:36:35 2026 scrub started on Sun Aug  9 00:24:01 2026 1.2T / 2T scanned",
                Scan::default(),
            ),
            (
                "scrub in progress since Sun Aug  9 00:24:01 2026 1.23T / 2.50T scanned at 500M/s, 0B repaired, 40.00% done, 01:05:00 to go",
                Scan {
                    is_scrubbing: true,
                    ..Scan::default()
                },
            ),
            (
                "resilver in progress since Sun Aug  9 00:24:01 2026 1.23T / 2.50T scanned",
                Scan {
                    is_resilvering: true,
                    ..Scan::default()
                },
            ),
            (
                "resilver (mirror-0) in progress since Sun Aug  9 00:24:01 2026",
                Scan {
                    is_resilvering: true,
                    ..Scan::default()
                },
            ),
            (
                "resilvered 1.2G in 00:00:10 with 0 errors on Sun Aug  9 00:36:35 2026",
                Scan::default(),
            ),
            (
                "resilvered (mirror-0) 1.2G in 00:00:10 with 2 errors on Sun Aug  9 00:36:35 2026",
                Scan::default(),
            ),
        ] {
            assert_eq!(parse(sentence), Some(scan), "{sentence}");
        }
    }

    #[test]
    fn other_words_say_nothing() {
        for sentence in ["", "scrubbing", "scrub repaired 0B", "removal of vdev 1 completed"] {
            assert_eq!(parse(sentence), None, "{sentence}");
        }
    }

    #[test]
    fn a_wrong_date_costs_only_the_time() {
        for date in [
            "",
            "Sun",
            "Sun Aug  9",
            "Sun Foo  9 00:36:35 2026",
            "Sun Aug 32 00:36:35 2026",
            "Sun Aug  9 24:36:35 2026",
            "Sun Aug  9 00:36 2026",
            "So 9. Aug 00:36:35 CEST 2026",
            "Sun Aug  9 00:36:35 99999999999999999999",
        ] {
            let scan = parse(&format!("scrub repaired 0B in 00:12:34 with 5 errors on {date}")).unwrap();
            assert_eq!((scan.scrubbed, scan.scrub_errors), (None, Some(5)), "{date}");
        }
        let scan = parse("scrub repaired 0B in 00:12:34 with many errors on Sun Aug  9 00:36:35 2026").unwrap();
        assert_eq!((scan.scrubbed, scan.scrub_errors), (Some(1_786_235_795), None));
    }
}
