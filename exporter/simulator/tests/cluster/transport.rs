//! How a node speaks HTTPS: status lines, connections, credentials, counting.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pve_simulator::{Options, Simulator, Version};

use crate::client::{Connection, get, quick};

const ALL: &str = "/cluster/metrics/export";

#[tokio::test]
async fn a_success_has_the_headers_of_pve() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let mut connection = Connection::open(&simulator, "pve1").await.unwrap();
    let answer = connection
        .send("GET", "/version", "Accept-Encoding: gzip\r\n")
        .await
        .unwrap();
    assert_eq!(answer.status_line, "HTTP/1.1 200 OK");
    for (name, value) in [
        ("Content-Type", Some("application/json;charset=UTF-8")),
        ("Server", Some("pve-api-daemon/3.0")),
        ("Cache-Control", Some("max-age=0")),
        ("Pragma", Some("no-cache")),
        ("Content-Encoding", None),
        ("Transfer-Encoding", None),
        ("Connection", None),
    ] {
        assert_eq!(answer.header(name), value, "{name}");
    }
    assert_eq!(
        answer.header("content-length"),
        Some(answer.body.len().to_string().as_str())
    );
    assert_eq!(
        connection.get("/version").await.unwrap().status(),
        200,
        "the connection is kept"
    );
    assert_eq!(simulator.connections("pve1"), 1);
    let last = simulator.last_request().unwrap();
    assert_eq!((last.node.as_str(), last.path.as_str()), ("pve1", "/api2/json/version"));
    assert_eq!(
        (last.header("accept-encoding"), last.header("authorization")),
        (None, None)
    );
}

#[tokio::test]
async fn the_last_request_shows_what_the_client_asked_for() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let mut connection = Connection::open(&simulator, "pve2").await.unwrap();
    connection
        .send("GET", "/version?x=1", "Accept-Encoding: identity\r\n")
        .await
        .unwrap();
    assert_eq!(
        simulator.last_request().unwrap().header("accept-encoding"),
        Some("identity")
    );
}

#[tokio::test]
async fn wrong_credentials_wait_and_get_no_body() {
    let delay = Duration::from_millis(80);
    let options = |version| Options {
        versions: vec![version],
        unauthorized_delay: delay,
        ..quick()
    };
    let (new, old) = (Version::new(9, 1, 5), Version::new(9, 1, 4));
    for (version, authorization, reason) in [
        (new, None, "No ticket"),
        (
            new,
            Some("PVEAPIToken=prometheus@pve!exporter=wrong"),
            "Authentication failed!",
        ),
        (new, Some("PVEAPIToken=who@pve!what=wrong"), "Authentication failed!"),
        (
            old,
            Some("PVEAPIToken=prometheus@pve!exporter=wrong"),
            "invalid token value!",
        ),
        (
            old,
            Some("PVEAPIToken=who@pve!what=wrong"),
            "no such token 'what' for user 'who@pve'",
        ),
        (old, Some("Basic d2hvOndoYXQ="), "No ticket"),
    ] {
        let simulator = Simulator::start(options(version)).await.unwrap();
        let connection = Connection::open(&simulator, "pve1").await.unwrap();
        let mut connection = connection.authorized_by(authorization);
        let started = Instant::now();
        let answer = connection.get("/version").await.unwrap();
        assert_eq!(answer.status_line, format!("HTTP/1.1 401 {reason}"));
        assert!(started.elapsed() >= delay);
        assert!(answer.body.is_empty());
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(connection.is_closed().await);
    }
}

#[tokio::test]
async fn a_token_may_be_escaped() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let token = format!("PVEAPIToken=prometheus%40pve%21exporter={}", simulator.token_secret());
    let connection = Connection::open(&simulator, "pve1").await.unwrap();
    assert_eq!(
        connection
            .authorized_by(Some(&token))
            .get("/version")
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test]
async fn a_new_secret_replaces_the_old_one() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let mut old = Connection::open(&simulator, "pve1").await.unwrap();
    assert_eq!(old.get("/version").await.unwrap().status(), 200);
    simulator.set_token_secret("another");
    assert_eq!(old.get("/version").await.unwrap().status(), 401);
    assert_eq!(get(&simulator, "pve1", "/version").await.status(), 200);
}

#[tokio::test]
async fn every_error_closes_the_connection() {
    let simulator = Simulator::start(quick()).await.unwrap();
    for (method, path, more, status_line) in [
        ("GET", "/x", "", "HTTP/1.1 501 Method 'GET /x' not implemented"),
        (
            "POST",
            "/version",
            "Content-Length: 0\r\n",
            "HTTP/1.1 501 Method 'POST /version' not implemented",
        ),
        ("HEAD", "/version", "", "HTTP/1.1 501 method 'HEAD' not available"),
        (
            "GET",
            "/version",
            "Content-Length: 2\r\n\r\n{}",
            "HTTP/1.1 501 Unexpected content for method 'GET'",
        ),
        ("GET", "/version?a=1", "", "HTTP/1.1 400 Parameter verification failed."),
    ] {
        let mut connection = Connection::open(&simulator, "pve1").await.unwrap();
        let answer = connection.send(method, path, more).await.unwrap();
        assert_eq!(answer.status_line, status_line);
        assert_eq!(answer.header("connection"), Some("close"), "{status_line}");
        assert!(connection.is_closed().await, "{status_line}");
    }
}

#[tokio::test]
async fn old_versions_say_why_only_in_the_status_line() {
    let simulator = Simulator::start(Options {
        versions: vec![Version::new(8, 3, 0)],
        ..quick()
    })
    .await
    .unwrap();
    let answer = get(&simulator, "pve1", "/x").await;
    assert_eq!(answer.status_line, "HTTP/1.1 501 Method 'GET /x' not implemented");
    assert_eq!(answer.body, b"{\"data\":null}");
}

