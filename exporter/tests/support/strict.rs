//! A strict reader of expositions, in OpenMetrics 1.0 and in the classic text format 0.0.4.
//!
//! It refuses what the formats forbid and what this project forbids itself: kinds of metric we never write, timestamps,
//! exemplars, NaN, empty label values, series of one family that order their labels differently. It is no general parser:
//! a valid exposition of another program may well be refused.
//!
//! A first pass reads line by line and forms families; a second one looks at each family as a whole.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate includes this module and uses its own part of it"
)]

use std::collections::{HashMap, HashSet};
use std::fmt;

/// Reads an OpenMetrics 1.0 exposition, or says everything that is wrong with it.
pub fn check_openmetrics(text: &str) -> Result<Exposition, Vec<Violation>> {
    Reader::new(Format::OpenMetrics).read(text)
}

/// Reads an exposition in the classic text format, or says everything that is wrong with it.
pub fn check_classic(text: &str) -> Result<Exposition, Vec<Violation>> {
    Reader::new(Format::Classic).read(text)
}

/// What was read, in the order of the text.
#[derive(Debug, Default)]
pub struct Exposition {
    pub families: Vec<Family>,
}

/// The samples below one `# TYPE`.
#[derive(Debug)]
pub struct Family {
    /// As `# TYPE` has it: in OpenMetrics without `_total` and `_info`.
    pub name: String,
    pub kind: Kind,
    pub help: Option<String>,
    pub unit: Option<String>,
    pub samples: Vec<Sample>,
    /// Where it begins.
    line: usize,
    /// Whether there was a `# TYPE`, be it a refused one.
    typed: bool,
}

/// One line with a value.
#[derive(Debug)]
pub struct Sample {
    /// As written, with every suffix.
    pub name: String,
    /// In the order of the text, unescaped.
    pub labels: Vec<(String, String)>,
    pub value: f64,
    pub line: usize,
}

/// The kinds of metric that we write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    Counter,
    Histogram,
    Info,
    /// What bears a name that node_exporter gives without a type; also, while reading, where there is no `# TYPE` yet or one
    /// that we never write.
    Unknown,
}

/// One broken rule at one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Counted from 1; 0 stands for an empty text.
    pub line: usize,
    pub rule: Rule,
    pub detail: String,
}

/// What an exposition must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// The last line does not end with a line feed.
    MissingFinalNewline,
    /// A carriage return anywhere. A raw line feed in a value shows as `Syntax` of the two halves.
    CarriageReturn,
    BlankLine,
    /// White space at either end of a line.
    OuterWhitespace,
    /// A `#` line that is neither HELP, TYPE, UNIT nor EOF, or that the format does not have.
    OtherComment,
    /// OpenMetrics without `# EOF`.
    MissingEof,
    /// Something after `# EOF`, such as a second one.
    AfterEof,
    /// `# EOF` in classic text.
    EofInClassic,
    /// A line that cannot be read.
    Syntax,
    MetricName,
    LabelName,
    /// A label that begins with `__`, which Prometheus keeps for itself.
    ReservedLabel,
    DuplicateLabel,
    /// A label without a value is no label and must be left out.
    EmptyLabelValue,
    /// An escape that the format does not have, or a character that it wants escaped.
    Escape,
    Timestamp,
    Exemplar,
    /// `# TYPE` names a kind that this format lacks or that we never write.
    UnknownType,
    MissingType,
    /// A second HELP, TYPE or UNIT of one family.
    DuplicateMetadata,
    /// HELP, TYPE or UNIT after the family's first sample.
    MetadataAfterSamples,
    /// A family that goes on after another one began.
    SplitFamily,
    /// Two families claim one name once suffixes are put on.
    NameClash,
    /// The family's name does not end in its unit.
    UnitSuffix,
    /// An info has no unit.
    InfoUnit,
    /// OpenMetrics wants the family of a counter without `_total`; classic text wants TYPE to name the sample.
    CounterFamilyName,
    /// A counter's sample without `_total`.
    CounterSampleName,
    /// OpenMetrics wants the family of an info without `_info`.
    InfoFamilyName,
    /// An info's sample without `_info`.
    InfoSampleName,
    /// An info that is not 1.
    InfoValue,
    /// `_created`, which we never write.
    Created,
    DuplicateSeries,
    /// Two samples of one family have the same labels in different order.
    LabelOrder,
    /// A counter that is negative, infinite or NaN.
    CounterValue,
    NanGauge,
    /// A histogram's sample that is none of `_bucket`, `_sum` and `_count`.
    HistogramSampleName,
    /// `le` is missing on a bucket, stands elsewhere, is not canonical or does not rise.
    HistogramLe,
    /// Buckets are not cumulative or not whole numbers.
    HistogramBuckets,
    HistogramMissingInf,
    /// `_count` is missing or is not what the `+Inf` bucket says.
    HistogramCount,
    /// `_sum` is missing or NaN.
    HistogramSum,
    /// The samples of two histograms of one family are mixed.
    InterleavedHistograms,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {:?}: {}", self.line, self.rule, self.detail)
    }
}

