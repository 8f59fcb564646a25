//! What the exporter asks of PVE, counted: twenty nodes, a thousand guests, and the settings of nobody in particular.
#![expect(
    clippy::print_stdout,
    reason = "the figures are what one wants to read when it fails"
)]
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pve_exporter::config::{Config, Metrics};
use pve_exporter::metrics::exposition::Format;
use pve_exporter::sources::name::SourceName;
use pve_simulator::{Agent, AgentMix, Options};
use support::exporters::everything;
use support::simulated::{Simulated, options};

const NODES: usize = 20;
const MINUTE: usize = 60;

/// How many turns of all tasks bring at least one request on its way, if any is to come.
const TURNS: u32 = 30;

/// A cluster under scrapes and retries, second by second.
struct Driven {
    simulated: Simulated,
    /// Requests that had arrived by the end of each second.
    arrived: Vec<u64>,
    began: Instant,
    left_out: u64,
}

impl Driven {
    async fn start(options: Options, change: impl FnOnce(&mut Config)) -> Self {
        Self::of(1_000, options, change).await
    }

    async fn of(guests: usize, options: Options, change: impl FnOnce(&mut Config)) -> Self {
        let options = Options {
            nodes: NODES,
            guests,
            sees_backups: true,
            requests_per_connection: usize::MAX,
            idle_timeout: Duration::from_secs(3600),
            ..options
        };
        Self {
            simulated: Simulated::with(options, change).await,
            arrived: Vec::new(),
            began: Instant::now(),
            left_out: 0,
        }
    }

    /// Lets minutes pass: a retry each second, and each Prometheus every `interval` seconds.
    async fn pass(&mut self, minutes: usize, scrapers: usize, interval: usize) {
        for second in 0..minutes * MINUTE {
            if (0..scrapers).any(|scraper| second % interval == scraper * interval / scrapers) {
                self.scrape().await;
            }
            self.simulated.exporter.retry();
            self.quiet().await;
            self.arrived.push(self.simulated.simulator.calls().received());
            self.next_second();
        }
    }

    /// The exporter's clock runs by itself as well: what that came to is left out, or a slow machine would see more calls.
    fn next_second(&mut self) {
        self.simulated.simulator.advance(Duration::from_secs(1));
        if self.began.elapsed().as_secs() > self.left_out {
            self.left_out += 1;
        } else {
            self.simulated.age(1);
        }
    }

    /// Lets minutes pass in which nothing is asked.
    fn leap(&self, minutes: u64) {
        self.simulated.advance(60 * minutes);
    }

    async fn scrape(&self) {
        let request = everything(Format::OpenMetrics);
        drop(self.simulated.exporter.scrape(&request).await.unwrap());
    }

    /// Waits until every task of this thread waits for another one, and so nothing is under way.
    async fn quiet(&self) {
        let mut seen = u64::MAX;
        loop {
            for _ in 0..TURNS {
                tokio::task::yield_now().await;
            }
            let received = self.simulated.simulator.calls().received();
            if received == std::mem::replace(&mut seen, received) {
                return self.simulated.idle().await;
            }
        }
    }

    /// The most requests of any minute, of those whose first second is `from` or later.
    fn most(&self, from: usize) -> u64 {
        let before = |second: usize| second.checked_sub(1).map_or(0, |second| self.arrived[second]);
        let minutes = from..=self.arrived.len() - MINUTE;
        minutes
            .map(|first| before(first + MINUTE) - before(first))
            .max()
            .unwrap()
    }

    /// Prints the requests per minute since the calls were last forgotten, for each endpoint, and returns their sum.
    fn tell(&self, title: &str, minutes: usize) -> f64 {
        let calls = self.simulated.simulator.calls();
        let templates: BTreeMap<&str, u64> = calls.received_by_template();
        println!("{title}: requests a minute");
        for (template, count) in templates {
            println!("  {:7.2}  {template}", count as f64 / minutes as f64);
        }
        let mean = calls.received() as f64 / minutes as f64;
        println!("  {mean:7.2}  in all");
        let seconds: Vec<u64> = std::iter::once(0).chain(self.arrived.iter().copied()).collect();
        let each: Vec<u64> = seconds.iter().step_by(MINUTE).copied().collect();
        let each: Vec<u64> = each.windows(2).map(|pair| pair[1] - pair[0]).collect();
        println!("minute by minute {each:?}");
        mean
    }

    fn forget(&mut self) {
        self.simulated.simulator.reset_calls();
        self.arrived.clear();
    }
}

/// With the settings that are built in, in any minute but the first.
const MOST: u64 = 140;

/// With everything switched on, in any minute but the first.
const MOST_OF_EVERYTHING: u64 = 160;

/// What the first second asks: the cluster, every node what it knows of its guests, a few nodes what no scrape waits for, and a
/// few guests' agents.
const FIRST: u64 = 40 + 10 * NODES as u64;

/// After so many minutes it is known that no guest has an agent.
const AGENTS_KNOWN: usize = 4;