#[tokio::test]
async fn old_versions_lack_what_came_later() {
    let versions = vec![Version::new(8, 2, 4), Version::new(8, 4, 1), Version::new(9, 2, 11)];
    let simulator = Simulator::start(Options { versions, ..quick() }).await.unwrap();
    let answer = get(&simulator, "pve1", ALL).await;
    assert_eq!(
        answer.status_line,
        format!("HTTP/1.1 501 Method 'GET {ALL}' not implemented")
    );
    let list = format!("{ALL}?node-list=pve2");
    assert_eq!(get(&simulator, "pve2", &list).await.status(), 400);
    assert_eq!(get(&simulator, "pve3", &list).await.status(), 200);
    let unknown = get(&simulator, "pve3", &format!("{ALL}?node-list=pve9")).await;
    assert_eq!(unknown.status(), 500);
}

#[tokio::test]
async fn connections_end_when_idle_or_worn_out() {
    let options = Options {
        idle_timeout: Duration::from_millis(30),
        requests_per_connection: 3,
        ..quick()
    };
    let simulator = Simulator::start(options).await.unwrap();
    let mut idle = Connection::open(&simulator, "pve1").await.unwrap();
    assert_eq!(idle.get("/version").await.unwrap().header("connection"), None);
    assert!(idle.is_closed().await);

    let mut busy = Connection::open(&simulator, "pve1").await.unwrap();
    for expected in [None, None, Some("close")] {
        assert_eq!(busy.get("/version").await.unwrap().header("connection"), expected);
    }
    assert!(busy.is_closed().await);
}

#[tokio::test]
async fn nodes_show_the_certificates_that_they_list() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let rows = crate::client::rows(&simulator, "pve1", "/nodes").await;
    let mut seen = std::collections::BTreeSet::new();
    for node in simulator.nodes() {
        let listed = crate::client::row(&rows, &format!("node/{node}"))["ssl_fingerprint"].clone();
        assert_eq!(listed, simulator.fingerprint(&node).unwrap());
        let connection = Connection::open(&simulator, &node).await.unwrap();
        assert!(seen.insert(connection.certificate()));
    }
    let fingerprint = simulator.fingerprint("pve1").unwrap();
    assert_eq!((fingerprint.len(), fingerprint.split(':').count()), (95, 32));
}

#[tokio::test]
async fn a_proxied_call_counts_at_its_target() {
    let simulator = Simulator::start(quick()).await.unwrap();
    get(&simulator, "pve1", "/nodes/pve2/status").await;
    let calls = simulator.calls();
    assert_eq!(calls.executed_for_by("/nodes/{node}/status", "pve2"), 1);
    assert_eq!(
        (
            calls.executed_by("pve1"),
            calls.received_by("pve1"),
            calls.received_by("pve2")
        ),
        (0, 1, 0)
    );
    simulator.reset_calls();
    assert_eq!(
        (simulator.calls().received(), simulator.highest_concurrency("pve2")),
        (0, 0)
    );
}

#[tokio::test]
async fn concurrency_counts_at_the_node_that_executes() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let fault = simulator.inject("hang:pve2".parse::<pve_simulator::Fault>().unwrap());
    let simulator = Arc::new(simulator);
    let ask = |entry: &'static str| {
        let simulator = Arc::clone(&simulator);
        tokio::spawn(async move {
            Connection::open(&simulator, entry)
                .await
                .unwrap()
                .get("/nodes/pve2/status")
                .await
        })
    };
    let asked = [ask("pve1"), ask("pve2"), ask("pve3")];
    while simulator.running_calls("pve2") < 3 {
        assert!(simulator.running_calls("pve1") == 0, "nothing runs at the entry");
        tokio::task::yield_now().await;
    }
    simulator.clear(fault);
    for answer in asked {
        // The direct client is dropped, the others hear from their proxy.
        assert!(answer.await.unwrap().map_or(true, |answer| answer.status() == 596));
    }
    assert_eq!(
        (simulator.highest_concurrency("pve2"), simulator.running_calls("pve2")),
        (3, 0)
    );
}

#[tokio::test]
async fn the_fan_out_asks_one_node_after_the_other() {
    let call_delay = Duration::from_millis(30);
    let simulator = Simulator::start(Options {
        nodes: 4,
        call_delay,
        ..quick()
    })
    .await
    .unwrap();
    let started = Instant::now();
    get(&simulator, "pve2", ALL).await;
    assert!(started.elapsed() >= 4 * call_delay, "{:?}", started.elapsed());
    for node in simulator.nodes() {
        assert_eq!(simulator.calls().executed_for_by(ALL, &node), 1);
        assert_eq!(simulator.highest_concurrency(&node), 1);
    }
    simulator.reset_calls();
    get(&simulator, "pve2", &format!("{ALL}?local-only=1&history=0")).await;
    get(&simulator, "pve2", &format!("{ALL}?node-list=pve3")).await;
    let calls = simulator.calls();
    let executed = ["pve1", "pve2", "pve3", "pve4"].map(|node| calls.executed_for_by(ALL, node));
    assert_eq!(executed, [0, 2, 1, 0]);
}

#[tokio::test]
async fn dropping_the_simulator_closes_everything() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let endpoint = simulator.endpoint("pve1").unwrap();
    let mut connection = Connection::open(&simulator, "pve1").await.unwrap();
    connection.get("/version").await.unwrap();
    drop(simulator);
    assert!(connection.is_closed().await);
    let address = endpoint.strip_prefix("https://").unwrap();
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}
