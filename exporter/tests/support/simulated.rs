//! Simulated clusters for tests.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate includes this module and uses its own part of it"
)]
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

use std::time::{Duration, Instant};

use pve_exporter::config::{Cluster, Secret, TokenSource};
use pve_simulator::{Options, Simulator};

/// A quiet cluster whose delays are short, so that tests are.
pub fn options() -> Options {
    Options {
        unauthorized_delay: Duration::ZERO,
        dead_node_delay: Duration::from_millis(20),
        hung_node_delay: Duration::from_millis(200),
        export_node_delay: Duration::from_millis(100),
        ..Options::default()
    }
}

/// A configuration for every node of a simulated cluster, with their fingerprints.
pub fn cluster(simulator: &Simulator) -> Cluster {
    let endpoints = simulator.endpoints().iter().map(|url| url.parse().unwrap()).collect();
    let token = TokenSource::Environment {
        variable: "TEST".to_owned(),
        secret: Secret::new(simulator.token_secret()),
    };
    let mut cluster = Cluster::new(endpoints, simulator.token_id().parse().unwrap(), token);
    cluster.fingerprints = simulator
        .nodes()
        .iter()
        .map(|node| simulator.fingerprint(node).unwrap().parse().unwrap())
        .collect();
    cluster
}

/// Waits until `holds`, and fails the test where that takes too long.
pub async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < deadline, "still not: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
