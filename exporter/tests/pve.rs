//! `/pve`: the text that prometheus-pve-exporter gave for the same bodies, who may be asked, what it costs PVE, and what fails alone.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pve_exporter::clock::Clock;
use pve_exporter::compat::collector::Collector;
use pve_exporter::compat::drop_in::{MOST_TARGETS, Refusal};
use pve_exporter::compat::parameters::Parameters;
use pve_exporter::config::{Config, LoadOptions, Tls};
use pve_exporter::metrics::exposition::Format;
use pve_exporter::scrape::Exporter;
use pve_exporter::server::{self, tls::TlsError};
use pve_simulator::{Fault, Options, Simulator, Version};
use support::exporters::{exporter, text, with_config};
use support::fixture_server::FixtureServer;
use support::http::get;
use support::program::{Program, command, write};
use support::simulated::{cluster, options};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What prometheus-pve-exporter has not.
const ADDED: &str = "pve_scrape_collector_success";

/// The types and samples, in no order: prometheus-pve-exporter keeps that of PVE, which is another one each time.
fn lines(text: &str) -> BTreeSet<&str> {
    let all: Vec<_> = text.lines().filter(|line| !line.starts_with("# HELP")).collect();
    let set: BTreeSet<_> = all.iter().copied().filter(|line| !line.contains(ADDED)).collect();
    let added = all.iter().filter(|line| line.contains(ADDED)).count();
    assert_eq!(set.len() + added, all.len(), "a line stands twice");
    set
}

/// The families with a header, in their order.
fn families(text: &str) -> Vec<&str> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.filter(|line| !line.contains(ADDED)).collect()
}

/// The collectors, and their nodes, of which something could not be read.
fn failed(text: &str) -> Vec<&str> {
    let added = text.lines().filter_map(|line| line.strip_prefix(ADDED));
    added.filter_map(|line| line.strip_suffix(" 0.0")).collect()
}

/// The samples of families that prometheus-pve-exporter has.
fn samples(text: &str) -> Vec<&str> {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    samples.filter(|line| !line.starts_with(ADDED)).collect()
}

/// The ids of a family's samples that have this value.
fn ids<'a>(text: &'a str, family: &str, value: &str) -> BTreeSet<&'a str> {
    let start = format!("{family}{{");
    let samples = text
        .lines()
        .filter(|line| line.starts_with(&start) && line.ends_with(value));
    samples
        .filter_map(|line| line.split_once("id=\"")?.1.split('"').next())
        .collect()
}

async fn scrape(exporter: &Exporter, query: &str) -> Result<String, Refusal> {
    scrape_within(exporter, query, Duration::from_secs(20)).await
}

async fn scrape_within(exporter: &Exporter, query: &str, wait: Duration) -> Result<String, Refusal> {
    let page = exporter.scrape_pve(&Parameters::parse(query), wait).await;
    Ok(page?.into_text())
}

#[tokio::test]
async fn recorded_bodies_give_the_same_text() {
    for parameters in ["cluster=1&node=0", "cluster=0&node=1", "cluster=1&node=1"] {
        let server = FixtureServer::with_folder("pve-9.2").await;
        let (exporter, _) = exporter(&[("main", server.cluster())]);
        let text = scrape(&exporter, parameters).await.unwrap();
        let file = format!(
            "{}/tests/fixtures/prometheus-pve-exporter/pve-9.2.{}.prom",
            env!("CARGO_MANIFEST_DIR"),
            parameters.replace('&', "_")
        );
        let expected = std::fs::read_to_string(file).unwrap();
        assert_eq!(families(&text), families(&expected), "{parameters}");
        let (ours, theirs) = (lines(&text), lines(&expected));
        let missing: Vec<_> = theirs.difference(&ours).collect();
        let new: Vec<_> = ours.difference(&theirs).collect();
        assert!(
            missing.is_empty() && new.is_empty(),
            "{parameters}: missing {missing:#?}, new {new:#?}"
        );
        assert_eq!(failed(&text), [""; 0], "{parameters}");
    }
}

/// A simulated cluster, a `pve.yml` for it, and an exporter by a clock of the test's.
struct Setup {
    simulator: Simulator,
    exporter: Arc<Exporter>,
    clock: Clock,
    directory: TempDir,
}

