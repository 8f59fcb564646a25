//! `docs/coverage.md` names only metrics that exist, and all but those of the exporter itself.

use std::collections::BTreeSet;

use pve_exporter::metrics::catalog::catalog;

const COVERAGE: &str = include_str!("../docs/coverage.md");

/// How the metrics begin that tell of the exporter itself, and not of a cluster.
const OWN: [&str; 7] = [
    "process_",
    "pve_api_",
    "pve_collection_",
    "pve_exporter_",
    "pve_request_",
    "pve_scrape_",
    "pve_source_",
];

const README: &str = include_str!("../../README.md");
const COMPARISON: &str = include_str!("../docs/comparison.md");

/// A cluster that has what PVE 9 knows of, with default settings.
const BY_DEFAULT: &str = include_str!("golden/pve-9.prom");

/// How those begin that do not come from the API.
const OFF_THE_API: [&str; 5] = [
    "pve_guest_agent_cpu_",
    "pve_guest_agent_disk_",
    "pve_guest_agent_load",
    "pve_guest_collector_",
    "pve_guest_os_",
];

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

fn is_own(metric: &str) -> bool {
    OWN.iter().any(|start| metric.starts_with(start))
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
    unnamed.retain(|metric| !is_own(metric));
    assert!(!unnamed.is_empty());
    unnamed.retain(|metric| !named.iter().any(|name| stands_for(name, metric)));
    assert!(unnamed.is_empty(), "docs/coverage.md says nothing of {unnamed:?}");
}

#[test]
fn families_are_counted_right() {
    let (off_the_api, of_the_api): (Vec<&str>, Vec<&str>) = catalogued()
        .into_iter()
        .filter(|metric| !is_own(metric))
        .partition(|metric| OFF_THE_API.iter().any(|start| metric.starts_with(start)));
    let families = of_the_api.len();
    let uncounted = format!("nor the {} that\n  ours reads there", off_the_api.len());
    assert!(COMPARISON.contains(&uncounted), "{uncounted}");
    let exposed = BY_DEFAULT.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let by_default = exposed.filter(|metric| !is_own(metric)).count();
    assert!(
        README.contains(&format!("| **pve-exporter** | **{families}** |")),
        "{families}"
    );
    assert!(
        COMPARISON.contains(&format!("| **pve-exporter** | this | **{families}** |")),
        "{families}"
    );
    let sentence = format!("Of ours\n  {by_default} are in the exposition of");
    assert!(COMPARISON.contains(&sentence), "{by_default}");
    let others = format!("{} others have", families - by_default);
    assert!(COMPARISON.contains(&others), "{others}");
}
