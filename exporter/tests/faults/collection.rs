//! Who waits, what a scrape costs PVE, and for how long values are served.

use std::time::{Duration, Instant};

use pve_exporter::config::SourceSettings;
use pve_exporter::metrics::exposition::Format;
use pve_exporter::scrape::{ScrapeRequest, all_sources};
use pve_exporter::sources::name::SourceName;
use pve_simulator::{Options, Simulator, Version};

use crate::support::exporters::{checked, everything, scrape, with_config};
use crate::support::fixture_server::FixtureServer;
use crate::support::simulated::{Simulated, cluster, failures, options, source_up, sources_down};
use crate::support::strict::Exposition;

const RESOURCES: &str = "/cluster/resources";
const EXPORT: &str = "/cluster/metrics/export";

fn fast_calls(pve: &Simulated) -> u64 {
    let calls = pve.simulator.calls();
    calls.received_for(RESOURCES) + calls.received_for(EXPORT)
}

#[tokio::test]
async fn a_black_hole_is_waited_for_once() {
    let mut simulators = Vec::new();
    for _ in 0..3 {
        simulators.push(Simulator::start(options()).await.unwrap());
    }
    let mut clusters = simulators.iter().map(cluster).collect::<Vec<_>>();
    clusters[2].connect_timeout = Duration::from_secs(1);
    clusters[2].endpoints.truncate(1);
    simulators[2].inject(pve_simulator::FaultKind::BlackHole);
    let names = ["a", "b", "hole"];
    let clusters: Vec<_> = names.into_iter().zip(clusters).collect();
    let (exporter, clock) = with_config(&clusters, |_| {});
    let started = Instant::now();
    let seen = scrape(&exporter).await;
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "what queues behind the first failures fails with them"
    );
    assert_eq!(seen.value("pve_cluster_up", &[("pve_cluster", "hole")]), Some(0.0));
    assert_eq!(seen.value("pve_cluster_up", &[("pve_cluster", "a")]), Some(1.0));

    let healthy = ScrapeRequest {
        clusters: vec!["a".to_owned(), "b".to_owned()],
        ..everything(Format::Classic)
    };
    let timed = async |request: &ScrapeRequest| {
        clock.advance(Duration::from_secs(15));
        let started = Instant::now();
        exporter.scrape(request).await.unwrap();
        started.elapsed()
    };
    let second = timed(&everything(Format::Classic)).await;
    let mut alone = Duration::ZERO;
    for _ in 0..3 {
        alone = alone.max(timed(&healthy).await);
    }
    // Waiting for the hole again would take a second more.
    assert!(
        second < 2 * alone + Duration::from_millis(300),
        "{second:?} and {alone:?}"
    );
}

#[tokio::test]
async fn two_scrapers_cost_as_much_as_one() {
    let mut costs = Vec::new();
    for steps in [&[15][..], &[7, 8]] {
        let pve = Simulated::start().await;
        pve.scrape().await;
        for _ in 0..8 {
            for step in steps {
                pve.scrape_after(*step).await;
            }
        }
        pve.idle().await;
        costs.push(pve.simulator.calls());
    }
    for path in [
        RESOURCES,
        EXPORT,
        "/version",
        "/access/permissions",
        "/nodes/{node}/status",
    ] {
        assert_eq!(costs[0].received_for(path), costs[1].received_for(path), "{path}");
    }
    // Refreshed behind the scrapes, one of which comes earlier after 24 s with two scrapers.
    let (one, two) = (
        costs[0].received_for("/cluster/status"),
        costs[1].received_for("/cluster/status"),
    );
    assert!(two <= one + 2, "{two} and {one}");
}

#[tokio::test]
async fn a_scrape_costs_two_fast_calls_at_any_interval() {
    for interval in [15, 60, 300, 3600] {
        let pve = Simulated::start().await;
        pve.scrape().await;
        for scrapes in 2..6 {
            let seen = pve.scrape_after(interval).await;
            pve.idle().await;
            assert_eq!(fast_calls(&pve), 2 * scrapes, "every {interval} s");
            assert_eq!(seen.samples("pve_guest_info").count(), 24);
            assert!(
                seen.value("pve_guest_up", &[("id", "qemu/100")]).is_some(),
                "every {interval} s"
            );
        }
    }
}