impl Setup {
    /// With `more` lines of the module.
    async fn new(more: &str) -> Self {
        let simulator = Simulator::start(options()).await.unwrap();
        let directory = TempDir::new().unwrap();
        let pve_yml = directory.path().join("pve.yml");
        write(&directory.path().join("ca.pem"), simulator.ca_pem(), 0o644);
        write(&pve_yml, &module(&simulator, &directory, more), 0o600);
        let config = load(&pve_yml);
        let clock = Clock::default();
        Self {
            exporter: Exporter::new(config, clock.clone()).unwrap(),
            simulator,
            clock,
            directory,
        }
    }

    /// With every node as an allowed target.
    async fn with_nodes() -> Self {
        // The ports are known only when it runs.
        let setup = Self::new("").await;
        let hosts: Vec<_> = setup.simulator.nodes().iter().map(|node| setup.host(node)).collect();
        setup.rewrite(&format!("  allow_targets: {hosts:?}\n"));
        setup
    }

    fn pve_yml(&self) -> PathBuf {
        self.directory.path().join("pve.yml")
    }

    fn rewrite(&self, more: &str) {
        write(&self.pve_yml(), &module(&self.simulator, &self.directory, more), 0o600);
        self.exporter.reload(Ok(load(&self.pve_yml())));
    }

    fn host(&self, node: &str) -> String {
        let url = self.simulator.endpoint(node).unwrap();
        url.trim_start_matches("https://").trim_end_matches('/').to_owned()
    }

    async fn scrape(&self, node: &str, query: &str) -> String {
        scrape(&self.exporter, &format!("target={}&{query}", self.host(node)))
            .await
            .unwrap()
    }

    /// Lets time pass until a scrape of `node` lacks nothing.
    async fn until_whole(&self, node: &str) {
        for _ in 0..600 {
            self.clock.advance(Duration::from_secs(1));
            self.exporter.retry();
            tokio::time::sleep(Duration::from_millis(5)).await;
            if failed(&self.scrape(node, "").await).is_empty() {
                return;
            }
        }
        panic!("it is not found again");
    }

    async fn inject(&self, fault: &str) {
        self.simulator.inject(fault.parse::<Fault>().unwrap());
        self.simulator.settled().await;
    }

    /// The calls since the last time, by their templates.
    fn take_calls(&self) -> BTreeMap<String, u64> {
        let calls = self.simulator.calls();
        let by_template = calls.received_by_template().into_iter();
        let calls = by_template
            .map(|(template, count)| (template.to_owned(), count))
            .collect();
        self.simulator.reset_calls();
        calls
    }
}

fn module(simulator: &Simulator, directory: &TempDir, more: &str) -> String {
    let (user, name) = simulator.token_id().split_once('!').unwrap();
    format!(
        "default:\n  user: {user}\n  token_name: {name}\n  token_value: {}\n  verify_ssl: {}\n{more}",
        simulator.token_secret(),
        directory.path().join("ca.pem").display()
    )
}

fn load(pve_yml: &std::path::Path) -> Config {
    let options = LoadOptions {
        file: Some(pve_yml.to_owned()),
        ..LoadOptions::default()
    };
    Config::load(&options).unwrap()
}

#[tokio::test]
async fn a_target_that_is_not_named_gets_no_byte() {
    let setup = Setup::new("  allow_targets: [pve1.example, 10.0.0.0/24]\n").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for target in [
        address.to_string(),
        format!("localhost:{}", address.port()),
        format!("[::ffff:127.0.0.1]:{}", address.port()),
        "pve2.example".to_owned(),
        "10.0.1.1".to_owned(),
        "10.0.0.1:443".to_owned(),
        "pve1.example@10.0.1.1".to_owned(),
        "https://pve1.example".to_owned(),
    ] {
        let refusal = scrape(&setup.exporter, &format!("target={target}")).await.unwrap_err();
        assert!(matches!(refusal, Refusal::Target { .. }), "{refusal}");
        let told = refusal.to_string();
        assert!(told.contains(&format!("{target:?} is not allowed: ")), "{told}");
    }
    let refusal = scrape(&setup.exporter, "target=pve2.example")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refusal.ends_with("pve.yml, as in allow_targets: [\"pve2.example\"]"),
        "{refusal}"
    );
    assert!(
        tokio::time::timeout(Duration::from_millis(50), listener.accept())
            .await
            .is_err()
    );
    assert_eq!(setup.simulator.calls().received(), 0);
    let unknown = scrape(&setup.exporter, "module=other").await.unwrap_err();
    assert_eq!(unknown.to_string(), "Module 'other' not found in config");
}

