//! Guests one by one over HTTP: their metrics, and where Prometheus finds them. QEMU and the collectors are played.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::collections::BTreeSet;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::GzDecoder;
use futures_util::future::join_all;
use pve_exporter::clock::Clock;
use pve_exporter::config::{Cluster, Config};
use pve_exporter::metrics::exposition::Format;
use pve_exporter::scrape::Exporter;
use pve_exporter::server::{self, tls::TlsError};
use pve_exporter::telemetry::{State, Telemetry, Timing};
use pve_simulator::Simulator;
use serde_json::{Value, json};
use support::collector::{Machine, Manner};
use support::exporters::{checked, text, with_clock};
use support::http::{Answer, get};
use support::simulated::{cluster, options, until};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const OPENMETRICS: &str = "Accept: application/openmetrics-text;version=1.0.0";

/// A node with guests, and its exporter.
struct Node {
    exporter: Arc<Exporter>,
    telemetry: Option<Arc<Telemetry>>,
    address: SocketAddr,
    clock: Clock,
    serving: JoinHandle<Result<(), TlsError>>,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Node {
    /// One of the first of `clusters`, with what is in `directory`.
    async fn start(clusters: &[(&str, Cluster)], directory: &TempDir, timing: Timing) -> Self {
        Self::start_on("pve1", clusters, directory, timing).await
    }

    async fn start_on(name: &str, clusters: &[(&str, Cluster)], directory: &TempDir, timing: Timing) -> Self {
        let clock = Clock::default();
        let mut config = config(clusters);
        config.guest_telemetry.enabled = true;
        config.guest_telemetry.directory = directory.path().to_owned();
        config.guest_telemetry.cluster = Some(clusters[0].0.to_owned());
        config.guest_telemetry.node = Some(name.to_owned());
        let telemetry = Telemetry::start_with(&config.guest_telemetry, clock.clone(), timing);
        let exporter = Exporter::with_telemetry(config, clock.clone(), Some(Arc::clone(&telemetry))).unwrap();
        Self::serve(exporter, Some(telemetry), clock).await
    }

    async fn serve(exporter: Arc<Exporter>, telemetry: Option<Arc<Telemetry>>, clock: Clock) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = server::serve(vec![listener], Arc::clone(&exporter), std::future::pending());
        Self {
            exporter,
            telemetry,
            address,
            clock,
            serving: tokio::spawn(serving),
        }
    }

    async fn get(&self, path: &str) -> Answer {
        get(self.address, path, &[]).await
    }

    /// The status of a HEAD, whose answer must have no body.
    async fn head(&self, path: &str) -> u16 {
        let request = format!("HEAD {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("\r\n\r\n"), "{answer}");
        answer.split(' ').nth(1).unwrap().parse().unwrap()
    }

    async fn until_state(&self, vmid: u32, state: State) {
        until(state.as_str(), || {
            let guest = self.telemetry.as_ref().unwrap().guest(vmid);
            guest.is_some_and(|guest| guest.snapshot().state == state)
        })
        .await;
    }

    async fn targets(&self, path: &str) -> Vec<Value> {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some("application/json"));
        serde_json::from_slice(&answer.body).unwrap()
    }
}

fn config(clusters: &[(&str, Cluster)]) -> Config {
    let named = |(name, cluster): &(&str, Cluster)| ((*name).to_owned(), cluster.clone());
    Config {
        clusters: clusters.iter().map(named).collect(),
        ..Config::default()
    }
}

/// Guests are found at once, and a sample is as good as an answer for long.
fn timing() -> Timing {
    Timing {
        scan: Duration::from_millis(10),
        answer: Duration::from_secs(300),
        recent: Duration::from_secs(300),
        ..Timing::default()
    }
}

/// The cluster `main`, and an exporter on its node pve1.
async fn node(directory: &TempDir) -> (Simulator, Node) {
    let simulator = Simulator::start(options()).await.unwrap();
    let node = Node::start(&[("main", cluster(&simulator))], directory, timing()).await;
    (simulator, node)
}

const METRICS: &str = "/guests/main/qemu/100/metrics";

