//! Which certificates are trusted, and how a refusal reads.

use std::path::PathBuf;

use pve_exporter::config::Cluster;
use pve_exporter::pve::client::{Client, Place, Request};
use pve_exporter::pve::error::ApiError;
use pve_simulator::{FaultKind, Simulator};
use tempfile::TempDir;

use crate::support::scripted_server::{Answer, ScriptedServer, ok};
use crate::support::simulated::{cluster, options};
use crate::{client, version};

/// A simulated cluster, and a configuration for it that trusts the system's authorities.
async fn untrusting() -> (Simulator, Cluster) {
    let simulator = Simulator::start(options()).await.unwrap();
    let mut config = cluster(&simulator);
    config.fingerprints.clear();
    config.endpoints.truncate(1);
    (simulator, config)
}

fn ca_file(directory: &TempDir, simulator: &Simulator) -> Option<PathBuf> {
    let path = directory.path().join("ca.pem");
    std::fs::write(&path, simulator.ca_pem()).unwrap();
    Some(path)
}

/// What is said when the certificate is refused.
async fn refusal(client: &Client) -> String {
    let error = client.get(&version()).await.unwrap_err();
    assert!(matches!(error, ApiError::Tls { .. }), "{error:?}");
    assert_eq!(error.reason().as_str(), "tls");
    error.to_string()
}

#[tokio::test]
async fn the_right_authority() {
    let (simulator, mut config) = untrusting().await;
    let directory = TempDir::new().unwrap();
    config.ca_file = ca_file(&directory, &simulator);
    client(&config).get(&version()).await.unwrap();
}

#[tokio::test]
async fn another_authority_and_the_system() {
    let (_simulator, mut config) = untrusting().await;
    refusal(&client(&config)).await;
    let directory = TempDir::new().unwrap();
    config.ca_file = ca_file(&directory, &Simulator::start(options()).await.unwrap());
    let text = refusal(&client(&config)).await;
    assert!(text.contains(config.endpoints[0].as_str()), "{text}");
}

#[tokio::test]
async fn fingerprints() {
    let (simulator, mut config) = untrusting().await;
    let (first, second) = (
        simulator.fingerprint("pve1").unwrap(),
        simulator.fingerprint("pve2").unwrap(),
    );
    config.fingerprints = vec![second.parse().unwrap()];
    let text = refusal(&client(&config)).await;
    assert!(text.contains(&first), "the presented one must be told: {text}");
    config.fingerprints.push(first.parse().unwrap());
    client(&config).get(&version()).await.unwrap();
}

#[tokio::test]
async fn anything_goes_where_it_is_asked_for() {
    let (_simulator, mut config) = untrusting().await;
    config.insecure_skip_verify = true;
    client(&config).get(&version()).await.unwrap();
}

#[tokio::test]
async fn a_learned_fingerprint_lets_a_failover_succeed() {
    let second = ScriptedServer::start(|_| Answer::Keep(ok("{\"data\":{}}"))).await;
    let nodes = serde_json::json!({"data": [{"node": "pve2", "ssl_fingerprint": second.fingerprint.to_string()}]});
    let first = ScriptedServer::start(move |request| match request.target() {
        "/api2/json/nodes" => Answer::Close(ok(&nodes.to_string())),
        _ => Answer::Close(Vec::new()),
    })
    .await;
    let mut config = first.cluster();
    config.endpoints.push(second.url.clone());
    let client = client(&config);
    let at_second = Request {
        place: Place::Endpoint(1),
        ..version()
    };
    assert_eq!(client.get(&at_second).await.unwrap_err().reason().as_str(), "tls");
    client.learn_fingerprints().await.unwrap();
    drop(first);
    client.get(&at_second).await.unwrap();
    assert_eq!(client.get(&version()).await.unwrap().endpoint, 1);
}

#[tokio::test]
async fn all_nodes_are_learned_from_one() {
    let (simulator, mut config) = untrusting().await;
    config.endpoints = cluster(&simulator).endpoints;
    config.fingerprints = vec![simulator.fingerprint("pve1").unwrap().parse().unwrap()];
    let client = client(&config);
    client.learn_fingerprints().await.unwrap();
    simulator.inject(pve_simulator::Fault::new(FaultKind::ProxyDown).on("pve1"));
    simulator.settled().await;
    assert_eq!(client.get(&version()).await.unwrap().endpoint, 1);
}
