//! The kernel's text: lines of words and numbers. What is cut, too long or no number is `None`, never a guess.

/// Lines that end in a newline; what a cut file leaves behind the last one is no line.
pub(super) fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let end = text.iter().rposition(|byte| *byte == b'\n').unwrap_or(0);
    text.get(..end).unwrap_or_default().split(|byte| *byte == b'\n')
}

/// The words of a line, however many blanks are between them.
#[derive(Clone)]
pub(super) struct Words<'a>(&'a [u8]);

impl<'a> Words<'a> {
    pub(super) fn of(line: &'a [u8]) -> Self {
        Self(line)
    }

    /// The next word as a number.
    pub(super) fn number(&mut self) -> Option<u64> {
        number(self.next()?)
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.0.iter().position(|byte| !is_blank(*byte))?;
        let rest = self.0.get(start..)?;
        let length = rest.iter().position(|byte| is_blank(*byte)).unwrap_or(rest.len());
        let (word, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some(word)
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n')
}

/// A decimal number that fits 64 bits and nothing else.
pub(super) fn number(word: &[u8]) -> Option<u64> {
    if word.is_empty() {
        return None;
    }
    word.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        sum.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

/// A decimal number that may be negative.
pub(super) fn signed(word: &[u8]) -> Option<i64> {
    match word.strip_prefix(b"-") {
        Some(digits) => 0_i64.checked_sub_unsigned(number(digits)?),
        None => i64::try_from(number(word)?).ok(),
    }
}

/// A hexadecimal number, with or without `0x`.
pub(super) fn hexadecimal(word: &[u8]) -> Option<u64> {
    let digits = word.strip_prefix(b"0x").unwrap_or(word);
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// A number with a point, such as an average of load.
pub(super) fn decimal(word: &[u8]) -> Option<f64> {
    let value: f64 = std::str::from_utf8(word).ok()?.parse().ok()?;
    value.is_finite().then_some(value)
}

/// Text of the kernel; bytes that are not UTF-8 become replacement characters.
pub(super) fn text(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

/// The first line of a file, without blanks around; `None` where nothing is left or its newline is missing.
pub(super) fn single(contents: &[u8]) -> Option<&[u8]> {
    let line = lines(contents).next()?.trim_ascii();
    (!line.is_empty()).then_some(line)
}

/// A path or device as mountinfo writes it: `\040` is a blank, `\011` a tabulator, `\012` a newline, `\134` a backslash.
pub(super) fn unescaped(word: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((byte, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|digits| *byte == b'\\' && digits.iter().all(|digit| matches!(digit, b'0'..=b'7')));
        let code = octal.and_then(|digits| {
            u8::try_from(
                digits
                    .iter()
                    .fold(0_u32, |sum, digit| sum * 8 + u32::from(digit - b'0')),
            )
            .ok()
        });
        match code {
            Some(code) => {
                plain.push(code);
                rest = after.get(3..).unwrap_or_default();
            }
            None => {
                plain.push(*byte);
                rest = after;
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_line_is_none() {
        assert_eq!(lines(b"one\ntwo\nthr").collect::<Vec<_>>(), [&b"one"[..], b"two"]);
        assert_eq!(
            lines(b"one\n\nthree\n").collect::<Vec<_>>(),
            [&b"one"[..], b"", b"three"]
        );
        assert_eq!(lines(b"cut").flat_map(Words::of).count(), 0);
        assert_eq!(lines(b"").flat_map(Words::of).count(), 0);
        assert_eq!(single(b" 12 \n"), Some(&b"12"[..]));
        assert_eq!(single(b"12"), None);
        assert_eq!(single(b"\n"), None);
    }

    #[test]
    fn numbers_are_whole_or_unknown() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for word in [&b"18446744073709551616"[..], b"", b"-1", b"1.5", b"0x1", b"12a", b"+1"] {
            assert_eq!(number(word), None, "{word:?}");
        }
        assert_eq!(signed(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(signed(b"-9223372036854775809"), None);
        assert_eq!(signed(b"9223372036854775808"), None);
        assert_eq!(signed(b"--1"), None);
        assert_eq!(hexadecimal(b"0x1003"), Some(0x1003));
        assert_eq!(hexadecimal(b"00ddb590"), Some(0x00dd_b590));
        assert_eq!(hexadecimal(b""), None);
        assert_eq!(decimal(b"0.57"), Some(0.57));
        assert_eq!(decimal(b"inf"), None);
        assert_eq!(decimal(b"nan"), None);
    }

    #[test]
    fn words_stand_between_any_blanks() {
        let mut words = Words::of(b"  cpu0\t 7  x ");
        assert_eq!(words.next(), Some(&b"cpu0"[..]));
        assert_eq!(words.number(), Some(7));
        assert_eq!(words.number(), None);
        assert_eq!(words.next(), None);
    }

    #[test]
    fn escapes_of_mount_points_are_undone() {
        assert_eq!(unescaped(br"/mnt/with\040space"), b"/mnt/with space");
        assert_eq!(unescaped(br"/a\134b\012"), b"/a\\b\n");
        assert_eq!(unescaped(br"/odd\04"), br"/odd\04");
        assert_eq!(unescaped(br"/odd\777"), br"/odd\777");
        assert_eq!(text(&unescaped(b"/caf\xe9")), "/caf\u{fffd}");
    }
}
