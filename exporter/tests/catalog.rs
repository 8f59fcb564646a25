//! The catalogue of metrics is complete, documented, true and within its budget.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pve_exporter::clock::Clock;
use pve_exporter::compat::config::Modules;
use pve_exporter::compat::parameters::Parameters;
use pve_exporter::config::{Config, SourceSettings};
use pve_exporter::metrics::catalog::{catalog, markdown};
use pve_exporter::metrics::exposition::Format;
use pve_exporter::scrape::Exporter;
use pve_exporter::sources::name::SourceName;
use pve_simulator::{Agent, AgentMix, Options, Simulator, Version};
use support::agent::Agent as SocketAgent;
use support::collector::{Machine, Manner};
use support::exporters::{checked, text, with_config};
use support::simulated::{cluster, options, until};
use support::strict::Exposition;

/// The most series of a guest, on average of all.
const SERIES_PER_GUEST: usize = 40;

/// What comes once for each drive, file system, interface or job, so that no guest can be held to a number of them.
const BY_DEVICE: [&str; 4] = [
    "pve_guest_drive_",
    "pve_guest_filesystem_",
    "pve_guest_interface_",
    "pve_replication_job_",
];

/// What a guest's own agent tells comes on top, and only of guests that have one; in the average it
/// is counted, but for the file systems.
const BY_AGENT: [&str; 6] = [
    "pve_guest_agent_",
    "pve_guest_clock_",
    "pve_guest_filesystem_frozen",
    "pve_guest_system_",
    "pve_guest_users",
    "pve_guest_vcpus_",
];

/// The most series that it is.
const SERIES_PER_AGENT: usize = 4;

/// What comes only when a guest has brought about 64 label sets in a day.
const SELDOM: &str = "pve_guest_agent_label_sets_dropped_total";

const GUESTS: usize = 60;

/// After so many seconds in which nothing new was asked everything has been read: no source waits longer for its turn.
const QUIET: u64 = 90;

/// The seconds between scrapes.
const INTERVAL: u64 = 15;

fn path(below: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(below)
}

/// Everything that there is of a simulated cluster of two versions, with one cluster more that cannot be reached.
/// What there is with the configuration of prometheus-pve-exporter, when a target has been asked in vain.
async fn drop_in() -> Exposition {
    let variables = [
        ("PVE_USER", "a@pve"),
        ("PVE_TOKEN_NAME", "prom"),
        ("PVE_TOKEN_VALUE", "x"),
    ];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (exporter, _) = with_config(&[], |config| {
        config.modules = Some(Modules::load(Path::new(""), &variables).unwrap());
        config.switches.api_metrics = true;
        config.switches.target_metrics = true;
    });
    let parameters = Parameters::parse("target=localhost");
    let page = exporter.scrape_pve(&parameters, Duration::from_secs(20)).await;
    assert!(page.unwrap().into_text().contains("pve_scrape_collector_success"));
    checked(&text(&exporter, Format::OpenMetrics).await, Format::OpenMetrics);
    checked(&text(&exporter, Format::Classic).await, Format::Classic)
}

async fn everything() -> Exposition {
    let options = Options {
        versions: vec![Version::new(9, 2, 11), Version::new(8, 4, 1)],
        sees_backups: true,
        agents: AgentMix::lively().with(120, Agent::Frozen),
        ..options()
    };
    let directory = tempfile::tempdir().unwrap();
    let _agents: Vec<_> = (100..)
        .take(GUESTS)
        .map(|vmid| SocketAgent::start(directory.path(), vmid, "10.0"))
        .collect();
    let _collector = Machine::start(directory.path(), 100, Manner::Talks);
    let change = |config: &mut Config| {
        config.guest_telemetry.enabled = true;
        config.guest_telemetry.directory = directory.path().to_owned();
        config.guest_telemetry.cluster = Some("main".to_owned());
        config.guest_agent_socket.enabled = true;
        config.guest_agent_socket.directory = directory.path().to_owned();
        config.guest_agent_socket.node = Some("pve1".to_owned());
        let not_of_it = SourceSettings {
            enabled: Some(false),
            ..SourceSettings::default()
        };
        let distrusted = config.clusters.get_mut("distrusted").unwrap();
        distrusted.sources.insert(SourceName::GuestAgentSocket, not_of_it);
        let with_smart = SourceSettings {
            enabled: Some(true),
            ..SourceSettings::default()
        };
        config.sources.insert(SourceName::DiskSmart, with_smart);
        let metrics = &mut config.metrics;
        metrics.guest_drives = true;
        metrics.guest_interfaces = true;
        metrics.guest_pressure_full = true;
        metrics.guest_balloon = true;
        metrics.guest_agent_interfaces = true;
        metrics.guest_agent_addresses = true;
        metrics.guest_agent_details = true;
        metrics.snapshot_names = true;
        metrics.failed_tasks = 10;
    };
    simulated(options, change).await
}

