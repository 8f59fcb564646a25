//! The attributes of ATA.
//!
//! No standard says what they mean. By custom a number means the same with most vendors; where one uses it otherwise, the name
//! that `smartctl` has for it in that model tells, so each is taken only under a name that fits. Names come from its database,
//! numbers and flags from the disk.

use crate::pve::api::disk_smart::Attribute;
use crate::subjects::disk_smart::Readings;

/// What Linux calls a sector.
const SECTOR: u64 = 512;

/// All ones in the 48 bits of a raw value: not known.
const ALL_ONES: u64 = (1 << 48) - 1;

/// The attributes whose value is the percentage of its life that a disk has left, in the order in which PVE looks for one.
const WEAR: [&str; 13] = [
    "Media_Wearout_Indicator",
    "SSD_Life_Left",
    "Wear_Leveling_Count",
    "Perc_Write/Erase_Ct_BC",
    "Perc_Rated_Life_Remain",
    "Remaining_Lifetime_Perc",
    "Percent_Lifetime_Remain",
    "Lifetime_Left",
    "PCT_Life_Remaining",
    "Lifetime_Remaining",
    "Percent_Life_Remaining",
    "Percent_Lifetime_Used",
    "Perc_Rated_Life_Used",
];

/// Takes what is known of `attributes`; the first of a number counts.
pub(super) fn read(attributes: &[Option<Attribute<'_>>], readings: &mut Readings) {
    if attributes.is_empty() {
        return;
    }
    let sound = || attributes.iter().flatten();
    let find = |id: u64, names: &[&str]| {
        let attribute = sound().find(|attribute| attribute.id == Some(id))?;
        let name = attribute.name.to_ascii_lowercase();
        let fits = names.iter().any(|part| name.contains(part)) && !name.ends_with("_low");
        fits.then_some(&*attribute.raw)
    };
    let counted = |id, names: &[&str]| find(id, names).and_then(count);
    readings.temperature = find(194, &["temp"])
        .and_then(temperature)
        .or_else(|| find(190, &["temperature"]).and_then(temperature));
    readings.power_on = find(9, &["power_on", "power-on"]).and_then(power_on);
    readings.power_cycles = counted(12, &["power_cycle"]);
    readings.reallocated = counted(5, &["realloc", "retired", "bad_bl"]);
    readings.pending = counted(197, &["pending"]);
    readings.uncorrectable = counted(198, &["offl", "uncorrectable_sector"]);
    readings.reported_uncorrectable = counted(187, &["uncorr", "reported_ue"]);
    readings.command_timeouts = find(188, &["timeout"]).and_then(timeouts);
    readings.crc_errors = counted(199, &["crc"]);
    let data = |id, names: &[&str]| {
        let name = sound()
            .find(|attribute| attribute.id == Some(id))?
            .name
            .to_ascii_lowercase();
        counted(id, names)?.checked_mul(unit(&name)?)
    };
    readings.written_bytes = data(241, &["lbas_written", "lba_written", "host_writes", "lifetime_writes"]);
    readings.read_bytes = data(242, &["lbas_read", "lba_read", "host_reads", "lifetime_reads"]);
    let mut wear = WEAR
        .iter()
        .filter_map(|name| sound().find(|attribute| attribute.name.contains(name)));
    readings.life_used = wear.next().and_then(|attribute| life_used(attribute.value?));
    let failing = sound().filter(|attribute| is_failing(attribute));
    readings.failing_attributes = Some(failing.count() as u64);
}

/// Of what is left. More than 100 is a number in a scale of the vendor.
fn life_used(left: u64) -> Option<f64> {
    u8::try_from(left)
        .ok()
        .filter(|left| *left <= 100)
        .map(|left| f64::from(100 - left) / 100.0)
}

/// The bytes of what an attribute of this name counts, as far as the name says it: others count pages of flash.
fn unit(name: &str) -> Option<u64> {
    match name {
        _ if name.contains("lba") => Some(SECTOR),
        _ if name.ends_with("_32mib") => Some(32 << 20),
        _ if name.ends_with("_gib") => Some(1 << 30),
        _ => None,
    }
}

fn is_failing(attribute: &Attribute<'_>) -> bool {
    match &*attribute.fail {
        "" => attribute
            .value
            .zip(attribute.threshold)
            .is_some_and(|(value, threshold)| threshold > 0 && value <= threshold),
        fail => fail.contains("NOW"),
    }
}

/// The first number, if nothing but more numbers in brackets, such as the least and the most, follow it.
fn first(raw: &str) -> Option<&str> {
    let raw = raw.trim();
    let (number, rest) = raw.split_once(' ').unwrap_or((raw, ""));
    (rest.is_empty() || rest.trim_start().starts_with('(')).then_some(number)
}

fn count(raw: &str) -> Option<u64> {
    first(raw)?.parse().ok().filter(|count| *count < ALL_ONES)
}

/// In its lowest byte; the bytes above may hold the least and the most, where `smartctl` has not taken them apart.
fn temperature(raw: &str) -> Option<f64> {
    let number = first(raw)?;
    let degrees = match number.parse::<i64>() {
        Ok(packed) if packed >= 256 => f64::from(packed.to_le_bytes()[0].cast_signed()),
        _ => number.parse().ok()?,
    };
    // A disk without a sensor says 0.
    (degrees != 0.0 && (-60.0..128.0).contains(&degrees)).then_some(degrees)
}

/// Seconds: of hours, or as in `7963h+07m+54.620s`. Above the lowest 32 bits of hours some have the milliseconds of the last.
fn power_on(raw: &str) -> Option<f64> {
    let text = first(raw)?;
    if let Ok(packed) = text.parse::<u64>() {
        #[expect(clippy::cast_precision_loss, reason = "32 bits")]
        return (packed < ALL_ONES).then_some((packed & 0xFFFF_FFFF) as f64 * 3600.0);
    }
    let mut seconds = 0.0;
    for part in text.split('+') {
        let (number, unit) = part.split_at_checked(part.len().checked_sub(1)?)?;
        let number: f64 = number.parse().ok().filter(|number| *number >= 0.0)?;
        seconds += number
            * match unit {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                _ => return None,
            };
    }
    Some(seconds)
}

/// Three counts of 16 bits, of which the lowest has all and the others those that took long: in one number, or apart with the
/// lowest last.
fn timeouts(raw: &str) -> Option<u64> {
    let numbers: Vec<u64> = raw
        .split_whitespace()
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    match numbers[..] {
        [packed] if packed < ALL_ONES => Some(packed & 0xFFFF),
        [_, _, all] => Some(all),
        _ => None,
    }
}
