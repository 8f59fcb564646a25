//! A simulated cluster with an exporter over it, and the two clocks in one hand.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate includes this module and uses its own part of it"
)]
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pve_exporter::clock::Clock;
use pve_exporter::config::{Cluster, Config, Secret, SecretSource};
use pve_exporter::metrics::exposition::Format;
use pve_exporter::scrape::Exporter;
use pve_simulator::{Fault, FaultId, Options, Simulator};

use super::exporters::{checked, scrape, text, with_clock, with_config};
use super::strict::{Exposition, Sample};

/// When a cluster begins whose time stands still, in Unix seconds.
pub const START: u64 = 1_786_800_000;

/// How far the two clocks are apart, where PVE's history is to be that of another time.
pub const APART: u64 = 10 * 365 * 86_400;

/// How long a condition may take to come true.
const PATIENCE: Duration = Duration::from_secs(60);

/// The ends of the paths that are read one by one, whatever the age of what was read.
const ONE_BY_ONE: [&str; 4] = ["/pending", "/snapshot", "/log", "/nodes/{node}/tasks"];

/// After so many seconds whatever takes turns has had its first one.
const FIRST_TURNS: u32 = 30;

/// A cluster whose time stands still and whose delays are short.
pub fn options() -> Options {
    Options {
        clock: pve_simulator::Clock::Manual,
        unauthorized_delay: Duration::from_millis(10),
        dead_node_delay: Duration::from_millis(50),
        export_node_delay: Duration::from_millis(50),
        ..Options::default()
    }
}

/// The configuration for a simulated cluster: every node is an endpoint, trusted by its fingerprint.
pub fn cluster(simulator: &Simulator) -> Cluster {
    let endpoints = simulator.endpoints().iter().map(|url| url.parse().unwrap()).collect();
    let token = SecretSource::Environment {
        variable: "TEST".to_owned(),
        secret: Secret::new(simulator.token_secret()),
    };
    let mut cluster = Cluster::new(endpoints, simulator.token_id().parse().unwrap(), token);
    let fingerprint = |node: &String| simulator.fingerprint(node).unwrap().parse().unwrap();
    cluster.fingerprints = simulator.nodes().iter().map(fingerprint).collect();
    cluster
}

/// Waits until `holds`, and fails the test where that takes too long.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The cluster `main`, simulated.
pub struct Simulated {
    pub simulator: Simulator,
    pub exporter: Arc<Exporter>,
    clock: Clock,
}

impl Simulated {
    pub async fn start() -> Self {
        Self::with(options(), |_| {}).await
    }

    /// One with other options, and the configuration changed. Its cluster is `main`, and drives and interfaces have counters.
    pub async fn with(options: Options, change: impl FnOnce(&mut Config)) -> Self {
        Self::by(Clock::default(), options, change).await
    }

    /// The same, by a clock of the test's.
    pub async fn by(clock: Clock, options: Options, change: impl FnOnce(&mut Config)) -> Self {
        let simulator = Simulator::start(options).await.unwrap();
        let exporter = with_clock(&[("main", cluster(&simulator))], &clock, |config| {
            config.metrics.guest_drives = true;
            config.metrics.guest_interfaces = true;
            change(config);
        });
        Self {
            simulator,
            exporter,
            clock,
        }
    }

    /// Switches a fault on, by its text.
    pub async fn inject(&self, fault: &str) -> FaultId {
        let id = self.simulator.inject(fault.parse::<Fault>().unwrap());
        self.simulator.settled().await;
        id
    }

    /// Switches all faults off.
    pub async fn clear(&self) {
        self.simulator.clear_all();
        self.simulator.settled().await;
    }

    /// Moves both clocks on.
    pub fn advance(&self, seconds: u64) {
        self.simulator.advance(Duration::from_secs(seconds));
        self.age(seconds);
    }