#[tokio::test]
async fn a_steady_scrape_asks_for_figures_only() {
    let setup = Setup::with_nodes().await;
    let node = setup.simulator.nodes().remove(0);
    let first = setup.scrape(&node, "").await;
    assert_eq!(failed(&first), [""; 0]);
    let guests = ids(&first, "pve_guest_info", "").len();
    let local = first
        .lines()
        .filter(|line| line.starts_with("pve_guest_info") && line.contains(&format!("node=\"{node}\"")));
    let cold = setup.take_calls();
    assert_eq!(
        cold["/nodes/{node}/qemu/{vmid}/pending"] + cold["/nodes/{node}/lxc/{vmid}/pending"],
        local.count() as u64
    );
    assert!(cold.values().filter(|count| **count > 1).count() <= 2, "{cold:?}");

    // Many at once, while nothing is old.
    let scrapes = (0..10).map(|_| setup.scrape(&node, ""));
    let texts = futures_util::future::join_all(scrapes).await;
    assert!(texts.iter().all(|text| lines(text) == lines(&first)));
    assert_eq!(setup.take_calls(), BTreeMap::new());

    // And when it is.
    setup.clock.advance(Duration::from_secs(11));
    let scrapes = (0..10).map(|_| setup.scrape(&node, ""));
    let texts = futures_util::future::join_all(scrapes).await;
    assert_eq!(ids(&texts[0], "pve_guest_info", "").len(), guests);
    let expected = ["/cluster/resources", "/cluster/status"].map(|path| (path.to_owned(), 1));
    assert_eq!(setup.take_calls(), BTreeMap::from(expected));
}

#[tokio::test]
async fn one_scrape_may_cover_every_node() {
    let setup = Setup::with_nodes().await;
    let nodes = setup.simulator.nodes();
    let one = setup.scrape(&nodes[0], "cluster=0&node=1").await;
    let all = setup.scrape(&nodes[0], "cluster=0&node=all").await;
    assert_eq!(ids(&one, "pve_subscription_info", "").len(), 1);
    assert_eq!(ids(&all, "pve_subscription_info", "").len(), nodes.len());
    let each = futures_util::future::join_all(nodes.iter().map(|node| setup.scrape(node, "cluster=0&node=1"))).await;
    let together: BTreeSet<_> = each.iter().flat_map(|text| lines(text)).collect();
    assert_eq!(lines(&all), together);
    assert_eq!(families(&all), families(&one));
}

#[tokio::test]
async fn what_fails_costs_only_itself() {
    let setup = Setup::with_nodes().await;
    let nodes = setup.simulator.nodes();
    setup.inject("status=500:/cluster/backup-info/not-backed-up").await;
    setup.inject(&format!("offline:{}", nodes[1])).await;
    let text = setup.scrape(&nodes[0], "node=all").await;
    let node = format!("node/{}", nodes[1]);
    assert_eq!(
        failed(&text),
        [
            "{collector=\"backup-info\"}".to_owned(),
            format!("{{collector=\"subscription\",id=\"{node}\"}}"),
            format!("{{collector=\"config\",id=\"{node}\"}}"),
            format!("{{collector=\"replication\",id=\"{node}\"}}"),
        ]
    );
    assert!(ids(&text, "pve_up", " 0.0").contains(&*node));
    assert_eq!(ids(&text, "pve_subscription_info", "").len(), nodes.len() - 1);
    assert!(!text.contains("pve_not_backed_up_info{"));
    assert!(text.contains("# TYPE pve_not_backed_up_info gauge"));
}

#[tokio::test]
async fn a_dead_target_is_told_and_found_again() {
    let setup = Setup::with_nodes().await;
    let node = setup.simulator.nodes().remove(0);
    setup.inject(&format!("proxy-down:{node}")).await;
    let text = setup.scrape(&node, "").await;
    assert_eq!(failed(&text).len(), 10, "{text}");
    assert!(!text.lines().any(|line| line.starts_with("pve_up{")), "{text}");
    setup.simulator.clear_all();
    setup.simulator.settled().await;
    setup.until_whole(&node).await;
}

