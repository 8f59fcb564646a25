//! A lenient reader of the classic text format: node_exporter writes what our strict one refuses, such as labels without a value.

use std::collections::BTreeMap;

/// Labels by name. A label without a value is no label, as PromQL has it: versions differ in whether they write one.
pub(crate) type Labels = BTreeMap<String, String>;

/// One page of metrics: its families by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Page(pub(crate) BTreeMap<String, Family>);

#[derive(Clone, Debug, Default)]
pub(crate) struct Family {
    /// As `# TYPE` has it.
    pub(crate) kind: String,
    pub(crate) series: BTreeMap<Labels, f64>,
}

impl Page {
    /// # Panics
    ///
    /// On a line that cannot be read, and on a series that comes twice.
    pub(crate) fn read(text: &str) -> Self {
        let mut page = Self::default();
        for line in text.lines() {
            if let Some(of) = line.strip_prefix("# TYPE ") {
                let (name, kind) = of.split_once(' ').unwrap_or_else(|| panic!("no type: {line}"));
                page.0.entry(name.to_owned()).or_default().kind = kind.to_owned();
            } else if !line.starts_with('#') && !line.is_empty() {
                page.sample(line);
            }
        }
        page.0.retain(|_, family| !family.series.is_empty());
        page
    }

    fn sample(&mut self, line: &str) {
        let (name, labels, value) = parts(line).unwrap_or_else(|| panic!("no sample: {line}"));
        let series = &mut self.0.entry(name.to_owned()).or_default().series;
        assert!(series.insert(labels, value).is_none(), "a second time: {line}");
    }

    /// How many series there are.
    pub(crate) fn series(&self) -> usize {
        self.0.values().map(|family| family.series.len()).sum()
    }
}

/// Name, labels and value of `name{label="value",...} 1`.
fn parts(line: &str) -> Option<(&str, Labels, f64)> {
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at_checked(end)?;
    let (labels, value) = match rest.strip_prefix('{') {
        Some(labels) => read_labels(labels)?,
        None => (Labels::new(), rest),
    };
    Some((name, labels, value.trim_start().parse().ok()?))
}

/// The labels up to `}`, and what follows it.
fn read_labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut labels = Labels::new();
    loop {
        if let Some(behind) = rest.strip_prefix('}') {
            return Some((labels, behind));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, behind) = unquote(quoted)?;
        if !value.is_empty() {
            labels.insert(name.to_owned(), value);
        }
        rest = behind.strip_prefix(',').unwrap_or(behind);
    }
}

/// The text up to the next `"`, and what follows it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return Some((text, characters.as_str())),
            '\\' => text.push(match characters.next()? {
                'n' => '\n',
                other => other,
            }),
            other => text.push(other),
        }
    }
}

#[test]
fn labels_are_read_as_promql_sees_them() {
    let page = Page::read(
        "# HELP a Made up.\n# TYPE a gauge\na{b=\"c \\\"}\\\\\",empty=\"\"} 1.5e+03\n# TYPE d untyped\nd 2\n# TYPE none gauge\n",
    );
    let labels = Labels::from([("b".to_owned(), "c \"}\\".to_owned())]);
    assert_eq!(page.0["a"].series, BTreeMap::from([(labels, 1500.0)]));
    assert_eq!(
        (page.0["d"].kind.as_str(), page.0.len(), page.series()),
        ("untyped", 2, 2)
    );
}
