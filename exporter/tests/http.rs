//! What the exporter serves, over real connections, with a simulated cluster behind it.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::io::Read as _;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flate2::read::GzDecoder;
use pve_exporter::config::{Cluster, Config};
use pve_exporter::metrics::exposition::Format;
use pve_exporter::scrape::Exporter;
use pve_exporter::server::{self, tls::TlsError};
use pve_simulator::{Fault, FaultKind, Options, Simulator};
use support::exporters::{checked, with_config};
use support::http::{Answer, get, send};
use support::simulated::{cluster, options, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const PROMETHEUS_2_42: &str = "Accept: application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const PROMETHEUS_3_5: &str = "Accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";

struct Serving {
    address: SocketAddr,
    exporter: Arc<Exporter>,
    end: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), TlsError>>,
}

impl Serving {
    async fn start(clusters: &[(&str, Cluster)], change: impl FnOnce(&mut Config)) -> Self {
        let (exporter, _) = with_config(clusters, change);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (end, ended) = oneshot::channel::<()>();
        let serving = server::serve(vec![listener], Arc::clone(&exporter), async move { drop(ended.await) });
        Self {
            address,
            exporter,
            end: Some(end),
            task: tokio::spawn(serving),
        }
    }

    async fn get(&self, target: &str, headers: &[&str]) -> Answer {
        get(self.address, target, headers).await
    }

    async fn send(&self, request: &str) -> Answer {
        send(self.address, request.as_bytes()).await.unwrap()
    }

    /// A GET that goes on in the background.
    fn getting(&self, target: &'static str, headers: &'static [&'static str]) -> JoinHandle<Answer> {
        let address = self.address;
        tokio::spawn(async move { get(address, target, headers).await })
    }
}

/// A simulated cluster called `main`, and an exporter that serves it.
async fn serving() -> (Simulator, Serving) {
    let simulator = Simulator::start(options()).await.unwrap();
    let serving = Serving::start(&[("main", cluster(&simulator))], |_| {}).await;
    (simulator, serving)
}

/// An exporter without clusters, for what concerns connections alone.
async fn empty() -> Serving {
    Serving::start(&[], |_| {}).await
}

#[tokio::test]
async fn the_format_is_negotiated() {
    let (_simulator, serving) = serving().await;
    let openmetrics = (
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
        Format::OpenMetrics,
    );
    let classic = ("text/plain; version=0.0.4; charset=utf-8", Format::Classic);
    for (headers, (content_type, format)) in [
        (&[PROMETHEUS_2_42][..], openmetrics),
        (&[PROMETHEUS_3_5], openmetrics),
        (&["Accept: */*"], classic),
        (&[], classic),
    ] {
        let answer = serving.get("/metrics", headers).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(content_type))
        );
        assert_eq!(answer.header("content-encoding"), None);
        assert_eq!(answer.header("vary"), Some("accept, accept-encoding"));
        let exposition = checked(answer.text(), format);
        assert_eq!(exposition.samples("pve_node_up").count(), 3);
    }
}

#[tokio::test]
async fn gzip_on_request() {
    let (_simulator, serving) = serving().await;
    let answer = serving
        .get("/metrics", &["Accept-Encoding: gzip", PROMETHEUS_3_5])
        .await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    GzDecoder::new(&answer.body[..]).read_to_string(&mut text).unwrap();
    assert!(text.len() > 4 * answer.body.len());
    checked(&text, Format::OpenMetrics);
}

#[tokio::test]
async fn one_cluster_of_several() {
    let (first, second) = (
        Simulator::start(options()).await.unwrap(),
        Simulator::start(options()).await.unwrap(),
    );
    let serving = Serving::start(&[("a", cluster(&first)), ("b", cluster(&second))], |_| {}).await;
    let of = |text: &str, name: &str| text.contains(&format!("pve_guest_up{{pve_cluster=\"{name}\""));
    let both = serving.get("/metrics", &[]).await;
    assert!(of(both.text(), "a") && of(both.text(), "b"));
    let one = serving.get("/metrics?cluster=b", &[]).await;
    assert!(!of(one.text(), "a") && of(one.text(), "b"));
    let unknown = serving.get("/metrics?cluster=c", &[]).await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.text(), "cluster \"c\" is not configured; there are: a, b\n");
}

#[tokio::test]
async fn sources_are_chosen() {
    let (simulator, serving) = serving().await;
    let answer = serving
        .get("/metrics?collect[]=version&collect[]=cluster_status", &[])
        .await;
    let exposition = checked(answer.text(), Format::Classic);
    assert_eq!(exposition.value("pve_cluster_quorate", &[]), Some(1.0));
    assert_eq!(exposition.samples("pve_guest_up").count(), 0);
    assert_eq!(simulator.calls().received_for("/cluster/resources"), 0);
    let answer = serving.get("/metrics?exclude%5B%5D=cluster_status", &[]).await;
    let exposition = checked(answer.text(), Format::Classic);
    assert_eq!(exposition.value("pve_cluster_quorate", &[]), None);
    assert!(exposition.samples("pve_guest_up").count() > 0);
    for (query, essential) in [
        (
            "collect[]=resource",
            "resources, metrics_export, cluster_status, node_status, version, permissions",
        ),
        ("colect[]=resources", "cluster, collect[], exclude[]"),
        ("collect[]=version&exclude[]=version", "leave no source"),
    ] {
        let answer = serving.get(&format!("/metrics?{query}"), &[]).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(essential), "{}", answer.text());
    }
}