#[tokio::test]
async fn nothing_is_told_of_a_target_that_has_died() {
    let setup = Setup::with_nodes().await;
    let node = setup.simulator.nodes().remove(0);
    for interval in [15, 60, 600].map(Duration::from_secs) {
        for fault in ["proxy-down", "hang", "revoked", "status=500"] {
            let before = failed(&setup.scrape(&node, "").await).len();
            assert_eq!(before, 0);
            for _ in 0..3 {
                setup.clock.advance(interval);
                assert_eq!(failed(&setup.scrape(&node, "").await), [""; 0]);
            }
            setup.inject(&format!("{fault}:{node}")).await;
            for passed in 1..=3 {
                setup.clock.advance(interval);
                let query = format!("target={}", setup.host(&node));
                let text = scrape_within(&setup.exporter, &query, Duration::from_millis(100))
                    .await
                    .unwrap();
                let what = format!("{fault}, {passed} x {interval:?}: {text}");
                assert_eq!(samples(&text), [""; 0], "{what}");
                assert_eq!(failed(&text).len(), 10, "{what}");
            }
            setup.simulator.clear_all();
            setup.simulator.settled().await;
            setup.until_whole(&node).await;
        }
    }
}

#[tokio::test]
async fn nothing_is_told_of_a_node_that_has_gone() {
    let setup = Setup::with_nodes().await;
    let nodes = setup.simulator.nodes();
    let whole = setup.scrape(&nodes[0], "cluster=0&node=all").await;
    assert_eq!(ids(&whole, "pve_subscription_info", "").len(), nodes.len());
    setup.inject(&format!("offline:{}", nodes[1])).await;
    setup.clock.advance(Duration::from_secs(15));
    let text = setup.scrape(&nodes[0], "cluster=0&node=all").await;
    let gone = format!("node/{}", nodes[1]);
    for label in [
        format!("id=\"{gone}"),
        format!("source=\"{gone}"),
        format!("node=\"{}\"", nodes[1]),
    ] {
        assert!(
            !samples(&text).iter().any(|line| line.contains(&label)),
            "{label} in {text}"
        );
    }
    let collectors = ["subscription", "config", "replication"];
    assert_eq!(
        failed(&text),
        collectors.map(|collector| format!("{{collector=\"{collector}\",id=\"{gone}\"}}"))
    );
}

#[tokio::test]
async fn what_failed_at_the_last_attempt_is_not_told() {
    let setup = Setup::with_nodes().await;
    let node = setup.simulator.nodes().remove(0);
    let whole = setup.scrape(&node, "").await;
    let of_it = ["pve_not_backed_up_total{", "pve_not_backed_up_info{"];
    assert!(of_it.iter().all(|family| whole.contains(family)));
    setup.inject("status=500:/cluster/backup-info/not-backed-up").await;
    // It is read behind a scrape, so that the next one tells.
    setup.clock.advance(Duration::from_secs(250));
    setup.scrape(&node, "").await;
    let failure = || async { failed(&setup.scrape(&node, "").await).len() == 1 };
    while !failure().await {
        tokio::task::yield_now().await;
    }
    let text = setup.scrape(&node, "").await;
    assert_eq!(failed(&text), ["{collector=\"backup-info\"}"]);
    assert!(of_it.iter().all(|family| !text.contains(family)), "{text}");
}

#[tokio::test]
async fn what_hangs_costs_only_itself() {
    for (path, collectors) in [
        ("/version", "version"),
        ("/cluster/resources", "status resources config"),
        ("/cluster/backup-info/not-backed-up", "backup-info"),
        ("/cluster/config/qdevice", "qdevice"),
        ("/nodes/{node}/subscription", "subscription"),
    ] {
        let setup = Setup::with_nodes().await;
        let node = setup.simulator.nodes().remove(0);
        setup.inject(&format!("hang:{}", path.replace("{node}", &node))).await;
        let query = format!("target={}", setup.host(&node));
        let text = scrape_within(&setup.exporter, &query, Duration::from_secs(2))
            .await
            .unwrap();
        let names: Vec<_> = failed(&text).iter().filter_map(|line| line.split('"').nth(1)).collect();
        assert_eq!(names.join(" "), collectors, "{path}");
    }
}

