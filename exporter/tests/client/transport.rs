//! Protocol, compression, proxy, connections, limits and time-outs.

use std::io::Write as _;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::FutureExt as _;
use pve_exporter::clock::Clock;
use pve_exporter::config::Cluster;
use pve_exporter::metrics::exposition::Format;
use pve_exporter::pve::api::agent::Command;
use pve_exporter::pve::budget::Cost;
use pve_exporter::pve::client::Request;
use pve_exporter::pve::error::ApiError;
use pve_simulator::{FaultKind, Options, Simulator};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::support::exporters;
use crate::support::scripted_server::{Answer, ScriptedServer, ok};
use crate::support::simulated::{START, cluster, options, until};
use crate::{client, client_at, version};

const BODY: &str = "{\"data\":{\"version\":\"9.0\"}}";

#[tokio::test]
async fn http_1_1_and_no_compression_unless_asked() {
    let server = ScriptedServer::start(|_| Answer::Keep(ok(BODY))).await;
    client(&server.cluster()).get(&version()).await.unwrap();
    let request = &server.received()[0];
    assert!(
        request.head.starts_with("GET /api2/json/version HTTP/1.1\r\n"),
        "{}",
        request.head
    );
    assert_ne!(request.alpn.as_deref(), Some("h2"));
    assert_eq!(request.header("accept-encoding"), None);
    assert!(request.header("user-agent").unwrap().starts_with("pve-exporter/"));
    assert!(
        request
            .header("authorization")
            .unwrap()
            .starts_with("PVEAPIToken=exporter@pve!test=")
    );
}

#[tokio::test]
async fn gzip_when_asked() {
    let server = ScriptedServer::start(|request| {
        assert!(request.header("accept-encoding").unwrap().contains("gzip"));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(BODY.as_bytes()).unwrap();
        let body = gzip.finish().unwrap();
        let mut answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        answer.extend(body);
        Answer::Keep(answer)
    })
    .await;
    let config = Cluster {
        compression: true,
        ..server.cluster()
    };
    assert_eq!(client(&config).get(&version()).await.unwrap().body, BODY);
}

#[tokio::test]
async fn redirects_are_errors() {
    let elsewhere = ScriptedServer::start(|_| Answer::Keep(ok(BODY))).await;
    let answer = format!(
        "HTTP/1.1 302 Found\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        elsewhere.url
    );
    let server = ScriptedServer::start(move |_| Answer::Keep(answer.clone().into_bytes())).await;
    let error = client(&server.cluster()).get(&version()).await.unwrap_err();
    assert!(matches!(error, ApiError::Status { status: 302, .. }), "{error:?}");
    assert!(elsewhere.received().is_empty());
}

#[tokio::test]
async fn through_a_proxy_that_is_named() {
    let server = ScriptedServer::start(|_| Answer::Keep(ok(BODY))).await;
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Cluster {
        proxy: Some(format!("http://{}", proxy.local_addr().unwrap()).parse().unwrap()),
        ..server.cluster()
    };
    let asked = tokio::spawn(async move {
        let mut head = [0; 512];
        let (mut stream, _) = proxy.accept().await.unwrap();
        let length = stream.read(&mut head).await.unwrap();
        String::from_utf8_lossy(&head[..length]).into_owned()
    });
    client(&config).get(&version()).await.unwrap_err();
    let asked = asked.await.unwrap();
    assert!(
        asked.starts_with(&format!("CONNECT {}", server.url.authority())),
        "{asked}"
    );
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_pooled_connection_that_is_cut_is_replaced_once() {
    let server = ScriptedServer::start(|request| match (request.connection, request.index) {
        (0, 1) => Answer::Close(Vec::new()),
        _ => Answer::Keep(ok(BODY)),
    })
    .await;
    let client = client(&server.cluster());
    client.get(&version()).await.unwrap();
    client.get(&version()).await.unwrap();
    let connections: Vec<_> = server.received().iter().map(|request| request.connection).collect();
    assert_eq!(connections, [0, 0, 1]);
}

#[tokio::test]
async fn a_connection_that_is_always_cut_is_tried_twice() {
    let server = ScriptedServer::start(|_| Answer::Close(Vec::new())).await;
    let error = client(&server.cluster()).get(&version()).await.unwrap_err();
    assert_eq!(error.reason().as_str(), "unreachable", "{error}");
    assert_eq!(server.received().len(), 2);
}

#[tokio::test]
async fn a_call_of_an_agent_is_sent_once_and_rests_no_endpoint() {
    let refusal = b"HTTP/1.1 401 No ticket\r\n\r\n".to_vec();
    for (answer, reason) in [(Vec::new(), "unreachable"), (refusal, "unauthorized")] {
        let server = ScriptedServer::start(move |request| match request.index {
            0 if request.connection == 0 => Answer::Close(answer.clone()),
            _ => Answer::Keep(ok(BODY)),
        })
        .await;
        let client = client(&server.cluster());
        let request = Request::agent(&"pve1".into(), 100, Command::FileSystems);
        let reservation = client.reserve(&request).unwrap();
        let error = client.get_at_once(&request, reservation).await.unwrap_err();
        assert_eq!(error.reason().as_str(), reason, "{error}");
        assert_eq!(server.received().len(), 1, "{reason}");
        client.get(&version()).await.unwrap();
    }
}

#[tokio::test]
async fn few_connections_for_many_requests() {
    let simulator = Simulator::start(Options { nodes: 1, ..options() }).await.unwrap();
    let client = client(&cluster(&simulator));
    for _ in 0..250 {
        client.get(&version()).await.unwrap();
    }
    assert_eq!(
        simulator.connections("pve1"),
        3,
        "pveproxy closes each after 100 requests"
    );
}

/// What comes of `answer` where at most 1000 bytes are read.
async fn limited(answer: Vec<u8>) -> Result<usize, ApiError> {
    let server = ScriptedServer::start(move |_| Answer::Stall(answer.clone())).await;
    let config = Cluster {
        body_limit: 1000,
        ..server.cluster()
    };
    client(&config).get(&version()).await.map(|answer| answer.body.len())
}

#[tokio::test]
async fn bodies_are_bounded() {
    let announced = |length: usize| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        [head.into_bytes(), vec![b' '; length]].concat()
    };
    assert_eq!(limited(announced(1000)).await.unwrap(), 1000);
    let error = limited(announced(1001)).await.unwrap_err();
    assert_eq!(error.reason().as_str(), "too_large");
    assert!(error.to_string().contains("1000 bytes"), "{error}");

    let chunked = |chunks: usize, end: &str| {
        let chunk = format!("64\r\n{}\r\n", " ".repeat(100));
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        format!("{head}{}{end}", chunk.repeat(chunks)).into_bytes()
    };
    assert_eq!(limited(chunked(10, "0\r\n\r\n")).await.unwrap(), 1000);
    // The end never comes: the limit alone ends the reading.
    assert!(matches!(
        limited(chunked(11, "")).await,
        Err(ApiError::TooLarge { limit: 1000, .. })
    ));
}

