//! Bodies in, exposition out. `UPDATE=1 cargo test` rewrites the goldens; they are reviewed as a diff.
//!
//! `pve-9.2` was recorded from a real cluster of three nodes, one of them offline. `pve-9`, `pve-8` and `no-rights` were
//! constructed from PVE's source.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::path::Path;

use pve_exporter::metrics::exposition::Format;
use support::exporters::{checked, text, with_config};
use support::fixture_server::FixtureServer;

/// What differs from run to run.
const VOLATILE: [&str; 4] = [
    "process_*",
    "pve_exporter_*",
    "pve_source_duration_*",
    "pve_source_last_success_*",
];

async fn golden(folder: &str) {
    let server = FixtureServer::with_folder(folder).await;
    let (exporter, _) = with_config(&[("main", server.cluster())], |config| {
        config.metrics.drop = VOLATILE.map(str::to_owned).to_vec();
    });
    for (format, extension) in [(Format::OpenMetrics, "om"), (Format::Classic, "prom")] {
        let text = text(&exporter, format)
            .await
            .replace(server.url.as_str().trim_end_matches('/'), "https://pve1:8006");
        checked(&text, format);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{folder}.{extension}"));
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        let difference = text.lines().zip(expected.lines()).find(|(new, old)| new != old);
        assert!(
            text == expected,
            "{} differs, first in {difference:?}; UPDATE=1 rewrites it",
            path.display()
        );
    }
}

#[tokio::test]
async fn recorded_pve_9_2() {
    golden("pve-9.2").await;
}

#[tokio::test]
async fn constructed_pve_9() {
    golden("pve-9").await;
}

#[tokio::test]
async fn constructed_pve_8() {
    golden("pve-8").await;
}

#[tokio::test]
async fn constructed_token_without_rights() {
    golden("no-rights").await;
}
