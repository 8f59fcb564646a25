//! The demo shows all that there is: dashboards and alerts are proven against it.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use clap::Parser;
use pve_exporter::clock::Clock;
use pve_exporter::demo::{Arguments, Demo};
use pve_exporter::metrics::catalog::catalog;
use pve_exporter::metrics::exposition::Format;
use support::exporters::{checked, text};
use support::http::get;
use support::program::Program;
use support::strict::Sample;

/// What the demo does not show by itself, and the arguments with which it does.
const ELSEWHERE: [(&str, &str); 2] = [
    // Versions from 9.0 on have rules in place of groups.
    ("pve_ha_groups", "--pve-version 8.4.1"),
    // All is answered.
    (
        "pve_source_failures_total",
        "--fault status=500:pve3:/nodes/pve3/services",
    ),
];

/// What only scrapes of `/pve` count.
const OF_PVE: [&str; 4] = ["pve_collection_", "pve_exporter_pve_", "pve_request_", "pve_scrape_"];

/// The states that are no trouble, by the family and its label. To a clock that is moved on fast a collector that publishes by
/// the clock on the wall is silent now and then.
const WELL: [(&str, &str, &[&str]); 7] = [
    ("pve_ceph_health", "status", &["HEALTH_OK"]),
    ("pve_zfs_pool_health", "health", &["online"]),
    ("pve_disk_health", "health", &["ok"]),
    ("pve_guest_state", "state", &["running", "stopped"]),
    ("pve_ha_guest_state", "state", &["started", "stopped"]),
    (
        "pve_guest_collector_state",
        "state",
        &["healthy", "connecting", "absent", "silent"],
    ),
    ("pve_subscription_status", "status", &["active", "notfound"]),
];

/// The seconds between scrapes, by the two clocks.
const INTERVAL: u64 = 15;

/// How long everything may take to be seen, by the clock on the wall: many times what it takes on an idle machine.
const DEADLINE: Duration = Duration::from_secs(300);

#[derive(Parser)]
struct CommandLine {
    #[command(flatten)]
    demo: Arguments,
}

/// A demo whose clocks are in the test's hand.
struct Played {
    demo: Demo,
    clock: Clock,
}

impl Played {
    async fn start(arguments: &str) -> Self {
        let words = ["demo"].into_iter().chain(arguments.split_whitespace());
        let clock = Clock::default();
        let demo = Demo::start(CommandLine::parse_from(words).demo, clock.clone()).await;
        Self {
            demo: demo.unwrap(),
            clock,
        }
    }

    /// Lets a second pass, in which everything that is due is asked and answered.
    async fn second(&self) {
        self.demo.simulator.advance(Duration::from_secs(1));
        self.clock.advance(Duration::from_secs(1));
        self.demo.exporter.retry();
        let nodes = self.demo.simulator.nodes();
        let is_idle = || nodes.iter().all(|node| self.demo.simulator.running_calls(node) == 0);
        loop {
            // What one answer has started gets its requests out.
            for _ in 0..64 {
                tokio::task::yield_now().await;
            }
            if is_idle() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Scrapes until `all` families have been seen, and gives those that have not. Each sample is shown to `look`.
    async fn unseen<'a>(
        &self,
        all: impl IntoIterator<Item = &'a str>,
        mut look: impl FnMut(&Sample),
    ) -> BTreeSet<&'a str> {
        let deadline = Instant::now() + DEADLINE;
        let mut unseen: BTreeSet<&str> = all.into_iter().collect();
        while !unseen.is_empty() && Instant::now() < deadline {
            let exposition = checked(&text(&self.demo.exporter, Format::Classic).await, Format::Classic);
            for family in &exposition.families {
                unseen.remove(&*family.name);
                family.samples.iter().for_each(&mut look);
            }
            for _ in 0..INTERVAL {
                self.second().await;
            }
        }
        unseen
    }
}

fn catalogued() -> BTreeSet<&'static str> {
    let entries = catalog().into_iter().flat_map(|group| group.entries);
    entries.map(|entry| entry.name).collect()
}

#[tokio::test]
async fn it_shows_every_family() {
    let mut expected = catalogued();
    expected.retain(|family| !OF_PVE.iter().any(|prefix| family.starts_with(prefix)));
    for (family, _) in ELSEWHERE {
        assert!(expected.remove(family), "{family} is not in the catalogue");
    }
    let unseen = Played::start("").await.unseen(expected, |_| {}).await;
    assert!(unseen.is_empty(), "nothing shows {unseen:?}");
}

#[tokio::test]
async fn it_shows_the_others_when_it_is_told_to() {
    for (family, arguments) in ELSEWHERE {
        let unseen = Played::start(arguments).await.unseen([family], |_| {}).await;
        assert!(unseen.is_empty(), "{arguments} does not show {family}");
    }
}

#[tokio::test]
async fn nothing_is_wrong_when_it_is_calm() {
    let families = WELL.map(|(family, ..)| family);
    let look = |sample: &Sample| {
        let well = WELL.iter().find(|(family, ..)| *family == sample.name);
        let is_well = |(_, label, states): &(&str, &str, &[&str])| {
            sample.value == 0.0 || states.contains(&sample.label(label).unwrap())
        };
        assert!(well.is_none_or(is_well), "{sample:?}");
    };
    let unseen = Played::start("--calm").await.unseen(families, look).await;
    assert!(unseen.is_empty(), "nothing shows {unseen:?}");
}

#[tokio::test]
async fn it_serves_guests_and_leaves_nothing() {
    let mut program = Program::demo(&[]);
    let address = program.address();
    program.wait_for_log("vmid=100 state=healthy");
    let answer = get(address, "/guests/demo/qemu/100/metrics", &[]).await;
    let guest = checked(answer.text(), Format::Classic);
    assert!(guest.value("node_load1", &[]).is_some());
    assert_eq!(program.directories(), 1);
    program.signal("TERM");
    assert!(program.ended().success());
    assert_eq!(program.directories(), 0);
}
