//! A metric is one row of a const table.

use crate::metrics::labels::{Identity, LabelWriter};

/// A kind of thing the exporter reports on, such as a guest or a storage. A value of it is one row of the exposition.
pub trait Subject: Send + Sync + Sized + 'static {
    /// The subject's name, as in the middle of its metrics' names.
    const NAME: &'static str;
    /// What one row stands for, for the documentation.
    const ROWS: &'static str;
    /// The names of the labels that tell one row from another.
    const LABELS: &'static [&'static str];
    /// Its metrics.
    const TABLE: &'static [Metric<Self>];

    /// The labels that tell this row from another, ready to be written.
    fn identity(&self) -> &Identity;
}

/// The Prometheus type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A value that goes up and down.
    Gauge,
    /// A value that only grows, and starts again from 0. Its name ends in `_total`.
    Counter,
    /// Text in labels, value 1. Its name ends in `_info`.
    Info,
    /// A number of which nothing more is said: classic text calls it untyped. Only what bears a name of node_exporter has it.
    Unknown,
}

impl Kind {
    /// The type's name in OpenMetrics; classic text has no `info`, and calls `unknown` differently.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Info => "info",
            Self::Unknown => "unknown",
        }
    }
}

/// The unit of a metric: the last word of its name, before `_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A count, a state or text.
    None,
    /// Bytes.
    Bytes,
    /// Degrees Celsius.
    Celsius,
    /// Hertz.
    Hertz,
    /// A share, from 0 to 1.
    Ratio,
    /// Seconds; of a timestamp, since the Unix epoch.
    Seconds,
}

impl Unit {
    /// The unit as the suffix of a name, empty for [`Unit::None`].
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Bytes => "bytes",
            Self::Celsius => "celsius",
            Self::Hertz => "hertz",
            Self::Ratio => "ratio",
            Self::Seconds => "seconds",
        }
    }
}

/// The value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A whole number: bytes, counts, 0 and 1.
    Whole(u64),
    /// Anything else. A value that is not finite is not written.
    Float(f64),
}

impl Value {
    /// Whether it can be written.
    #[must_use]
    pub fn is_finite(self) -> bool {
        match self {
            Self::Whole(_) => true,
            Self::Float(float) => float.is_finite(),
        }
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Whole(value)
    }
}

impl From<f64> for Value {
    /// A figure that happens to be whole, such as most counts of CPUs, is written without a fraction.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "only a number that survives the way there and back is taken as whole"
    )]
    fn from(value: f64) -> Self {
        let whole = value as u64;
        if whole as f64 == value && whole < 1 << 53 {
            Self::Whole(whole)
        } else {
            Self::Float(value)
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Whole(u64::from(value))
    }
}

/// How a row gives a number; `None` is no sample.
pub type Reading<S> = fn(&S) -> Option<Value>;

/// How a row gives its samples.
pub(crate) enum Sample<S: 'static> {
    /// A number; `None` is no sample.
    Value(fn(&S) -> Option<Value>),
    /// Several numbers, each under a value of its own of one more label; `None` is no sample.
    Split(&'static [(&'static str, Reading<S>)]),
    /// The value 1 under one more label; `None` is no sample.
    State(fn(&S) -> Option<&str>),
    /// The value 1 under several more labels; `false` is no sample.
    Text(fn(&S, &mut LabelWriter<'_>) -> bool),
}

/// One metric family of a subject. `name` is exactly what a dashboard asks for, so it can be searched for.
pub struct Metric<S: 'static> {
    /// The exposed name.
    pub name: &'static str,
    /// The type.
    pub kind: Kind,
    /// The unit.
    pub unit: Unit,
    /// One sentence: what it is and which field of which endpoint it comes from.
    pub help: &'static str,
    /// The labels it has beside those of its subject.
    pub labels: &'static [&'static str],
    pub(crate) sample: Sample<S>,
}

impl<S: 'static> Metric<S> {
    /// A gauge.
    #[must_use]
    pub const fn gauge(name: &'static str, unit: Unit, help: &'static str, value: fn(&S) -> Option<Value>) -> Self {
        Self {
            name,
            kind: Kind::Gauge,
            unit,
            help,
            labels: &[],
            sample: Sample::Value(value),
        }
    }

    /// A counter.
    #[must_use]
    pub const fn counter(name: &'static str, unit: Unit, help: &'static str, value: fn(&S) -> Option<Value>) -> Self {
        Self {
            name,
            kind: Kind::Counter,
            unit,
            help,
            labels: &[],
            sample: Sample::Value(value),
        }
    }

    /// A sparse state: one series with the current state in a label and the value 1.
    #[must_use]
    pub const fn state(
        name: &'static str,
        labels: &'static [&'static str; 1],
        help: &'static str,
        state: fn(&S) -> Option<&str>,
    ) -> Self {
        Self {
            name,
            kind: Kind::Gauge,
            unit: Unit::None,
            help,
            labels,
            sample: Sample::State(state),
        }
    }

    /// Text in labels, value 1.
    #[must_use]
    pub const fn info(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
        text: fn(&S, &mut LabelWriter<'_>) -> bool,
    ) -> Self {
        Self {
            name,
            kind: Kind::Info,
            unit: Unit::None,
            help,
            labels,
            sample: Sample::Text(text),
        }
    }

    /// Text in labels, value 1, as node_exporter has it: in both formats a gauge.
    #[must_use]
    pub const fn gauge_info(
        name: &'static str,
        labels: &'static [&'static str],
        help: &'static str,
        text: fn(&S, &mut LabelWriter<'_>) -> bool,
    ) -> Self {
        Self {
            name,
            kind: Kind::Gauge,
            unit: Unit::None,
            help,
            labels,
            sample: Sample::Text(text),
        }
    }

    /// What node_exporter gives without a type, be it a counter.
    #[must_use]
    pub const fn untyped(name: &'static str, help: &'static str, value: fn(&S) -> Option<Value>) -> Self {
        Self {
            name,
            kind: Kind::Unknown,
            unit: Unit::None,
            help,
            labels: &[],
            sample: Sample::Value(value),
        }
    }

    /// Counters that differ in one more label.
    #[must_use]
    pub const fn counters(
        name: &'static str,
        unit: Unit,
        labels: &'static [&'static str; 1],
        help: &'static str,
        values: &'static [(&'static str, Reading<S>)],
    ) -> Self {
        Self {
            name,
            kind: Kind::Counter,
            unit,
            help,
            labels,
            sample: Sample::Split(values),
        }
    }
}
