//! What JSON looks like without its values: keys and types.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// The keys of one kind of row, each with the types it was seen with, and the keys that all such rows have.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    types: BTreeMap<String, BTreeSet<&'static str>>,
    always: Option<BTreeSet<String>>,
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "list",
        Value::Object(_) => "object",
    }
}

/// The leaves of a value, by their path; items of a list share one.
fn leaves(value: &Value, path: &str, found: &mut Vec<(String, &'static str)>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                leaves(value, &format!("{path}.{key}"), found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| leaves(item, &format!("{path}[]"), found)),
        leaf => found.push((path.to_owned(), kind(leaf))),
    }
}

impl Shape {
    pub(crate) fn of<'a>(values: impl IntoIterator<Item = &'a Value>) -> Self {
        let mut shape = Self::default();
        for value in values {
            let mut found = Vec::new();
            leaves(value, "", &mut found);
            let keys: BTreeSet<String> = found.iter().map(|(path, _)| path.clone()).collect();
            shape.always = Some(shape.always.map_or(keys.clone(), |always| &always & &keys));
            for (path, kind) in found {
                shape.types.entry(path).or_default().insert(kind);
            }
        }
        shape
    }

    /// Whether a body of the simulator could be one of the recorded ones.
    pub(crate) fn assert_covers(&self, what: &str, simulated: &Shape) {
        for (path, kinds) in &simulated.types {
            let recorded = self
                .types
                .get(path)
                .unwrap_or_else(|| panic!("{what}: PVE has no {path}"));
            assert!(
                kinds.is_subset(recorded),
                "{what}{path}: {kinds:?} in place of {recorded:?}"
            );
        }
        let missing: Vec<_> = self
            .always
            .iter()
            .flatten()
            .filter(|key| !simulated.types.contains_key(*key))
            .collect();
        assert!(missing.is_empty(), "{what}: without {missing:?}, which PVE always has");
        let always = simulated.always.as_ref().unwrap();
        let sometimes: Vec<_> = self
            .always
            .iter()
            .flatten()
            .filter(|key| !always.contains(*key))
            .collect();
        assert!(
            sometimes.is_empty(),
            "{what}: only sometimes with {sometimes:?}, which PVE always has"
        );
    }
}

#[test]
fn the_comparison_can_fail() {
    let known = [serde_json::json!({"a": 1, "b": "x"}), serde_json::json!({"a": 2})];
    let fails = |simulated: Value| {
        std::panic::catch_unwind(|| Shape::of(&known).assert_covers("test", &Shape::of([&simulated]))).is_err()
    };
    assert!(!fails(serde_json::json!({"a": 1})));
    assert!(fails(serde_json::json!({"a": "1"})));
    assert!(fails(serde_json::json!({"b": "x"})));
    assert!(fails(serde_json::json!({"a": 1, "c": 1})));
}
