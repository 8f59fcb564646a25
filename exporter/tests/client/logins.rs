//! Logins with a password: how many there are, when a ticket is renewed, and what a refusal costs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use pve_exporter::clock::Clock;
use pve_exporter::config::{Cluster, Secret, SecretSource};
use pve_exporter::metrics::exposition::Format;
use pve_exporter::pve::api::agent::Command;
use pve_exporter::pve::budget::Cost;
use pve_exporter::pve::client::{Client, Place, Request};
use pve_exporter::pve::error::ApiError;
use pve_simulator::{Agent, AgentMix, FaultKind, GuestKind, Options, Simulator, Version};

use crate::secrecy::Log;
use crate::support::exporters;
use crate::support::scripted_server::{Answer, ScriptedServer, ok};
use crate::support::simulated::{self, Simulated, options, sources_down};
use crate::{client, client_at, version};

const LOGIN: &str = "/access/ticket";
const MINUTE: u64 = 60;

/// A simulated cluster that a user asks, and the two clocks.
struct Pve {
    simulator: Simulator,
    client: Client,
    clock: Clock,
}

fn password(text: &str) -> SecretSource {
    SecretSource::Environment {
        variable: "TEST".to_owned(),
        secret: Secret::new(text.to_owned()),
    }
}

/// The configuration for a simulated cluster that its user asks.
fn cluster(simulator: &Simulator) -> Cluster {
    let cluster = simulated::cluster(simulator);
    Cluster {
        fingerprints: cluster.fingerprints,
        ..Cluster::with_user(
            cluster.endpoints,
            simulator.user().parse().unwrap(),
            password(&simulator.password()),
        )
    }
}

impl Pve {
    async fn start() -> Self {
        Self::with(options(), |_| {}).await
    }

    async fn with(options: Options, change: impl FnOnce(&mut Cluster)) -> Self {
        let simulator = Simulator::start(options).await.unwrap();
        let mut config = cluster(&simulator);
        change(&mut config);
        let clock = Clock::default();
        Self {
            client: client_at(&config, &clock),
            simulator,
            clock,
        }
    }

    async fn inject(&self, fault: &str) {
        self.simulator.inject(fault.parse::<pve_simulator::Fault>().unwrap());
        self.simulator.settled().await;
    }

    fn advance(&self, seconds: u64) {
        let time = Duration::from_secs(seconds);
        self.simulator.advance(time);
        self.clock.advance(time);
    }

    async fn get(&self) -> Result<(), ApiError> {
        self.get_at(Place::Entry).await
    }

    async fn get_at(&self, place: Place) -> Result<(), ApiError> {
        self.client.get(&Request { place, ..version() }).await.map(drop)
    }

    /// So many requests at once, which all succeed.
    async fn get_at_once(&self, count: usize) {
        for outcome in join_all((0..count).map(|_| self.get())).await {
            outcome.unwrap();
        }
    }

    fn logins(&self) -> u64 {
        self.simulator.calls().received_for(LOGIN)
    }

    fn received(&self) -> u64 {
        self.simulator.calls().received()
    }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[tokio::test]
async fn one_login_serves_all_requests_at_all_endpoints() {
    let pve = Pve::start().await;
    pve.get_at_once(20).await;
    for index in 0..3 {
        pve.get_at(Place::Endpoint(index)).await.unwrap();
    }
    assert_eq!((pve.logins(), pve.received()), (1, 24));
}

#[tokio::test]
async fn a_whole_exporter_logs_in_once() {
    let pve = Simulated::with(options(), |_| {}).await;
    let (exporter, _) = exporters::exporter(&[("main", cluster(&pve.simulator))]);
    let seen = exporters::scrape(&exporter).await;
    assert_eq!(sources_down(&seen), []);
    assert!(seen.value("pve_node_up", &[("node", "pve1")]).is_some());
    assert_eq!(pve.simulator.calls().received_for(LOGIN), 1);
}

#[tokio::test]
async fn a_ticket_is_renewed_before_it_ends() {
    let pve = Pve::start().await;
    for ten_minutes in 0..=36 {
        pve.get_at_once(4).await;
        let expected = 1 + ten_minutes / 9;
        assert_eq!(pve.logins(), expected, "after {ten_minutes} times ten minutes");
        pve.advance(10 * MINUTE);
    }
    assert_eq!(pve.received(), 37 * 4 + 5, "no request was refused");
}

#[tokio::test]
async fn nobody_waits_for_a_renewal_but_who_makes_it() {
    let pve = Pve::with(options(), |config| config.request_timeout = Duration::from_secs(20)).await;
    pve.get().await.unwrap();
    pve.advance(100 * MINUTE);
    pve.inject(&format!("slow=3s:{LOGIN}")).await;
    let started = std::time::Instant::now();
    let others = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        pve.get_at_once(4).await;
        started.elapsed()
    };
    let (first, others) = tokio::join!(pve.get(), others);
    first.unwrap();
    assert!(others < Duration::from_secs(3), "{others:?}");
    assert_eq!(pve.logins(), 2);
}

