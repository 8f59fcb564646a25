//! Label pairs, escaped as the text formats want them.

use smallvec::SmallVec;

/// The labels of a row as they stand in a sample: `{pve_cluster="main",id="qemu/100"} `, or a space where there are none.
///
/// They are rendered once per row, since each family of a subject writes the same bytes. Those of a guest lie inside the row:
/// thousands of them scattered over the heap would cost more to find than to copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(SmallVec<[u8; 56]>);

impl Identity {
    /// Renders `pairs` in their order; a pair with an empty value is left out, since it would equal no label.
    #[must_use]
    pub fn new(pairs: &[(&'static str, &str)]) -> Self {
        let mut rendered = Vec::with_capacity(128);
        let mut writer = LabelWriter::new(&mut rendered);
        for (name, value) in pairs {
            writer.label(name, value);
        }
        if rendered.is_empty() {
            rendered.push(b' ');
        } else {
            rendered.insert(0, b'{');
            rendered.extend_from_slice(b"} ");
        }
        Self(SmallVec::from_slice(&rendered))
    }

    /// The pairs, without braces.
    #[must_use]
    pub fn pairs(&self) -> &[u8] {
        self.0
            .strip_prefix(b"{")
            .and_then(|pairs| pairs.strip_suffix(b"} "))
            .unwrap_or_default()
    }

    /// What stands between the name and the value of a sample.
    pub(crate) fn between(&self) -> &[u8] {
        &self.0
    }
}

/// Appends label pairs to a buffer, with commas between them.
pub struct LabelWriter<'a> {
    out: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> LabelWriter<'a> {
    /// A writer to a buffer in which no pair stands yet.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, first: true }
    }

    /// A writer that goes on behind the pairs of `identity`.
    pub(crate) fn after(identity: &Identity, out: &'a mut Vec<u8>) -> Self {
        out.extend_from_slice(identity.pairs());
        Self {
            first: identity.pairs().is_empty(),
            out,
        }
    }

    /// Writes a pair, or nothing when `value` is empty.
    pub fn label(&mut self, name: &'static str, value: &str) {
        if value.is_empty() {
            return;
        }
        if !self.first {
            self.out.push(b',');
        }
        self.first = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"=\"");
        escape(value, true, self.out);
        self.out.push(b'"');
    }
}

/// Appends `text` with backslash and newline escaped, and the double quote where `quotes` says so.
///
/// Any other control character becomes U+FFFD: the formats have no escape for it, and it could rewrite the terminal of
/// whoever looks.
pub(crate) fn escape(text: &str, quotes: bool, out: &mut Vec<u8>) {
    let special = |byte: u8| (byte < b' ') | (byte == 0x7F) | (byte == b'\\') | (quotes & (byte == b'"'));
    // Without an early end the compiler makes a few instructions of it, and hardly any text has such a character.
    if !text.bytes().fold(false, |found, byte| found | special(byte)) {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        match byte {
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'"' if quotes => out.extend_from_slice(b"\\\""),
            byte if special(byte) => out.extend_from_slice("\u{FFFD}".as_bytes()),
            byte => out.push(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_backslashes_and_newlines_are_escaped() {
        let identity = Identity::new(&[("name", "a\"b\\c\nd é")]);
        assert_eq!(str::from_utf8(identity.pairs()), Ok("name=\"a\\\"b\\\\c\\nd é\""));
    }

    #[test]
    fn other_control_characters_are_replaced() {
        let identity = Identity::new(&[("name", "a\rb\tc\u{1b}[2J\u{7f}")]);
        assert_eq!(
            str::from_utf8(identity.pairs()),
            Ok("name=\"a\u{FFFD}b\u{FFFD}c\u{FFFD}[2J\u{FFFD}\"")
        );
    }

    #[test]
    fn empty_values_are_left_out() {
        assert_eq!(
            Identity::new(&[("a", ""), ("b", "1"), ("c", ""), ("d", "2")]).pairs(),
            b"b=\"1\",d=\"2\""
        );
    }
}
