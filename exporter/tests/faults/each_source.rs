//! What a source costs that fails, and that it comes back: the same for each one.

use std::time::Duration;

use pve_exporter::config::{Config, SourceSettings};
use pve_exporter::sources::name::SourceName;
use pve_simulator::Options;

use crate::belongs::{of, of_alone, of_guest_on, on};
use crate::support::exporters::scrape;
use crate::support::simulated::{Simulated, differences, options, samples, series, sources_down};
use crate::support::strict::{Exposition, Sample};

/// A way to fail, before the path, and the reason that is given.
const FAULTS: [(&str, &str); 3] = [("status=500", "status"), ("garbage", "decode"), ("hang", "timeout")];

/// The same at one node only.
const FAULT_AT_PVE3: (&str, &str) = ("status=500:pve3", "status");

macro_rules! sources {
    ($($name:ident: $path:literal;)*) => {
        $(#[tokio::test]
        async fn $name() {
            check(SourceName::ALL.into_iter().find(|name| name.as_str() == stringify!($name)).unwrap(), $path).await;
        })*
    };
}

sources! {
    tasks: "/cluster/tasks";
    backup_jobs: "/cluster/backup";
    backup_coverage: "/cluster/backup-info/not-backed-up";
    backup_volumes: "/nodes/*/storage/*/content";
    ha_manager: "/cluster/ha/status/manager_status";
    ha_status: "/cluster/ha/status/current";
    ha_rules: "/cluster/ha/rules";
    replication_jobs: "/cluster/replication";
    replication: "/nodes/*/replication";
    qemu: "/nodes/*/qemu";
    lxc: "/nodes/*/lxc";
    netstat: "/nodes/*/netstat";
    guest_config: "/nodes/*/*/*/pending";
    snapshots: "/nodes/*/*/*/snapshot";
    pci_devices: "/nodes/*/hardware/pci";
    corosync: "/cluster/config/nodes";
    access_users: "/access/users";
    firewall: "/cluster/firewall/options";
    node_firewall: "/nodes/*/firewall/options";
    metric_servers: "/cluster/metrics/server";
}

/// Whether it is read guest by guest.
fn is_survey(source: SourceName) -> bool {
    matches!(source, SourceName::GuestConfig | SourceName::Snapshots)
}

fn set_max_age(config: &mut Config, source: SourceName, seconds: u64) {
    let max_age = Some(Duration::from_secs(seconds));
    config.sources.insert(source, SourceSettings { enabled: None, max_age });
}

async fn check(source: SourceName, path: &str) {
    let seeing = Options {
        sees_backups: true,
        ..options()
    };
    let pve = Simulated::with(seeing, |config| {
        let read_at_once = |other: &SourceName| !is_survey(*other) && !other.follows_events();
        for other in SourceName::ALL.into_iter().filter(read_at_once) {
            set_max_age(config, other, 10);
        }
        if is_survey(source) {
            set_max_age(config, source, 60);
        }
        let cluster = config.clusters.get_mut("main").unwrap();
        cluster.request_timeout = Duration::from_millis(400);
    })
    .await;
    pve.settle().await;
    let mut faults = FAULTS.to_vec();
    if path.starts_with("/nodes/") {
        faults.push(FAULT_AT_PVE3);
    }
    for (fault, reason) in faults {
        fails_and_recovers(&pve, source, &format!("{fault}:{path}"), reason).await;
    }
}

async fn fails_and_recovers(pve: &Simulated, source: SourceName, fault: &str, reason: &str) {
    let (name, at_pve3) = (source.as_str(), fault.contains(":pve3:"));
    pve.scrape().await;
    pve.idle().await;
    let before = pve.scrape().await;
    assert_eq!(sources_down(&before), [], "{fault}");
    let counted = failed(&before, name, reason);
    let places = || {
        before
            .samples("pve_source_up")
            .filter(|sample| sample.label("source") == Some(name))
    };
    let struck = |sample: &Sample| !at_pve3 || on(sample, "pve3") || of_guest_on(&before, sample, "pve3");
    assert!(places().any(struck), "{fault} strikes nothing");
    let has_failed = |seen: &Exposition| {
        let failures = failed(seen, name, reason);
        places().filter(|place| struck(place)).all(|place| {
            let of_place = failures.iter().filter(|(labels, _)| *labels == self::labels(place));
            seen.value("pve_source_up", &labels(place)) == Some(0.0)
                && of_place.into_iter().any(|failure| !counted.contains(failure))
        })
    };

    let id = pve.inject(fault).await;
    pve.age(15);
    let during = if is_survey(source) {
        pve.until_read(source, fault, has_failed).await
    } else {
        pve.until(fault, has_failed).await
    };
    let at_once: Vec<_> = differences(&before, &during).into_iter().map(series).collect();
    assert_eq!(at_once, [""; 0], "{fault}: what was read before is served on");

    let late = pve
        .until_read(source, fault, |seen| {
            samples(seen)
                .values()
                .all(|sample| !(of_alone(name, sample) && struck(sample)) || outlives(sample))
        })
        .await;
    assert!(
        sources_down(&late).iter().all(|(down, _)| down == name),
        "{fault}: {:?}",
        sources_down(&late)
    );
    for sample in differences(&before, &late) {
        assert!(of(name, sample) && struck(sample), "{fault}: {}", series(sample));
    }

    pve.simulator.clear(id);
    pve.until_read(source, fault, |seen| {
        sources_down(seen).is_empty() && differences(&before, seen).is_empty()
    })
    .await;
}

/// The time of a replica stays true when nobody can be asked any more.
fn outlives(sample: &Sample) -> bool {
    sample.name == "pve_guest_recovery_point_timestamp_seconds" && sample.label("source") == Some("replication")
}

/// How often the source failed for this reason, by the labels of its places.
fn failed<'a>(seen: &'a Exposition, source: &str, reason: &str) -> Vec<(Vec<(&'a str, &'a str)>, f64)> {
    let failures = seen.samples("pve_source_failures_total");
    failures
        .filter(|sample| sample.label("source") == Some(source) && sample.label("reason") == Some(reason))
        .map(|sample| (labels(sample), sample.value))
        .collect()
}

/// The labels that say which place of which source it is.
fn labels(sample: &Sample) -> Vec<(&str, &str)> {
    let label = |name| Some((name, sample.label(name)?));
    ["source", "node", "storage"].into_iter().filter_map(label).collect()
}

impl Simulated {
    /// Lets time pass for the exporter until `condition` holds: enough for a survey to go round, or for everything else to be
    /// read again.
    async fn until_read(&self, source: SourceName, what: &str, condition: impl Fn(&Exposition) -> bool) -> Exposition {
        // A storage that hung is left alone for up to forty minutes.
        for _ in 0..200 {
            let seen = scrape(&self.exporter).await;
            if condition(&seen) {
                return seen;
            }
            if is_survey(source) {
                // What a survey has read is served for a day.
                self.age(3600);
                scrape(&self.exporter).await;
                for _ in 0..30 {
                    self.tick().await;
                }
            } else {
                self.age(14);
                self.tick().await;
            }
        }
        panic!("{what}: never seen");
    }
}
