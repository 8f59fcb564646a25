//! `pve-exporter series --estimate`: how many series the configured clusters give.

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;

use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::catalog::catalog;
use crate::metrics::exposition::Format;
use crate::scrape::{Exporter, ScrapeRequest, StartError, UnknownCluster, all_sources};

/// Why there is no estimate.
#[derive(Debug, Error)]
pub enum EstimateError {
    /// A cluster cannot be set up.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Cannot happen without a choice of clusters.
    #[error(transparent)]
    Cluster(#[from] UnknownCluster),
}

/// The answer: a table with a line for each subject, and the clusters whose series are missing in it.
#[derive(Debug)]
pub struct Estimate {
    /// The table.
    pub table: String,
    /// The clusters that did not answer.
    pub missing: Vec<String>,
}

/// Asks every cluster once and counts.
///
/// # Errors
/// When a cluster cannot be set up.
pub async fn estimate(config: Config) -> Result<Estimate, EstimateError> {
    let exporter = Exporter::new(config, Clock::default())?;
    let request = ScrapeRequest {
        clusters: Vec::new(),
        selection: all_sources(),
        format: Format::OpenMetrics,
        wait: Duration::from_secs(60),
    };
    let exposition = exporter.scrape(&request).await?.into_text();
    let answered = |name: &String| exposition.contains(&format!("pve_cluster_up{{pve_cluster=\"{name}\"}} 1\n"));
    let missing = exporter
        .cluster_names()
        .into_iter()
        .filter(|name| !answered(name))
        .collect();
    Ok(Estimate {
        table: count(&exposition),
        missing,
    })
}

fn count(exposition: &str) -> String {
    let mut by_name: BTreeMap<&str, u64> = BTreeMap::new();
    for line in exposition.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        *by_name.entry(name).or_default() += 1;
    }
    let of_family = |name: &str| {
        let suffixes = ["", "_bucket", "_sum", "_count"];
        suffixes
            .iter()
            .filter_map(|suffix| by_name.get(format!("{name}{suffix}").as_str()))
            .sum::<u64>()
    };
    let mut text = format!("{:<22} {:>8} {:>10}\n", "subject", "families", "series");
    let (mut families, mut series, mut guests) = (0, 0, 0);
    for group in catalog() {
        let counts: Vec<u64> = group
            .entries
            .iter()
            .map(|entry| of_family(entry.name))
            .filter(|count| *count > 0)
            .collect();
        let sum: u64 = counts.iter().sum();
        text += &format!("{:<22} {:>8} {:>10}\n", group.subject, counts.len(), sum);
        families += counts.len();
        series += sum;
        if group.subject == "guest" {
            guests = sum;
        }
    }
    text += &format!("{:<22} {families:>8} {series:>10}\n", "all");
    if let Some(number) = by_name.get("pve_guest_info").filter(|number| **number > 0) {
        text += &format!("{number} guests, {} series each on average\n", guests.div_ceil(*number));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_counted_by_subject() {
        let table = count(
            "# TYPE pve_guest info\npve_guest_info{id=\"a b\"} 1\npve_guest_info{id=\"c\"} 1\npve_guest_up{id=\"c\"} 1\npve_node_load1{node=\"a\"} 0.5\n# EOF\n",
        );
        let line = |subject: &str| {
            table
                .lines()
                .find(|line| line.starts_with(subject))
                .unwrap()
                .split_whitespace()
                .collect::<Vec<_>>()
        };
        assert_eq!(line("guest"), ["guest", "2", "3"]);
        assert_eq!(line("node"), ["node", "1", "1"]);
        assert_eq!(line("all"), ["all", "3", "4"]);
        assert!(table.ends_with("2 guests, 2 series each on average\n"));
    }
}