#[tokio::test]
async fn a_guest_is_scraped_in_both_formats() {
    let directory = TempDir::new().unwrap();
    let _machine = Machine::start(directory.path(), 100, Manner::Talks);
    let (simulator, node) = node(&directory).await;
    node.until_state(100, State::Healthy).await;

    let answer = node.get(METRICS).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some(Format::Classic.content_type()));
    assert_eq!(answer.header("vary"), Some("accept, accept-encoding"));
    let exposition = checked(answer.text(), Format::Classic);
    let nodename = exposition.samples("node_uname_info").next().unwrap().label("nodename");
    assert_eq!(nodename, Some("qemu/100"), "PVE has told nothing yet");

    node.exporter.warm_up().await;
    let answer = get(node.address, METRICS, &[OPENMETRICS, "Accept-Encoding: gzip"]).await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    GzDecoder::new(&answer.body[..]).read_to_string(&mut text).unwrap();
    let exposition = checked(&text, Format::OpenMetrics);
    let nodename = exposition.samples("node_uname_info").next().unwrap().label("nodename");
    assert_eq!(nodename, Some(&*simulator.guest(100).unwrap().settings.name));
    assert!(
        !text.contains("pve_cluster="),
        "the target's labels tell whose they are"
    );
    assert_eq!(exposition.value("node_load1", &[]), Some(0.42));
}

#[tokio::test]
async fn what_is_not_here_is_not_found() {
    let directory = TempDir::new().unwrap();
    let _machine = Machine::start(directory.path(), 100, Manner::Talks);
    let (simulator, node) = node(&directory).await;
    node.until_state(100, State::Healthy).await;
    for (path, why) in [
        (
            "/guests/other/qemu/100/metrics",
            "this node belongs to the cluster \"main\"\n",
        ),
        (
            "/guests/main/qemu/101/metrics",
            "no virtual machine 101 with a port runs on this node\n",
        ),
        ("/guests/main/lxc/100/metrics", "only virtual machines have ports\n"),
        ("/guests/main/qemu/0100/metrics", "only virtual machines have ports\n"),
        ("/guests/main/qemu/100", "not found; metrics are at /metrics\n"),
        ("/guests/main/qemu/100/metrics/", "not found; metrics are at /metrics\n"),
    ] {
        let answer = node.get(path).await;
        assert_eq!((answer.status, answer.text()), (404, why), "{path}");
        assert_eq!(node.head(path).await, 404, "{path}");
    }
    let exporter = Exporter::new(config(&[("main", cluster(&simulator))]), Clock::default()).unwrap();
    let without = Node::serve(exporter, None, Clock::default()).await;
    let answer = without.get(METRICS).await;
    assert_eq!(
        (answer.status, answer.text()),
        (404, "ports of guests are not read here: [guest_telemetry] is off\n")
    );
}