async fn timed_out(config: &Cluster, limit: Duration) {
    let started = Instant::now();
    let error = client(config).get(&version()).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(error.reason().as_str(), "timeout", "{error}");
    assert!(error.to_string().ends_with(&format!("{limit:?}")), "{error}");
}

#[tokio::test]
async fn connecting_takes_no_longer_than_allowed() {
    let simulator = Simulator::start(Options { nodes: 1, ..options() }).await.unwrap();
    simulator.inject(FaultKind::BlackHole);
    let limit = Duration::from_millis(150);
    let config = Cluster {
        connect_timeout: limit,
        ..cluster(&simulator)
    };
    let started = Instant::now();
    let error = client(&config).get(&version()).await.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
    assert_eq!(error.reason().as_str(), "unreachable");
    assert!(error.to_string().ends_with("no connection within 150ms"), "{error}");
}

#[tokio::test]
async fn an_answer_takes_no_longer_than_allowed() {
    let limit = Duration::from_millis(400);
    for start in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"] {
        let server = ScriptedServer::start(move |_| Answer::Stall(start.into())).await;
        let config = Cluster {
            request_timeout: limit,
            ..server.cluster()
        };
        timed_out(&config, limit).await;
    }
}

#[tokio::test]
async fn a_request_may_have_less_time() {
    let server = ScriptedServer::start(|_| Answer::Stall(Vec::new())).await;
    let request = Request {
        timeout: Some(Duration::from_millis(200)),
        ..version()
    };
    let error = client(&server.cluster()).get(&request).await.unwrap_err();
    assert!(error.to_string().ends_with("200ms"), "{error}");
}

#[tokio::test]
async fn a_refresh_takes_no_longer_than_allowed() {
    let simulator = Simulator::start(Options { nodes: 1, ..options() }).await.unwrap();
    simulator.inject(pve_simulator::Fault::new(FaultKind::Hang).at("/cluster/resources"));
    let config = Cluster {
        refresh_timeout: Duration::from_millis(500),
        ..cluster(&simulator)
    };
    let (exporter, _) = exporters::exporter(&[("main", config)]);
    let text = exporters::text(&exporter, Format::Classic).await;
    let exposition = exporters::checked(&text, Format::Classic);
    let failed = [("source", "resources"), ("reason", "timeout")];
    assert_eq!(exposition.value("pve_source_failures_total", &failed), Some(1.0));
    assert_eq!(exposition.value("pve_source_up", &[("source", "version")]), Some(1.0));
}

#[tokio::test]
async fn what_hangs_at_a_storage_is_left_alone_also_when_the_refresh_ends_before() {
    let server = ScriptedServer::start(|_| Answer::Stall(Vec::new())).await;
    let clock = Clock::standing_at(START);
    let client = client_at(&server.cluster(), &clock);
    let request = |path| Request::node(&"pve1".into(), path, Cost::Storage);
    let waiting = request("disks/list");
    for (path, seconds, rests) in [("disks/zfs", 3, false), ("disks/lvm", 4, true)] {
        let hanging = request(path);
        let passes = async {
            let is_sent = || server.received().iter().any(|one| one.target().ends_with(path));
            until("it is sent", is_sent).await;
            clock.advance(Duration::from_secs(seconds));
        };
        tokio::select! {
            biased;
            _ = client.get(&hanging) => panic!("{path} has been answered"),
            _ = client.get(&waiting) => panic!("another storage has been asked meanwhile"),
            () = passes => {}
        }
        let again = client.get(&hanging).now_or_never();
        let refused = matches!(again, Some(Err(ApiError::Resting(_))));
        assert_eq!(refused, rests, "{path}, {again:?}");
        assert!(client.get(&waiting).now_or_never().is_none(), "it has never been sent");
    }
}