#[tokio::test]
async fn a_request_for_another_node_leaves_the_renewal_to_others() {
    let pve = Pve::start().await;
    pve.get().await.unwrap();
    pve.client.learn_node(0, Some("pve1".into()), None);
    pve.advance(100 * MINUTE);
    for (node, logins) in [("pve2", 1), ("pve1", 2)] {
        let request = Request::node(&node.into(), "status", Cost::Cheap);
        pve.client.get(&request).await.unwrap();
        assert_eq!(pve.logins(), logins);
    }
}

#[tokio::test]
async fn a_ticket_that_has_ended_is_not_sent() {
    let pve = Pve::start().await;
    pve.get().await.unwrap();
    pve.advance(3 * 60 * MINUTE);
    pve.get_at_once(4).await;
    assert_eq!((pve.logins(), pve.received()), (2, 7));
}

#[tokio::test]
async fn tickets_that_are_refused_together_cost_one_login() {
    let pve = Pve::start().await;
    pve.get_at_once(8).await;
    pve.simulator.forget_tickets();
    pve.get_at_once(8).await;
    assert_eq!(pve.logins(), 2);
    pve.simulator.forget_tickets();
    pve.get_at_once(1).await;
    assert_eq!(pve.logins(), 3);
}

#[tokio::test]
async fn a_refused_password_rests_for_one_to_fifteen_minutes() {
    let pve = Pve::start().await;
    pve.simulator.set_password("another");
    for (times, rest) in [60, 120, 240, 480, 900, 900].into_iter().enumerate() {
        for outcome in join_all((0..4).map(|_| pve.get())).await {
            let error = outcome.unwrap_err();
            assert_eq!(error.reason().as_str(), "unauthorized");
            let words = "user prometheus@pve: authentication failure";
            assert!(error.to_string().contains(words), "{error}");
        }
        pve.advance(rest - 1);
        pve.get().await.unwrap_err();
        assert_eq!((pve.received(), pve.logins()), (times as u64 + 1, times as u64 + 1));
        pve.advance(1);
    }
}

#[tokio::test]
async fn another_password_in_the_file_ends_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    write(&path, "wrong\n");
    let pve = Pve::with(options(), |config| config.secret = SecretSource::file(&path)).await;
    pve.get().await.unwrap_err();
    pve.get().await.unwrap_err();
    assert_eq!(pve.logins(), 1);
    write(&path, &format!("{}\n", pve.simulator.password()));
    pve.get().await.unwrap();
    // A ticket holds even where the password does not.
    pve.simulator.set_password("another");
    pve.get().await.unwrap();
    pve.simulator.forget_tickets();
    write(&path, "another");
    pve.get().await.unwrap();
    assert_eq!(pve.logins(), 3);
}

#[tokio::test]
async fn an_unreadable_password_is_a_failure_that_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    let pve = Pve::with(options(), |config| config.secret = SecretSource::file(&path)).await;
    let error = pve.get().await.unwrap_err();
    assert_eq!(error.reason().as_str(), "unauthorized");
    assert_eq!(pve.received(), 0);
    write(&path, &pve.simulator.password());
    pve.get().await.unwrap();
}

#[tokio::test]
async fn a_ticket_serves_on_while_its_renewal_fails() {
    let pve = Pve::start().await;
    pve.get().await.unwrap();
    pve.simulator.set_password("another");
    pve.advance(90 * MINUTE);
    for _ in 0..29 {
        pve.get().await.unwrap();
        pve.advance(MINUTE);
    }
    let attempts = pve.logins() - 1;
    assert!((2..=6).contains(&attempts), "{attempts}");
    pve.advance(MINUTE);
    assert_eq!(pve.get().await.unwrap_err().reason().as_str(), "unauthorized");
}

