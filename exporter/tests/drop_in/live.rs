//! Both with the same environment or file, flags and queries.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use pve_exporter::clock::Clock;
use pve_exporter::compat::config::Modules;
use pve_exporter::compat::parameters::Parameters;
use pve_exporter::config::Config;
use pve_exporter::scrape::Exporter;
use pve_simulator::{Fault, Options, Simulator, Version};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::differences::{ADDED, BY_PATH, CONTROL, DUE, OWN, unexplained};
use crate::support::http::{Answer, get};
use crate::support::incumbent::Incumbent;
use crate::support::program::{Program, command, write};
use crate::support::simulated::options;

const PARAMETERS: [&str; 3] = ["cluster=1&node=0", "cluster=0&node=1", "cluster=1&node=1"];

/// What ours has more.
const SUCCESS: &str = "pve_scrape_collector_success{";

/// A simulated cluster and both exporters in front of it.
pub(crate) struct Both {
    pub(crate) simulator: Simulator,
    pub(crate) theirs: SocketAddr,
    pub(crate) ours: SocketAddr,
    _programs: (Incumbent, Program),
    directory: TempDir,
}

impl Both {
    /// With the same environment, in which the nodes of the cluster are allowed.
    pub(crate) async fn start(options: Options) -> Self {
        Self::with(options, &[], &[]).await
    }

    /// The same, with flags, and variables that take the place of others.
    async fn with(options: Options, flags: &[&str], variables: &[(&str, &str)]) -> Self {
        let simulator = Simulator::start(options).await.unwrap();
        let directory = TempDir::new().unwrap();
        let authorities = directory.path().join("ca.pem");
        write(&authorities, simulator.ca_pem(), 0o644);
        let for_both = environment(&simulator, &authorities);
        let set_up = |mut command: Command| {
            command
                .args(flags)
                .envs(for_both.iter().cloned())
                .env("TZ", "UTC")
                .envs(variables.iter().copied());
            command
        };
        let programs = programs(set_up);
        Self::of(simulator, programs, directory)
    }

    fn of(simulator: Simulator, mut programs: (Incumbent, Program), directory: TempDir) -> Self {
        Self {
            theirs: programs.0.address(),
            ours: programs.1.address(),
            _programs: programs,
            directory,
            simulator,
        }
    }

    async fn inject(&self, fault: &str) {
        self.simulator.inject(fault.parse::<Fault>().unwrap());
        self.simulator.settled().await;
    }

    fn query(&self, node: &str, parameters: &str) -> String {
        format!("/pve?target={}&{parameters}", host(&self.simulator, node))
    }

    /// A scrape of each.
    async fn get(&self, query: &str) -> [Answer; 2] {
        [get(self.theirs, query, &[]).await, get(self.ours, query, &[]).await]
    }

    /// Scrapes a node with both; what differs is what the `allowed` differences explain.
    async fn compare(&self, node: &str, parameters: &str, allowed: &[&str]) {
        let query = self.query(node, parameters);
        same(&query, &self.get(&query).await, &[&[ADDED], allowed].concat());
    }
}

/// Variables for a cluster, whose nodes are allowed.
fn environment(simulator: &Simulator, authorities: &Path) -> Vec<(String, String)> {
    let hosts: Vec<_> = simulator.nodes().iter().map(|node| host(simulator, node)).collect();
    let (user, token) = simulator.token_id().split_once('!').unwrap();
    let variables = [
        ("PVE_USER", user.to_owned()),
        ("PVE_TOKEN_NAME", token.to_owned()),
        ("PVE_TOKEN_VALUE", simulator.token_secret()),
        ("REQUESTS_CA_BUNDLE", authorities.display().to_string()),
        ("PVE_ALLOW_TARGETS", hosts.join(",")),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).into()
}

fn programs(set_up: impl Fn(Command) -> Command) -> (Incumbent, Program) {
    let theirs = Incumbent::start(set_up(Incumbent::command()));
    (
        theirs,
        Program::start(set_up(command(&["--web.listen-address=127.0.0.1:0"]))),
    )
}

/// Address and port of a node.
pub(crate) fn host(simulator: &Simulator, node: &str) -> String {
    let url = simulator.endpoint(node).unwrap();
    url.trim_start_matches("https://").trim_end_matches('/').to_owned()
}

/// Both answers have the same families in the same order, and the same samples; PVE gives its rows in another order each time.
fn same(query: &str, [theirs, ours]: &[Answer; 2], allowed: &[&str]) {
    assert_eq!((theirs.status, ours.status), (200, 200), "{query}: {}", theirs.text());
    assert_eq!(theirs.header("content-type"), ours.header("content-type"));
    same_text(query, theirs.text(), ours.text(), allowed);
}