#[tokio::test]
async fn without_a_sample_the_answer_tells_what_to_do() {
    let directory = TempDir::new().unwrap();
    let _silent = Machine::start(directory.path(), 100, Manner::Silent);
    let _stranger = Machine::of_process(directory.path(), 101, Manner::Talks, 1);
    let simulator = Simulator::start(options()).await.unwrap();
    let timing = Timing {
        answer: Duration::from_millis(10),
        ..timing()
    };
    let node = Node::start(&[("main", cluster(&simulator))], &directory, timing).await;
    for (vmid, state) in [(100, State::Connecting), (101, State::Misattributed)] {
        node.until_state(vmid, state).await;
        let path = format!("/guests/main/qemu/{vmid}/metrics");
        let answer = node.get(&path).await;
        let text = answer.text();
        assert_eq!(answer.status, 503, "{text}");
        assert!(
            text.starts_with(&format!("qemu/{vmid} is {} (", state.as_str())),
            "{text}"
        );
        assert!(text.ends_with(&format!("): {}\n", state.remedy())), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!(node.head(&path).await, 503);
    }
}

#[tokio::test]
async fn a_guest_that_the_configuration_leaves_out_stays_out() {
    let directory = TempDir::new().unwrap();
    let _machine = Machine::start(directory.path(), 100, Manner::Talks);
    let simulator = Simulator::start(options()).await.unwrap();
    let mut main = cluster(&simulator);
    main.guests.exclude.vmids = vec!["100".parse().unwrap()];
    let node = Node::start(&[("main", main)], &directory, timing()).await;
    node.until_state(100, State::Healthy).await;
    node.exporter.warm_up().await;
    assert_eq!(node.get(METRICS).await.status, 404);
    assert_eq!(node.targets("/sd/guests").await, Vec::<Value>::new());
    assert!(
        !text(&node.exporter, Format::Classic)
            .await
            .contains("pve_guest_collector_state")
    );
}

#[tokio::test]
async fn a_head_asks_the_guest_for_nothing() {
    let directory = TempDir::new().unwrap();
    let machine = Machine::start(directory.path(), 100, Manner::Answers);
    machine.answer();
    let (_simulator, node) = node(&directory).await;
    node.until_state(100, State::Healthy).await;
    let asked = machine.requests();
    assert_eq!(node.head(METRICS).await, 200);
    assert_eq!(machine.requests(), asked);
}

#[tokio::test]
async fn ten_scrapers_share_one_answer() {
    let directory = TempDir::new().unwrap();
    let machine = Machine::start(directory.path(), 100, Manner::Answers);
    let (_simulator, node) = node(&directory).await;
    until("the request", || machine.requests() == 1).await;
    let scrapers: Vec<_> = (0..10)
        .map(|_| {
            let address = node.address;
            tokio::spawn(async move { get(address, METRICS, &[]).await })
        })
        .collect();
    machine.answer();
    for answer in join_all(scrapers).await {
        let answer = answer.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    assert_eq!(machine.requests(), 1);
}

#[tokio::test]
async fn the_summary_stands_among_the_metrics_of_the_cluster() {
    let directory = TempDir::new().unwrap();
    let _machine = Machine::start(directory.path(), 100, Manner::Talks);
    let _silent = Machine::start(directory.path(), 101, Manner::Silent);
    let simulator = Simulator::start(options()).await.unwrap();
    let other = Simulator::start(options()).await.unwrap();
    let clusters = [("main", cluster(&simulator)), ("other", cluster(&other))];
    let node = Node::start(&clusters, &directory, timing()).await;
    node.until_state(100, State::Healthy).await;
    node.until_state(101, State::Connecting).await;

    let exposition = checked(&text(&node.exporter, Format::OpenMetrics).await, Format::OpenMetrics);
    let of = |vmid| [("pve_cluster", "main"), ("id", vmid)];
    let state = |vmid, state| {
        let labels = [of(vmid)[0], of(vmid)[1], ("state", state)];
        exposition.value("pve_guest_collector_state", &labels)
    };
    assert_eq!(state("qemu/100", "healthy"), Some(1.0));
    assert_eq!(state("qemu/101", "connecting"), Some(1.0));
    assert_eq!(exposition.value("pve_guest_os_load1", &of("qemu/100")), Some(0.42));
    assert_eq!(exposition.value("pve_guest_os_load1", &of("qemu/101")), None);
    assert!(exposition.value("pve_guest_collector_received_lines_total", &of("qemu/100")) > Some(1.0));
    let damaged = [of("qemu/100")[0], of("qemu/100")[1], ("reason", "damaged")];
    assert_eq!(
        exposition.value("pve_guest_collector_dropped_total", &damaged),
        Some(1.0)
    );
    let summary = exposition.families.iter().flat_map(|family| &family.samples);
    let summary = summary.filter(|sample| sample.name.starts_with("pve_guest_os_"));
    assert_eq!(summary.count(), 15, "of a guest that tells everything");

    for (path, shown) in [
        ("/metrics?cluster=main", true),
        ("/metrics?cluster=other", false),
        ("/metrics?collect[]=resources", true),
        ("/metrics?collect[]=version", false),
    ] {
        let answer = node.get(path).await;
        assert_eq!(answer.text().contains("pve_guest_collector_state{"), shown, "{path}");
    }
}

#[tokio::test]
async fn a_node_tells_its_own_guests() {
    let directory = TempDir::new().unwrap();
    let _machines = [
        Machine::start(directory.path(), 100, Manner::Talks),
        Machine::start(directory.path(), 99_999, Manner::Silent),
    ];
    let (simulator, node) = node(&directory).await;
    assert!(simulator.set_guest(100, |settings| {
        settings.tags = Some("web;prod".to_owned());
        settings.pool = Some("shop".to_owned());
    }));
    node.until_state(100, State::Healthy).await;
    node.until_state(99_999, State::Connecting).await;
    let unnamed = node.get("/sd/guests").await;
    assert_eq!(
        (unnamed.status, unnamed.text()),
        (503, "cluster main: PVE has not told yet how guests are called\n")
    );

    node.exporter.warm_up().await;
    let guest = simulator.guest(100).unwrap();
    let target = json!({
        "targets": [node.address.to_string()],
        "labels": {
            "instance": "main/qemu/100",
            "__metrics_path__": "/guests/main/qemu/100/metrics",
            "__meta_pve_cluster": "main",
            "__meta_pve_type": "qemu",
            "__meta_pve_vmid": "100",
            "__meta_pve_node": guest.node,
            "__meta_pve_name": guest.settings.name,
            "__meta_pve_pool": "shop",
            "__meta_pve_tags": ";web;prod;",
        },
    });
    // One that PVE has not listed yet is a target, too.
    let new = json!({
        "targets": [node.address.to_string()],
        "labels": {
            "instance": "main/qemu/99999",
            "__metrics_path__": "/guests/main/qemu/99999/metrics",
            "__meta_pve_cluster": "main",
            "__meta_pve_type": "qemu",
            "__meta_pve_vmid": "99999",
            "__meta_pve_node": "pve1",
        },
    });
    assert_eq!(node.targets("/sd/guests").await, [target, new]);
    assert_eq!(node.get("/sd/guests?cluster=other").await.status, 404);
    assert_eq!(node.get("/sd/guests?vmid=100").await.status, 400);
    assert_eq!(node.head("/sd/guests").await, 200);

    // A guest that has gone is no target, and a directory that has gone is no list.
    std::fs::remove_file(directory.path().join("99999.telemetry")).unwrap();
    std::fs::remove_file(directory.path().join("99999.pid")).unwrap();
    until("the guest goes", || {
        node.telemetry.as_ref().unwrap().guest(99_999).is_none()
    })
    .await;
    assert_eq!(node.targets("/sd/guests?cluster=main").await.len(), 1);
    drop(directory);
    until("the scan fails", || {
        node.telemetry.as_ref().unwrap().complete().is_err()
    })
    .await;
    let answer = node.get("/sd/guests").await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.text().starts_with("cluster main: cannot read "),
        "{}",
        answer.text()
    );
}

#[tokio::test]
async fn a_node_tells_no_guest_that_runs_on_another() {
    let directory = TempDir::new().unwrap();
    let (simulator, node) = node(&directory).await;
    let machines = simulator.guests().into_iter().filter(is_machine);
    let [own, own_taken, stopped, coming, taken] = *machines.map(|guest| guest.vmid).take(5).collect::<Vec<_>>() else {
        panic!("too few machines")
    };
    for vmid in [own, own_taken, stopped] {
        assert!(simulator.migrate(vmid, "pve1"));
    }
    for vmid in [coming, taken] {
        assert!(simulator.migrate(vmid, "pve2"));
    }
    assert!(simulator.stop(stopped));
    let gone = 99_999;
    let play = |vmid| Machine::start(directory.path(), vmid, Manner::Silent);
    let play_stranger = |vmid| Machine::of_process(directory.path(), vmid, Manner::Silent, 1);
    let _machines = [own, coming].map(play);
    let _strangers = [own_taken, stopped, taken, gone].map(play_stranger);
    for vmid in [own, coming] {
        node.until_state(vmid, State::Connecting).await;
    }
    for vmid in [own_taken, stopped, taken, gone] {
        node.until_state(vmid, State::Misattributed).await;
    }
    node.exporter.warm_up().await;
    let numbers = async || {
        let targets = node.targets("/sd/guests").await;
        let number = |target: &Value| target["labels"]["__meta_pve_vmid"].as_str().unwrap().parse::<u32>();
        targets
            .iter()
            .map(|target| number(target).unwrap())
            .collect::<BTreeSet<_>>()
    };
    assert_eq!(numbers().await, BTreeSet::from([own, own_taken]));
    // Once it runs here it is one, whether it has told something or not.
    assert!(simulator.migrate(coming, "pve1"));
    node.clock.advance(Duration::from_secs(60));
    assert_eq!(numbers().await, BTreeSet::from([own, own_taken, coming]));

    let fault = simulator.inject("status=500:/cluster/resources".parse::<pve_simulator::Fault>().unwrap());
    node.clock.advance(Duration::from_secs(3600));
    let answer = node.get("/sd/guests").await;
    assert_eq!(
        (answer.status, answer.text()),
        (503, "cluster main: PVE's list of guests is not known\n")
    );
    simulator.clear(fault);
}

#[tokio::test]
async fn a_node_that_pve_does_not_know_has_no_list() {
    let directory = TempDir::new().unwrap();
    let simulator = Simulator::start(options()).await.unwrap();
    let vmid = simulator.guests().into_iter().find(is_machine).unwrap().vmid;
    let machine = Machine::start(directory.path(), vmid, Manner::Silent);
    let node = Node::start_on("web", &[("main", cluster(&simulator))], &directory, timing()).await;
    node.until_state(vmid, State::Connecting).await;
    node.exporter.warm_up().await;
    let answer = node.get("/sd/guests").await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("PVE has no node \"web\""), "{}", answer.text());
    drop(machine);
}