#[tokio::test]
async fn a_new_ticket_that_is_refused_as_well_rests() {
    let pve = Pve::start().await;
    pve.inject("revoked:/version").await;
    let error = pve.get().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("user prometheus@pve: Authentication failed!"),
        "{error}"
    );
    assert_eq!((pve.logins(), pve.received()), (2, 4));
    for _ in 0..3 {
        assert!(matches!(pve.get().await, Err(ApiError::Resting(_))));
    }
    assert_eq!(pve.received(), 4);
    pve.simulator.clear_all();
    pve.advance(MINUTE);
    pve.get().await.unwrap();
    assert_eq!(pve.logins(), 3);
}

#[tokio::test]
async fn an_endpoint_that_refuses_every_ticket_costs_the_others_nothing() {
    let pve = Pve::start().await;
    pve.inject("revoked:pve2").await;
    for _ in 0..30 {
        pve.get().await.unwrap();
        assert_eq!(
            pve.get_at(Place::Endpoint(1)).await.unwrap_err().reason().as_str(),
            "unauthorized"
        );
        pve.get_at(Place::Endpoint(2)).await.unwrap();
        pve.advance(10);
    }
    let calls = pve.simulator.calls();
    assert_eq!(calls.received_by("pve1"), 1 + 30, "one login and no refusal");
    assert_eq!(
        calls.received_by("pve2"),
        1 + 3,
        "one refusal, and logins at 0, 60 and 180 s"
    );
    pve.simulator.clear_all();
    pve.advance(15 * MINUTE);
    pve.get_at(Place::Endpoint(1)).await.unwrap();
}

#[tokio::test]
async fn a_node_that_refuses_every_ticket_costs_the_others_nothing() {
    let pve = Pve::start().await;
    pve.get().await.unwrap();
    pve.client.learn_node(0, Some("pve1".into()), None);
    pve.inject("status=401 Authentication failed!:pve2").await;
    for _ in 0..5 {
        for (node, is_refused) in [("pve1", false), ("pve2", true), ("pve3", false)] {
            let request = Request::node(&node.into(), "status", Cost::Cheap);
            let outcome = pve.client.get(&request).await;
            assert_eq!(outcome.is_err(), is_refused, "{node}");
        }
    }
    assert_eq!(pve.logins(), 1);
    pve.simulator.clear_all();
    // A ticket that the endpoint refuses is replaced for them as well.
    pve.simulator.forget_tickets();
    let request = Request::node(&"pve2".into(), "status", Cost::Cheap);
    pve.client.get(&request).await.unwrap();
    assert_eq!(pve.logins(), 2);
}

#[tokio::test]
async fn a_second_factor_is_refused_with_the_reason() {
    let options = Options {
        second_factor: true,
        ..options()
    };
    let pve = Pve::with(options, |_| {}).await;
    for _ in 0..3 {
        let error = pve.get().await.unwrap_err();
        assert_eq!(error.reason().as_str(), "unauthorized");
        let words = error.to_string();
        assert!(
            words.contains("second factor") && words.contains("API token"),
            "{words}"
        );
    }
    assert_eq!(pve.received(), 1);
}

#[tokio::test]
async fn a_dead_endpoint_is_no_reason_for_no_login() {
    let pve = Pve::start().await;
    pve.inject("proxy-down:pve1").await;
    pve.get_at_once(8).await;
    pve.simulator.clear_all();
    pve.simulator.settled().await;
    pve.advance(MINUTE);
    pve.client.probe().await;
    pve.get().await.unwrap();
    let calls = pve.simulator.calls();
    assert_eq!((calls.received_for(LOGIN), calls.received_by("pve1")), (1, 3));
}

#[tokio::test]
async fn an_endpoint_whose_logins_fail_leaves_them_to_the_next() {
    let pve = Pve::start().await;
    pve.inject(&format!("status=595 Connection refused:pve1:{LOGIN}")).await;
    let status = Request::node(&"pve2".into(), "status", Cost::Cheap);
    pve.client.get(&status).await.unwrap();
    pve.get_at_once(8).await;
    let calls = pve.simulator.calls();
    assert_eq!(calls.received_for(LOGIN), 2);
    // The ticket is good for both.
    assert_eq!(calls.received_for("/version"), 8);
}

#[tokio::test]
async fn without_another_endpoint_a_failed_login_is_not_repeated_at_once() {
    let options = Options { nodes: 1, ..options() };
    let pve = Pve::with(options, |_| {}).await;
    pve.inject(&format!("garbage:{LOGIN}")).await;
    for (seconds, logins) in [(0, 1), (4, 1), (1, 2), (9, 2), (1, 3)] {
        pve.advance(seconds);
        for outcome in join_all((0..4).map(|_| pve.get())).await {
            assert_eq!(outcome.unwrap_err().reason().as_str(), "decode");
        }
        assert_eq!(pve.received(), logins);
    }
}

