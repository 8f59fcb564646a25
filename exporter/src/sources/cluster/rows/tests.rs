use pve_simulator::{Clock as SimulatedClock, Options, Simulator};
use url::Url;

use super::*;
use crate::clock::Clock;
use crate::config::{Cluster as ClusterConfig, Config, Secret, SecretSource};
use crate::pve::transport::Observer;

struct Uncounted;

impl Observer for Uncounted {
    fn request(&self, _: &Url, _: Option<u16>, _: Duration) {}
}

#[tokio::test]
async fn the_loss_of_nodes_is_worked_out_once_for_each_list() {
    let options = Options {
        clock: SimulatedClock::Manual,
        ..Options::default()
    };
    let simulator = Simulator::start(options).await.unwrap();
    let endpoints = simulator.endpoints().iter().map(|url| url.parse().unwrap()).collect();
    let token = SecretSource::Environment {
        variable: "TEST".to_owned(),
        secret: Secret::new(simulator.token_secret()),
    };
    let mut cluster = ClusterConfig::new(endpoints, simulator.token_id().parse().unwrap(), token);
    let fingerprint = |node: &String| simulator.fingerprint(node).unwrap().parse().unwrap();
    cluster.fingerprints = simulator.nodes().iter().map(fingerprint).collect();
    let clock = Clock::default();
    let sources = ClusterSources::new("main", &cluster, &Config::default(), &clock, Arc::new(Uncounted)).unwrap();
    let selection = Selection::from(SourceName::ALL);
    let refresh = || sources.refresh(&selection, tokio::time::Instant::now() + Duration::from_secs(30));
    // Nothing else runs between two calls of this.
    let losses = || sources.rows(&selection, &Metrics::default()).node_losses;

    refresh().await;
    let first = losses();
    assert_eq!(first.len(), 3);
    assert!(Arc::ptr_eq(&first, &losses()));
    clock.advance(Duration::from_secs(11));
    refresh().await;
    let second = losses();
    assert!(!Arc::ptr_eq(&first, &second), "there is a new list");
    assert!(Arc::ptr_eq(&second, &losses()));
}
