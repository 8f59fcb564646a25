//! The sources of HA and replication against a PVE of each age.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use pve_exporter::clock::Clock;
use pve_exporter::pve::client::Client;
use pve_exporter::pve::error::ApiError;
use pve_exporter::pve::transport::Observer;
use pve_exporter::sources::{ha_manager, ha_rules, ha_status, replication, replication_jobs};
use support::fixture_server::FixtureServer;
use url::Url;

struct Uncounted;

impl Observer for Uncounted {
    fn request(&self, _: &Url, _: Option<u16>, _: Duration) {}
}

fn client(server: &FixtureServer) -> Client {
    Client::new(&server.cluster(), Clock::default(), Arc::new(Uncounted)).unwrap()
}

/// The numbers of rules and of groups.
async fn rules(server: &FixtureServer) -> Result<(Option<u64>, Option<u64>), ApiError> {
    let rules = ha_rules::fetch(&client(server), "main").await?;
    Ok((rules.rows[0].rules, rules.rows[0].groups))
}

#[tokio::test]
async fn recorded_pve_9_2_has_rules() {
    let server = FixtureServer::with_folder("pve-9.2").await;
    assert_eq!(rules(&server).await.unwrap(), (Some(0), None));
    assert_eq!(server.take_calls(), ["/cluster/ha/rules"]);
}

#[tokio::test]
async fn constructed_pve_8_has_groups() {
    let server = FixtureServer::with_folder("pve-8").await;
    assert_eq!(rules(&server).await.unwrap(), (None, Some(2)));
}

#[tokio::test]
async fn groups_that_became_rules_meanwhile_are_no_error() {
    let server = FixtureServer::empty().await;
    // As recorded from PVE 9.2.
    let reason = "cannot index groups: ha groups have been migrated to rules";
    let body = format!(r#"{{"data":null,"message":"{reason}\n"}}"#);
    server.reply("/cluster/ha/groups", 500, reason, body);
    assert_eq!(rules(&server).await.unwrap(), (None, None));
}

#[tokio::test]
async fn groups_that_cannot_be_read_are_an_error() {
    let server = FixtureServer::empty().await;
    server.reply("/cluster/ha/groups", 500, "ipcc_send_rec failed", "");
    assert!(matches!(
        rules(&server).await,
        Err(ApiError::Status { status: 500, .. })
    ));
}

#[tokio::test]
async fn every_source_reads_the_recorded_cluster() {
    let server = FixtureServer::with_folder("pve-9.2").await;
    let client = client(&server);
    let manager = ha_manager::fetch(&client, "main", &Mutex::default(), Instant::now())
        .await
        .unwrap();
    assert_eq!((manager.nodes.len(), manager.guests.len()), (2, 2));
    assert_eq!(ha_status::fetch(&client, "main").await.unwrap().requests.len(), 2);
    let jobs = replication_jobs::fetch(&client, "main", &[]).await.unwrap();
    let mut states = 0;
    for node in jobs.owners(&[], false) {
        states += replication::fetch(&client, "main", &node).await.unwrap().states.len();
    }
    assert_eq!((jobs.jobs.len(), states), (2, 2));
}
