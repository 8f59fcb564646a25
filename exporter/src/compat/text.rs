//! Classic text, byte for byte as the Python client writes it.

use crate::compat::families::{FAMILIES, Family, View};
use crate::metrics::labels::escape;

/// What the Python client says that its text is.
pub const CONTENT_TYPE: &str = "text/plain; version=1.0.0; charset=utf-8";

/// An exposition that gives itself out in chunks.
pub struct Page {
    view: View,
    families: std::slice::Iter<'static, Family>,
}

impl Page {
    /// The exposition of `view`.
    #[must_use]
    pub fn new(view: View) -> Self {
        Self {
            view,
            families: FAMILIES.iter(),
        }
    }

    /// Appends families to `out` until it has grown by `size`; false when there was nothing left.
    pub fn next_chunk(&mut self, size: usize, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        for family in self.families.by_ref() {
            let wanted = |collector| self.view.collectors.contains(&collector);
            if family.collector.is_none_or(wanted) {
                write(family, &self.view, out);
            }
            if out.len() - start >= size {
                return true;
            }
        }
        out.len() > start
    }

    /// The whole exposition at once.
    #[must_use]
    pub fn into_text(mut self) -> String {
        let mut out = Vec::new();
        while self.next_chunk(usize::MAX, &mut out) {}
        String::from_utf8_lossy(&out).into_owned()
    }
}

fn write(family: &Family, view: &View, out: &mut Vec<u8>) {
    let start = out.len();
    for part in ["# HELP ", family.name, " "] {
        out.extend_from_slice(part.as_bytes());
    }
    escape(family.help, false, out);
    for part in ["\n# TYPE ", family.name, " ", family.kind, "\n"] {
        out.extend_from_slice(part.as_bytes());
    }
    let header = out.len();
    family.write(view, &mut Samples { name: family.name, out });
    if family.sparse && out.len() == header {
        out.truncate(start);
    }
}

/// Appends samples of one family.
pub struct Samples<'a> {
    name: &'static str,
    out: &'a mut Vec<u8>,
}

impl Samples<'_> {
    /// A sample; `labels` are sorted by their names.
    pub fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.out.extend_from_slice(self.name.as_bytes());
        let mut before: &[u8] = b"{";
        for (name, value) in labels {
            self.out.extend_from_slice(before);
            self.out.extend_from_slice(name.as_bytes());
            self.out.extend_from_slice(b"=\"");
            escape(value, true, self.out);
            before = b"\",";
        }
        self.out.extend_from_slice(b"\"} ");
        write_float(value, self.out);
        self.out.push(b'\n');
    }

    /// A sample, if there is a value.
    pub fn number(&mut self, labels: &[(&str, &str)], value: Option<f64>) {
        if let Some(value) = value {
            self.sample(labels, value);
        }
    }

    /// A sample for each of `states`, 1 for `current` and 0 for the others.
    pub fn states(&mut self, id: &str, label: &str, states: &[&str], current: &str) {
        for state in states {
            let value = if *state == current { 1.0 } else { 0.0 };
            self.sample(&[("id", id), (label, state)], value);
        }
    }
}

/// Writes a number as Python does, but with an exponent from a million on, as Go does: `936.0`, `1.073741824e+09`, `8e-05`.
///
/// The digits are the fewest that give the number back.
fn write_float(value: f64, out: &mut Vec<u8>) {
    if !value.is_finite() {
        let text = if value.is_nan() {
            "NaN"
        } else if value > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        out.extend_from_slice(text.as_bytes());
        return;
    }
    let mut buffer = zmij::Buffer::new();
    let text = buffer.format_finite(value);
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (number, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // The number is 0.DIGITS times ten to the power of `point`.
    let digits = || whole.bytes().chain(fraction.bytes());
    let leading = digits().take_while(|digit| *digit == b'0').count();
    let number = digits().count();
    let trailing = digits().rev().take_while(|digit| *digit == b'0').count();
    out.extend_from_slice(sign.as_bytes());
    if leading == number {
        out.extend_from_slice(b"0.0");
        return;
    }
    let significant = number - leading - trailing;
    let mut digits = digits().skip(leading).take(significant);
    let count = |length: usize| i32::try_from(length).unwrap_or(i32::MAX);
    let point = count(whole.len()) - count(leading) + exponent.parse::<i32>().unwrap_or(0);
    // Go's rule holds for positive numbers only, and Python's own for all.
    let most = if sign.is_empty() { 6 } else { 16 };
    if (-3..=most).contains(&point) {
        if point <= 0 {
            out.extend_from_slice(b"0.");
            out.extend(std::iter::repeat_n(b'0', usize::try_from(-point).unwrap_or(0)));
            out.extend(digits);
        } else {
            let point = usize::try_from(point).unwrap_or(0);
            out.extend(digits.by_ref().take(point));
            out.extend(std::iter::repeat_n(b'0', point.saturating_sub(significant)));
            out.push(b'.');
            if significant <= point {
                out.push(b'0');
            }
            out.extend(digits);
        }
        return;
    }
    out.extend(digits.next());
    if significant > 1 {
        out.push(b'.');
        out.extend(digits);
    }
    let exponent = point - 1;
    out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
    if exponent.abs() < 10 {
        out.push(b'0');
    }
    out.extend_from_slice(itoa::Buffer::new().format(exponent.abs()).as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(value: f64) -> String {
        let mut out = Vec::new();
        write_float(value, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_look_as_the_python_client_writes_them() {
        // Each was written by prometheus_client 0.26.
        for (value, expected) in [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (936.0, "936.0"),
            (999_999.0, "999999.0"),
            (1_000_000.0, "1e+06"),
            (1_048_576.0, "1.048576e+06"),
            (25_276_510_208.0, "2.5276510208e+10"),
            (1_795_151_340.5, "1.7951513405e+09"),
            (123_456.789, "123456.789"),
            (0.008_089, "0.008089"),
            (0.000_1, "0.0001"),
            (0.000_08, "8e-05"),
            (0.000_012_34, "1.234e-05"),
            (0.046_962_408_616_284_1, "0.0469624086162841"),
            (1e16, "1e+16"),
            (1.5e17, "1.5e+17"),
            (9_007_199_254_740_993.0, "9.007199254740992e+15"),
            (1e100, "1e+100"),
            (1e-100, "1e-100"),
            (-12_345_678.0, "-12345678.0"),
            (-0.5, "-0.5"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(float(value), expected);
        }
    }
}