#[tokio::test]
async fn the_version_alone_is_read_as_often_as_figures() {
    let setup = Setup::with_nodes().await;
    let node = setup.simulator.nodes().remove(0);
    let mut config = load(&setup.pve_yml());
    config.switches.collectors = [Collector::Version].into();
    setup.exporter.reload(Ok(config));
    assert!(setup.scrape(&node, "").await.contains("pve_version_info{"));
    setup.clock.advance(Duration::from_secs(5));
    setup.scrape(&node, "").await;
    assert_eq!(setup.take_calls(), BTreeMap::from([("/version".to_owned(), 1)]));
    setup.inject(&format!("proxy-down:{node}")).await;
    setup.clock.advance(Duration::from_secs(10));
    assert_eq!(samples(&setup.scrape(&node, "").await), [""; 0]);
}

#[tokio::test]
async fn clusters_of_the_own_configuration_are_targets() {
    let simulator = Simulator::start(options()).await.unwrap();
    let config = cluster(&simulator);
    let second = config.endpoints[1].to_string().replace("https://", "").replace('/', "");
    let node = simulator.nodes().remove(1);
    let (exporter, _) = exporter(&[("main", config)]);
    for target in ["main", "localhost"] {
        let text = scrape(&exporter, &format!("target={target}")).await.unwrap();
        assert_eq!(failed(&text), [""; 0], "{target}");
    }
    let text = scrape(&exporter, &format!("cluster=0&target={second}")).await.unwrap();
    assert_eq!(
        ids(&text, "pve_subscription_info", ""),
        BTreeSet::from([&*format!("node/{node}")])
    );
    let refusal = scrape(&exporter, "target=evil.example").await.unwrap_err().to_string();
    assert!(refusal.contains("allow_targets = [\"evil.example\"]"), "{refusal}");
    assert!(matches!(
        scrape(&exporter, "module=main").await,
        Err(Refusal::Module(_))
    ));
}

#[tokio::test]
async fn an_endpoint_tells_of_itself() {
    let options = Options {
        versions: vec![Version::new(9, 2, 11), Version::new(8, 4, 1)],
        ..options()
    };
    let simulator = Simulator::start(options).await.unwrap();
    let config = cluster(&simulator);
    let targets: Vec<_> = config.endpoints.iter().map(ToString::to_string).collect();
    let targets: Vec<_> = targets
        .iter()
        .map(|url| url.replace("https://", "").replace('/', ""))
        .collect();
    let (exporter, clock) = exporter(&[("main", config)]);
    for (target, release) in targets.iter().zip(["9.2", "8.4", "9.2"]) {
        let text = scrape(&exporter, &format!("target={target}")).await.unwrap();
        assert_eq!(failed(&text), [""; 0], "{target}");
        assert!(
            text.contains(&format!("pve_version_info{{release=\"{release}\"")),
            "{target}: {text}"
        );
    }
    let dead = &simulator.nodes()[1];
    simulator.inject(format!("proxy-down:{dead}").parse::<Fault>().unwrap());
    simulator.settled().await;
    clock.advance(Duration::from_secs(15));
    for (target, lacking) in targets.iter().zip([0, 10, 0]) {
        let text = scrape(&exporter, &format!("target={target}")).await.unwrap();
        assert_eq!(failed(&text).len(), lacking, "{target}: {text}");
        assert_eq!(samples(&text).is_empty(), lacking > 0, "{target}");
    }
}

#[tokio::test]
async fn guests_that_are_not_reported_on_are_nowhere() {
    let server = FixtureServer::with_folder("pve-9.2").await;
    let mut config = server.cluster();
    config.guests.exclude.tags = vec!["prod".to_owned()];
    config.guests.exclude.vmids = vec!["102".parse().unwrap()];
    let (exporter, _) = exporter(&[("main", config)]);
    let text = scrape(&exporter, "").await.unwrap();
    assert_eq!(failed(&text), [""; 0]);
    for id in ["qemu/100", "qemu/101", "qemu/102", "qemu/110"] {
        assert!(!text.contains(&format!("{id}\"")), "{id}");
    }
    assert_eq!(ids(&text, "pve_guest_info", "").len(), 11);
    let hidden = ["qemu/102", "qemu/110"];
    let not_backed_up = 12 - hidden.len();
    assert_eq!(ids(&text, "pve_not_backed_up_info", "").len(), not_backed_up);
    assert_eq!(
        ids(&text, "pve_not_backed_up_total", &format!(" {not_backed_up}.0")).len(),
        1
    );
    assert_eq!(ids(&text, "pve_replication_info", ""), BTreeSet::from(["200-0"]));
    let alone = scrape(&exporter, "cluster=0").await.unwrap();
    assert_eq!(ids(&alone, "pve_replication_info", ""), BTreeSet::from(["200-0"]));
}