impl Exposition {
    /// The value of the one sample of this name that has these labels, and perhaps others.
    ///
    /// # Panics
    ///
    /// If several samples match: the test must say which one it means.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut matches = self
            .samples(name)
            .filter(|sample| labels.iter().all(|label| sample.has(*label)));
        let first = matches.next()?;
        if let Some(second) = matches.next() {
            panic!(
                "{name}{labels:?} is ambiguous: lines {} and {} match",
                first.line, second.line
            );
        }
        Some(first.value)
    }

    /// The samples of this name, with every suffix.
    pub fn samples<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.families
            .iter()
            .flat_map(|family| &family.samples)
            .filter(move |sample| sample.name == name)
    }

    /// The family that `# TYPE` calls so.
    pub fn family(&self, name: &str) -> Option<&Family> {
        self.families.iter().find(|family| family.name == name)
    }
}

impl Sample {
    /// The value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    fn has(&self, (name, value): (&str, &str)) -> bool {
        self.label(name) == Some(value)
    }

    /// Name and labels in one order, so that equal series are equal. Without `le` it is one histogram's name.
    fn identity(&self, without: Option<&str>) -> Vec<(&str, &str)> {
        let labels = self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut labels: Vec<_> = labels.filter(|(name, _)| Some(*name) != without).collect();
        labels.sort_unstable();
        labels
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    OpenMetrics,
    Classic,
}

struct Reader {
    format: Format,
    families: Vec<Family>,
    /// Which family a `# TYPE` name belongs to.
    by_name: HashMap<String, usize>,
    /// The family of the line before.
    current: Option<usize>,
    violations: Vec<Violation>,
}

impl Reader {
    fn new(format: Format) -> Self {
        Self {
            format,
            families: Vec::new(),
            by_name: HashMap::new(),
            current: None,
            violations: Vec::new(),
        }
    }

    fn read(mut self, text: &str) -> Result<Exposition, Vec<Violation>> {
        let mut ended = false;
        let mut last = 0;
        let body = text.strip_suffix('\n').unwrap_or(text);
        // An empty classic exposition is valid, a single line feed is not.
        let lines = (!text.is_empty()).then(|| body.split('\n')).into_iter().flatten();
        for (line, content) in (1..).zip(lines) {
            last = line;
            if ended {
                self.refuse(line, Rule::AfterEof, content);
            } else if content == "# EOF" && self.format == Format::OpenMetrics {
                ended = true;
            } else {
                self.line(line, content);
            }
        }
        if !text.is_empty() && !text.ends_with('\n') {
            self.refuse(last, Rule::MissingFinalNewline, "the text ends without a line feed");
        }
        if self.format == Format::OpenMetrics && !ended {
            self.refuse(last, Rule::MissingEof, "the text does not end with `# EOF`");
        }
        for family in &self.families {
            check_family(family, self.format, &mut self.violations);
        }
        check_clashes(&self.families, self.format, &mut self.violations);
        if self.violations.is_empty() {
            Ok(Exposition {
                families: self.families,
            })
        } else {
            self.violations.sort_by_key(|violation| violation.line);
            Err(self.violations)
        }
    }

    fn refuse(&mut self, line: usize, rule: Rule, detail: impl Into<String>) {
        self.violations.push(Violation {
            line,
            rule,
            detail: detail.into(),
        });
    }

