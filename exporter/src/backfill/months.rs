//! Months, which the files are cut by, and moments as people write them. All in UTC.

use std::time::{Duration, UNIX_EPOCH};

/// Numbers below are no Unix seconds, as PVE is not so old, but somebody's days.
const EARLIEST: u64 = 1_000_000_000;

/// Reads `30d`, `52w`, `1y` (before `now`), `2026-01-31`, `2026-01-31T12:00:00Z` or what Prometheus says of a time: Unix
/// seconds, with a fraction or without.
///
/// # Errors
/// A sentence that says what to write.
pub fn moment(text: &str, now: u64) -> Result<u64, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(now.saturating_sub(ago.as_secs()));
    }
    let seconds = text.split_once('.').map_or(text, |(seconds, _)| seconds);
    if let Some(seconds) = seconds.parse::<u64>().ok().filter(|seconds| *seconds >= EARLIEST) {
        return Ok(seconds);
    }
    let day = format!("{text}T00:00:00Z");
    humantime::parse_rfc3339_weak(text)
        .or_else(|_| humantime::parse_rfc3339_weak(&day))
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
        .map(|since| since.as_secs())
        .ok_or_else(|| {
            format!("{text:?} is no time; write how long ago, such as 30d, 52w or 1y, or a day, such as 2026-01-31")
        })
}

/// `2026-01-31T12:00:00Z`.
#[must_use]
pub fn written(time: u64) -> String {
    let longest = 253_402_300_799;
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(time.min(longest))).to_string()
}

/// The month of a time, such as `2026-01`.
#[must_use]
pub fn month(time: u64) -> String {
    let mut text = written(time);
    text.truncate("2026-01".len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        let now = 1_786_800_000;
        assert_eq!(moment("30d", now), Ok(now - 30 * 86_400));
        assert_eq!(moment("52w", now), Ok(now - 364 * 86_400));
        assert_eq!(moment("1y", now), Ok(now - 31_557_600));
        assert_eq!(moment("2026-08-15", now), Ok(1_786_752_000));
        assert_eq!(moment("2026-08-15T13:20:00Z", now), Ok(now));
        assert_eq!(moment("99999w", now), Ok(0));
        assert_eq!(moment("1786752000.507", now), Ok(1_786_752_000));
        for wrong in ["", "yesterday", "365", "-1d", "2026-13-01"] {
            assert!(moment(wrong, now).unwrap_err().contains("30d"), "{wrong}");
        }
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        assert_eq!(month(1_786_800_000), "2026-08");
        assert_eq!(
            (month(1_785_542_399), month(1_785_542_400)),
            ("2026-07".into(), "2026-08".into())
        );
        assert_eq!(written(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