#[tokio::test]
async fn a_login_that_hangs_says_nothing_about_the_node_that_is_asked() {
    let pve = Pve::with(options(), |config| config.request_timeout = Duration::from_millis(300)).await;
    pve.inject(&format!("hang:pve1:{LOGIN}")).await;
    let requests = ["status", "netstat"].map(|path| Request::node(&"pve3".into(), path, Cost::Cheap));
    for request in &requests {
        pve.client.get(request).await.unwrap();
    }
    assert!(pve.client.silent().why_resting("pve3", pve.clock.now()).is_none());
    assert_eq!(pve.logins(), 2);
}

#[tokio::test]
async fn who_waits_for_a_login_that_fails_does_not_try_it_again() {
    let pve = Pve::with(Options { nodes: 1, ..options() }, |config| {
        config.request_timeout = Duration::from_millis(500);
    })
    .await;
    pve.inject(&format!("hang:{LOGIN}")).await;
    let started = std::time::Instant::now();
    for outcome in join_all((0..6).map(|_| pve.get())).await {
        assert_eq!(outcome.unwrap_err().reason().as_str(), "timeout");
    }
    assert!(started.elapsed() < Duration::from_secs(9));
    assert_eq!(pve.received(), 1);
}

#[tokio::test]
async fn who_waits_for_a_login_at_a_dead_endpoint_does_not_try_it_again() {
    let pve = Pve::with(Options { nodes: 1, ..options() }, |config| {
        config.connect_timeout = Duration::from_millis(500);
    })
    .await;
    pve.inject("black-hole").await;
    let started = std::time::Instant::now();
    for outcome in join_all((0..6).map(|_| pve.get())).await {
        assert_eq!(outcome.unwrap_err().reason().as_str(), "unreachable");
    }
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn what_posts_shows_what_pve_wants_beside_the_ticket() {
    let options = Options {
        versions: vec![Version::new(9, 2, 11)],
        agents: AgentMix::default(),
        ..options()
    };
    let pve = Pve::with(options, |_| {}).await;
    pve.get().await.unwrap();
    let guests = pve.simulator.guests();
    let guest = guests
        .iter()
        .find(|guest| guest.kind == GuestKind::Qemu && guest.running)
        .unwrap();
    pve.simulator.set_agent(guest.vmid, Agent::Healthy);
    let request = Request::agent(&guest.node.as_str().into(), guest.vmid, Command::FreezeStatus);
    assert!(request.verb.posts());
    let reservation = pve.client.reserve(&request).unwrap();
    let answer = pve.client.get_at_once(&request, reservation).await.unwrap();
    assert!(String::from_utf8_lossy(&answer.body).contains("thawed"));
}

#[tokio::test]
async fn a_call_of_an_agent_does_not_wait_for_a_login() {
    let pve = Pve::start().await;
    let request = Request::agent(&"pve1".into(), 100, Command::Info);
    let reservation = pve.client.reserve(&request).unwrap();
    let error = pve.client.get_at_once(&request, reservation).await.unwrap_err();
    assert!(matches!(error, ApiError::Resting(_)), "{error:?}");
    assert_eq!(pve.received(), 0);
}

const PASSWORD: &str = "hunter2 & +%";
const TICKET: &str = "PVE:exporter@pve:6AFFD186::sig+nat/ure==";
const CSRF: &str = "6AFFD186:csrf+token";

fn answer_to_login() -> Vec<u8> {
    ok(&format!(
        r#"{{"data":{{"ticket":"{TICKET}","CSRFPreventionToken":"{CSRF}","username":"exporter@pve"}}}}"#
    ))
}

fn scripted(server: &ScriptedServer) -> Cluster {
    Cluster {
        fingerprints: vec![server.fingerprint],
        ..Cluster::with_user(
            vec![server.url.clone()],
            "exporter@pve".parse().unwrap(),
            password(PASSWORD),
        )
    }
}

#[tokio::test]
async fn the_password_is_in_the_login_alone_and_the_ticket_in_the_cookie_alone() {
    let server = ScriptedServer::start(|request| {
        Answer::Keep(match request.target() {
            "/api2/json/access/ticket" => answer_to_login(),
            _ => ok(r#"{"data":{"version":"9.0"}}"#),
        })
    })
    .await;
    client(&scripted(&server)).get(&version()).await.unwrap();
    let [login, get] = &server.received()[..] else {
        panic!("{:?}", server.received())
    };
    assert!(login.head.starts_with("POST /api2/json/access/ticket HTTP/1.1\r\n"));
    assert_eq!(login.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(login.body, "username=exporter%40pve&password=hunter2+%26+%2B%25");
    assert_eq!((login.header("authorization"), login.header("cookie")), (None, None));
    let cookie = "PVEAuthCookie=PVE%3Aexporter%40pve%3A6AFFD186%3A%3Asig%2Bnat%2Fure%3D%3D";
    assert_eq!(get.header("cookie"), Some(cookie));
    assert_eq!(
        (get.header("authorization"), get.header("csrfpreventiontoken")),
        (None, None)
    );
    assert_eq!(get.body, "");
}

#[tokio::test]
async fn a_login_follows_no_redirect() {
    let elsewhere = ScriptedServer::start(|_| Answer::Keep(answer_to_login())).await;
    for status in [
        "301 Moved",
        "302 Found",
        "303 See Other",
        "307 Temporary",
        "308 Permanent",
    ] {
        let answer = format!(
            "HTTP/1.1 {status}\r\nLocation: {}api2/json/access/ticket\r\nContent-Length: 0\r\n\r\n",
            elsewhere.url
        );
        let server = ScriptedServer::start(move |_| Answer::Keep(answer.clone().into_bytes())).await;
        let config = Cluster {
            insecure_skip_verify: true,
            fingerprints: Vec::new(),
            ..scripted(&server)
        };
        let error = client(&config).get(&version()).await.unwrap_err();
        assert!(matches!(error, ApiError::Status { .. }), "{error:?}");
        assert_eq!(server.received().len(), 1);
    }
    assert!(elsewhere.received().is_empty());
}

#[tokio::test]
async fn neither_password_nor_ticket_is_in_any_log_error_or_exposition() {
    let log = Log::default();
    let _guard = log.watch();
    let escaped = "hunter2+%26+%2B%25";
    let refusals = [
        format!("HTTP/1.1 401 no {PASSWORD}\r\nContent-Length: 0\r\n\r\n").into_bytes(),
        format!("HTTP/1.1 403 no {escaped}\r\nContent-Length: 0\r\n\r\n").into_bytes(),
        format!("HTTP/1.1 500 no {PASSWORD}\r\nContent-Length: 0\r\n\r\n").into_bytes(),
        ok(&format!(r#"{{"data":"{TICKET} {PASSWORD}"}}"#)),
        ok(&format!(r#"{{"data":{{"ticket":"{TICKET}","NeedTFA":1}}}}"#)),
        ok(TICKET),
        b"no HTTP\r\n\r\n".to_vec(),
    ];
    let mut texts = Vec::new();
    for refusal in refusals {
        let server = ScriptedServer::start(move |_| Answer::Close(refusal.clone())).await;
        let config = scripted(&server);
        texts.push(format!("{config:?}"));
        let error = client(&config).get(&version()).await.unwrap_err();
        texts.push(format!("{error} {error:?}"));
    }
    let server = ScriptedServer::start(|request| match request.target() {
        "/api2/json/access/ticket" => Answer::Close(answer_to_login()),
        _ => Answer::Close(b"HTTP/1.1 401 Authentication failed!\r\n\r\n".to_vec()),
    })
    .await;
    let (exporter, _) = exporters::exporter(&[("main", scripted(&server))]);
    texts.push(exporters::text(&exporter, Format::OpenMetrics).await);
    assert!(texts.last().unwrap().contains("reason=\"unauthorized\""));
    assert!(
        log.text().contains("Authentication failed!"),
        "it is logged: {}",
        log.text()
    );
    texts.push(log.text());
    for text in texts {
        for secret in ["hunter2", "sig+nat", "sig%2Bnat", "csrf+token"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[tokio::test]
async fn versions_before_9_1_say_what_is_wrong_with_a_ticket() {
    let options = Options {
        versions: vec![Version::new(8, 4, 0)],
        ..options()
    };
    let pve = Pve::with(options, |_| {}).await;
    pve.simulator
        .inject(pve_simulator::Fault::new(FaultKind::Revoked).at("/version"));
    let error = pve.get().await.unwrap_err();
    let words = "user prometheus@pve: permission denied - invalid PVE ticket";
    assert!(error.to_string().contains(words), "{error}");
}
