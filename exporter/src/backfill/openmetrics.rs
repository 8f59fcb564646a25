//! The files: one per month, in OpenMetrics with timestamps.

use std::io::{self, Write};
use std::ops::{Range, RangeInclusive};

use crate::backfill::columns::{Family, Kind};
use crate::backfill::history::History;
use crate::backfill::months::month;
use crate::backfill::plan::Object;
use crate::metrics::labels::{Identity, escape};

const DAY: u64 = 86_400;

/// About what a sample takes: a line, and its place in the history.
pub const BYTES_PER_SAMPLE: u64 = 130;

/// A month of a backfill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Month {
    /// Such as `2026-01`.
    pub name: String,
    /// The first second of it and the first second behind it.
    pub span: Range<u64>,
}

/// The months of a span, the first and the last as long as they are part of it.
#[must_use]
pub fn months(span: &RangeInclusive<u64>) -> Vec<Month> {
    let mut months: Vec<Month> = Vec::new();
    let mut day = span.start() / DAY * DAY;
    while day <= *span.end() {
        let name = month(day);
        match months.last_mut().filter(|last| last.name == name) {
            Some(last) => last.span.end = day + DAY,
            None => months.push(Month {
                name,
                span: day..day + DAY,
            }),
        }
        day += DAY;
    }
    months
}

/// An object with its history, ready to be written.
#[derive(Debug)]
pub struct Series {
    kind: Kind,
    labels: Vec<u8>,
    history: History,
    /// For each month the moments that are in it.
    months: Vec<Range<u64>>,
}

impl Series {
    /// The series of an object: with the labels of its live series, and those of the target.
    ///
    /// # Errors
    /// When the history cannot be read.
    pub fn new(
        object: &Object,
        cluster: &str,
        target: &[(String, String)],
        history: History,
        months: &[Month],
    ) -> io::Result<Self> {
        let mut labels = vec![b'{'];
        labels.extend_from_slice(Identity::new(&object.labels(cluster)).pairs());
        for (name, value) in target {
            labels.extend_from_slice(format!(",{name}=\"").as_bytes());
            escape(value, true, &mut labels);
            labels.push(b'"');
        }
        labels.extend_from_slice(b"} ");
        let times = history.times()?;
        let before = |time: u64| times.partition_point(|other| *other < time) as u64;
        let of_month = |month: &Month| before(month.span.start)..before(month.span.end);
        Ok(Self {
            kind: object.kind,
            labels,
            months: months.iter().map(of_month).collect(),
            history,
        })
    }
}

/// Writes the month at an index; returns how many samples it has.
///
/// # Errors
/// When a history cannot be read or `out` cannot be written.
pub fn write(out: &mut impl Write, families: &[Family], series: &[Series], month: usize) -> io::Result<u64> {
    let (mut samples, mut line) = (0, Vec::new());
    for family in families {
        let mut headed = false;
        for one in series {
            let Some(column) = one
                .kind
                .columns()
                .iter()
                .position(|column| column.metric == family.name)
            else {
                continue;
            };
            let Some(moments) = one.months.get(month).filter(|moments| !moments.is_empty()) else {
                continue;
            };
            let known = one.history.column(column, moments).map_err(|error| {
                let path = one.history.path().display();
                io::Error::new(error.kind(), format!("{path}: {error}"))
            })?;
            if !known.is_empty() && !headed {
                head(out, family)?;
                headed = true;
            }
            for (time, value) in known {
                line.clear();
                line.extend_from_slice(family.name.as_bytes());
                line.extend_from_slice(&one.labels);
                number(value, &mut line);
                line.push(b' ');
                line.extend_from_slice(itoa::Buffer::new().format(time).as_bytes());
                line.push(b'\n');
                out.write_all(&line)?;
                samples += 1;
            }
        }
    }
    out.write_all(b"# EOF\n")?;
    Ok(samples)
}