async fn simulated(options: Options, change: impl FnOnce(&mut Config)) -> Exposition {
    let simulator = Simulator::start(Options {
        guests: GUESTS,
        ..options
    })
    .await
    .unwrap();
    let mut unreachable = cluster(&simulator);
    unreachable.fingerprints.truncate(1);
    unreachable.endpoints.drain(..1);
    let clusters = [("main", cluster(&simulator)), ("distrusted", unreachable)];
    let (exporter, clock) = with_config(&clusters, |config| {
        config.metrics.series_budget = Some(1_000_000);
        change(config);
    });
    exporter.own().refused();
    read_everything(&simulator, &exporter, &clock).await;
    loop {
        let text = text(&exporter, Format::Classic).await;
        // A sample comes by another clock than the one that has just run so fast.
        if !exporter.config().guest_telemetry.enabled || text.contains("pve_guest_os_load1") {
            return checked(&text, Format::Classic);
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Lets the clock run, and scrapes now and then, until no node is asked any more what it was not asked before, nor for one more
/// log.
async fn read_everything(simulator: &Simulator, exporter: &Exporter, clock: &Clock) {
    let nodes = simulator.nodes();
    let (mut asked, mut quiet) = ((BTreeSet::new(), 0), 0);
    for second in 0.. {
        if second % INTERVAL == 0 {
            text(exporter, Format::Classic).await;
        }
        clock.advance(Duration::from_secs(1));
        exporter.retry();
        // What that has started gets its requests out.
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
        until("no call is under way", || {
            nodes.iter().all(|node| simulator.running_calls(node) == 0)
        })
        .await;
        let calls = simulator.calls();
        let read = |end: &str| -> u64 {
            let of = calls.iter().filter(|(template, _, _)| template.ends_with(end));
            of.map(|(_, _, count)| count).sum()
        };
        let kinds = calls
            .iter()
            .map(|(template, node, _)| (template.to_owned(), node.to_owned()));
        let now = (kinds.collect(), read("/log"));
        quiet = if now == asked { quiet + 1 } else { 0 };
        asked = now;
        let all_guests = read("/pending") >= GUESTS as u64 && read("/snapshot") >= GUESTS as u64;
        if quiet >= QUIET && all_guests {
            return;
        }
        assert!(second < 3600, "it never ends to read");
    }
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
    expositions.push(("the simulated cluster".to_owned(), everything().await));
    expositions.push(("a pve.yml".to_owned(), drop_in().await));
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
        .filter(|name| name.starts_with("pve_") && !seen.contains(*name) && **name != SELDOM)
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
    let mut expositions: Vec<_> = goldens().into_iter().map(|(_, exposition)| exposition).collect();
    expositions.push(everything().await);
    let families = expositions.iter().flat_map(|exposition| &exposition.families);
    for sample in families.flat_map(|family| &family.samples) {
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
    let agents = AgentMix::lively();
    let exposition = simulated(Options { agents, ..options() }, |_| {}).await;
    let mut families: BTreeMap<&str, usize> = BTreeMap::new();
    let mut guests: BTreeMap<&str, usize> = BTreeMap::new();
    let mut agents: BTreeMap<&str, usize> = BTreeMap::new();
    for sample in exposition.families.iter().flat_map(|family| &family.samples) {
        let guest = sample
            .label("id")
            .filter(|id| id.starts_with("qemu/") || id.starts_with("lxc/"));
        if let (Some(id), Some("main")) = (guest, sample.label("pve_cluster")) {
            *families.entry(&sample.name).or_default() += 1;
            let starts = |prefix: &&str| sample.name.starts_with(prefix);
            let (by_device, by_agent) = (BY_DEVICE.iter().any(starts), BY_AGENT.iter().any(starts));
            *guests.entry(id).or_default() += usize::from(!by_device && !by_agent);
            *agents.entry(id).or_default() += usize::from(by_agent);
        }
    }
    assert_eq!(guests.len(), GUESTS);
    let (guest, most) = guests.iter().max_by_key(|(_, count)| **count).unwrap();
    assert!(*most <= SERIES_PER_GUEST, "{guest} has {most} series");
    let most = agents.values().max().unwrap();
    assert_eq!(*most, SERIES_PER_AGENT, "of an agent");
    let heaviest = || {
        let mut heaviest: Vec<_> = families.iter().map(|(name, count)| (*count, *name)).collect();
        heaviest.sort_unstable_by(|one, other| other.cmp(one));
        heaviest
    };
    let counted = families
        .iter()
        .filter(|(name, _)| !name.starts_with("pve_guest_filesystem_"));
    let all: usize = counted.map(|(_, count)| count).sum();
    let average = all as f64 / GUESTS as f64;
    assert!(
        average <= SERIES_PER_GUEST as f64,
        "{average} on average: {:#?}",
        heaviest()
    );
    assert!(average > 20.0, "{:#?}", heaviest());
}