    /// Moves only the exporter's clock on: its values get old, and PVE's figures stay as they are.
    pub fn age(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Scrapes everything in both formats, strictly checked.
    pub async fn scrape(&self) -> Exposition {
        checked(&text(&self.exporter, Format::Classic).await, Format::Classic);
        scrape(&self.exporter).await
    }

    /// Moves both clocks on and scrapes.
    pub async fn scrape_after(&self, seconds: u64) -> Exposition {
        self.advance(seconds);
        self.scrape().await
    }

    /// Moves both clocks on, and shows what there is when everything that is due has been read.
    pub async fn later(&self, seconds: u64) -> Exposition {
        self.advance(seconds);
        self.scrape().await;
        self.idle().await;
        self.tick().await;
        self.scrape().await
    }

    /// Puts an exporter that has just started in the place of this one.
    pub fn restart_exporter(&mut self) {
        (self.exporter, self.clock) = with_config(&[("main", cluster(&self.simulator))], |_| {});
    }

    /// Scrapes and retries until `condition` holds.
    pub async fn until(&self, what: &str, condition: impl Fn(&Exposition) -> bool) -> Exposition {
        self.until_aging(0, what, condition).await
    }

    /// The same, while the exporter's clock runs: what failed while a fault ended rests once more.
    pub async fn until_aging(&self, seconds: u64, what: &str, condition: impl Fn(&Exposition) -> bool) -> Exposition {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = scrape(&self.exporter).await;
            if condition(&seen) {
                checked(&text(&self.exporter, Format::Classic).await, Format::Classic);
                return seen;
            }
            assert!(Instant::now() < deadline, "never: {what}\n{}", listed(&seen));
            self.age(seconds);
            self.exporter.retry();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Reads on, once a second, until there is nothing left to read one by one: backup logs, configurations and snapshots, and
    /// tasks from the archives when they are missed. PVE's figures stay as they are.
    pub async fn settle(&self) -> Exposition {
        self.scrape().await;
        let mut idle_seconds = 0;
        for second in 0..500 {
            let calls = self.calls_one_by_one();
            self.tick().await;
            idle_seconds = if self.calls_one_by_one() == calls {
                idle_seconds + 1
            } else {
                0
            };
            // Where others ask much there are six seconds between two reads, and whoever has lost its turn waits for two more.
            if idle_seconds >= 9 && second >= FIRST_TURNS {
                // What no scrape waits for may have become too old meanwhile.
                self.scrape().await;
                self.idle().await;
                return self.scrape().await;
            }
        }
        panic!("it never ends to read");
    }

    fn calls_one_by_one(&self) -> u64 {
        let calls = self.simulator.calls();
        let templates = calls.received_by_template().into_iter();
        templates
            .filter(|(template, _)| ONE_BY_ONE.iter().any(|end| template.ends_with(end)))
            .map(|(_, count)| count)
            .sum()
    }

    /// Lets a second pass for the exporter, retries, and waits until what that has started has ended.
    pub async fn tick(&self) {
        self.age(1);
        self.exporter.retry();
        self.idle().await;
    }

    /// Waits until no call is under way, nor about to start: one may follow another.
    pub async fn idle(&self) {
        let deadline = Instant::now() + PATIENCE;
        let nodes = self.simulator.nodes();
        loop {
            let received = self.simulator.calls().received();
            // Exporter and simulator share this thread, and each turn polls their sockets: what was spawned gets its requests out.
            for _ in 0..64 {
                tokio::task::yield_now().await;
            }
            let running = nodes.iter().any(|node| self.simulator.running_calls(node) > 0);
            if !running && self.simulator.calls().received() == received {
                return;
            }
            assert!(Instant::now() < deadline, "calls never end");
            if running {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

/// Whether the last refresh of a source succeeded; an empty node stands for a source of the whole cluster.
pub fn source_up(seen: &Exposition, source: &str, node: &str) -> Option<f64> {
    let mut labels = vec![("source", source)];
    labels.extend((!node.is_empty()).then_some(("node", node)));
    seen.value("pve_source_up", &labels)
}

/// How often a source failed for a reason.
pub fn failures(seen: &Exposition, source: &str, node: &str, reason: &str) -> f64 {
    let mut labels = vec![("source", source), ("reason", reason)];
    labels.extend((!node.is_empty()).then_some(("node", node)));
    seen.value("pve_source_failures_total", &labels).unwrap_or(0.0)
}

/// The sources that are not up, with their nodes.
pub fn sources_down(seen: &Exposition) -> Vec<(String, String)> {
    let label = |sample: &Sample, name| sample.label(name).unwrap_or_default().to_owned();
    let down = seen.samples("pve_source_up").filter(|sample| sample.value != 1.0);
    down.map(|sample| (label(sample, "source"), label(sample, "node")))
        .collect()
}

/// What is told about PVE: every sample but those about the exporter's own work and the ways into the cluster.
pub fn samples(seen: &Exposition) -> BTreeMap<String, &Sample> {
    let own = ["process_", "pve_exporter_", "pve_source_", "pve_api_"];
    seen.families
        .iter()
        .flat_map(|family| &family.samples)
        .filter(|sample| !own.iter().any(|prefix| sample.name.starts_with(prefix)))
        .map(|sample| (series(sample), sample))
        .collect()
}

/// Name and labels as one text.
pub fn series(sample: &Sample) -> String {
    format!("{}{:?}", sample.name, sample.labels)
}

/// The samples that are in one exposition only, or differ in their values.
pub fn differences<'a>(before: &'a Exposition, after: &'a Exposition) -> Vec<&'a Sample> {
    let (before, after) = (samples(before), samples(after));
    let changed = before
        .iter()
        .filter(|(series, sample)| !after.get(*series).is_some_and(|other| equal(other.value, sample.value)));
    let new = after.iter().filter(|(series, _)| !before.contains_key(*series));
    changed
        .chain(new)
        .map(|(_, sample)| *sample)
        // They tell of the two clocks, of which tests move one alone.
        .filter(|sample| !["pve_node_clock_offset_seconds", "pve_node_sampling_stalled"].contains(&&*sample.name))
        .collect()
}

/// The last digit of a fraction depends on how it was written.
fn equal(one: f64, other: f64) -> bool {
    one == other || (one - other).abs() < 1e-12 * one.abs()
}

fn listed(seen: &Exposition) -> String {
    let all = seen.families.iter().flat_map(|family| &family.samples);
    let lines: Vec<_> = all
        .filter(|sample| sample.name.starts_with("pve_"))
        .map(|sample| format!("{} {}", series(sample), sample.value))
        .collect();
    lines.join("\n")
}
