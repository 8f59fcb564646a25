//! Logins with a password, and the tickets that they get.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

use std::time::{Duration, Instant};

use pve_simulator::{Options, Simulator, Version};
use serde_json::Value;

use crate::client::{Answer, Connection, quick};

const LOGIN: &str = "/access/ticket";

fn form(user: &str, password: &str) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .append_pair("username", user)
        .append_pair("password", password)
        .finish()
}

async fn open(simulator: &Simulator, node: &str) -> Connection {
    Connection::open(simulator, node).await.unwrap().authorized_by(None)
}

async fn log_in(simulator: &Simulator, password: &str) -> Answer {
    let form = form(simulator.user(), password);
    open(simulator, "pve1").await.post(LOGIN, &form).await.unwrap()
}

/// The ticket as a cookie, and what has to stand beside it.
fn of(answer: &Answer) -> (String, String) {
    let text = |key: &str| answer.json()["data"][key].as_str().unwrap().to_owned();
    let ticket: String = url::form_urlencoded::byte_serialize(text("ticket").as_bytes()).collect();
    (
        format!("Cookie: PVEAuthCookie={ticket}\r\n"),
        text("CSRFPreventionToken"),
    )
}

async fn get(simulator: &Simulator, node: &str, headers: &str) -> String {
    let answer = open(simulator, node).await.send("GET", "/version", headers).await;
    answer.unwrap().status_line
}

#[tokio::test]
async fn a_login_gets_a_ticket_that_every_node_takes_for_two_hours() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let answer = log_in(&simulator, &simulator.password()).await;
    assert_eq!(answer.status_line, "HTTP/1.1 200 OK");
    let data = answer.json()["data"].clone();
    assert_eq!(data["username"], simulator.user());
    assert_eq!(data["clustername"], "simulated");
    assert!(data["cap"]["nodes"].is_object() && data.get("NeedTFA").is_none());
    assert!(data["ticket"].as_str().unwrap().starts_with("PVE:prometheus@pve:"));
    let (cookie, _) = of(&answer);
    simulator.advance(Duration::from_secs(7_199));
    assert_eq!(get(&simulator, "pve2", &cookie).await, "HTTP/1.1 200 OK");
    let last = simulator.last_request().unwrap();
    assert_eq!(last.header("cookie"), None, "nobody is shown credentials");
    simulator.advance(Duration::from_secs(1));
    assert_eq!(
        get(&simulator, "pve2", &cookie).await,
        "HTTP/1.1 401 Authentication failed!"
    );
    assert_eq!(simulator.calls().received_for(LOGIN), 1);
}

#[tokio::test]
async fn a_ticket_goes_for_a_password_and_may_stand_where_a_token_does() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let first = log_in(&simulator, &simulator.password()).await.json();
    simulator.set_password("another");
    simulator.advance(Duration::from_secs(3_600));
    let second = log_in(&simulator, first["data"]["ticket"].as_str().unwrap()).await;
    let (cookie, _) = of(&second);
    simulator.advance(Duration::from_secs(3_700));
    let header = cookie.replace("Cookie: ", "Authorization: ");
    assert_eq!(get(&simulator, "pve1", &header).await, "HTTP/1.1 200 OK");
}

#[tokio::test]
async fn a_refused_login_does_not_say_why_and_takes_its_time() {
    let delay = Duration::from_millis(80);
    let simulator = Simulator::start(Options {
        unauthorized_delay: delay,
        ..quick()
    })
    .await
    .unwrap();
    let password = simulator.password();
    for (user, password) in [(simulator.user(), "wrong"), ("nobody@pve", &*password)] {
        let started = Instant::now();
        let mut connection = open(&simulator, "pve1").await;
        let answer = connection.post(LOGIN, &form(user, password)).await.unwrap();
        assert_eq!(answer.status_line, "HTTP/1.1 401 authentication failure");
        assert_eq!(answer.json()["data"], Value::Null);
        assert!(started.elapsed() >= delay);
    }
    for (form, key) in [("username=a", "password"), ("password=a", "username")] {
        let answer = open(&simulator, "pve1").await.post(LOGIN, form).await.unwrap();
        assert_eq!(answer.status(), 400);
        assert!(answer.json()["errors"][key].is_string());
    }
}

#[tokio::test]
async fn tickets_are_refused_as_each_version_does() {
    for (version, reason) in [
        (Version::new(9, 1, 5), "Authentication failed!"),
        (Version::new(9, 1, 4), "permission denied - invalid PVE ticket"),
    ] {
        let versions = vec![version];
        let simulator = Simulator::start(Options { versions, ..quick() }).await.unwrap();
        let (cookie, _) = of(&log_in(&simulator, &simulator.password()).await);
        simulator.forget_tickets();
        assert_eq!(get(&simulator, "pve1", &cookie).await, format!("HTTP/1.1 401 {reason}"));
    }
}

#[tokio::test]
async fn what_changes_something_wants_more_than_a_ticket() {
    let simulator = Simulator::start(quick()).await.unwrap();
    let (cookie, csrf) = of(&log_in(&simulator, &simulator.password()).await);
    let path = "/nodes/pve1/qemu/1/agent/fsfreeze-status";
    for (headers, refused) in [
        (cookie.clone(), true),
        (format!("{cookie}CSRFPreventionToken: 00000000:x\r\n"), true),
        (format!("{cookie}CSRFPreventionToken: {csrf}\r\n"), false),
    ] {
        let answer = open(&simulator, "pve1")
            .await
            .send("POST", path, &headers)
            .await
            .unwrap();
        let is_refused = answer.status_line == "HTTP/1.1 401 Permission denied - invalid csrf token";
        assert_eq!(is_refused, refused, "{}", answer.status_line);
        assert_eq!(answer.status() == 401, refused);
    }
}

#[tokio::test]
async fn who_has_a_second_factor_gets_half_a_ticket() {
    let simulator = Simulator::start(Options {
        second_factor: true,
        ..quick()
    })
    .await
    .unwrap();
    let answer = log_in(&simulator, &simulator.password()).await;
    let data = answer.json()["data"].clone();
    assert_eq!(data["NeedTFA"], 1);
    assert!(data["ticket"].as_str().unwrap().starts_with("PVE:!tfa!"));
    let (cookie, _) = of(&answer);
    assert_eq!(
        get(&simulator, "pve1", &cookie).await,
        "HTTP/1.1 401 Authentication failed!"
    );
}
