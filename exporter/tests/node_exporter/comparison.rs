//! What two readings of ours and one of node_exporter between them say of the same machine.

use std::collections::BTreeMap;

use crate::exceptions::{self, Side};
use crate::page::{Family, Labels, Page};

/// What is not as node_exporter has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum What {
    /// A family neither shown nor listed.
    FamilyMissing,
    /// A family under a name of node_exporter's that it does not show and that is not listed.
    FamilyUnknown,
    Kind,
    SeriesMissing,
    SeriesUnknown,
    Value,
}

/// What, of which family, of which series, with more to read: the values that differ.
pub(crate) type Differences = BTreeMap<(What, String, Labels), String>;

/// Two readings of ours with one of theirs between them.
pub(crate) struct Moment {
    pub(crate) before: Page,
    pub(crate) theirs: Page,
    pub(crate) after: Page,
}

/// The comparison of one moment.
#[derive(Debug, Default)]
pub(crate) struct Comparison {
    pub(crate) found: Differences,
    pub(crate) families: usize,
    pub(crate) series: usize,
}

impl Comparison {
    pub(crate) fn of(moment: &Moment) -> Self {
        let Moment { before, theirs, after } = moment;
        let mut comparison = Self::default();
        for (name, theirs) in &theirs.0 {
            if exceptions::of_the_program(name) {
                continue;
            }
            match (before.0.get(name), after.0.get(name)) {
                (Some(before), Some(after)) => comparison.family(name, [before, theirs, after]),
                _ if exceptions::lacking(name).is_some() || is_unknown(name, theirs) => {}
                _ => comparison.differs(What::FamilyMissing, name, &Labels::new(), String::new()),
            }
        }
        for name in before.0.keys() {
            if name.starts_with("node_") && !theirs.0.contains_key(name) && exceptions::more(name).is_none() {
                comparison.differs(What::FamilyUnknown, name, &Labels::new(), String::new());
            }
        }
        comparison
    }

    fn differs(&mut self, what: What, family: &str, labels: &Labels, detail: String) {
        self.found.insert((what, family.to_owned(), labels.clone()), detail);
    }

    fn family(&mut self, name: &str, families: [&Family; 3]) {
        self.families += 1;
        let [ours, theirs] = [&families[0].kind, &families[1].kind];
        if ours != theirs {
            self.differs(What::Kind, name, &Labels::new(), format!("{ours} instead of {theirs}"));
        }
        let [before, theirs, after] = families.map(|family| comparable(name, family));
        let (slack, unknown) = (exceptions::slack(name), exceptions::unknown(name));
        for (labels, value) in &theirs {
            match (before.get(labels), after.get(labels)) {
                (Some(earlier), Some(later)) => {
                    self.series += 1;
                    let room = slack.absolute + (slack.relative + 4.0 * f64::EPSILON) * value.abs();
                    if *value < earlier.min(*later) - room || *value > earlier.max(*later) + room {
                        let detail = format!("{earlier} and {later}, theirs {value}");
                        self.differs(What::Value, name, labels, detail);
                    }
                }
                (None, None) if Some(*value) != unknown && !exceptions::row(Side::Theirs, name, labels) => {
                    self.differs(What::SeriesMissing, name, labels, value.to_string());
                }
                // It came or went meanwhile, or is listed.
                _ => {}
            }
        }
        for (labels, value) in &before {
            let theirs_or_gone = theirs.contains_key(labels) || !after.contains_key(labels);
            if !theirs_or_gone && !exceptions::row(Side::Ours, name, labels) {
                self.differs(What::SeriesUnknown, name, labels, value.to_string());
            }
        }
    }
}

fn is_unknown(name: &str, family: &Family) -> bool {
    let unknown = exceptions::unknown(name);
    family.series.values().all(|value| Some(*value) == unknown)
}

/// The series without the labels that only some versions have.
fn comparable(name: &str, family: &Family) -> BTreeMap<Labels, f64> {
    let series = family.series.iter().map(|(labels, value)| {
        let mut labels = labels.clone();
        labels.retain(|label, _| !exceptions::of_some_versions(name, label));
        (labels, *value)
    });
    series.collect()
}

/// The differences that every one of several measurements shows: what just moved at that moment does not show again.
pub(crate) fn lasting(measurements: u32, mut measure: impl FnMut() -> Comparison) -> Comparison {
    let mut all = measure();
    for _ in 1..measurements {
        if all.found.is_empty() {
            break;
        }
        let next = measure();
        all.found.retain(|difference, _| next.found.contains_key(difference));
    }
    all
}
