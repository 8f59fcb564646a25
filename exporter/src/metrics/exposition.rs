//! The text formats: OpenMetrics 1.0 and the classic text 0.0.4, written in chunks straight from the rows.
//!
//! A family is written in one pass over the rows of all clusters, since a family may stand only once. Nothing is allocated
//! per sample; a family without samples writes nothing.

use std::sync::Arc;

use crate::metrics::labels::{LabelWriter, escape};
use crate::metrics::table::{Kind, Metric, Sample, Subject, Unit, Value};

/// A text format of Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The classic text format 0.0.4.
    Classic,
}

impl Format {
    /// The value of the `Content-Type` header.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// What stands above the samples of a family.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    /// The exposed name of the samples.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The unit.
    pub unit: Unit,
    /// The help text.
    pub help: &'static str,
}

impl Header {
    fn write(&self, format: Format, out: &mut Vec<u8>) {
        let family = match (format, self.kind) {
            (Format::Classic, _) | (_, Kind::Gauge | Kind::Unknown) => self.name,
            (_, Kind::Counter) => self.name.strip_suffix("_total").unwrap_or(self.name),
            (_, Kind::Info) => self.name.strip_suffix("_info").unwrap_or(self.name),
        };
        let kind = match (format, self.kind) {
            (Format::Classic, Kind::Info) => Kind::Gauge.as_str(),
            (Format::Classic, Kind::Unknown) => "untyped",
            (_, kind) => kind.as_str(),
        };
        out.extend_from_slice(b"# HELP ");
        out.extend_from_slice(family.as_bytes());
        out.push(b' ');
        escape(self.help, format == Format::OpenMetrics, out);
        out.extend_from_slice(b"\n# TYPE ");
        out.extend_from_slice(family.as_bytes());
        out.push(b' ');
        out.extend_from_slice(kind.as_bytes());
        if format == Format::OpenMetrics && self.unit != Unit::None {
            out.extend_from_slice(b"\n# UNIT ");
            out.extend_from_slice(family.as_bytes());
            out.push(b' ');
            out.extend_from_slice(self.unit.as_str().as_bytes());
        }
        out.push(b'\n');
    }
}

/// How far the writing of one family has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    part: usize,
    row: usize,
    header: bool,
}

/// Several families over the same rows.
pub trait Section: Send + Sync {
    /// How many families there are.
    fn families(&self) -> usize;

    /// What stands above the samples of family `family`.
    fn header(&self, family: usize) -> Header;

    /// How many samples family `family` has.
    fn samples(&self, family: usize) -> u64;

    /// Writes samples of family `family` from `position` on, until `out` holds `limit` bytes or more. Returns true when the
    /// family is complete.
    fn write(&self, family: usize, position: &mut Position, format: Format, limit: usize, out: &mut Vec<u8>) -> bool;
}

/// The rows of one subject, a part for each cluster, with the subject's table.
pub struct Rows<S: Subject> {
    parts: Vec<Arc<[S]>>,
}

impl<S: Subject> Rows<S> {
    /// Rows of several clusters, in their order.
    #[must_use]
    pub fn new(parts: Vec<Arc<[S]>>) -> Self {
        Self { parts }
    }
}

impl<S: Subject> Section for Rows<S> {
    fn families(&self) -> usize {
        S::TABLE.len()
    }

    fn header(&self, family: usize) -> Header {
        let Metric {
            name, kind, unit, help, ..
        } = S::TABLE[family];
        Header { name, kind, unit, help }
    }

    fn samples(&self, family: usize) -> u64 {
        let metric = &S::TABLE[family];
        let mut labels = Vec::new();
        let mut samples = |row: &S| match metric.sample {
            Sample::Value(value) => u64::from(value(row).is_some_and(Value::is_finite)),
            Sample::Split(values) => {
                let there = values
                    .iter()
                    .filter(|(_, value)| value(row).is_some_and(Value::is_finite));
                there.count() as u64
            }
            Sample::State(state) => u64::from(state(row).is_some_and(|state| !state.is_empty())),
            Sample::Text(text) => {
                labels.clear();
                u64::from(text(row, &mut LabelWriter::new(&mut labels)))
            }
        };
        let rows = self.parts.iter().flat_map(|part| part.iter());
        rows.map(&mut samples).sum()
    }

