//! Whatever PVE sends, the exposition is right and nothing panics.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use pve_exporter::metrics::exposition::Format;
use pve_exporter::pve::api;
use pve_exporter::scrape::{Exporter, ScrapeRequest};
use pve_exporter::sources::name::SourceName;
use support::exporters::{checked, everything, with_config};
use support::fixture_server::FixtureServer;
use tokio::runtime::Runtime;

const FIELDS: [&str; 34] = [
    "node",
    "status",
    "name",
    "vmid",
    "template",
    "tags",
    "pool",
    "lock",
    "hastate",
    "level",
    "cgroup-mode",
    "host-arch",
    "uptime",
    "cpu",
    "maxcpu",
    "mem",
    "maxmem",
    "memhost",
    "disk",
    "maxdisk",
    "netin",
    "netout",
    "diskread",
    "diskwrite",
    "storage",
    "plugintype",
    "content",
    "shared",
    "network",
    "network-type",
    "zone-type",
    "protocol",
    "sdn",
    "type",
];

/// Text of every kind, as JSON.
fn text() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        any::<String>(),
        "[a-z0-9;]{0,12}",
        Just("a\"b\\c\nd\re\t\u{2028}\u{0}".to_owned()),
        Just(String::new()),
        Just("x".repeat(10_000)),
    ];
    text.prop_map(|text| serde_json::Value::from(text).to_string())
}

/// Numbers as Perl sends them, and as nobody should.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<u64>().prop_map(|number| number.to_string()),
        any::<i64>().prop_map(|number| format!("\"{number}\"")),
        (-1e20..1e20).prop_map(|number: f64| format!("{number:e}")),
        prop::sample::select(
            &[
                "\"NaN\"",
                "\"inf\"",
                "\"-inf\"",
                "-1",
                "1e308",
                "\"1e999\"",
                "18446744073709551616",
                "-0.0",
                "5e-324"
            ][..]
        )
        .prop_map(str::to_owned),
    ]
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => text(),
        4 => number(),
        1 => prop::sample::select(&["null", "true", "[]", "{\"a\":[1]}", "\"online\"", "\"running\"", "\"available\""][..]).prop_map(str::to_owned),
    ]
}

/// A row: its id, and its fields as JSON.
fn row() -> impl Strategy<Value = (String, String)> {
    let kinds = prop::sample::select(&["qemu", "lxc", "node", "storage", "pool", "sdn", "network", "later"][..]);
    (
        kinds,
        100..120_u32,
        prop::collection::btree_map(prop::sample::select(&FIELDS[..]), value(), 0..30),
    )
        .prop_map(|(kind, number, mut fields)| {
            let node = format!("pve{}", number % 3);
            let (id, own) = match kind {
                "qemu" | "lxc" => (format!("{kind}/{number}"), vec![("vmid", number.to_string())]),
                "node" => (format!("node/{node}"), vec![("node", format!("\"{node}\""))]),
                "storage" => (
                    format!("storage/{node}/s{number}"),
                    vec![("node", format!("\"{node}\"")), ("storage", format!("\"s{number}\""))],
                ),
                "pool" => (format!("/pool/{number}"), vec![("pool", format!("\"{number}\""))]),
                _ => (format!("{kind}/{number}"), vec![]),
            };
            fields.extend(own);
            fields.insert("type", format!("\"{kind}\""));
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| format!("\"{name}\":{value}"))
                .collect();
            let json = format!("{{\"id\":\"{id}\",{}}}", fields.join(","));
            (id, json)
        })
}

fn body<'a>(rows: impl IntoIterator<Item = &'a String>) -> String {
    let rows: Vec<_> = rows.into_iter().map(String::as_str).collect();
    format!("{{\"data\":[{}]}}", rows.join(","))
}

/// A PVE that answers with a body of the test's own.
struct Fixture {
    runtime: Runtime,
    server: FixtureServer,
}

