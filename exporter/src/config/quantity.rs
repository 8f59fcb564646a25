//! Durations and sizes as people write them: `10s`, `64MiB`.

use std::fmt;
use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// No setting means anything beyond this, and sums with the clock must not overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The least age at which a source may be read again: PVE itself samples every 10 s.
const SHORTEST_MAX_AGE: Duration = Duration::from_secs(1);

/// The least size at which an answer of PVE can still be read.
const SMALLEST_BODY: u64 = 64 * 1024;

/// The least bytes per second of a guest: its longest line.
const SMALLEST_RATE: u64 = 32 * 1024;

fn parse_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text.trim()).map_err(|error| {
        format!("{text:?} is not a duration ({error}); write a number and a unit, such as \"500ms\", \"10s\", \"5m\" or \"1h\"")
    })?;
    if duration > LONGEST {
        return Err(format!("{text:?} is longer than a year; write a shorter duration"));
    }
    Ok(duration)
}

/// Any duration, zero included.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    parse_duration(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// A duration that is waited for, so that zero would always fail.
pub(super) fn timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let duration = duration(deserializer)?;
    if duration.is_zero() {
        return Err(D::Error::custom(
            "must be more than 0; write a duration such as \"10s\"",
        ));
    }
    Ok(duration)
}

/// The age at which a source is read again.
pub(super) fn max_age<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let duration = duration(deserializer)?;
    if duration < SHORTEST_MAX_AGE {
        return Err(D::Error::custom(
            "must be at least 1s, to spare PVE; write a duration such as \"10s\"",
        ));
    }
    Ok(Some(duration))
}

fn parse_size(text: &str) -> Result<u64, String> {
    let complaint =
        || format!("{text:?} is not a size; write bytes or a number and a unit, such as 67108864 or \"64MiB\"");
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1000 * 1000,
        "GB" => 1000 * 1000 * 1000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(complaint()),
    };
    number
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(factor))
        .ok_or_else(complaint)
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size in bytes, or text such as \"64MiB\"")
    }

    fn visit_u64<E: Error>(self, bytes: u64) -> Result<u64, E> {
        Ok(bytes)
    }

    fn visit_i64<E: Error>(self, bytes: i64) -> Result<u64, E> {
        u64::try_from(bytes).map_err(|_| E::custom(format!("{bytes} is not a size; write 67108864 or \"64MiB\"")))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        parse_size(text).map_err(E::custom)
    }
}

/// The largest answer that is read.
pub(super) fn body_limit<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let bytes = deserializer.deserialize_any(SizeVisitor)?;
    if bytes < SMALLEST_BODY {
        return Err(D::Error::custom(format!(
            "{bytes} bytes hold no answer of PVE; write at least \"64KiB\""
        )));
    }
    Ok(bytes)
}

/// How many bytes a guest may send in a second.
pub(super) fn bytes_per_second<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let bytes = deserializer.deserialize_any(SizeVisitor)?;
    if bytes < SMALLEST_RATE {
        return Err(D::Error::custom(format!(
            "{bytes} bytes are less than one line; write at least \"32KiB\""
        )));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size(" 2 GB "), Ok(2_000_000_000));
        assert_eq!(parse_size("1048576"), Ok(1 << 20));
        for wrong in ["", "MiB", "1.5MiB", "64Mi", "-1", "99999999999GiB"] {
            assert!(parse_size(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("1h 30m"), Ok(Duration::from_secs(5400)));
        assert!(parse_duration("10").unwrap_err().contains("\"10s\""));
        assert!(parse_duration("3 years").unwrap_err().contains("longer than a year"));
    }
}