#[tokio::test]
async fn the_scrapers_deadline_holds() {
    let (simulator, serving) = serving().await;
    simulator.inject(Fault::new(FaultKind::Hang).at("/cluster/resources"));
    let started = Instant::now();
    let answer = serving
        .get("/metrics", &["X-Prometheus-Scrape-Timeout-Seconds: 2"])
        .await;
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let exposition = checked(answer.text(), Format::Classic);
    assert_eq!(answer.status, 200);
    assert_eq!(exposition.value("pve_cluster_quorate", &[]), Some(1.0));
    assert_eq!(exposition.samples("pve_guest_up").count(), 0);
}

#[tokio::test]
async fn scrapes_at_once_are_limited() {
    let simulator = Simulator::start(options()).await.unwrap();
    let serving = Serving::start(&[("main", cluster(&simulator))], |config| {
        config.web.max_concurrent_scrapes = NonZeroUsize::MIN;
    })
    .await;
    simulator.inject(Fault::new(FaultKind::Slow(Duration::from_secs(1))).at("/cluster/resources"));
    let first = serving.getting("/metrics", &[]);
    until("a scrape under way", || {
        simulator.calls().received_for("/cluster/resources") > 0
    })
    .await;
    let refused = serving.get("/metrics", &[]).await;
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")));
    assert_eq!(serving.get("/-/healthy", &[]).await.status, 200);
    assert_eq!(first.await.unwrap().status, 200);
    let after = serving.get("/metrics", &[]).await;
    let exposition = checked(after.text(), Format::Classic);
    assert_eq!(exposition.value("pve_exporter_scrapes_refused_total", &[]), Some(1.0));
}

#[tokio::test]
async fn heads_are_bounded() {
    let serving = empty().await;
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(serving.send(&long).await.status, 431);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(100));
    assert_eq!(serving.send(&many).await.status, 431);
    assert_eq!(serving.send("no HTTP at all\r\n\r\n").await.status, 400);
}

#[tokio::test]
async fn methods_bodies_and_paths() {
    let serving = empty().await;
    let post = serving
        .send("POST /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab")
        .await;
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
    for path in ["/metrics", "/-/healthy"] {
        let head = format!("HEAD {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let mut stream = TcpStream::connect(serving.address).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"),
            "{path}: {answer}"
        );
    }
    let body = serving
        .send("GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab")
        .await;
    assert_eq!(body.status, 200);
    let unknown = serving.get("/metric", &[]).await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("/metrics"));
}