    fn line(&mut self, line: usize, content: &str) {
        if content.contains('\r') {
            self.refuse(line, Rule::CarriageReturn, content);
        } else if content.is_empty() {
            self.refuse(line, Rule::BlankLine, "");
        } else if content.trim() != content {
            self.refuse(line, Rule::OuterWhitespace, content);
        } else if content == "# EOF" {
            self.refuse(line, Rule::EofInClassic, content);
        } else if content.starts_with('#') {
            self.comment(line, content);
        } else {
            self.sample(line, content);
        }
    }

    fn comment(&mut self, line: usize, content: &str) {
        let mut words = content.splitn(4, ' ');
        let (Some("#"), Some(keyword @ ("HELP" | "TYPE" | "UNIT"))) = (words.next(), words.next()) else {
            return self.refuse(line, Rule::OtherComment, content);
        };
        if keyword == "UNIT" && self.format == Format::Classic {
            return self.refuse(line, Rule::OtherComment, content);
        }
        let (Some(name), Some(text)) = (words.next(), words.next()) else {
            return self.refuse(line, Rule::Syntax, content);
        };
        if !is_metric_name(name) {
            self.refuse(line, Rule::MetricName, name);
        }
        let index = self.described(line, name);
        if !self.families[index].samples.is_empty() {
            self.refuse(line, Rule::MetadataAfterSamples, content);
        }
        let known = match keyword {
            "HELP" => {
                let help = self.help(line, text);
                self.families[index].help.replace(help).is_some()
            }
            "UNIT" => self.families[index].unit.replace(text.to_owned()).is_some(),
            _ => {
                let kind = self.kind(line, name, text);
                self.families[index].kind = kind;
                std::mem::replace(&mut self.families[index].typed, true)
            }
        };
        if known {
            self.refuse(line, Rule::DuplicateMetadata, content);
        }
    }

    /// The family that a HELP, TYPE or UNIT line speaks of.
    fn described(&mut self, line: usize, name: &str) -> usize {
        let index = match self.by_name.get(name) {
            Some(&index) => {
                if self.current != Some(index) {
                    self.refuse(line, Rule::SplitFamily, name);
                }
                index
            }
            None => self.begin(line, name),
        };
        self.current = Some(index);
        index
    }

    fn begin(&mut self, line: usize, name: &str) -> usize {
        let index = self.families.len();
        self.families.push(Family {
            name: name.to_owned(),
            kind: Kind::Unknown,
            help: None,
            unit: None,
            samples: Vec::new(),
            line,
            typed: false,
        });
        self.by_name.insert(name.to_owned(), index);
        index
    }

    fn kind(&mut self, line: usize, name: &str, text: &str) -> Kind {
        let borrowed = name.starts_with("node_");
        match text {
            "gauge" => Kind::Gauge,
            "counter" => Kind::Counter,
            "histogram" => Kind::Histogram,
            "info" if self.format == Format::OpenMetrics => Kind::Info,
            "unknown" if self.format == Format::OpenMetrics && borrowed => Kind::Unknown,
            "untyped" if self.format == Format::Classic && borrowed => Kind::Unknown,
            _ => {
                self.refuse(line, Rule::UnknownType, text);
                Kind::Unknown
            }
        }
    }

