//! A sample becomes lines.

use std::io::Write;

use serde::Serialize;

use crate::areas::{Area, AreaSet, Areas, Visit};
use crate::report::Header;
use crate::{MAX_LINE_BYTES, MAX_PARTS, MAX_ROWS_PER_LINE};

/// What the envelope and the header of a line take at most.
const OVERHEAD_BYTES: usize = 1_024;

/// What is left for areas.
const AREA_BYTES: usize = MAX_LINE_BYTES - OVERHEAD_BYTES;

/// What an area adds to its rows at most, its name apart: `"":[],`.
const AREA_MARKS: usize = 6;

/// Makes lines of samples. Keeps its memory from sample to sample, so that encoding allocates nothing once it is warm.
#[derive(Debug, Default)]
pub struct Encoder {
    /// The JSON of all units, one behind the other.
    json: Vec<u8>,
    units: Vec<Unit>,
    omitted: u64,
}

/// What cannot be split: an area that is an object, or a row. An area without a row is an empty unit.
#[derive(Clone, Copy, Debug)]
struct Unit {
    area: Area,
    /// Where its JSON ends; it begins where the unit before ends.
    end: usize,
}

/// What became of a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Lines written.
    pub lines: u16,
    /// Rows and areas left out: too large for a line of their own, or behind [`MAX_PARTS`] full lines.
    pub omitted: u64,
}

impl Encoder {
    /// Appends the lines of a sample to `out`, each at most [`MAX_LINE_BYTES`] long with its newline: the areas of `areas` that
    /// are also in `only`. They are notifications, but for the last when `id` is given: that is the response to this request.
    ///
    /// Split `out` behind each newline; there are no others.
    pub fn encode(
        &mut self,
        header: &Header,
        areas: &Areas,
        only: AreaSet,
        id: Option<u64>,
        out: &mut Vec<u8>,
    ) -> Encoded {
        self.json.clear();
        self.units.clear();
        self.omitted = 0;
        for area in only.iter() {
            areas.visit(area, self);
        }
        let parts = self.parts();
        let mut start = 0;
        for part in 0..parts {
            let end = self.line_end(start);
            let header = Header {
                part,
                parts,
                split: self.split(start, end),
                omitted: self.omitted,
                ..*header
            };
            self.line(&header, start..end, id.filter(|_| part + 1 == parts), out);
            start = end;
        }
        Encoded {
            lines: parts,
            omitted: self.omitted,
        }
    }

    /// Counts the lines, and forgets units that would need more than there may be.
    fn parts(&mut self) -> u16 {
        let mut parts = 0;
        let mut start = 0;
        while start < self.units.len() && parts < MAX_PARTS {
            start = self.line_end(start);
            parts += 1;
        }
        self.omitted += (self.units.len() - start) as u64;
        self.units.truncate(start);
        parts.max(1)
    }

    /// The unit behind the last that fits into a line which begins with the unit `start`.
    fn line_end(&self, start: usize) -> usize {
        let mut bytes = 0;
        let mut rows = 0;
        let mut previous = None;
        for (index, unit) in self.units.iter().enumerate().skip(start) {
            if previous != Some(unit.area) {
                bytes += unit.area.name().len() + AREA_MARKS;
                rows = 0;
            }
            bytes += unit.end - self.begin(index) + 1;
            rows += 1;
            if bytes > AREA_BYTES || rows > MAX_ROWS_PER_LINE {
                return index;
            }
            previous = Some(unit.area);
        }
        self.units.len()
    }

    fn begin(&self, index: usize) -> usize {
        index
            .checked_sub(1)
            .and_then(|index| self.units.get(index))
            .map_or(0, |unit| unit.end)
    }

    /// The areas that begin before or end behind the units of a line.
    fn split(&self, start: usize, end: usize) -> AreaSet {
        let area = |index: Option<usize>| index.and_then(|index| self.units.get(index)).map(|unit| unit.area);
        let across = |index: usize| area(index.checked_sub(1)).filter(|before| Some(*before) == area(Some(index)));
        across(start).into_iter().chain(across(end)).collect()
    }

    fn line(&self, header: &Header, units: std::ops::Range<usize>, id: Option<u64>, out: &mut Vec<u8>) {
        let start = out.len();
        match id {
            Some(id) => write_all(
                out,
                format_args!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"header\":"),
            ),
            None => out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"method\":\"metrics\",\"params\":{\"header\":"),
        }
        append(out, header);
        out.extend_from_slice(b",\"areas\":{");
        let mut begin = self.begin(units.start);
        let mut open = None;
        for unit in self.units.get(units).unwrap_or_default() {
            if open != Some(unit.area) {
                close(open, out);
                if open.is_some() {
                    out.push(b',');
                }
                out.push(b'"');
                out.extend_from_slice(unit.area.name().as_bytes());
                out.extend_from_slice(if unit.area.is_list() { b"\":[" } else { b"\":" });
                open = Some(unit.area);
            } else {
                out.push(b',');
            }
            out.extend_from_slice(self.json.get(begin..unit.end).unwrap_or_default());
            begin = unit.end;
        }
        close(open, out);
        out.extend_from_slice(b"}}}\n");
        debug_assert!(
            out.len() - start <= MAX_LINE_BYTES,
            "a line of {} bytes",
            out.len() - start
        );
    }

    fn unit(&mut self, area: Area, value: &impl Serialize) {
        let begin = self.json.len();
        let written = append(&mut self.json, value);
        if written && self.json.len() - begin + area.name().len() + AREA_MARKS < AREA_BYTES {
            self.units.push(Unit {
                area,
                end: self.json.len(),
            });
        } else {
            self.json.truncate(begin);
            self.omitted += 1;
        }
    }
}

impl Visit for Encoder {
    fn object(&mut self, area: Area, object: &impl Serialize) {
        self.unit(area, object);
    }

    fn rows(&mut self, area: Area, rows: &[impl Serialize]) {
        if rows.is_empty() {
            self.units.push(Unit {
                area,
                end: self.json.len(),
            });
        }
        for row in rows {
            self.unit(area, row);
        }
    }
}

fn close(open: Option<Area>, out: &mut Vec<u8>) {
    if open.is_some_and(Area::is_list) {
        out.push(b']');
    }
}

/// Appends the JSON of a value; false when the value has none, which no type of this crate allows.
pub(crate) fn append(out: &mut Vec<u8>, value: &impl Serialize) -> bool {
    serde_json::to_writer(out, value).is_ok()
}

/// Appends formatted text; writing to memory does not fail.
pub(crate) fn write_all(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(text);
    debug_assert!(written.is_ok());
}
