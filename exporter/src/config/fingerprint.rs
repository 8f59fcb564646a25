//! Fingerprints of certificates.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// The SHA-256 digest of a certificate in DER form, as PVE shows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Fingerprint([u8; 32]);

/// Why a text is not a [`Fingerprint`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a SHA-256 fingerprint of 64 hexadecimal digits; copy the one that `pvenode cert info` shows, with or without colons"
)]
pub struct FingerprintError {
    text: String,
}

impl Fingerprint {
    /// The fingerprint that is `digest`.
    #[must_use]
    pub const fn new(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let error = || FingerprintError { text: text.to_owned() };
        let trimmed = text.trim();
        let pairs: Vec<&[u8]> = if trimmed.contains(':') {
            trimmed.split(':').map(str::as_bytes).collect()
        } else {
            trimmed.as_bytes().chunks(2).collect()
        };
        let pairs: [&[u8]; 32] = pairs.try_into().map_err(|_| error())?;
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(pairs) {
            let &[high, low] = pair else { return Err(error()) };
            *byte = digit(high)
                .zip(digit(low))
                .map(|(high, low)| high << 4 | low)
                .ok_or_else(error)?;
        }
        Ok(Self(digest))
    }
}

const fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        b'A'..=b'F' => Some(character - b'A' + 10),
        _ => None,
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = FingerprintError;

    fn try_from(text: String) -> Result<Self, FingerprintError> {
        text.parse()
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(":")?;
            }
            write!(f, "{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms() {
        let bytes: [u8; 32] = std::array::from_fn(|index| u8::try_from(index * 8 + 7).unwrap());
        let expected = Fingerprint::new(bytes);
        let colons = expected.to_string();
        assert_eq!(colons.len(), 95);
        for text in [
            colons.clone(),
            colons.to_lowercase(),
            colons.replace(':', ""),
            format!(" {} \n", colons.replace(':', "").to_lowercase()),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_the_remedy() {
        let sha1 = ["AB"; 20].join(":");
        let single_digits = ["A"; 32].join(":");
        let not_hexadecimal = ["AG"; 32].join(":");
        let mixed = format!("ABAB:{}", ["AB"; 30].join(":"));
        for text in [
            "",
            "AB",
            &sha1,
            &single_digits,
            &not_hexadecimal,
            &mixed,
            &"é".repeat(32),
        ] {
            let error = text.parse::<Fingerprint>().unwrap_err().to_string();
            assert!(
                error.contains("SHA-256") && error.contains("pvenode cert info"),
                "{error}"
            );
        }
    }
}