    fn help(&mut self, line: usize, text: &str) -> String {
        let quotes = self.format == Format::OpenMetrics;
        let mut help = String::new();
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match character {
                '\\' => match rest.next() {
                    Some('\\') => help.push('\\'),
                    Some('n') => help.push('\n'),
                    Some('"') if quotes => help.push('"'),
                    _ => self.refuse(line, Rule::Escape, text),
                },
                '"' if quotes => self.refuse(line, Rule::Escape, text),
                other => help.push(other),
            }
        }
        help
    }

    fn sample(&mut self, line: usize, content: &str) {
        let name_end = content.find(['{', ' ']).unwrap_or(content.len());
        let (name, rest) = content.split_at(name_end);
        if !is_metric_name(name) {
            self.refuse(line, Rule::MetricName, name);
        }
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => match self.labels(line, rest) {
                Some(read) => read,
                None => return self.refuse(line, Rule::Syntax, content),
            },
            None => (Vec::new(), rest),
        };
        let Some(rest) = rest.strip_prefix(' ') else {
            return self.refuse(line, Rule::Syntax, content);
        };
        let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
        let Some(value) = number_of(number) else {
            return self.refuse(line, Rule::Syntax, content);
        };
        if rest.starts_with('#') || rest.contains(" # ") {
            self.refuse(line, Rule::Exemplar, rest);
        } else if !rest.is_empty() {
            self.refuse(line, Rule::Timestamp, rest);
        }
        let index = self.owner(line, name);
        self.current = Some(index);
        self.families[index].samples.push(Sample {
            name: name.to_owned(),
            labels,
            value,
            line,
        });
    }

    /// Reads labels up to the closing brace and returns what follows it; nothing if they cannot be read.
    fn labels<'a>(&mut self, line: usize, mut rest: &'a str) -> Option<(Vec<(String, String)>, &'a str)> {
        let mut labels: Vec<(String, String)> = Vec::new();
        loop {
            let (name, after) = rest.split_once("=\"")?;
            let (value, after) = self.label_value(line, after)?;
            if !is_label_name(name) {
                self.refuse(line, Rule::LabelName, name);
            } else if name.starts_with("__") {
                self.refuse(line, Rule::ReservedLabel, name);
            }
            if value.is_empty() {
                self.refuse(line, Rule::EmptyLabelValue, name);
            }
            if labels.iter().any(|(earlier, _)| earlier == name) {
                self.refuse(line, Rule::DuplicateLabel, name);
            }
            labels.push((name.to_owned(), value));
            match after.strip_prefix(',') {
                Some(next) => rest = next,
                None => return Some((labels, after.strip_prefix('}')?)),
            }
        }
    }

    /// Reads a label's value up to its closing quote and returns what follows that.
    fn label_value<'a>(&mut self, line: usize, text: &'a str) -> Option<(String, &'a str)> {
        let mut value = String::new();
        let mut rest = text.chars();
        loop {
            match rest.next()? {
                '"' => return Some((value, rest.as_str())),
                '\\' => match rest.next()? {
                    '\\' => value.push('\\'),
                    '"' => value.push('"'),
                    'n' => value.push('\n'),
                    other => self.refuse(line, Rule::Escape, format!("\\{other}")),
                },
                other => value.push(other),
            }
        }
    }

    /// The family that a sample of this name belongs to, by the names that the families claim.
    fn owner(&mut self, line: usize, name: &str) -> usize {
        if let Some(current) = self.current
            && self.claims(current, name)
        {
            return current;
        }
        let stems = ["", "_total", "_info", "_bucket", "_sum", "_count", "_created"];
        let mut earlier = stems
            .iter()
            .filter_map(|suffix| self.by_name.get(name.strip_suffix(suffix)?).copied());
        if let Some(index) = earlier.find(|index| self.claims(*index, name)) {
            self.refuse(line, Rule::SplitFamily, name);
            return index;
        }
        self.begin(line, name)
    }

    /// Whether a sample of this name is of this family, rightly or as one of the mistakes that have a rule of their own.
    fn claims(&self, index: usize, name: &str) -> bool {
        let family = &self.families[index];
        let Some(suffix) = name.strip_prefix(family.name.as_str()) else {
            return false;
        };
        match family.kind {
            Kind::Gauge | Kind::Unknown => suffix.is_empty(),
            Kind::Counter => matches!(suffix, "" | "_total" | "_created"),
            Kind::Info => matches!(suffix, "" | "_info"),
            Kind::Histogram => matches!(suffix, "" | "_bucket" | "_sum" | "_count" | "_created"),
        }
    }
}

fn is_metric_name(name: &str) -> bool {
    // A colon would be valid, but belongs to the recording rules of whoever scrapes us.
    is_label_name(name)
}

fn is_label_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || character == '_')
}

/// A value. Rust would also take `inf`, `infinity` and `nan`, which not every reader of the formats does.
fn number_of(text: &str) -> Option<f64> {
    match text {
        "+Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        _ if text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte)) =>
        {
            text.parse().ok()
        }
        _ => None,
    }
}