impl Fixture {
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(FixtureServer::with_folder("pve-9.2"));
        Self { runtime, server }
    }

    /// Both formats of what an exporter makes of `resources`, without what differs from scrape to scrape.
    fn expose(&self, resources: String) -> [String; 2] {
        self.server.reply("/cluster/resources", 200, "OK", resources);
        let volatile = [
            "process_*",
            "pve_exporter_*",
            "pve_source_duration_*",
            "pve_source_last_success_*",
        ];
        let (exporter, _) = with_config(&[("main", self.server.cluster())], |config| {
            config.metrics.drop = volatile.map(str::to_owned).to_vec();
        });
        [Format::OpenMetrics, Format::Classic].map(|format| self.runtime.block_on(scrape(&exporter, format)))
    }

    /// Demands that both formats are right and say the same, and returns them.
    fn agreed(&self, resources: String) -> [String; 2] {
        let texts = self.expose(resources);
        let [openmetrics, classic] = [
            checked(&texts[0], Format::OpenMetrics),
            checked(&texts[1], Format::Classic),
        ];
        let samples = |exposition: support::strict::Exposition| {
            let samples = exposition.families.into_iter().flat_map(|family| family.samples);
            samples
                .map(|sample| (sample.name, sample.labels, sample.value))
                .collect::<Vec<_>>()
        };
        assert_eq!(samples(openmetrics), samples(classic));
        texts
    }
}

async fn scrape(exporter: &Exporter, format: Format) -> String {
    let request = ScrapeRequest {
        selection: [
            SourceName::Resources,
            SourceName::MetricsExport,
            SourceName::ClusterStatus,
        ]
        .into(),
        ..everything(format)
    };
    exporter.scrape(&request).await.unwrap().into_text()
}

fn runner(cases: u32) -> TestRunner {
    // What was found once belongs into a test of its own, not into a file of seeds.
    TestRunner::new(Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    })
}

#[test]
fn any_resources_give_a_right_exposition_in_any_order() {
    let fixture = Fixture::new();
    let rows = prop::collection::vec(row(), 0..25).prop_map(|rows| rows.into_iter().collect::<BTreeMap<_, _>>());
    let outcome = runner(48).run(&rows, |rows| {
        let texts = fixture.agreed(body(rows.values()));
        prop_assert_eq!(texts, fixture.expose(body(rows.values().rev())));
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn rows_that_come_twice_give_a_right_exposition() {
    let fixture = Fixture::new();
    let rows = prop::collection::vec(row(), 0..25);
    let outcome = runner(24).run(&rows, |rows| {
        let rows = rows.iter().chain(&rows).map(|(_, json)| json);
        fixture.agreed(body(rows));
        Ok(())
    });
    outcome.unwrap();
}

/// Reads the bytes as every body that there is.
fn decode_all(body: &[u8]) {
    drop(api::access_permissions::decode(body).map(drop));
    drop(api::cluster_backup::decode(body, drop));
    drop(api::cluster_metrics_export::decode(body, drop));
    drop(api::cluster_resources::decode(body, drop));
    drop(api::cluster_status::decode(body, drop));
    drop(api::guest_pending::decode(body, drop));
    drop(api::guest_snapshots::decode(body, drop));
    drop(api::ha_groups::decode(body, drop));
    drop(api::ha_manager_status::decode(body).map(drop));
    drop(api::ha_rules::decode(body, drop));
    drop(api::ha_status::decode(body, drop));
    drop(api::node_lxc::decode(body, drop));
    drop(api::node_netstat::decode(body, drop));
    drop(api::node_qemu::decode(body, drop));
    drop(api::node_status::decode(body).map(drop));
    drop(api::nodes::fingerprints(body));
    drop(api::not_backed_up::decode(body, drop));
    drop(api::replication::decode(body, drop));
    drop(api::storage_content::decode(body, drop));
    drop(api::task_log::decode(body, drop));
    drop(api::tasks::decode(body, drop));
    drop(api::version::decode(body).map(drop));
}

#[test]
fn no_bytes_make_a_decoder_panic() {
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    let outcome = runner(512).run(&bytes, |bytes| {
        decode_all(&bytes);
        decode_all(&[b"{\"data\":", &bytes[..], b"}"].concat());
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn no_damage_to_recorded_bodies_makes_a_decoder_panic() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/pve-9.2");
    for entry in std::fs::read_dir(folder).unwrap() {
        let body = std::fs::read(entry.unwrap().path()).unwrap();
        let damage = prop::collection::vec((0..body.len(), any::<u8>()), 1..8);
        let outcome = runner(48).run(&(damage, 0..body.len()), |(damage, end)| {
            let mut damaged = body.clone();
            for (place, byte) in damage {
                damaged[place] = byte;
            }
            decode_all(&damaged);
            decode_all(&damaged[..end]);
            Ok(())
        });
        outcome.unwrap();
    }
}