#[tokio::test]
async fn a_reload_keeps_what_is_held_under_the_same_credentials() {
    let setup = Setup::with_nodes().await;
    let node = setup.simulator.nodes().remove(0);
    let query = format!("target={}&node=0", setup.host(&node));
    scrape(&setup.exporter, &query).await.unwrap();
    setup.take_calls();
    setup.exporter.reload(Ok(load(&setup.pve_yml())));
    scrape(&setup.exporter, &query).await.unwrap();
    assert_eq!(setup.take_calls(), BTreeMap::new());
    setup.rewrite(&format!("  allow_targets: [pve9.example, \"{}\"]\n", setup.host(&node)));
    scrape(&setup.exporter, &query).await.unwrap();
    assert_eq!(setup.take_calls(), BTreeMap::new());
    setup.rewrite("");
    assert!(matches!(
        scrape(&setup.exporter, &query).await,
        Err(Refusal::Target { .. })
    ));
    assert_eq!(setup.take_calls(), BTreeMap::new());
}

#[tokio::test]
async fn a_target_that_is_no_longer_allowed_is_not_asked_again() {
    let setup = Setup::with_nodes().await;
    let node = setup.simulator.nodes().remove(0);
    setup.inject("status=500").await;
    assert_eq!(failed(&setup.scrape(&node, "").await).len(), 10);
    let retried = async || {
        setup.take_calls();
        setup.clock.advance(Duration::from_secs(60));
        setup.exporter.retry();
        // Both are on this thread, and each turn polls their sockets.
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        !setup.take_calls().is_empty()
    };
    assert!(retried().await);
    setup.rewrite("");
    assert!(!retried().await);
}

#[tokio::test]
async fn renewed_authorities_are_trusted_after_a_reload() {
    let setup = Setup::with_nodes().await;
    let node = setup.simulator.nodes().remove(0);
    let ca_pem = setup.directory.path().join("ca.pem");
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    write(&ca_pem, &other.cert.pem(), 0o644);
    setup.exporter.reload(Ok(load(&setup.pve_yml())));
    assert_eq!(failed(&setup.scrape(&node, "").await).len(), 10);
    write(&ca_pem, setup.simulator.ca_pem(), 0o644);
    setup.exporter.reload(Ok(load(&setup.pve_yml())));
    assert_eq!(failed(&setup.scrape(&node, "").await), [""; 0]);
}

#[tokio::test]
async fn targets_that_are_scraped_stay_and_others_go() {
    let setup = Setup::new("").await;
    let node = setup.simulator.nodes().remove(0);
    let host = setup.host(&node);
    let pve_yml = format!(
        "default:\n  user: {}\n  password: \"{}\"\n  verify_ssl: {}\n  port: {}\n  allow_targets: [127.1.0.0/16]\n",
        setup.simulator.user(),
        setup.simulator.password(),
        setup.directory.path().join("ca.pem").display(),
        host.rsplit_once(':').unwrap().1
    );
    write(&setup.pve_yml(), &pve_yml, 0o600);
    setup.exporter.reload(Ok(load(&setup.pve_yml())));
    let whole = async || assert_eq!(failed(&setup.scrape(&node, "").await), [""; 0]);
    let dead = async |number: usize| {
        let query = format!("target=127.1.{}.{}", number / 250, number % 250 + 1);
        scrape_within(&setup.exporter, &query, Duration::ZERO).await
    };
    whole().await;
    for number in 1..MOST_TARGETS {
        dead(number).await.unwrap();
    }
    for _ in 0..2 {
        assert!(matches!(dead(MOST_TARGETS).await, Err(Refusal::Full(_))));
        setup.clock.advance(Duration::from_secs(14 * 60));
        setup.exporter.retry();
        whole().await;
        dead(1).await.unwrap();
        setup.clock.advance(Duration::from_secs(5));
    }
    setup.clock.advance(Duration::from_secs(60));
    setup.exporter.retry();
    dead(MOST_TARGETS).await.unwrap();
    whole().await;
    assert_eq!(setup.simulator.calls().received_for("/access/ticket"), 1);
}