fn check_family(family: &Family, format: Format, violations: &mut Vec<Violation>) {
    let mut refuse = |line, rule, detail: &str| {
        violations.push(Violation {
            line,
            rule,
            detail: detail.to_owned(),
        })
    };
    let name = family.name.as_str();
    let of_openmetrics = format == Format::OpenMetrics;
    if !family.typed {
        refuse(family.line, Rule::MissingType, name);
    }
    if let Some(unit) = &family.unit {
        if family.kind == Kind::Info {
            refuse(family.line, Rule::InfoUnit, unit);
        } else if name.strip_suffix(unit.as_str()).is_none_or(|stem| !stem.ends_with('_')) {
            refuse(family.line, Rule::UnitSuffix, &format!("{name} has the unit {unit}"));
        }
    }
    if of_openmetrics && family.kind == Kind::Counter && name.ends_with("_total") {
        refuse(family.line, Rule::CounterFamilyName, name);
    }
    if family.kind == Kind::Info && name.ends_with("_info") {
        refuse(family.line, Rule::InfoFamilyName, name);
    }

    let mut series = HashSet::new();
    let mut orders: HashMap<Vec<&str>, Vec<&str>> = HashMap::new();
    for sample in &family.samples {
        let mut at = |rule, detail: &str| refuse(sample.line, rule, detail);
        if !series.insert((sample.name.as_str(), sample.identity(None))) {
            at(Rule::DuplicateSeries, &format!("{}{:?}", sample.name, sample.labels));
        }
        let order: Vec<&str> = sample.labels.iter().map(|(label, _)| label.as_str()).collect();
        let mut sorted = order.clone();
        sorted.sort_unstable();
        let first = orders.entry(sorted).or_insert_with(|| order.clone());
        if *first != order {
            at(Rule::LabelOrder, &format!("{order:?}, but before {first:?}"));
        }
        let suffix = sample.name.strip_prefix(name).unwrap_or_default();
        if suffix == "_created" {
            at(Rule::Created, &sample.name);
            continue;
        }
        match family.kind {
            Kind::Gauge | Kind::Unknown => {
                if sample.value.is_nan() {
                    at(Rule::NanGauge, &sample.name);
                }
                // Classic text has no infos: they are gauges there, and the same rule holds.
                if sample.name.ends_with("_info") && sample.value != 1.0 {
                    at(Rule::InfoValue, &format!("{} is {}", sample.name, sample.value));
                }
            }
            Kind::Counter => {
                if !sample.name.ends_with("_total") {
                    at(Rule::CounterSampleName, &sample.name);
                } else if !of_openmetrics && !suffix.is_empty() {
                    at(
                        Rule::CounterFamilyName,
                        &format!("TYPE says {name}, the sample {}", sample.name),
                    );
                }
                if !is_count(sample.value) {
                    at(Rule::CounterValue, &format!("{} is {}", sample.name, sample.value));
                }
            }
            Kind::Info => {
                if suffix != "_info" {
                    at(Rule::InfoSampleName, &sample.name);
                }
                if sample.value != 1.0 {
                    at(Rule::InfoValue, &format!("{} is {}", sample.name, sample.value));
                }
            }
            Kind::Histogram => {
                if suffix.is_empty() {
                    at(Rule::HistogramSampleName, &sample.name);
                }
                if suffix != "_bucket" && sample.label("le").is_some() {
                    at(Rule::HistogramLe, &format!("{} has `le`", sample.name));
                }
            }
        }
    }
    if family.kind == Kind::Histogram {
        check_histograms(family, violations);
    }
}