    fn write(&self, family: usize, position: &mut Position, format: Format, limit: usize, out: &mut Vec<u8>) -> bool {
        let metric = &S::TABLE[family];
        while let Some(part) = self.parts.get(position.part) {
            while let Some(row) = part.get(position.row) {
                if out.len() >= limit {
                    return false;
                }
                position.row += 1;
                let start = out.len();
                if !position.header {
                    self.header(family).write(format, out);
                }
                if write_row(metric, row, out) {
                    position.header = true;
                } else {
                    out.truncate(start);
                }
            }
            position.part += 1;
            position.row = 0;
        }
        true
    }
}

/// Writes what `row` has of a family; false when it has nothing, and something incomplete may have been appended then.
fn write_row<S: Subject>(metric: &Metric<S>, row: &S, out: &mut Vec<u8>) -> bool {
    match metric.sample {
        Sample::Value(value) => {
            let Some(value) = value(row) else { return false };
            out.extend_from_slice(metric.name.as_bytes());
            out.extend_from_slice(row.identity().between());
            return write_value(value, out);
        }
        Sample::Split(values) => {
            let mut any = false;
            for (split, value) in values {
                if let Some(value) = value(row).filter(|value| value.is_finite()) {
                    open(metric, row, out).label(metric.labels[0], split);
                    out.extend_from_slice(b"} ");
                    any |= write_value(value, out);
                }
            }
            return any;
        }
        Sample::State(state) => {
            let Some(state) = state(row).filter(|state| !state.is_empty()) else {
                return false;
            };
            open(metric, row, out).label(metric.labels[0], state);
        }
        Sample::Text(text) => {
            if !text(row, &mut open(metric, row, out)) {
                return false;
            }
        }
    }
    out.extend_from_slice(b"} 1\n");
    true
}

/// Begins a sample that has labels beside those of its row.
fn open<'a, S: Subject>(metric: &Metric<S>, row: &S, out: &'a mut Vec<u8>) -> LabelWriter<'a> {
    out.extend_from_slice(metric.name.as_bytes());
    out.push(b'{');
    LabelWriter::after(row.identity(), out)
}

fn write_value(value: Value, out: &mut Vec<u8>) -> bool {
    match value {
        Value::Whole(whole) => out.extend_from_slice(itoa::Buffer::new().format(whole).as_bytes()),
        Value::Float(float) if float.is_finite() => {
            out.extend_from_slice(zmij::Buffer::new().format_finite(float).as_bytes());
        }
        Value::Float(_) => return false,
    }
    out.push(b'\n');
    true
}

/// A whole exposition that gives itself out in chunks.
pub struct Exposition {
    format: Format,
    sections: Vec<Box<dyn Section>>,
    /// Families to write, as (section, family).
    plan: std::vec::IntoIter<(usize, usize)>,
    current: Option<((usize, usize), Position)>,
    tail: Option<String>,
}

/// What a chunk grows to before it is given out.
pub const CHUNK_BYTES: usize = 64 * 1024;

impl Exposition {
    /// An exposition of `sections` in their order, without the families that `wanted` refuses, and behind them `tail`: whole
    /// families as text.
    pub fn new(
        format: Format,
        sections: Vec<Box<dyn Section>>,
        tail: String,
        wanted: impl Fn(&Header) -> bool,
    ) -> Self {
        let mut plan = Vec::new();
        for (index, section) in sections.iter().enumerate() {
            for family in 0..section.families() {
                if wanted(&section.header(family)) {
                    plan.push((index, family));
                }
            }
        }
        Self {
            format,
            sections,
            plan: plan.into_iter(),
            current: None,
            tail: Some(tail),
        }
    }

    /// Appends the next chunk to `out`; false when there was nothing left.
    pub fn next_chunk(&mut self, out: &mut Vec<u8>) -> bool {
        if self.tail.is_none() {
            return false;
        }
        let limit = out.len() + CHUNK_BYTES;
        loop {
            let Some(((section, family), mut position)) = self
                .current
                .take()
                .or_else(|| self.plan.next().map(|next| (next, Position::default())))
            else {
                out.extend_from_slice(self.tail.take().unwrap_or_default().as_bytes());
                if self.format == Format::OpenMetrics {
                    out.extend_from_slice(b"# EOF\n");
                }
                return true;
            };
            if !self.sections[section].write(family, &mut position, self.format, limit, out) {
                self.current = Some(((section, family), position));
                return true;
            }
        }
    }

    /// The whole exposition at once.
    #[must_use]
    pub fn into_text(mut self) -> String {
        let mut out = Vec::new();
        while self.next_chunk(&mut out) {}
        String::from_utf8_lossy(&out).into_owned()
    }
}