#[tokio::test]
async fn ten_scrapes_at_once_share_success_and_failure() {
    for (fault, up) in [(None, 1.0), (Some("status=500:/cluster/resources"), 0.0)] {
        let pve = Simulated::start().await;
        if let Some(fault) = fault {
            pve.inject(fault).await;
        }
        let all = futures_util::future::join_all((0..10).map(|_| scrape(&pve.exporter))).await;
        assert!(all.iter().all(|seen| source_up(seen, "resources", "") == Some(up)));
        // An endpoint's own error leads to the next one, of three.
        assert_eq!(fast_calls(&pve), if up == 1.0 { 2 } else { 4 });
        assert_eq!(pve.simulator.calls().received_for("/nodes/{node}/status"), 3);
    }
}

#[tokio::test]
async fn a_fan_out_that_hangs_gives_way_to_each_endpoint() {
    let slow = Options {
        export_node_delay: Duration::from_secs(30),
        ..options()
    };
    let pve = Simulated::with(slow, |_| {}).await;
    pve.scrape().await;
    pve.inject("hang:pve2").await;
    let local_only = |pve: &Simulated| pve.simulator.calls().received_for(EXPORT);
    let before = local_only(&pve);
    let seen = pve.scrape_after(15).await;
    let sampled = |seen: &Exposition, node: &str| {
        let labels = [("node", node)];
        seen.value("pve_node_sample_timestamp_seconds", &labels).is_some()
    };
    assert!(sampled(&seen, "pve1") && !sampled(&seen, "pve2") && sampled(&seen, "pve3"));
    assert_eq!(
        local_only(&pve),
        before + 4,
        "one for all nodes, then one to each endpoint"
    );
    assert_eq!(source_up(&seen, "metrics_export", ""), Some(1.0));
    // Neither the fan-out nor the endpoint that hangs is asked again for now, and nobody waits for them.
    let seen = pve.scrape_after(15).await;
    assert!(sampled(&seen, "pve1") && !sampled(&seen, "pve2") && sampled(&seen, "pve3"));
    assert_eq!(local_only(&pve), before + 6);
    // Ten minutes later the fan-out is tried behind the scrape.
    pve.clear().await;
    pve.exporter.retry();
    pve.until("the fan-out is tried again", |seen| {
        pve.age(605);
        ["pve1", "pve2", "pve3"].iter().all(|node| sampled(seen, node))
    })
    .await;
}

#[tokio::test]
async fn a_pve_without_the_export_is_asked_for_it_once_an_hour() {
    let old = Options {
        versions: vec![Version::new(8, 2, 2)],
        ..options()
    };
    let pve = Simulated::with(old, |_| {}).await;
    let asked = |pve: &Simulated| pve.simulator.calls().received_for(EXPORT);
    pve.scrape().await;
    for _ in 0..20 {
        let seen = pve.scrape_after(15).await;
        assert_eq!(
            seen.samples("pve_node_load1").count(),
            3,
            "the nodes tell it themselves"
        );
        assert_eq!(source_up(&seen, "metrics_export", ""), Some(1.0));
    }
    assert_eq!(asked(&pve), 1);
    pve.scrape_after(3600).await;
    assert_eq!(asked(&pve), 2);
}