/// Not negative, not infinite, not NaN.
fn is_count(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

/// Checks the histograms of a family, one by one: their samples agree in all labels but `le`.
fn check_histograms(family: &Family, violations: &mut Vec<Violation>) {
    let mut seen = HashSet::new();
    let same = |one: &Sample, next: &Sample| one.identity(Some("le")) == next.identity(Some("le"));
    for histogram in family.samples.chunk_by(same) {
        if let Some(first) = histogram.first()
            && !seen.insert(first.identity(Some("le")))
        {
            let detail = format!("{} goes on after another histogram", family.name);
            violations.push(Violation {
                line: first.line,
                rule: Rule::InterleavedHistograms,
                detail,
            });
        } else {
            check_histogram(family, histogram, violations);
        }
    }
}

fn check_histogram(family: &Family, samples: &[Sample], violations: &mut Vec<Violation>) {
    let mut refuse = |line, rule, detail: String| violations.push(Violation { line, rule, detail });
    let last_line = samples.last().map_or(family.line, |sample| sample.line);
    let named = |suffix| {
        samples
            .iter()
            .find(move |sample| sample.name.strip_prefix(&family.name) == Some(suffix))
    };
    let (mut bound, mut below) = (f64::NEG_INFINITY, 0.0);
    for bucket in samples
        .iter()
        .filter(|sample| sample.name.strip_prefix(&family.name) == Some("_bucket"))
    {
        let le = bucket.label("le").unwrap_or_default();
        match number_of(le) {
            Some(number) if canonical(number) == le && number > bound => bound = number,
            _ => refuse(bucket.line, Rule::HistogramLe, format!("le=\"{le}\" after {bound}")),
        }
        if !is_count(bucket.value) || bucket.value.fract() != 0.0 || bucket.value < below {
            refuse(
                bucket.line,
                Rule::HistogramBuckets,
                format!("{} after {below}", bucket.value),
            );
        }
        below = bucket.value;
    }
    if bound != f64::INFINITY {
        refuse(last_line, Rule::HistogramMissingInf, family.name.clone());
    }
    match named("_count") {
        Some(count) if count.value == below => {}
        Some(count) => {
            refuse(
                count.line,
                Rule::HistogramCount,
                format!("{} with {below} in all buckets", count.value),
            );
        }
        None => refuse(
            last_line,
            Rule::HistogramCount,
            format!("{} has no _count", family.name),
        ),
    }
    match named("_sum") {
        Some(sum) if !sum.value.is_nan() => {}
        Some(sum) => refuse(sum.line, Rule::HistogramSum, format!("{} is NaN", sum.name)),
        None => refuse(last_line, Rule::HistogramSum, format!("{} has no _sum", family.name)),
    }
}

/// A bound as OpenMetrics writes canonical numbers: `0.5`, `10.0`, `1e+06`, `+Inf`.
///
/// Classic text has no such rule and Go would write `10` there; but then one bucket would be two series, depending on what
/// a scrape negotiated.
fn canonical(number: f64) -> String {
    if number == f64::INFINITY {
        return "+Inf".to_owned();
    }
    if number == 0.0 || (1e-4..1e6).contains(&number.abs()) {
        return format!("{number:?}");
    }
    let scientific = format!("{number:e}");
    match scientific.split_once('e') {
        Some((mantissa, exponent)) => match exponent.strip_prefix('-') {
            Some(digits) => format!("{mantissa}e-{digits:0>2}"),
            None => format!("{mantissa}e+{exponent:0>2}"),
        },
        None => scientific,
    }
}

/// No name may come out of two families, whether or not a sample bears it today.
fn check_clashes(families: &[Family], format: Format, violations: &mut Vec<Violation>) {
    let mut claimed: HashMap<String, &str> = HashMap::new();
    for family in families {
        let suffixes: &[&str] = match (family.kind, format) {
            (Kind::Gauge | Kind::Unknown, _) | (Kind::Counter, Format::Classic) => &[""],
            (Kind::Counter, Format::OpenMetrics) => &["", "_total", "_created"],
            (Kind::Info, _) => &["", "_info"],
            (Kind::Histogram, Format::OpenMetrics) => &["", "_bucket", "_sum", "_count", "_created"],
            (Kind::Histogram, Format::Classic) => &["", "_bucket", "_sum", "_count"],
        };
        for suffix in suffixes {
            let name = format!("{}{suffix}", family.name);
            if let Some(other) = claimed.get(&name) {
                let detail = format!("{} and {other} both claim {name}", family.name);
                violations.push(Violation {
                    line: family.line,
                    rule: Rule::NameClash,
                    detail,
                });
            } else {
                claimed.insert(name, &family.name);
            }
        }
    }
}