#[tokio::test]
async fn all_spellings_of_a_target_are_counted_as_one() {
    let setup = Setup::new("").await;
    setup.rewrite("  port: 1\n  allow_targets: [127.2.0.1]\n");
    let mut config = load(&setup.pve_yml());
    config.switches.target_metrics = true;
    setup.exporter.reload(Ok(config));
    for target in [
        "127.2.0.1",
        "0x7f.2.0.1",
        "127.2.1",
        "127.000002.0.1",
        "2130837505",
        "::ffff:127.2.0.1",
    ] {
        scrape(&setup.exporter, &format!("target={target}&node=0"))
            .await
            .unwrap();
    }
    let own = text(&setup.exporter, Format::Classic).await;
    let counts = own
        .lines()
        .filter(|line| line.starts_with("pve_scrape_target_duration_seconds_count"));
    assert_eq!(
        counts.collect::<Vec<_>>(),
        ["pve_scrape_target_duration_seconds_count{target=\"127.2.0.1\",cluster=\"1\",node=\"0\"} 6"]
    );
}

#[tokio::test]
async fn authorities_are_read_once_for_all_targets() {
    let setup = Setup::with_nodes().await;
    let nodes = setup.simulator.nodes();
    setup.scrape(&nodes[0], "").await;
    std::fs::remove_file(setup.directory.path().join("ca.pem")).unwrap();
    assert_eq!(failed(&setup.scrape(&nodes[1], "").await), [""; 0]);
}

#[tokio::test]
async fn a_reload_that_allows_targets_costs_a_cluster_nothing() {
    let simulator = Simulator::start(options()).await.unwrap();
    let mut config = Config {
        clusters: [("main".to_owned(), cluster(&simulator))].into(),
        ..Config::default()
    };
    let exporter = Exporter::new(config.clone(), Clock::default()).unwrap();
    let first = text(&exporter, Format::Classic).await;
    assert!(first.contains("pve_guest_up{"));
    simulator.reset_calls();
    let allowed = &mut config.clusters.get_mut("main").unwrap().allow_targets;
    allowed.add("pve9.example").unwrap();
    exporter.reload(Ok(config));
    text(&exporter, Format::Classic).await;
    // A scrape that finds nothing held asks for this in any case.
    assert_eq!(simulator.calls().received_for("/cluster/resources"), 0);
    assert!(!matches!(
        scrape_within(&exporter, "target=pve9.example", Duration::ZERO).await,
        Err(Refusal::Target { .. })
    ));
}

/// Whether the program is well, as it says over HTTPS to who trusts this certificate alone.
async fn is_healthy(address: SocketAddr, trusted: &rcgen::Certificate) -> bool {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = "localhost".try_into().unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let Ok(mut stream) = connector.connect(name, stream).await else {
        return false;
    };
    stream.write_all(b"GET /-/healthy HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.ends_with("\r\n\r\nhealthy\n")
}

#[tokio::test]
async fn https_is_served_with_a_certificate_from_files() {
    let new = || rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let [first, second] = [new(), new()];
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    write(path("cert.pem").as_ref(), &first.cert.pem(), 0o644);
    write(path("key.pem").as_ref(), &first.signing_key.serialize_pem(), 0o600);
    let start = |certificate: &str, key: &str| {
        let mut command = command(&[
            "--web.listen-address=127.0.0.1:0",
            "--server.certfile",
            certificate,
            "--server.keyfile",
            key,
        ]);
        command
            .env("PVE_USER", "a@pve")
            .env("PVE_TOKEN_NAME", "prom")
            .env("PVE_TOKEN_VALUE", "x");
        command
    };
    let mut program = Program::start(start(&path("cert.pem"), &path("key.pem")));
    let address = program.address();
    assert!(is_healthy(address, &first.cert).await);

    // Renewed, first the one and then the other.
    write(path("cert.pem").as_ref(), &second.cert.pem(), 0o644);
    assert!(is_healthy(address, &first.cert).await, "until there is its key");
    program.wait_for_log("the old one is");
    write(path("key.pem").as_ref(), &second.signing_key.serialize_pem(), 0o600);
    assert!(is_healthy(address, &second.cert).await);
    assert!(!is_healthy(address, &first.cert).await);

    let wrong = start(&path("key.pem"), &path("key.pem")).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("key.pem"));
}

