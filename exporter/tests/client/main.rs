//! The client against servers of every kind: errors as recorded, trust, failover, limits, and that no secret leaks.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

#[path = "../support/mod.rs"]
mod support;

mod errors;
mod failover;
mod logins;
mod secrecy;
mod transport;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use pve_exporter::clock::Clock;
use pve_exporter::config::Cluster;
use pve_exporter::pve::client::{Client, Request};
use pve_exporter::pve::transport::Observer;
use url::Url;

struct Uncounted;

impl Observer for Uncounted {
    fn request(&self, _: &Url, _: Option<u16>, _: Duration) {}
}

fn client(config: &Cluster) -> Client {
    client_at(config, &Clock::default())
}

fn client_at(config: &Cluster, clock: &Clock) -> Client {
    Client::new(config, clock.clone(), Arc::new(Uncounted)).unwrap()
}

fn version() -> Request {
    Request::entry("/version")
}
