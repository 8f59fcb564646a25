//! PVE's property strings: `local:100/vm-100-disk-0.qcow2,size=1G,backup=0`, `enabled=1,type=virtio`, `1`.

/// A property string: pairs `key=value`, separated by commas; one part may stand without its key, the default key.
#[derive(Clone, Copy)]
pub struct PropertyString<'a> {
    text: &'a str,
    default_key: &'static str,
}

impl<'a> PropertyString<'a> {
    /// Reads `text`, in which a part without a key belongs to `default_key`.
    #[must_use]
    pub const fn new(text: &'a str, default_key: &'static str) -> Self {
        Self { text, default_key }
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(self, key: &str) -> Option<&'a str> {
        self.text
            .split(',')
            .map(str::trim)
            .find_map(|part| match part.split_once('=') {
                Some((name, value)) => (name == key).then_some(value),
                None => (key == self.default_key && !part.is_empty()).then_some(part),
            })
    }

    /// The truth value of `key`.
    #[must_use]
    pub fn truth(self, key: &str) -> Option<bool> {
        self.get(key).and_then(truth)
    }
}

/// A truth value as PVE reads it in a configuration.
#[must_use]
pub fn truth(text: &str) -> Option<bool> {
    let one_of = |words: [&str; 4]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if one_of(["1", "on", "yes", "true"]) {
        Some(true)
    } else {
        one_of(["0", "off", "no", "false"]).then_some(false)
    }
}

/// A size in bytes: `32G`, `512M`, `1.5T`, `0T`, `528384`.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['K', 'M', 'G', 'T']);
    let factor: u64 = match text.strip_prefix(digits)? {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1 << 40,
        _ => return None,
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    // A thousandth of the unit is finer than PVE ever writes.
    let thousandths: u64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    whole.checked_mul(factor)?.checked_add(factor * thousandths / 1000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_part_without_a_key_belongs_to_the_default_key() {
        let drive = PropertyString::new("local:100/vm-100-disk-0.qcow2,size=1G,backup=0", "file");
        assert_eq!(drive.get("file"), Some("local:100/vm-100-disk-0.qcow2"));
        assert_eq!(drive.get("size"), Some("1G"));
        assert_eq!(drive.truth("backup"), Some(false));
        assert_eq!(drive.get("local"), None);
        assert_eq!(
            PropertyString::new("size=1G, file=a=b ,", "file").get("file"),
            Some("a=b")
        );
    }

    #[test]
    fn truth_values_are_those_of_pve() {
        let enabled = |text| PropertyString::new(text, "enabled").truth("enabled");
        for text in [
            "1",
            "enabled=1",
            "type=virtio,enabled=yes",
            "1,fstrim_cloned_disks=1",
            "On",
        ] {
            assert_eq!(enabled(text), Some(true), "{text}");
        }
        for text in ["0", "enabled=off", "enabled=False,type=isa"] {
            assert_eq!(enabled(text), Some(false), "{text}");
        }
        for text in ["", " ", "type=virtio", "maybe", "enabled="] {
            assert_eq!(enabled(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_have_binary_units() {
        assert_eq!(size("32G"), Some(32 << 30));
        assert_eq!(size("512M"), Some(512 << 20));
        assert_eq!(size("4T"), Some(4 << 40));
        assert_eq!(size("0T"), Some(0));
        assert_eq!(size("528K"), Some(528 << 10));
        assert_eq!(size("540672"), Some(540_672));
        assert_eq!(size("1.5G"), Some(3 << 29));
        for text in ["", "G", "1GG", "1P", "-1G", "1.G", ".5G", "1 G", "99999999999999T", "é"] {
            assert_eq!(size(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_there_is_read_without_a_panic(text in "\\PC*", key in "[a-z]*") {
            let properties = PropertyString::new(&text, "file");
            let _read = (properties.get(&key), properties.truth("file"), size(&text));
        }

        #[test]
        fn what_was_written_is_read(first in "[a-z:/0-9]{1,20}", value in "[a-zA-Z0-9:._/-]{1,20}") {
            let text = format!("{first},key={value}");
            let properties = PropertyString::new(&text, "file");
            prop_assert_eq!(properties.get("file"), Some(first.as_str()));
            prop_assert_eq!(properties.get("key"), Some(value.as_str()));
        }

        #[test]
        fn a_size_is_its_number_times_its_unit(number in 0_u64..1 << 20, unit in 0_usize..5) {
            let text = format!("{number}{}", ["", "K", "M", "G", "T"][unit]);
            prop_assert_eq!(size(&text), Some(number << (10 * unit)));
        }
    }
}