#[tokio::test]
async fn a_certificate_that_is_gone_is_no_normal_end() {
    let gone = PathBuf::from("/nowhere/cert.pem");
    let (exporter, _) = with_config(&[], |config| {
        config.web.tls = Some(Tls {
            key: gone.clone(),
            certificate: gone,
        });
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let served = server::serve(vec![listener], exporter, std::future::pending()).await;
    assert!(matches!(served, Err(TlsError::File { .. })));
}

#[tokio::test]
async fn nobody_is_told_of_files() {
    let setup = Setup::with_nodes().await;
    std::fs::remove_file(setup.directory.path().join("ca.pem")).unwrap();
    let query = format!("target={}", setup.host(&setup.simulator.nodes()[0]));
    let broken = scrape(&setup.exporter, &query).await.unwrap_err();
    let refused = scrape(&setup.exporter, "target=evil.example").await.unwrap_err();
    assert!(matches!(broken, Refusal::Client { .. }) && matches!(refused, Refusal::Target { .. }));
    for told in [broken, refused] {
        let directory = setup.directory.path().display().to_string();
        assert!(!told.to_string().contains(&directory), "{told}");
    }
}

#[tokio::test]
async fn a_module_that_allows_nobody_is_warned_of() {
    let start = |variables: &[(&str, &str)]| {
        let mut command = command(&["--web.listen-address=127.0.0.1:0"]);
        command
            .env("PVE_USER", "a@pve")
            .env("PVE_PASSWORD", "x")
            .envs(variables.iter().copied());
        let mut program = Program::start(command);
        program.address();
        program
    };
    assert!(start(&[]).log().contains("no module allows a target but this machine"));
    assert!(
        !start(&[("PVE_ALLOW_TARGETS", "pve1.example")])
            .log()
            .contains("no module allows")
    );
}

#[tokio::test]
async fn the_program_takes_the_place_of_the_other() {
    let setup = Setup::with_nodes().await;
    let node = setup.simulator.nodes().remove(0);
    write(
        &setup.pve_yml(),
        &std::fs::read_to_string(setup.pve_yml()).unwrap(),
        0o644,
    );
    let file = setup.pve_yml().display().to_string();
    let mut program = Program::start(command(&[
        "--config.file",
        &file,
        "--web.listen-address",
        "localhost:0",
        "--no-collector.config",
        "--collector.target-metrics",
        "--collector.pve-api-metrics",
    ]));
    let address = program.address();
    program.wait_for_log("everybody on this machine can read the credentials");
    program.wait_for_log("modules at /pve: default");
    let host = setup.host(&node);
    let answer = get(address, &format!("/pve?target={host}&cluster=0"), &[]).await;
    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        Some("text/plain; version=1.0.0; charset=utf-8")
    );
    assert!(answer.text().contains("# TYPE pve_subscription_info gauge\n"));
    assert!(!answer.text().contains("pve_onboot_status"));
    for number in 0..100 {
        let refused = get(address, &format!("/pve?target=evil{}.example", number / 50), &[]).await;
        assert_eq!(refused.status, 403);
        assert!(!refused.text().contains(&file), "{}", refused.text());
    }
    let told = |name: &str| program.log().matches(&format!("target=\"\\\"{name}")).count();
    assert_eq!((told("evil0"), told("evil1")), (1, 1), "{}", program.log());
    assert!(
        program.log().contains(&format!("in {file}, as in allow_targets")),
        "{}",
        program.log()
    );
    for number in 0..100 {
        get(address, &format!("/pve?target=worse{number}.example"), &[]).await;
    }
    assert_eq!(program.log().matches("a scrape of /pve is refused").count(), 64);
    let unknown = get(address, "/pve?module=x", &[]).await;
    assert_eq!(
        (unknown.status, unknown.text()),
        (400, "Module 'x' not found in config")
    );
    let own = get(address, "/metrics", &[]).await;
    for expected in [
        "pve_collection_duration_seconds_count{module=\"default\"} 1\n".to_owned(),
        "pve_request_errors_total{module=\"default\"} 0\n".to_owned(),
        "pve_exporter_pve_refused_total{reason=\"target\"} 200\n".to_owned(),
        "pve_exporter_pve_refused_total{reason=\"module\"} 1\n".to_owned(),
        "pve_exporter_pve_refused_total{reason=\"client\"} 0\n".to_owned(),
        format!("pve_scrape_target_duration_seconds_count{{target=\"{host}\",cluster=\"0\",node=\"1\"}} 1\n"),
        format!("pve_scrape_api_errors_total{{method=\"GET\",url=\"https://{host}/api2/json\"}} 0\n"),
    ] {
        assert!(own.text().contains(&expected), "{expected} in {}", own.text());
    }
    assert!(!own.text().contains("pve_guest_"));
}