fn same_text(query: &str, theirs: &str, ours: &str, allowed: &[&str]) {
    let lines = |text| -> Vec<&str> { str::lines(text).filter(|line| !line.starts_with("# HELP ")).collect() };
    let (theirs, ours) = (lines(theirs), lines(ours));
    let types = |lines: &[&str]| -> Vec<String> {
        let types = lines
            .iter()
            .filter(|line| line.starts_with("# TYPE ") && !line.contains("_collector_success"));
        types.map(|line| (*line).to_owned()).collect()
    };
    assert_eq!(types(&theirs), types(&ours), "{query}");
    only_explained(query, &theirs, &ours, allowed);
}

fn only_explained(what: &str, theirs: &[&str], ours: &[&str], allowed: &[&str]) {
    let [theirs, ours] = [theirs, ours].map(|lines| lines.iter().copied().collect::<BTreeSet<_>>());
    let (missing, new) = (theirs.difference(&ours), ours.difference(&theirs));
    let unexplained = unexplained(missing.copied(), new.copied(), allowed);
    assert!(unexplained.is_empty(), "{what}:\n{}", unexplained.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_are_the_same_at_every_size() {
    let lively = Options {
        events: true,
        ceph: true,
        qdevice: true,
        ..options()
    };
    let alone = Options {
        nodes: 1,
        guests: 5,
        standalone: true,
        ..options()
    };
    let mixed = Options {
        nodes: 5,
        guests: 200,
        versions: vec![Version::new(9, 2, 11), Version::new(8, 4, 1), Version::new(7, 4, 3)],
        ..options()
    };
    let large = Options {
        nodes: 10,
        guests: 1_000,
        ..options()
    };
    let empty = Options { guests: 0, ..options() };
    for options in [empty, alone, lively, mixed, large] {
        let both = Both::start(options).await;
        for node in both.simulator.nodes().iter().take(3) {
            for parameters in PARAMETERS {
                both.compare(node, parameters, &[]).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn samples_are_the_same_while_something_is_wrong() {
    for fault in [
        "offline:pve2",
        "dead-but-running:pve2",
        "partition:pve1",
        "standalone:pve1",
        "frozen-pvestatd:pve2",
        "storage-unavailable=nas:pve1",
        "qmp-timeout",
        "vanished=100",
        "string-numbers",
    ] {
        let both = Both::start(options()).await;
        both.inject(fault).await;
        for parameters in PARAMETERS {
            both.compare("pve1", parameters, &[]).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn flags_and_parameters_mean_the_same() {
    let flags = [
        &[
            "--no-collector.status",
            "--no-collector.node",
            "--no-collector.version",
            "--no-collector.subscription",
        ][..],
        &[
            "--no-collector.resources",
            "--no-collector.cluster",
            "--no-collector.backup-info",
            "--no-collector.qdevice",
            "--no-collector.config",
            "--no-collector.replication",
        ],
    ];
    for flags in flags {
        let both = Both::with(options(), flags, &[]).await;
        both.compare("pve1", "", &[]).await;
    }
    let both = Both::start(options()).await;
    for parameters in [
        "cluster=no&node=FALSE",
        "cluster=False&node=yes",
        "cluster=&module=default&x=1",
        "node=1&node=0",
    ] {
        both.compare("pve1", parameters, &[]).await;
    }
    let nothing = both.query("pve1", "cluster=0&node=0");
    let [theirs, ours] = both.get(&nothing).await;
    assert_eq!((theirs.status, theirs.text().len(), ours.status), (200, 0, 200));
    let [theirs, ours] = both.get("/pve?module=other").await;
    assert_eq!((theirs.status, theirs.text()), (ours.status, ours.text()));
    assert_eq!(ours.status, 400);
}

/// With `port`, both need no other line.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_serves_both() {
    let simulator = Simulator::start(options()).await.unwrap();
    let directory = TempDir::new().unwrap();
    let (authorities, file) = (directory.path().join("ca.pem"), directory.path().join("pve.yml"));
    write(&authorities, simulator.ca_pem(), 0o644);
    let (user, token) = simulator.token_id().split_once('!').unwrap();
    let host = host(&simulator, "pve1");
    let port = host.rsplit_once(':').unwrap().1;
    write(
        &file,
        &format!(
            "# both\nx: &common\n  user: {user}\n  port: {port}\n  timeout: 10\ndefault: &default\n  <<: *common\n  token_name: \"{token}\"\n  token_value: {}\n  verify_ssl: {}\nblind:\n  <<: *default\n  verify_ssl: no\nperson:\n  <<: *common\n  user: {}\n  password: \"{}\"\n  verify_ssl: {}\n",
            simulator.token_secret(),
            authorities.display(),
            simulator.user(),
            simulator.password(),
            authorities.display()
        ),
        0o600,
    );
    let flag = format!("--config.file={}", file.display());
    let set_up = |mut command: Command| {
        command.arg(&flag).env("TZ", "UTC");
        command
    };
    let programs = programs(set_up);
    let both = Both::of(simulator, programs, directory);
    for query in ["/pve?target=127.0.0.1", "/pve?target=127.0.0.1&module=blind"] {
        same(query, &both.get(query).await, &[ADDED]);
    }
    let logins = || both.simulator.calls().received_for("/access/ticket");
    for scrapes in 1..=2 {
        let query = "/pve?target=127.0.0.1&module=person";
        same(query, &both.get(query).await, &[ADDED]);
        assert_eq!(logins(), scrapes + 1, "theirs logs in for each scrape, ours once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_in_the_table() {
    let lively = Options {
        events: true,
        ..options()
    };
    // A zone of two hours' distance that needs no list of zones.
    let both = Both::with(lively, &[], &[("TZ", "XYZ-2")]).await;
    let name = "a\"b\\c\nd\u{1b}[31mü";
    both.simulator.set_guest(100, |guest| guest.name = name.to_owned());
    both.compare("pve1", "node=0", &[CONTROL]).await;
    let all = get(both.ours, &both.query("pve1", "cluster=0&node=all"), &[]).await;
    let (_, due) = all
        .text()
        .split_once("pve_subscription_next_due_timestamp_seconds{id=\"node/")
        .unwrap();
    both.compare(due.split('"').next().unwrap(), "cluster=0", &[DUE]).await;
    let gzip = |address| get(address, "/metrics", &["Accept-Encoding: gzip"]);
    let (theirs, ours) = (gzip(both.theirs).await, gzip(both.ours).await);
    assert_eq!(
        (theirs.header("content-encoding"), ours.header("content-encoding")),
        (None, Some("gzip"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn their_own_metrics_are_here_too() {
    let flags = ["--collector.pve-api-metrics", "--collector.target-metrics"];
    let both = Both::with(options(), &flags, &[]).await;
    both.get(&both.query("pve1", "cluster=1&node=0")).await;
    // Labels in one order.
    let series = |answer: &Answer| -> Vec<String> {
        let samples = answer.text().lines().filter(|line| !line.starts_with('#'));
        let sorted = |line: &str| {
            let (series, _) = line.rsplit_once(' ').unwrap();
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            let mut labels: Vec<_> = labels.trim_end_matches('}').split(',').collect();
            labels.sort_unstable();
            format!("{name}{{{}}}", labels.join(","))
        };
        samples.map(sorted).collect()
    };
    let [theirs, ours] = both.get("/metrics").await.map(|answer| series(&answer));
    let [theirs, ours] = [&theirs, &ours].map(|series| series.iter().map(String::as_str).collect::<Vec<_>>());
    let missing: Vec<_> = theirs.into_iter().filter(|series| !ours.contains(series)).collect();
    only_explained("/metrics", &missing, &[], &[OWN, BY_PATH]);
    assert!(
        ours.iter()
            .any(|series| series.starts_with("pve_scrape_api_duration_seconds_bucket{"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_blinds_the_other_one_costs_only_itself() {
    let both = Both::start(options()).await;
    let query = both.query("pve1", "");
    let [whole, _] = both.get(&query).await;
    both.inject("status=500:/cluster/backup-info/not-backed-up").await;
    let theirs = get(both.theirs, &query, &[]).await;
    assert_eq!(theirs.status, 500);
    let fresh = both.query("pve2", "node=0");
    let ours = get(both.ours, &fresh, &[]).await;
    let lost = |line: &&str| !line.starts_with('#') && !ours.text().contains(*line);
    let of_nodes = ["pve_subscription", "pve_onboot", "pve_replication", "pve_not_backed_up"];
    let lost: Vec<_> = whole.text().lines().filter(lost).collect();
    assert!(
        lost.iter()
            .all(|line| of_nodes.iter().any(|family| line.starts_with(family))),
        "{lost:?}"
    );
    assert!(
        ours.text()
            .contains("pve_scrape_collector_success{collector=\"backup-info\"} 0.0\n")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_target_is_answered_for_in_time() {
    let both = Both::start(options()).await;
    both.inject("hang:pve1").await;
    let query = both.query("pve1", "");
    let start = Instant::now();
    let ours = get(both.ours, &query, &["X-Prometheus-Scrape-Timeout-Seconds: 2"]).await;
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(ours.status, 200);
    assert_eq!(ours.text().matches(SUCCESS).count(), 10);
    let limit = Duration::from_secs(2);
    let theirs = tokio::time::timeout(limit, get(both.theirs, &query, &[])).await;
    assert!(theirs.is_err(), "it answers in time");
}

/// Time passes for ours, which remembers; theirs asks each time.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_dies_is_dead_for_both_at_once() {
    let both = Both::start(options()).await;
    let variables = environment(&both.simulator, &both.directory.path().join("ca.pem"));
    let config = Config {
        modules: Some(Modules::load(Path::new(""), &variables).unwrap()),
        ..Config::default()
    };
    let clock = Clock::default();
    let ours = Exporter::new(config, clock.clone()).unwrap();
    let query = both.query("pve1", "");
    let parameters = Parameters::parse(query.split_once('?').unwrap().1);
    let scrapes = async |wait| {
        let page = ours.scrape_pve(&parameters, wait).await.unwrap();
        (get(both.theirs, &query, &[]).await, page.into_text())
    };
    let (long, short) = (Duration::from_secs(20), Duration::from_millis(500));
    for (fault, interval) in [
        ("proxy-down:pve1", 15),
        ("proxy-down:pve1", 60),
        ("proxy-down:pve1", 600),
        ("revoked:pve1", 60),
        ("hang:pve1", 60),
    ] {
        let interval = Duration::from_secs(interval);
        for _ in 0..3 {
            clock.advance(interval);
            let (theirs, ours) = scrapes(long).await;
            same_text(&query, theirs.text(), &ours, &[ADDED]);
        }
        both.inject(fault).await;
        for _ in 0..2 {
            clock.advance(interval);
            let (theirs, ours) = scrapes(short).await;
            assert_eq!(theirs.status, 500, "{fault}");
            let told = |line: &&str| !line.starts_with('#') && !line.contains(SUCCESS);
            let told: Vec<_> = ours.lines().filter(told).collect();
            assert_eq!(told, [""; 0], "{fault}, {interval:?}");
        }
        both.simulator.clear_all();
        both.simulator.settled().await;
        let deadline = Instant::now() + Duration::from_secs(60);
        let lacks = |text: &str| {
            text.lines()
                .any(|line| line.contains(SUCCESS) && line.ends_with(" 0.0"))
        };
        while lacks(&scrapes(long).await.1) {
            assert!(Instant::now() < deadline, "not found again after {fault}");
            clock.advance(Duration::from_secs(5));
            ours.retry();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_go_only_where_they_may() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let query = format!("/pve?target={}", listener.local_addr().unwrap());
    let both = Both::with(options(), &[], &[("PVE_VERIFY_SSL", "false")]).await;
    let ours = get(both.ours, &query, &[]).await;
    assert_eq!(ours.status, 403, "{}", ours.text());
    let other = tokio::spawn({
        let (theirs, query) = (both.theirs, query.clone());
        async move { get(theirs, &query, &[]).await }
    });
    // The first and only connection is theirs.
    let (first, _) = listener.accept().await.unwrap();
    drop(first);
    assert_eq!(other.await.unwrap().status, 500);
    let second = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(second.is_err());

    // And there they would have been told.
    let stranger = Simulator::start(options()).await.unwrap();
    let query = format!("/pve?target={}", host(&stranger, "pve1"));
    let [theirs, ours] = both.get(&query).await;
    assert_eq!((theirs.status, ours.status), (200, 403));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_scrapers_cost_what_one_costs() {
    let both = Both::start(options()).await;
    let query = both.query("pve1", "");
    let calls = async |address| {
        both.simulator.reset_calls();
        let answers = join_all((0..10).map(|_| get(address, &query, &[]))).await;
        assert!(answers.iter().all(|answer| answer.status == 200));
        both.simulator.calls().received()
    };
    let local = both
        .simulator
        .guests()
        .iter()
        .filter(|guest| guest.node == "pve1")
        .count() as u64;
    let (ours, theirs) = (calls(both.ours).await, calls(both.theirs).await);
    assert!(ours <= 7 + local, "{ours} calls for {local} guests");
    assert!(theirs >= 10 * (16 + local), "{theirs} calls for {local} guests");
    assert!(calls(both.ours).await <= 2);
}
