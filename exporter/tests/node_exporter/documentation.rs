//! The end of `docs/guest-metrics.md`: where a guest's page differs from node_exporter's.

use std::path::Path;

use crate::dashboard;
use crate::exceptions::{LACKING, Listed, MORE};

/// What begins here is written by this test, what is above it by that of the catalogue.
const HEADING: &str = "\n# A guest beside node_exporter\n";

fn section() -> String {
    let mut text = format!(
        "{HEADING}\nA test compares a guest's page with that of node_exporter on the same machine at the same moment. Whatever is \
         neither the same nor listed here fails it. `*` stands for anything.\n\n## What node_exporter shows by default and a guest does not\n\n{}",
        table("Families", LACKING)
    );
    if !MORE.is_empty() {
        text += "\n## What a guest shows and node_exporter does not by default\n\n";
        text += &table("Families", MORE);
    }
    let queries = dashboard::queries().count();
    text += &format!(
        "\n## The dashboard Node Exporter Full\n\nA test lets a real Prometheus scrape a guest's page and puts {queries} queries to \
         it, what [this dashboard](https://grafana.com/grafana/dashboards/1860) asks. These panels stay empty:\n\n{}",
        table("Panels", dashboard::EMPTY)
    );
    text
}

fn table(title: &str, list: &[Listed]) -> String {
    let row = |listed: &Listed| {
        let names: Vec<_> = listed.names.iter().map(|name| format!("`{name}`")).collect();
        format!("| {} | {} |\n", names.join(", "), listed.reason)
    };
    let rows: String = list.iter().map(row).collect();
    format!("| {title} | Reason |\n|---|---|\n{rows}")
}

#[test]
fn the_documentation_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guest-metrics.md");
    let read = || std::fs::read_to_string(&path).unwrap_or_default();
    let page = read();
    let above = page.find(HEADING).and_then(|start| page.get(..start)).unwrap_or(&page);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, format!("{above}{}", section())).unwrap();
    }
    assert!(
        read().ends_with(&section()),
        "{} is not current; UPDATE=1 rewrites it",
        path.display()
    );
}
