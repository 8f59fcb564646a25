//! The text of `smartctl` on disks at NVMe and SAS. Lines that are not known are passed over.

use crate::subjects::disk_smart::Readings;

/// What NVMe counts data in: a thousand blocks of 512 bytes.
const DATA_UNIT: u64 = 512_000;

/// Takes what is known of `text`.
pub(super) fn read(text: &str, readings: &mut Readings) {
    for line in text.lines() {
        if let Some(hours) = line.strip_prefix("Accumulated power on time, hours:minutes") {
            readings.power_on = hours_and_minutes(hours.trim()).or(readings.power_on);
        } else if let Some((key, value)) = line.split_once(':') {
            take(key.trim(), value.trim(), readings);
        } else if let Some((key, value)) = line.split_once('=')
            && key.trim() == "number of hours powered up"
        {
            readings.power_on = readings.power_on.or_else(|| fractional_hours(value));
        }
    }
}

fn take(key: &str, value: &str, readings: &mut Readings) {
    match key {
        "Critical Warning" => readings.critical_warning = bits(value),
        "Temperature" => readings.temperature = degrees(value, "Celsius"),
        "Current Drive Temperature" => readings.temperature = degrees(value, "C").filter(|degrees| *degrees != 0.0),
        "Available Spare" => readings.available_spare = share(value),
        "Data Units Read" => readings.read_bytes = data(value),
        "Data Units Written" => readings.written_bytes = data(value),
        "Power Cycles" => readings.power_cycles = count(value),
        "Power On Hours" => readings.power_on = count(value).and_then(seconds_of),
        "Unsafe Shutdowns" => readings.unsafe_shutdowns = count(value),
        "Media and Data Integrity Errors" => readings.media_errors = count(value),
        "Elements in grown defect list" => readings.grown_defects = count(value),
        _ => {}
    }
}

/// `0x04`.
fn bits(value: &str) -> Option<u64> {
    u8::from_str_radix(value.strip_prefix("0x")?, 16).ok().map(u64::from)
}

/// `38 Celsius`; `-` and `<not available>` where there is no sensor.
fn degrees(value: &str, unit: &str) -> Option<f64> {
    let degrees: i16 = value.strip_suffix(unit)?.trim_end().parse().ok()?;
    (-60..255).contains(&degrees).then_some(f64::from(degrees))
}

/// `100%`; more is none.
fn share(value: &str) -> Option<f64> {
    let percent: u8 = value.strip_suffix('%')?.parse().ok()?;
    (percent <= 100).then(|| f64::from(percent) / 100.0)
}

/// `5,592,478 [2.86 TB]`.
fn data(value: &str) -> Option<u64> {
    let (units, _) = value.split_once('[').unwrap_or((value, ""));
    count(units.trim_end())?.checked_mul(DATA_UNIT)
}

/// A whole number in groups of three digits, with whatever between them that the locale of the node has: a comma, a point, an
/// apostrophe or a blank, be it one that Perl has taken for several characters.
fn count(value: &str) -> Option<u64> {
    let separates = |character: char| matches!(character, ',' | '.' | '\'' | ' ') || !character.is_ascii();
    let mut groups = value.split(separates).filter(|group| !group.is_empty());
    let mut number = groups.next()?.to_owned();
    for group in groups {
        if number.len() > 20 || group.len() != 3 {
            return None;
        }
        number.push_str(group);
    }
    let digits = number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| number.parse().ok()).flatten()
}

/// `12345:10`.
fn hours_and_minutes(value: &str) -> Option<f64> {
    let (hours, minutes) = value.split_once(':')?;
    let minutes: u8 = minutes.parse().ok().filter(|minutes| *minutes < 60)?;
    Some(seconds_of(hours.parse().ok()?)? + f64::from(minutes) * 60.0)
}

/// Seconds of whole hours.
fn seconds_of(hours: u64) -> Option<f64> {
    u32::try_from(hours).ok().map(|hours| f64::from(hours) * 3600.0)
}

/// `7127.12`.
fn fractional_hours(value: &str) -> Option<f64> {
    value.trim().parse().ok().map(|hours: f64| hours * 3600.0)
}
