//! Label pairs, escaped as the text formats want them.

use std::sync::Arc;

/// Rendered label pairs without braces, such as `pve_cluster="main",id="qemu/100"`.
///
/// It is rendered once per row and shared, since each family of a subject writes the same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(Arc<str>);

impl Identity {
    /// Renders `pairs` in their order; a pair with an empty value is left out, since it would equal no label.
    #[must_use]
    pub fn new(pairs: &[(&'static str, &str)]) -> Self {
        let mut bytes = Vec::with_capacity(64);
        let mut writer = LabelWriter::new(&mut bytes);
        for (name, value) in pairs {
            writer.label(name, value);
        }
        // The writer takes and writes whole strings only, so nothing is lost here.
        Self(String::from_utf8_lossy(&bytes).into())
    }

    /// The rendered pairs.
    #[must_use]
    pub fn as_str(&self) -> &str {
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
        out.extend_from_slice(identity.as_str().as_bytes());
        Self {
            first: identity.as_str().is_empty(),
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
    let mut rest = text.as_bytes();
    while let Some(at) = rest
        .iter()
        .position(|byte| matches!(byte, b'\\' | ..b' ' | 0x7F) || (quotes && *byte == b'"'))
    {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        match special[0] {
            b'\n' => out.extend_from_slice(b"\\n"),
            special @ (b'\\' | b'"') => out.extend_from_slice(&[b'\\', special]),
            _ => out.extend_from_slice("\u{FFFD}".as_bytes()),
        }
        rest = &special[1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_backslashes_and_newlines_are_escaped() {
        let identity = Identity::new(&[("name", "a\"b\\c\nd é")]);
        assert_eq!(identity.as_str(), "name=\"a\\\"b\\\\c\\nd é\"");
    }

    #[test]
    fn other_control_characters_are_replaced() {
        let identity = Identity::new(&[("name", "a\rb\tc\u{1b}[2J\u{7f}")]);
        assert_eq!(identity.as_str(), "name=\"a\u{FFFD}b\u{FFFD}c\u{FFFD}[2J\u{FFFD}\"");
    }

    #[test]
    fn empty_values_are_left_out() {
        assert_eq!(
            Identity::new(&[("a", ""), ("b", "1"), ("c", ""), ("d", "2")]).as_str(),
            "b=\"1\",d=\"2\""
        );
    }
}