fn head(out: &mut impl Write, family: &Family) -> io::Result<()> {
    let Family { name, unit, help } = family;
    writeln!(out, "# TYPE {name} gauge")?;
    if !unit.is_empty() {
        writeln!(out, "# UNIT {name} {unit}")?;
    }
    writeln!(out, "# HELP {name} {help}")
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "only a whole number that is not negative and has no more than 53 bits"
)]
fn number(value: f64, out: &mut Vec<u8>) {
    if value.fract() == 0.0 && (0.0..9e15).contains(&value) {
        out.extend_from_slice(itoa::Buffer::new().format(value as u64).as_bytes());
    } else {
        out.extend_from_slice(zmij::Buffer::new().format_finite(value).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backfill::columns::families;
    use crate::backfill::history::encode;
    use crate::backfill::merge::Moment;

    #[test]
    fn months_are_cut_where_the_calendar_cuts() {
        let names = |span| months(&span).into_iter().map(|month| month.name).collect::<Vec<_>>();
        assert_eq!(names(1_784_000_000..=1_786_800_000), ["2026-07", "2026-08"]);
        assert_eq!(names(1_786_800_000..=1_786_800_001), ["2026-08"]);
        let all = months(&(1_755_000_000..=1_786_800_000));
        assert_eq!(all.len(), 13);
        assert!(all.windows(2).all(|pair| pair[0].span.end == pair[1].span.start));
    }

    #[test]
    fn a_file_has_its_families_one_after_the_other() {
        let directory = tempfile::tempdir().unwrap();
        let months = months(&(1_785_542_300..=1_785_542_500));
        let object = |kind, id: &str, storage: &str| Object {
            kind,
            id: id.to_owned(),
            node: "pve1".to_owned(),
            storage: storage.to_owned(),
            shared: false,
        };
        let series: Vec<_> = [
            object(Kind::Storage, "storage/pve1/a", "a"),
            object(Kind::Storage, "storage/pve1/b", "b"),
            object(Kind::Qemu, "qemu/100", ""),
        ]
        .iter()
        .enumerate()
        .map(|(index, object)| {
            let path = directory.path().join(index.to_string());
            let moment = |time, value| Moment {
                time,
                values: vec![value; object.kind.columns().len()],
            };
            let moments = [
                moment(1_785_542_340, 0.5),
                moment(1_785_542_400, 1e-5),
                moment(1_785_542_460, 3.0),
            ];
            std::fs::write(&path, encode(&moments, object.kind.columns().len())).unwrap();
            let history = History::open(path, object.kind.columns().len()).unwrap();
            let target = [("job".to_owned(), "p\"v".to_owned())];
            Series::new(object, "main", &target, history, &months).unwrap()
        })
        .collect();
        let storage: Vec<Family> = families()
            .into_iter()
            .filter(|family| family.name.starts_with("pve_storage_") || family.name == "pve_guest_cpus")
            .collect();
        let mut text = Vec::new();
        assert_eq!(write(&mut text, &storage, &series, 1).unwrap(), 10);
        let text = String::from_utf8(text).unwrap();
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with("# HELP")).collect();
        assert_eq!(lines[0], "# TYPE pve_guest_cpus gauge");
        assert_eq!(
            lines[1],
            "pve_guest_cpus{pve_cluster=\"main\",id=\"qemu/100\",job=\"p\\\"v\"} 0.00001 1785542400"
        );
        assert_eq!(
            lines[3..6],
            [
                "# TYPE pve_storage_size_bytes gauge",
                "# UNIT pve_storage_size_bytes bytes",
                "pve_storage_size_bytes{pve_cluster=\"main\",id=\"storage/pve1/a\",node=\"pve1\",storage=\"a\",job=\"p\\\"v\"} 0.00001 1785542400",
            ]
        );
        assert_eq!(lines.last(), Some(&"# EOF"));
        let mut first = Vec::new();
        assert_eq!(write(&mut first, &storage, &series, 0).unwrap(), 5);
    }
}
