//! Which endpoint is asked.

use std::time::Duration;

use pve_exporter::clock::Clock;
use pve_exporter::pve::client::{Place, Request};
use pve_simulator::{Fault, FaultKind, Simulator};

use crate::support::scripted_server::{Answer, ScriptedServer, ok};
use crate::support::simulated::{cluster, options};
use crate::{client, client_at, version};

#[tokio::test]
async fn to_the_second_and_back() {
    let simulator = Simulator::start(options()).await.unwrap();
    let clock = Clock::default();
    let client = client_at(&cluster(&simulator), &clock);
    assert_eq!(client.get(&version()).await.unwrap().endpoint, 0);
    let fault = simulator.inject(Fault::new(FaultKind::ProxyDown).on("pve1"));
    simulator.settled().await;
    assert_eq!(client.get(&version()).await.unwrap().endpoint, 1);

    clock.advance(Duration::from_secs(6));
    client.probe().await;
    assert_eq!(client.active_endpoint(), Some(1), "it is still dead");

    simulator.clear(fault);
    simulator.settled().await;
    client.probe().await;
    assert_eq!(client.active_endpoint(), Some(1), "it rests");
    clock.advance(Duration::from_secs(60));
    client.probe().await;
    assert_eq!(client.active_endpoint(), Some(0));
    assert_eq!(client.get(&version()).await.unwrap().endpoint, 0);
}

#[tokio::test]
async fn a_dead_endpoint_is_left_alone_while_it_rests() {
    let simulator = Simulator::start(options()).await.unwrap();
    let client = client(&cluster(&simulator));
    let fault = simulator.inject(Fault::new(FaultKind::ProxyDown).on("pve1"));
    simulator.settled().await;
    assert_eq!(client.get(&version()).await.unwrap().endpoint, 1);
    simulator.clear(fault);
    simulator.settled().await;
    for _ in 0..5 {
        assert_eq!(client.get(&version()).await.unwrap().endpoint, 1);
    }
    assert_eq!(simulator.calls().received_by("pve1"), 0);
}

#[tokio::test]
async fn an_endpoint_that_does_not_answer_in_time_is_not_the_first_choice_next_time() {
    let simulator = Simulator::start(options()).await.unwrap();
    let mut config = cluster(&simulator);
    config.request_timeout = Duration::from_millis(300);
    let client = client(&config);
    simulator.inject(Fault::new(FaultKind::Hang).on("pve1"));
    for _ in 0..5 {
        assert_eq!(client.get(&version()).await.unwrap().endpoint, 1);
    }
    assert_eq!(simulator.calls().received_by("pve1"), 1);
}

#[tokio::test]
async fn every_endpoint_dead() {
    let simulator = Simulator::start(options()).await.unwrap();
    let client = client(&cluster(&simulator));
    simulator.inject(FaultKind::ProxyDown);
    simulator.settled().await;
    for _ in 0..2 {
        let error = client.get(&version()).await.unwrap_err();
        assert_eq!(error.reason().as_str(), "unreachable", "{error}");
    }
    assert_eq!(client.active_endpoint(), None);
}

#[tokio::test]
async fn the_side_with_quorum_is_preferred() {
    let simulator = Simulator::start(options()).await.unwrap();
    let clock = Clock::default();
    let client = client_at(&cluster(&simulator), &clock);
    let fault = simulator.inject(Fault::new(FaultKind::Partition).on("pve1"));
    let status = Request {
        place: Place::Endpoint(0),
        ..Request::entry("/cluster/status")
    };
    let answer = client.get(&status).await.unwrap();
    assert!(!client.learn_from_status(0, &answer.body).unwrap());
    assert_eq!(client.endpoints().all()[0].node.as_deref(), Some("pve1"));
    assert_eq!(client.get(&version()).await.unwrap().endpoint, 1);

    simulator.clear(fault);
    clock.advance(Duration::from_secs(10));
    client.probe().await;
    assert_eq!(client.get(&version()).await.unwrap().endpoint, 0);
}

#[tokio::test]
async fn an_error_of_the_endpoints_own_leads_to_the_next_and_is_no_reason_to_rest() {
    let simulator = Simulator::start(options()).await.unwrap();
    let client = client(&cluster(&simulator));
    let fault = simulator.inject("status=500 oops:pve1".parse::<Fault>().unwrap());
    assert_eq!(client.get(&version()).await.unwrap().endpoint, 1);
    simulator.clear(fault);
    assert_eq!(client.get(&version()).await.unwrap().endpoint, 0);

    simulator.inject("status=500 oops".parse::<Fault>().unwrap());
    let error = client.get(&version()).await.unwrap_err();
    assert_eq!(error.reason().as_str(), "status");
    assert!(error.to_string().contains("oops"), "{error}");
}

#[tokio::test]
async fn over_ipv6() {
    let server = ScriptedServer::start_on("[::1]:0", |_| Answer::Keep(ok("{\"data\":{}}"))).await;
    assert!(server.url.as_str().starts_with("https://[::1]:"));
    client(&server.cluster()).get(&version()).await.unwrap();
    assert_eq!(
        server.received()[0].header("host"),
        Some(server.url.as_str().trim_start_matches("https://").trim_end_matches('/'))
    );
}
