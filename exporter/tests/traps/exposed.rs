//! Families are exposed whole or not at all.

use std::collections::BTreeMap;

use crate::support::simulated::{Simulated, options};
use crate::support::strict::Exposition;

/// How many samples each family has, without what the exporter counts of its own work.
fn families(seen: &Exposition) -> BTreeMap<&str, usize> {
    let own = ["pve_exporter_scrape", "pve_exporter_api_request"];
    seen.families
        .iter()
        .filter(|family| !own.iter().any(|prefix| family.name.starts_with(prefix)))
        .map(|family| (family.name.as_str(), family.samples.len()))
        .filter(|(_, samples)| *samples > 0)
        .collect()
}

#[tokio::test]
async fn dropped_families_are_gone_and_no_others() {
    let all = Simulated::start().await.scrape().await;
    let pve = Simulated::with(options(), |config| {
        config.metrics.drop = ["pve_guest_disk_*", "process_*", "pve_guest_up"]
            .map(str::to_owned)
            .to_vec();
    })
    .await;
    let seen = pve.scrape().await;
    let dropped =
        |name: &str| name.starts_with("pve_guest_disk_") || name.starts_with("process_") || name == "pve_guest_up";
    let mut expected = families(&all);
    expected.retain(|name, _| !dropped(name));
    assert!(expected.len() < families(&all).len());
    assert_eq!(families(&seen), expected);
}

#[tokio::test]
async fn a_budget_drops_whole_families_and_counts_them() {
    let all = Simulated::start().await.scrape().await;
    let budget = 250;
    let pve = Simulated::with(options(), |config| config.metrics.series_budget = Some(budget)).await;
    let seen = pve.scrape().await;
    let (whole, kept) = (families(&all), families(&seen));
    let missing = whole.keys().filter(|name| !kept.contains_key(*name)).count();
    assert!(missing > 5, "{missing}");
    for (name, samples) in &kept {
        assert_eq!(whole.get(name).copied().unwrap_or(1), *samples, "{name} is whole");
    }
    assert!(kept.values().sum::<usize>() as u64 <= budget);
    assert_eq!(seen.value("pve_exporter_series_budget", &[]), Some(250.0));
    assert!(seen.value("pve_exporter_families_dropped", &[]) >= Some(missing as f64));
    assert_eq!(all.value("pve_exporter_families_dropped", &[]), Some(0.0));
    assert!(
        kept.contains_key("pve_source_up") && kept.contains_key("pve_cluster_up"),
        "what tells of failures comes first"
    );
}

#[tokio::test]
async fn unchecked_certificates_are_seen() {
    for insecure in [false, true] {
        let pve = Simulated::with(options(), |config| {
            let cluster = config.clusters.get_mut("main").unwrap();
            cluster.insecure_skip_verify = insecure;
            if insecure {
                cluster.fingerprints.clear();
            }
        })
        .await;
        let seen = pve.scrape().await;
        let enabled = seen.value("pve_cluster_tls_verification_enabled", &[]);
        assert_eq!(enabled, Some(if insecure { 0.0 } else { 1.0 }));
        assert!(seen.value("pve_guest_up", &[("id", "qemu/100")]).is_some());
    }
}
