//! `docs/coverage.md` names only metrics that exist, and all but those of the exporter itself.

use std::collections::BTreeSet;

use pve_exporter::metrics::catalog::catalog;

const COVERAGE: &str = include_str!("../docs/coverage.md");

/// How the metrics begin that tell of the exporter itself, and not of a cluster.
const OWN: [&str; 4] = ["process_", "pve_api_", "pve_exporter_", "pve_source_"];

/// In queries it is a label.
const LABEL: &str = "pve_cluster";

/// The metrics that stand in code; one that ends in `*` is all that begin so.
fn named() -> BTreeSet<&'static str> {
    // Whether one backtick or three enclose the code, it is every second piece.
    let code = COVERAGE.split('`').skip(1).step_by(2);
    let words = code.flat_map(|code| code.split(is_between_names));
    words
        .filter(|word| word.starts_with("pve_") && *word != LABEL)
        .collect()
}

fn is_between_names(c: char) -> bool {
    !c.is_ascii_alphanumeric() && !matches!(c, '_' | '*')
}

fn catalogued() -> Vec<&'static str> {
    let entries = catalog().into_iter().flat_map(|group| group.entries);
    entries.map(|entry| entry.name).collect()
}

fn stands_for(name: &str, metric: &str) -> bool {
    name.strip_suffix('*')
        .map_or(name == metric, |start| metric.starts_with(start))
}

#[test]
fn what_is_named_exists() {
    let catalogued = catalogued();
    let mut unknown = named();
    unknown.retain(|name| !catalogued.iter().any(|metric| stands_for(name, metric)));
    assert!(unknown.is_empty(), "there is no {unknown:?}");
}

#[test]
fn what_exists_is_named() {
    let named = named();
    let mut unnamed = catalogued();
    unnamed.retain(|metric| !OWN.iter().any(|start| metric.starts_with(start)));
    assert!(!unnamed.is_empty());
    unnamed.retain(|metric| !named.iter().any(|name| stands_for(name, metric)));
    assert!(unnamed.is_empty(), "docs/coverage.md says nothing of {unnamed:?}");
}
