//! Writes JSON straight into a byte buffer, whole or deliberately damaged.

/// How numbers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Numbers {
    /// As numbers.
    Plain,
    /// As strings.
    Strings,
    /// As objects, in every third row of a list and in bodies that are no list.
    Objects,
}

/// What stands between the rows of a list when it is damaged.
const GARBAGE_ROWS: [&str; 7] = [
    "null",
    "42",
    "\"garbage\"",
    "[]",
    "{}",
    "{\"type\":\"qemu\"}",
    "{\"id\":7,\"type\":false,\"vmid\":{\"a\":[1]},\"node\":null,\"status\":[\"running\"]}",
];

/// A JSON document that is being written.
#[derive(Debug)]
pub(crate) struct Json {
    out: Vec<u8>,
    numbers: Numbers,
    garbage_rows: bool,
    rows: usize,
    separate: bool,
    total: Option<u64>,
}

impl Json {
    pub(crate) fn new(numbers: Numbers, garbage_rows: bool) -> Self {
        Self {
            out: Vec::with_capacity(1024),
            numbers,
            garbage_rows,
            rows: 0,
            separate: false,
            total: None,
        }
    }

    /// Says how many rows there are, however many are written; it stands beside them.
    pub(crate) fn set_total(&mut self, total: u64) {
        self.total = Some(total);
    }

    /// Ends the object around the whole answer.
    pub(crate) fn end_answer(&mut self) {
        if let Some(total) = self.total {
            self.integer_field("total", total);
        }
        self.end_object();
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.out
    }

    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    fn begin_value(&mut self) {
        if self.separate {
            self.out.push(b',');
        }
        self.separate = true;
    }

    pub(crate) fn begin_object(&mut self) {
        self.begin_value();
        self.out.push(b'{');
        self.separate = false;
    }

    pub(crate) fn end_object(&mut self) {
        self.out.push(b'}');
        self.separate = true;
    }

    pub(crate) fn begin_list(&mut self) {
        self.begin_value();
        self.out.push(b'[');
        self.separate = false;
    }

    pub(crate) fn end_list(&mut self) {
        self.out.push(b']');
        self.separate = true;
    }

    /// Begins an object that is a row of a list, among garbage if the list is damaged.
    pub(crate) fn begin_row(&mut self) {
        if self.garbage_rows && self.rows.is_multiple_of(2) {
            self.begin_value();
            let garbage = GARBAGE_ROWS[self.rows / 2 % GARBAGE_ROWS.len()];
            self.out.extend_from_slice(garbage.as_bytes());
        }
        self.rows += 1;
        self.begin_object();
    }

    /// Writes a key; keys are never escaped, they are all known names or PVE's identifiers.
    pub(crate) fn key(&mut self, key: &str) {
        self.begin_value();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.separate = false;
    }

    pub(crate) fn null(&mut self) {
        self.begin_value();
        self.out.extend_from_slice(b"null");
    }

    pub(crate) fn string(&mut self, value: &str) {
        self.text(value.as_bytes());
    }

    /// Writes a string of any bytes, which is no JSON if they are no UTF-8.
    pub(crate) fn text(&mut self, value: &[u8]) {
        self.begin_value();
        self.out.push(b'"');
        for byte in value.iter().copied() {
            match byte {
                b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', byte]),
                b'\n' => self.out.extend_from_slice(b"\\n"),
                0..0x20 => self.out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
                _ => self.out.push(byte),
            }
        }
        self.out.push(b'"');
    }

    /// Writes a number from its digits, however many they are.
    pub(crate) fn number(&mut self, digits: &str) {
        self.begin_value();
        match self.numbers {
            Numbers::Plain => self.out.extend_from_slice(digits.as_bytes()),
            Numbers::Objects if !self.rows.is_multiple_of(3) => self.out.extend_from_slice(digits.as_bytes()),
            Numbers::Strings => {
                self.out.push(b'"');
                self.out.extend_from_slice(digits.as_bytes());
                self.out.push(b'"');
            }
            Numbers::Objects => {
                self.out.extend_from_slice(b"{\"value\":");
                self.out.extend_from_slice(digits.as_bytes());
                self.out.push(b'}');
            }
        }
    }

    pub(crate) fn integer(&mut self, value: u64) {
        self.number(itoa::Buffer::new().format(value));
    }

    /// Writes one of the few booleans that are QEMU's own.
    pub(crate) fn boolean(&mut self, value: bool) {
        self.begin_value();
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// Writes a fraction as Perl does: whole values without a point.
    pub(crate) fn float(&mut self, value: f64) {
        if value.fract() == 0.0 && (0.0..1e15).contains(&value) {
            self.integer(crate::random::whole(value));
        } else if value.is_finite() {
            self.number(zmij::Buffer::new().format_finite(value));
        } else {
            self.null();
        }
    }

    pub(crate) fn string_field(&mut self, key: &str, value: &str) {
        self.key(key);
        self.string(value);
    }

    pub(crate) fn integer_field(&mut self, key: &str, value: u64) {
        self.key(key);
        self.integer(value);
    }

    /// Writes a number that may be negative, which few of PVE's are.
    pub(crate) fn signed_field(&mut self, key: &str, value: i64) {
        self.key(key);
        self.number(itoa::Buffer::new().format(value));
    }

    pub(crate) fn float_field(&mut self, key: &str, value: f64) {
        self.key(key);
        self.float(value);
    }

    /// Writes 1 or 0, PVE's booleans.
    pub(crate) fn flag_field(&mut self, key: &str, value: bool) {
        self.integer_field(key, u64::from(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(numbers: Numbers, garbage: bool) -> String {
        let mut json = Json::new(numbers, garbage);
        json.begin_list();
        for row in 0..3 {
            json.begin_row();
            json.integer_field("n", row);
            json.float_field("f", 0.5);
            json.end_object();
        }
        json.end_list();
        String::from_utf8(json.finish()).unwrap()
    }

    #[test]
    fn writes_plain_rows() {
        assert_eq!(
            rows(Numbers::Plain, false),
            r#"[{"n":0,"f":0.5},{"n":1,"f":0.5},{"n":2,"f":0.5}]"#
        );
    }

    #[test]
    fn damages_numbers_and_rows() {
        assert!(rows(Numbers::Strings, false).starts_with(r#"[{"n":"0","f":"0.5"}"#));
        assert!(rows(Numbers::Objects, false).ends_with(r#"{"n":1,"f":0.5},{"n":{"value":2},"f":{"value":0.5}}]"#));
        assert!(rows(Numbers::Plain, true).starts_with(r#"[null,{"n":0,"f":0.5},{"n":1,"f":0.5},42,"#));
    }

    #[test]
    fn escapes_strings_and_keeps_whole_floats_whole() {
        let mut json = Json::new(Numbers::Plain, false);
        json.begin_object();
        json.string_field("s", "a\"b\\c\nd\u{1}é");
        json.float_field("zero", 0.0);
        json.float_field("nan", f64::NAN);
        json.end_object();
        let text = String::from_utf8(json.finish()).unwrap();
        assert_eq!(text, "{\"s\":\"a\\\"b\\\\c\\nd\\u0001é\",\"zero\":0,\"nan\":null}");
    }
}