#[tokio::test]
async fn nothing_is_called_when_nobody_scrapes() {
    // With one endpoint a retry is one call.
    let pve = Simulated::with(options(), |config| {
        config.clusters.get_mut("main").unwrap().endpoints.truncate(1);
    })
    .await;
    pve.inject("status=500:/cluster/resources").await;
    pve.inject("proxy-down:pve3").await;
    pve.scrape().await;
    pve.idle().await;
    let calls = pve.simulator.calls().received();
    pve.age(30);
    pve.exporter.retry();
    let deadline = Instant::now() + Duration::from_secs(10);
    while pve.simulator.calls().received() == calls {
        assert!(Instant::now() < deadline, "soon after a scrape what failed is retried");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // One call leads to another; the last one has ended when nothing has come for a while.
    let (mut calls, mut looks) = (pve.simulator.calls(), 0);
    while looks < 10 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        pve.idle().await;
        looks = if pve.simulator.calls() == calls { looks + 1 } else { 0 };
        calls = pve.simulator.calls();
    }
    for _ in 0..20 {
        pve.age(400);
        pve.exporter.retry();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(pve.simulator.calls(), calls);
}

#[tokio::test]
async fn no_node_executes_more_than_two_calls_at_once() {
    let large = Options {
        nodes: 10,
        guests: 1000,
        call_delay: Duration::from_millis(20),
        ..options()
    };
    let pve = Simulated::with(large, |_| {}).await;
    pve.exporter.warm_up().await;
    assert!(pve.exporter.is_ready());
    let seen = pve.scrape_after(300).await;
    pve.idle().await;
    assert_eq!(seen.samples("pve_guest_info").count(), 1000);
    assert_eq!(sources_down(&seen), []);
    for node in pve.simulator.nodes() {
        let highest = pve.simulator.highest_concurrency(&node);
        assert!((1..=2).contains(&highest), "{node}: {highest}");
    }
}

#[tokio::test]
async fn a_node_known_to_be_offline_is_not_asked() {
    let pve = Simulated::start().await;
    pve.inject("offline:pve2").await;
    pve.scrape().await;
    pve.idle().await;
    pve.simulator.reset_calls();
    for scrapes in 1..=3 {
        pve.advance(300);
        let asked = || pve.simulator.calls().received_for("/nodes/{node}/status");
        pve.until("pve1 and pve3 are asked", |_| asked() == 2 * scrapes).await;
        pve.idle().await;
    }
    assert_eq!(pve.simulator.connections("pve2"), 0);
}

#[tokio::test]
async fn old_values_end_and_names_stay_for_a_day() {
    // Served up to max(3 x 10 s, 2.5 x interval). Every scrape counts, so there is but one per step.
    async fn after(pve: &Simulated, seconds: u64) -> Exposition {
        pve.advance(seconds);
        scrape(&pve.exporter).await
    }
    for (interval, served, gone) in [(15, 6, 4), (60, 25, 10)] {
        let pve = Simulated::start().await;
        for _ in 0..5 {
            after(&pve, interval).await;
        }
        pve.inject("status=500:/cluster/resources").await;
        for step in [interval, interval, served] {
            let seen = after(&pve, step).await;
            assert_eq!(source_up(&seen, "resources", ""), Some(0.0));
            assert_eq!(seen.value("pve_guest_up", &[("id", "qemu/100")]), Some(1.0));
        }
        let seen = after(&pve, gone).await;
        for absent in [
            "pve_guest_up",
            "pve_guest_uptime_seconds",
            "pve_node_memory_usage_bytes",
            "pve_storage_up",
        ] {
            assert_eq!(seen.samples(absent).count(), 0, "{absent}");
        }
        assert_eq!(
            seen.value("pve_guest_state", &[("id", "qemu/100"), ("state", "unknown")]),
            Some(1.0)
        );
        let named = |seen: &Exposition| {
            seen.samples("pve_guest_info")
                .filter(|sample| sample.label("name").is_some())
                .count()
        };
        assert_eq!(named(&seen), 24);
        assert_eq!(named(&after(&pve, 23 * 3600).await), 24);
        assert_eq!(named(&after(&pve, 3600).await), 0);
    }
}

#[tokio::test]
async fn a_source_switched_off_asks_nothing_and_shows_nothing() {
    let pve = Simulated::with(options(), |config| {
        for source in [SourceName::NodeStatus, SourceName::MetricsExport] {
            let off = SourceSettings {
                enabled: Some(false),
                max_age: None,
            };
            config.sources.insert(source, off);
        }
    })
    .await;
    let seen = pve.scrape().await;
    let calls = pve.simulator.calls();
    assert_eq!(
        calls.received_for(EXPORT) + calls.received_for("/nodes/{node}/status"),
        0
    );
    assert_eq!(source_up(&seen, "metrics_export", ""), None);
    assert!(
        seen.samples("pve_source_up")
            .all(|sample| sample.label("source") != Some("node_status"))
    );
    assert_eq!(
        seen.samples("pve_node_load1").count() + seen.samples("pve_node_system_info").count(),
        0
    );
    assert_eq!(seen.samples("pve_guest_info").count(), 24);
}

#[tokio::test]
async fn a_scrape_covers_the_sources_it_asks_for() {
    let pve = Simulated::start().await;
    let mut request = everything(Format::OpenMetrics);
    request.selection = [SourceName::ClusterStatus, SourceName::Version].into();
    let text = pve.exporter.scrape(&request).await.unwrap().into_text();
    let seen = checked(&text, Format::OpenMetrics);
    pve.idle().await;
    assert_eq!(fast_calls(&pve), 0);
    assert_eq!(seen.samples("pve_source_up").count(), 2);
    assert_eq!(seen.value("pve_cluster_quorate", &[]), Some(1.0));
    assert_eq!(seen.samples("pve_guest_info").count(), 0);

    request.selection = all_sources();
    request.selection.remove(&SourceName::Resources);
    let text = pve.exporter.scrape(&request).await.unwrap().into_text();
    let seen = checked(&text, Format::OpenMetrics);
    assert_eq!(
        pve.simulator.calls().received_for(RESOURCES),
        1,
        "it tells which nodes there are"
    );
    assert_eq!(seen.samples("pve_guest_info").count(), 0);
    assert_eq!(seen.samples("pve_node_system_info").count(), 3);
    assert_eq!(source_up(&seen, "metrics_export", ""), Some(1.0));
    request.clusters = vec!["other".to_owned()];
    assert!(pve.exporter.scrape(&request).await.is_err());
}

#[tokio::test]
async fn a_scrape_ends_at_its_deadline_with_what_is_there() {
    let pve = Simulated::start().await;
    pve.inject("hang:/cluster/resources").await;
    let request = ScrapeRequest {
        wait: Duration::from_millis(500),
        ..everything(Format::OpenMetrics)
    };
    let started = Instant::now();
    let text = pve.exporter.scrape(&request).await.unwrap().into_text();
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "far less than the request's own limit"
    );
    let seen = checked(&text, Format::OpenMetrics);
    assert_eq!(seen.value("pve_cluster_quorate", &[]), Some(1.0));
    assert_eq!(seen.samples("pve_guest_info").count(), 0);
    pve.clear().await;
    pve.until_aging(1, "recovered", |seen| seen.samples("pve_guest_info").count() == 24)
        .await;
}