#[tokio::test]
async fn a_central_exporter_tells_whose_configuration_has_the_port() {
    let simulator = Simulator::start(options()).await.unwrap();
    let clock = Clock::default();
    let exporter = with_clock(&[("main", cluster(&simulator))], &clock, |config| {
        config.guest_telemetry.target = "{node}.example:9221".to_owned();
    });
    let node = Node::serve(exporter, None, clock).await;
    let port = "-device virtserialport,bus=tel0.0,chardev=telc,name=org.pve-telemetry.guest.0";
    let machines: Vec<_> = simulator.guests().into_iter().filter(is_machine).take(3).collect();
    for machine in &machines {
        simulator.set_guest(machine.vmid, |settings| settings.args = Some(port.to_owned()));
    }
    let [first, moving, stopped] = &machines[..] else {
        panic!("{machines:?}")
    };
    assert!(simulator.stop(stopped.vmid));

    let early = node.get("/sd/guests").await;
    assert_eq!(early.status, 503);
    assert!(
        early.text().contains("configurations have not been read yet"),
        "{}",
        early.text()
    );
    let targets = until_surveyed(&node).await;
    let expected = |vmid: u32, on: &str| {
        let found = targets
            .iter()
            .find(|target| target["labels"]["__meta_pve_vmid"] == json!(vmid.to_string()));
        let found = found.unwrap_or_else(|| panic!("{vmid} in {targets:?}"));
        assert_eq!(found["targets"], json!([format!("{on}.example:9221")]));
        assert_eq!(found["labels"]["instance"], json!(format!("main/qemu/{vmid}")));
        assert_eq!(found["labels"]["__meta_pve_node"], json!(on));
    };
    assert_eq!(targets.len(), 2, "the stopped one is none: {targets:?}");
    expected(first.vmid, &first.node);
    expected(moving.vmid, &moving.node);

    // It moves, and stays the same instance at another address.
    let to = simulator.nodes().into_iter().find(|node| *node != moving.node).unwrap();
    assert!(simulator.migrate(moving.vmid, &to));
    node.clock.advance(Duration::from_secs(60));
    let targets = until_surveyed(&node).await;
    let found = targets
        .iter()
        .find(|target| target["labels"]["instance"] == json!(format!("main/qemu/{}", moving.vmid)));
    assert_eq!(found.unwrap()["targets"], json!([format!("{to}.example:9221")]));

    // Without a list that counts there is none.
    let fault = simulator.inject("status=500:/cluster/resources".parse::<pve_simulator::Fault>().unwrap());
    node.clock.advance(Duration::from_secs(3600));
    let answer = node.get("/sd/guests").await;
    assert_eq!(
        (answer.status, answer.text()),
        (503, "cluster main: PVE's list of guests is not known\n")
    );
    simulator.clear(fault);
}

fn is_machine(guest: &pve_simulator::GuestSummary) -> bool {
    guest.kind == pve_simulator::GuestKind::Qemu && guest.running && !guest.settings.template
}

/// Asks until every configuration has been read.
async fn until_surveyed(node: &Node) -> Vec<Value> {
    for _ in 0..600 {
        let answer = node.get("/sd/guests").await;
        if answer.status == 200 {
            return serde_json::from_slice(&answer.body).unwrap();
        }
        node.clock.advance(Duration::from_secs(1));
        node.exporter.retry();
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("never a list: {}", node.get("/sd/guests").await.text());
}
