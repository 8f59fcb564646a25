//! From the body of `/cluster/resources` to subjects, beside reading the same body into plain wire rows.

use std::time::Instant;

use pve_exporter::clock::Clock;
use pve_exporter::config::GuestFilter;
use pve_exporter::pve::api;
use pve_exporter::pve::client::{Client, Request};
use pve_exporter::pve::transport::Observer;
use pve_exporter::sources::resources::{Memory, convert};
use pve_simulator::Simulator;

struct Silent;

impl Observer for Silent {
    fn request(&self, _: &url::Url, _: Option<u16>, _: std::time::Duration) {}
}

pub(crate) async fn run(simulator: &Simulator) {
    let config = crate::config(simulator);
    let client = Client::new(&config.clusters["bench"], Clock::default(), std::sync::Arc::new(Silent)).unwrap();
    let body = client.get(&Request::entry("/cluster/resources")).await.unwrap().body;
    let mut rows = 0_u32;
    api::cluster_resources::decode(&body, |_| rows += 1).unwrap();
    let (mut memory, filter) = (Memory::default(), GuestFilter::default());
    let subjects = crate::timed(9, || {
        std::hint::black_box(convert(&body, "bench", &filter, &mut memory, Instant::now()).unwrap());
    });
    let wire = crate::timed(9, || {
        let mut rows = Vec::new();
        api::cluster_resources::decode(&body, |row| rows.push(row)).unwrap();
        std::hint::black_box(rows.len());
    });
    println!(
        "decoder              {:9.0} ns a row, of {rows} rows and {} kB; into wire rows alone {:.0} ns: ratio {:.2}",
        subjects.as_secs_f64() * 1e9 / f64::from(rows),
        body.len() / 1000,
        wire.as_secs_f64() * 1e9 / f64::from(rows),
        subjects.as_secs_f64() / wire.as_secs_f64()
    );
}
