//! Exporters for tests, and what one scrape of them gives.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate includes this module and uses its own part of it"
)]
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

use std::sync::Arc;
use std::time::Duration;

use pve_exporter::clock::Clock;
use pve_exporter::config::{Cluster, Config};
use pve_exporter::metrics::exposition::Format;
use pve_exporter::scrape::{Exporter, ScrapeRequest, all_sources};
use pve_exporter::telemetry::Telemetry;

use super::strict::{Exposition, check_classic, check_openmetrics};

/// An exporter for clusters by name, with a clock that the test moves on.
pub fn exporter(clusters: &[(&str, Cluster)]) -> (Arc<Exporter>, Clock) {
    with_config(clusters, |_| {})
}

/// The same, with more settings.
pub fn with_config(clusters: &[(&str, Cluster)], change: impl FnOnce(&mut Config)) -> (Arc<Exporter>, Clock) {
    let clock = Clock::default();
    (with_clock(clusters, &clock, change), clock)
}

/// The same, with a clock.
pub fn with_clock(clusters: &[(&str, Cluster)], clock: &Clock, change: impl FnOnce(&mut Config)) -> Arc<Exporter> {
    let clusters = clusters
        .iter()
        .map(|(name, cluster)| ((*name).to_owned(), cluster.clone()))
        .collect();
    let mut config = Config {
        clusters,
        ..Config::default()
    };
    change(&mut config);
    let settings = &config.guest_telemetry;
    let telemetry = settings.enabled.then(|| Telemetry::start(settings, clock.clone()));
    Exporter::with_telemetry(config, clock.clone(), telemetry).unwrap()
}

/// A scrape of everything.
pub fn everything(format: Format) -> ScrapeRequest {
    ScrapeRequest {
        clusters: Vec::new(),
        selection: all_sources(),
        format,
        wait: Duration::from_secs(20),
    }
}

/// Scrapes everything and gives the text.
pub async fn text(exporter: &Exporter, format: Format) -> String {
    exporter.scrape(&everything(format)).await.unwrap().into_text()
}

/// Scrapes everything, and demands that the answer is right by the format.
pub async fn scrape(exporter: &Exporter) -> Exposition {
    checked(&text(exporter, Format::OpenMetrics).await, Format::OpenMetrics)
}

/// Reads an exposition strictly.
pub fn checked(text: &str, format: Format) -> Exposition {
    let outcome = match format {
        Format::OpenMetrics => check_openmetrics(text),
        Format::Classic => check_classic(text),
    };
    outcome.unwrap_or_else(|violations| {
        let listed: Vec<_> = violations.iter().map(ToString::to_string).collect();
        panic!("{}\n{text}", listed.join("\n"))
    })
}