#[tokio::test]
async fn the_calls_of_a_minute_are_bounded() {
    let built_in = |config: &mut Config| config.metrics = Metrics::default();
    let mut driven = Driven::start(options(), built_in).await;
    driven.pass(10, 1, 15).await;
    driven.tell("while things are first seen", 10);
    let (first, most) = (driven.arrived[0], driven.most(1));
    println!("{first} requests for the first scrape, then {most} in a minute at most");
    assert!(first <= FIRST, "{first}");
    assert!(most <= MOST_WITH_AGENTS, "{most}");
    let most = driven.most(AGENTS_KNOWN * MINUTE);
    assert!(most <= MOST, "{most}");
    // Fewer scrapes save time: the surveys go on as before. Then the sources find back to their pace.
    driven.pass(45, 1, 60).await;
    let most = driven.most(AGENTS_KNOWN * MINUTE);
    assert!(most <= MOST, "{most}");
    driven.pass(6, 1, 15).await;

    driven.forget();
    driven.pass(20, 1, 15).await;
    let mean = driven.tell("steady, an hour's end among it", 20);
    let most = driven.most(0);
    println!("{most} in a minute at most");
    assert!(most <= MOST, "{most}");

    driven.forget();
    driven.pass(8, 2, 15).await;
    let two = driven.tell("two Prometheis", 8);
    assert!(two <= 1.25 * mean, "{two} instead of {mean}");
}

#[tokio::test]
async fn everything_switched_on_asks_somewhat_more() {
    let everything = |config: &mut Config| {
        let settings = config.sources.entry(SourceName::DiskSmart).or_default();
        settings.enabled = Some(true);
    };
    let mut driven = Driven::start(options(), everything).await;
    driven.pass(20, 1, 15).await;
    driven.forget();
    driven.pass(10, 1, 15).await;
    driven.tell("everything, after twenty minutes", 10);
    println!("{} in a minute at most", driven.most(0));
    assert!(driven.most(0) <= MOST_OF_EVERYTHING, "{}", driven.most(0));
}

/// Of so many guests 702 have an agent configured.
const GUESTS_OF_AGENTS: usize = 1_080;

/// With 700 guest agents, in any minute but the first.
const MOST_WITH_AGENTS: u64 = 450;

async fn driven_with(agents: AgentMix, enabled: bool) -> Driven {
    let options = Options {
        agents,
        agent_silence: Duration::from_millis(1),
        ..options()
    };
    Driven::of(GUESTS_OF_AGENTS, options, |config| {
        config.metrics = Metrics::default();
        let settings = config.sources.entry(SourceName::GuestAgents).or_default();
        settings.enabled = (!enabled).then_some(false);
    })
    .await
}

#[tokio::test]
async fn guest_agents_are_asked_within_the_budget() {
    let mut driven = driven_with(AgentMix::all(Agent::Healthy), true).await;
    driven.pass(25, 1, 15).await;
    driven.tell("700 agents, from the start", 25);
    println!("{} in a minute at most", driven.most(1));
    assert!(driven.most(1) <= MOST_WITH_AGENTS, "{}", driven.most(1));
    driven.forget();
    driven.pass(10, 1, 15).await;
    let mean = driven.tell("700 agents, steady", 10);
    assert!(driven.most(0) <= MOST_WITH_AGENTS, "{}", driven.most(0));
    assert!(mean <= 300.0, "{mean}");
}

#[tokio::test]
async fn dead_guest_agents_cost_hardly_anything() {
    let mut means = Vec::new();
    for enabled in [false, true] {
        let mut driven = driven_with(AgentMix::all(Agent::Dead), enabled).await;
        // Each leap is over the back-off that comes next.
        for minutes in [0, 1, 6, 17, 66] {
            driven.leap(minutes);
            driven.pass(4, 1, 15).await;
        }
        let asked = driven.simulated.simulator.calls().agent_calls();
        assert_eq!(asked > 2_000, enabled, "{asked}");
        driven.forget();
        driven.pass(10, 1, 15).await;
        means.push(driven.tell(&format!("dead agents, asked: {enabled}"), 10));
    }
    assert!(means[1] <= 1.1 * means[0], "{means:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_has_two_calls_at_once_and_one_slow() {
    let call_delay = Duration::from_millis(4);
    let options = Options {
        call_delay,
        ..options()
    };
    // What a node asks the others for its samples comes from PVE itself, one node at a time.
    let without_samples = |config: &mut Config| {
        let settings = config.sources.entry(SourceName::MetricsExport).or_default();
        settings.enabled = Some(false);
    };
    let driven = Driven::start(options, without_samples).await;
    for _ in 0..120 {
        let scrapes = (0..2).map(|_| driven.scrape());
        futures_util::future::join_all(scrapes).await;
        driven.simulated.exporter.retry();
        driven.simulated.advance(15);
    }
    let simulator = &driven.simulated.simulator;
    assert!(
        simulator
            .calls()
            .received_for("/nodes/{node}/storage/{storage}/content")
            > 0
    );
    for node in simulator.nodes() {
        let highest = (
            simulator.highest_concurrency(&node),
            simulator.highest_slow_concurrency(&node),
        );
        assert_eq!(highest, (2, 1), "{node}");
    }
}