#[tokio::test]
async fn a_frozen_pvestatd_shows_in_its_timestamp_and_then_in_unknown_guests() {
    let pve = Simulated::start().await;
    let sampled = [("node", "pve2")];
    let time = |seen: &Exposition, node| {
        seen.value("pve_node_sample_timestamp_seconds", &[("node", node)])
            .unwrap()
    };
    let before = pve.scrape().await;
    pve.inject("frozen-pvestatd:pve2").await;
    let seen = pve.scrape_after(60).await;
    assert_eq!(time(&seen, "pve2"), time(&before, "pve2"));
    assert_eq!(time(&seen, "pve1"), time(&before, "pve1") + 60.0);
    assert_eq!(seen.value("pve_node_up", &sampled), Some(1.0));

    let seen = pve.scrape_after(300).await;
    assert_eq!(sources_down(&seen), []);
    for guest in pve.simulator.guests() {
        let id = format!("{}/{}", guest.kind.as_str(), guest.vmid);
        let labels = [("id", id.as_str())];
        assert_eq!(
            seen.value("pve_guest_uptime_seconds", &labels).is_some(),
            guest.node != "pve2",
            "{id}"
        );
        assert!(
            seen.value("pve_guest_info", &[("id", &id), ("name", &guest.settings.name)])
                .is_some(),
            "{id}"
        );
    }
    pve.clear().await;
    let seen = pve.scrape_after(15).await;
    assert_eq!(seen.samples("pve_guest_uptime_seconds").count(), 24);
    assert!(time(&seen, "pve2") > time(&before, "pve2") + 300.0);
}

#[tokio::test]
async fn a_connection_that_breaks_is_tried_once_more() {
    let server = FixtureServer::empty().await;
    server.reply(RESOURCES, 200, "OK", r#"{"data":[]}"#);
    let (exporter, clock) = with_config(&[("main", server.cluster())], |config| {
        // Scrapes wait for this source, so that nothing else is under way.
        for source in SourceName::ALL {
            let enabled = Some(source == SourceName::Resources);
            config.sources.insert(source, SourceSettings { enabled, max_age: None });
        }
    });
    for (cuts, up) in [(0, 1.0), (1, 1.0), (2, 0.0)] {
        clock.advance(Duration::from_secs(15));
        server.cut(cuts);
        let seen = scrape(&exporter).await;
        assert_eq!(source_up(&seen, "resources", ""), Some(up), "{cuts} cuts");
        assert_eq!(server.take_calls().len(), 1 + cuts.min(1));
        assert_eq!(failures(&seen, "resources", "", "unreachable"), 1.0 - up);
    }
}
