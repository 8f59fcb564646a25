//! `pve_onboot_status` of `/pve`, for which each guest is asked by itself: one that cannot be read costs itself.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use pve_exporter::compat::parameters::Parameters;
use pve_exporter::scrape::Exporter;
use support::exporters::exporter;
use support::fixture_server::FixtureServer;

const OF_100: &str = "/nodes/pve1/qemu/100/pending";
const STARTS: &str = r#"{"data":[{"key":"onboot","value":1}]}"#;

/// The guests with a sample, and whether every configuration could be read.
async fn told(exporter: &Exporter) -> (BTreeSet<String>, bool) {
    let parameters = Parameters::parse("cluster=0");
    let page = exporter.scrape_pve(&parameters, Duration::from_secs(20)).await;
    let text = page.unwrap().into_text();
    let samples = text
        .lines()
        .filter_map(|line| line.strip_prefix("pve_onboot_status{id=\""));
    let guests = samples.filter_map(|sample| Some(sample.split_once('"')?.0.to_owned()));
    let success = |value| format!("pve_scrape_collector_success{{collector=\"config\",id=\"node/pve1\"}} {value}\n");
    let read = text.contains(&success("1.0"));
    assert!(read || text.contains(&success("0.0")), "{text}");
    (guests.collect(), read)
}

fn calls(server: &FixtureServer) -> BTreeSet<String> {
    let calls = server.take_calls().into_iter();
    calls.filter(|path| path.ends_with("/pending")).collect()
}

#[tokio::test]
async fn a_guest_that_cannot_be_read_costs_itself() {
    let server = FixtureServer::with_folder("pve-9.2").await;
    for path in server.paths().into_iter().filter(|path| path.ends_with("/pending")) {
        server.reply(&path, 200, "OK", STARTS);
    }
    server.reply(OF_100, 500, "unable to parse config", "");
    let (exporter, clock) = exporter(&[("main", server.cluster())]);
    let (without, read) = told(&exporter).await;
    assert!(!read);
    assert!(without.len() == 9 && !without.contains("qemu/100"), "{without:?}");
    assert!(calls(&server).contains(OF_100));

    // The others are told for as long as they can be read, and the one is not asked for in each round.
    let mut asked = 0;
    for _ in 0..40 {
        clock.advance(Duration::from_secs(60));
        assert_eq!(told(&exporter).await, (without.clone(), false));
        asked += usize::from(calls(&server).contains(OF_100));
    }
    assert!((2..10).contains(&asked), "{asked}");

    // One that is new waits for nobody.
    server.reply(OF_100, 403, "Permission check failed", "");
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/pve-9.2/cluster__resources.json"
    );
    let resources = std::fs::read_to_string(file)
        .unwrap()
        .replace("\"qemu/107\"", "\"qemu/99\"");
    server.reply("/cluster/resources", 200, "OK", resources);
    server.reply("/nodes/pve1/qemu/99/pending", 200, "OK", STARTS);
    clock.advance(Duration::from_secs(11));
    let (with_new, _) = told(&exporter).await;
    assert!(
        with_new.contains("qemu/99") && !with_new.contains("qemu/107"),
        "{with_new:?}"
    );

    // Corrected, it is told within its rest.
    server.reply(OF_100, 200, "OK", STARTS);
    let mut last = (BTreeSet::new(), false);
    for _ in 0..16 {
        clock.advance(Duration::from_secs(60));
        last = told(&exporter).await;
    }
    assert!(last.1 && last.0.contains("qemu/100"), "{last:?}");
}

#[tokio::test]
async fn an_answer_that_ages_is_told_for_hours_and_no_longer() {
    let server = FixtureServer::with_folder("pve-9.2").await;
    server.reply(OF_100, 200, "OK", STARTS);
    let (exporter, clock) = exporter(&[("main", server.cluster())]);
    assert!(told(&exporter).await.0.contains("qemu/100"));
    server.reply(OF_100, 500, "unable to parse config", "");
    let mut last_told = 0;
    for minutes in 1..300 {
        clock.advance(Duration::from_secs(60));
        if told(&exporter).await.0.contains("qemu/100") {
            last_told = minutes;
        }
    }
    assert!((170..=190).contains(&last_told), "{last_told}");
}
