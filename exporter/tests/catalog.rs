//! The catalogue of metrics is complete, documented, true and within its budget.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pve_exporter::metrics::catalog::{catalog, markdown};
use pve_exporter::metrics::exposition::Format;
use pve_simulator::{Options, Simulator, Version};
use support::exporters::{checked, text, with_config};
use support::simulated::{cluster, options};
use support::strict::Exposition;

/// The most series of one guest, unless per-drive and per-interface series are asked for.
const SERIES_PER_GUEST: usize = 40;

fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

/// A simulated cluster of two versions that uses everything, with one cluster more that cannot be reached.
async fn simulated() -> Exposition {
    let simulator = Simulator::start(Options {
        guests: 60,
        versions: vec![Version::new(9, 2, 11), Version::new(8, 4, 1)],
        ..options()
    })
    .await
    .unwrap();
    let mut unreachable = cluster(&simulator);
    unreachable.fingerprints.truncate(1);
    unreachable.endpoints.drain(..1);
    let clusters = [("main", cluster(&simulator)), ("distrusted", unreachable)];
    let (exporter, _) = with_config(&clusters, |config| config.metrics.series_budget = Some(1_000_000));
    exporter.own().refused();
    checked(&text(&exporter, Format::Classic).await, Format::Classic)
}

fn goldens() -> Vec<(String, Exposition)> {
    std::fs::read_dir(path("tests/golden"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "prom"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            (path.display().to_string(), checked(&text, Format::Classic))
        })
        .collect()
}

fn catalogued() -> BTreeSet<&'static str> {
    let entries = catalog().into_iter().flat_map(|group| group.entries);
    entries.map(|entry| entry.name).collect()
}

#[test]
fn the_documentation_is_current() {
    let (path, text) = (path("docs/metrics.md"), markdown());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == text,
        "{} is not current; UPDATE=1 rewrites it",
        path.display()
    );
}

#[tokio::test]
async fn what_is_exposed_is_catalogued_and_the_other_way_round() {
    let mut expositions = goldens();
    assert!(expositions.len() >= 4);
    expositions.push(("the simulated cluster".to_owned(), simulated().await));
    let catalogued = catalogued();
    let mut seen = BTreeSet::new();
    for (place, exposition) in &expositions {
        for family in &exposition.families {
            assert!(
                catalogued.contains(family.name.as_str()),
                "{place}: {} is not catalogued",
                family.name
            );
            seen.insert(family.name.as_str());
        }
    }
    let unseen: Vec<_> = catalogued
        .iter()
        .filter(|name| name.starts_with("pve_") && !seen.contains(*name))
        .collect();
    assert!(unseen.is_empty(), "nothing shows {unseen:?}");
}

#[tokio::test]
async fn labels_are_those_of_the_catalogue() {
    let labels: BTreeMap<_, _> = catalog()
        .into_iter()
        .flat_map(|group| group.entries)
        .map(|entry| (entry.name, entry.labels))
        .collect();
    let exposition = simulated().await;
    for sample in exposition.families.iter().flat_map(|family| &family.samples) {
        let Some(expected) = labels.get(sample.name.as_str()) else {
            continue; // a part of a histogram
        };
        for (label, _) in &sample.labels {
            assert!(
                expected.contains(&label.as_str()),
                "{} has a label {label}",
                sample.name
            );
        }
    }
}

#[tokio::test]
async fn a_guest_has_few_series() {
    let exposition = simulated().await;
    let mut series: BTreeMap<&str, usize> = BTreeMap::new();
    for sample in exposition.families.iter().flat_map(|family| &family.samples) {
        let guest = sample
            .label("id")
            .filter(|id| id.starts_with("qemu/") || id.starts_with("lxc/"));
        if let (Some(id), Some("main")) = (guest, sample.label("pve_cluster")) {
            *series.entry(id).or_default() += 1;
        }
    }
    assert_eq!(series.len(), 60);
    let (guest, most) = series.iter().max_by_key(|(_, count)| **count).unwrap();
    assert!(*most <= SERIES_PER_GUEST, "{guest} has {most} series");
    assert!(*most > 10, "{series:?}");
}
