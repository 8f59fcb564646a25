//! What stands in every line of a sample.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::areas::{AreaSet, Areas, wire};

/// The version that this crate speaks.
pub const VERSION: Version = Version { major: 1, minor: 0 };

/// A version of the protocol. Minor versions only add fields, areas and methods; of another major version nothing can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Grows when a reader of the version before would misread.
    pub major: u16,
    /// Grows when something is added.
    pub minor: u16,
}

impl Default for Version {
    fn default() -> Self {
        VERSION
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for Version {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|_| digits)
        };
        text.split_once('.')
            .and_then(|(major, minor)| {
                Some(Self {
                    major: number(major)?,
                    minor: number(minor)?,
                })
            })
            .ok_or("a version is two numbers with a dot between")
    }
}

/// The id of a boot: `/proc/sys/kernel/random/boot_id`, a UUID in lower case. Another boot, another id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BootId(pub [u8; 16]);

/// Where a UUID has its hyphens.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

impl fmt::Display for BootId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let hyphen = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(formatter, "{hyphen}{byte:02x}")?;
        }
        Ok(())
    }
}

impl FromStr for BootId {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "a boot id is a UUID with hyphens";
        let mut bytes = [0; 16];
        let mut digits = 0;
        for (index, byte) in text.bytes().enumerate() {
            if HYPHENS.contains(&index) {
                if byte != b'-' {
                    return Err(EXPECTED);
                }
                continue;
            }
            let digit = char::from(byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
                .ok_or(EXPECTED)?;
            let into: &mut u8 = bytes.get_mut(digits / 2).ok_or(EXPECTED)?;
            *into = *into << 4 | digit;
            digits += 1;
        }
        if digits == 32 { Ok(Self(bytes)) } else { Err(EXPECTED) }
    }
}

/// Writes and reads a type as the text that its `Display` and `FromStr` agree on.
macro_rules! as_text {
    ($type:ident, $expected:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                        formatter.write_str($expected)
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }
    };
}
as_text!(Version, "a version");
as_text!(BootId, "a boot id");

wire! {
    /// Which sample a line belongs to, and when that was taken. The collector fills it but for `part`, `parts`, `split` and
    /// `omitted`, which the [`Encoder`](crate::Encoder) knows.
    ///
    /// Times are finite: a line with another one would not decode.
    #[derive(Copy)]
    Header {
        required {
            /// The version of the protocol that the collector speaks.
            version: Version,
            /// The boot in which the sample was taken: `/proc/sys/kernel/random/boot_id`, a UUID.
            boot_id: BootId,
            /// `monotonic_seconds` at which the collector started.
            start_seconds: f64,
            /// Grows by one with each sample since the collector started.
            sequence: u64,
            /// `CLOCK_BOOTTIME` when the sample was taken: the uptime.
            monotonic_seconds: f64,
            /// The guest's wall clock at that moment, Unix seconds.
            time_seconds: f64,
            /// The interval at which samples are published now.
            interval_seconds: f64,
            /// Which line of the sample this is, from 0.
            part: u16,
            /// Of how many lines the sample consists, 1 to 64.
            parts: u16,
        }
        sparse {
            /// The areas of which this line holds only some rows; missing when there are none.
            split: AreaSet, unless "AreaSet::is_empty",
            /// Rows and areas left out of the sample because they did not fit; missing when there are none.
            omitted: u64, unless "is_zero",
        }
    }
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// One line of a sample: the `params` of `metrics`, and the `result` of the methods that answer with areas.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Report {
    /// Which sample, and which line of it.
    pub header: Header,
    /// The areas, or pieces of them, in this line.
    #[serde(default)]
    pub areas: Areas,
}