/// Time stands still but for waits, so whoever waits longest is waited for at once.
#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_is_cut_off() {
    let serving = empty().await;
    let started = tokio::time::Instant::now();
    let mut slow = TcpStream::connect(serving.address).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(1000), slow.read_to_end(&mut answer));
    drop(read.await.expect("the connection is closed"));
    assert!(!answer.starts_with(b"HTTP/1.1 200"));
    let took = started.elapsed();
    assert!((75..150).contains(&took.as_secs()), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_is_cut_off() {
    let serving = Serving::start(&[], |config| config.web.max_concurrent_scrapes = NonZeroUsize::MIN).await;
    let one = serving.get("/metrics", &[]).await.body.len();
    let requests = 20_000_000 / one;
    let mut deaf = TcpStream::connect(serving.address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", serving.address).repeat(requests);
    // The server stops reading when its answers are not taken, and then gives up.
    let write = tokio::time::timeout(Duration::from_secs(10), deaf.write_all(request.as_bytes()));
    drop(write.await);
    // Passes at once, when the server has nothing left to do but to wait.
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(
        serving.get("/metrics", &[]).await.status,
        200,
        "its place is free again"
    );
    let mut answers = Vec::new();
    drop(deaf.read_to_end(&mut answers).await);
    assert!(
        answers.len() < one * requests / 2,
        "{} of {}",
        answers.len(),
        one * requests
    );
}

#[tokio::test]
async fn a_client_that_reads_nothing_keeps_its_place() {
    // An answer that is larger than what is buffered on its way.
    let simulator = Simulator::start(Options {
        guests: 300,
        ..options()
    })
    .await
    .unwrap();
    let serving = Serving::start(&[("main", cluster(&simulator))], |config| {
        config.web.max_concurrent_scrapes = NonZeroUsize::MIN;
    })
    .await;
    serving.exporter.warm_up().await;
    let address = serving.address;
    let _deaf = tokio::spawn(async move {
        let mut stream = TcpStream::connect(address).await.unwrap();
        loop {
            // Stops where the server does, when nobody takes its answers.
            stream
                .write_all(b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
                .await
                .unwrap();
        }
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    let mut refusals = 0;
    while refusals < 5 {
        assert!(Instant::now() < deadline, "its answers are not counted as under way");
        let refused = serving.get("/metrics", &[]).await.status == 503;
        refusals = if refused { refusals + 1 } else { 0 };
    }
    assert_eq!(serving.get("/-/healthy", &[]).await.status, 200);
}

#[tokio::test]
async fn idle_and_slow_clients_do_not_hinder_others() {
    let (_simulator, serving) = serving().await;
    let mut clients = Vec::new();
    for index in 0..100 {
        let mut client = TcpStream::connect(serving.address).await.unwrap();
        let request = if index % 2 == 0 {
            "GET /metrics HTTP/1.1\r\nHo"
        } else {
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        };
        client.write_all(request.as_bytes()).await.unwrap();
        clients.push(client);
    }
    assert_eq!(serving.get("/metrics", &[]).await.status, 200);
}

/// Scrapes until that costs no call any more, since what no scrape waits for has been read as well; gives the number of calls.
async fn everything_is_read(simulator: &Simulator, serving: &Serving) -> u64 {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        assert!(Instant::now() < deadline, "it never ends to read");
        let before = simulator.calls().received();
        serving.get("/metrics", &[]).await;
        // The exporter shares this thread: whatever it has started gets its requests out.
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
        let running = simulator.nodes().iter().any(|node| simulator.running_calls(node) > 0);
        if !running && simulator.calls().received() == before {
            return before;
        }
    }
}

#[tokio::test]
async fn scrapers_at_once_get_the_same_bytes_for_one_set_of_calls() {
    let (simulator, serving) = serving().await;
    serving.exporter.warm_up().await;
    let before = everything_is_read(&simulator, &serving).await;
    let scrapes: Vec<_> = (0..10)
        .map(|_| serving.getting("/metrics", &[PROMETHEUS_3_5]))
        .collect();
    let mut texts = Vec::new();
    for scrape in scrapes {
        let answer = scrape.await.unwrap();
        let ours = |line: &&str| !["pve_exporter_", "process_"].iter().any(|prefix| line.contains(prefix));
        texts.push(answer.text().lines().filter(ours).collect::<Vec<_>>().join("\n"));
    }
    assert!(texts[0].contains("pve_guest_up"));
    texts.dedup();
    assert_eq!(texts.len(), 1);
    assert_eq!(simulator.calls().received(), before);
}

#[tokio::test]
async fn pages_and_probes() {
    let (_simulator, serving) = serving().await;
    let page = serving.get("/", &[]).await;
    assert_eq!(
        (page.status, page.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    assert!(page.text().contains("/metrics"));
    assert_eq!(serving.get("/-/healthy", &[]).await.status, 200);
    assert_eq!(serving.get("/-/ready", &[]).await.status, 503);
    serving.exporter.warm_up().await;
    assert_eq!(serving.get("/-/ready", &[]).await.status, 200);
}

#[tokio::test]
async fn clusters_are_discovered() {
    let simulator = Simulator::start(options()).await.unwrap();
    let serving = Serving::start(&[("a", cluster(&simulator)), ("b", cluster(&simulator))], |_| {}).await;
    let answer = serving.get("/sd/clusters", &[]).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let group = |name: &str| {
        serde_json::json!({
            "targets": [serving.address.to_string()],
            "labels": {
                "__metrics_path__": "/metrics",
                "__param_cluster": name,
                "__meta_pve_cluster": name,
                "instance": name,
            },
        })
    };
    let found: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(found, serde_json::json!([group("a"), group("b")]));
    let nameless = serving.send("GET /sd/clusters HTTP/1.0\r\n\r\n").await;
    assert_eq!(nameless.status, 400);
}

#[tokio::test]
async fn the_end_lets_answers_finish() {
    let (simulator, mut serving) = serving().await;
    simulator.inject(Fault::new(FaultKind::Slow(Duration::from_secs(1))).at("/cluster/resources"));
    let scrape = serving.getting("/metrics", &[]);
    until("a scrape under way", || {
        simulator.calls().received_for("/cluster/resources") > 0
    })
    .await;
    let mut idle = TcpStream::connect(serving.address).await.unwrap();
    idle.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    assert!(idle.read(&mut [0; 512]).await.unwrap() > 0);
    serving.end.take().unwrap().send(()).unwrap();
    let refused = || std::net::TcpStream::connect(serving.address).is_err();
    until("new connections are refused", refused).await;
    assert!(!scrape.is_finished());
    let answer = scrape.await.unwrap();
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("pve_guest_up"));
    let end = tokio::time::timeout(Duration::from_secs(5), serving.task);
    end.await
        .expect("an idle connection does not delay the end")
        .unwrap()
        .unwrap();
    drop(idle);
}
