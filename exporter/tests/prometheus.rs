//! A real Prometheus scrapes the exporter and understands it.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use pve_exporter::metrics::catalog::{Entry, catalog};
use pve_exporter::server;
use pve_simulator::{Options, Simulator};
use serde_json::Value;
use support::exporters::exporter;
use support::http::get;
use support::program::Program;
use support::prometheus::{Prometheus, promtool_check_metrics};
use support::simulated::{cluster, options};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

const DEADLINE: Duration = Duration::from_secs(60);

fn is(expected: &str) -> impl Fn(&Value) -> bool {
    move |result| result[0]["value"][1] == expected
}

/// The catalogue by the names that OpenMetrics gives to families.
fn families() -> BTreeMap<String, Entry> {
    let entries = catalog().into_iter().flat_map(|group| group.entries);
    let family = |entry: &Entry| match entry.kind {
        "counter" => entry.name.trim_end_matches("_total").to_owned(),
        "info" => entry.name.trim_end_matches("_info").to_owned(),
        _ => entry.name.to_owned(),
    };
    entries.map(|entry| (family(&entry), entry)).collect()
}

#[test]
fn it_scrapes_the_demo() {
    let mut demo = Program::demo(&["--nodes", "3", "--guests", "20"]);
    let prometheus = Prometheus::scraping(&[&demo.address().to_string()]);
    prometheus.wait_for("up", is("1"), DEADLINE);
    prometheus.wait_for("count(pve_node_up)", is("3"), DEADLINE);
    prometheus.wait_for("count(pve_guest_info)", is("20"), DEADLINE);
    let joined = "count(pve_guest_up * on (pve_cluster, id) group_left (name) pve_guest_info{name!=\"\"})";
    let known = prometheus.query("count(pve_guest_up)");
    assert_eq!(prometheus.query(joined)[0]["value"][1], known[0]["value"][1]);

    let (families, metadata) = (families(), prometheus.metadata());
    let metadata = metadata.as_array().unwrap();
    assert!(metadata.len() > 60, "only {} families", metadata.len());
    for found in metadata {
        let name = found["metric"].as_str().unwrap();
        let entry = families
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not in the catalogue"));
        let told = ["type", "help", "unit"].map(|key| found[key].as_str().unwrap());
        assert_eq!(told, [entry.kind, entry.help, entry.unit.as_str()], "{name}");
    }
}

#[test]
fn it_discovers_clusters() {
    let runtime = Runtime::new().unwrap();
    let (address, _simulators) = runtime.block_on(async {
        let small = Simulator::start(Options { guests: 3, ..options() }).await.unwrap();
        let large = Simulator::start(Options { guests: 7, ..options() }).await.unwrap();
        let (exporter, _) = exporter(&[("small", cluster(&small)), ("large", cluster(&large))]);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(server::serve(vec![listener], exporter, std::future::pending()));
        (address, [small, large])
    });
    let prometheus = Prometheus::with_config(&format!(
        "global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n\
         scrape_configs: [{{job_name: pve, http_sd_configs: [{{url: \"http://{address}/sd/clusters\", refresh_interval: 1s}}]}}]\n"
    ));
    prometheus.wait_for("count(up == 1)", is("2"), DEADLINE);
    for (name, guests) in [("small", "3"), ("large", "7")] {
        let own = format!("count(pve_guest_info{{instance=\"{name}\", pve_cluster=\"{name}\"}})");
        prometheus.wait_for(&own, is(guests), DEADLINE);
        let foreign = format!("count(pve_guest_info{{instance=\"{name}\", pve_cluster!=\"{name}\"}})");
        assert_eq!(prometheus.query(&foreign), serde_json::json!([]));
    }
}

#[tokio::test]
async fn promtool_finds_nothing_to_complain_about() {
    let mut demo = Program::demo(&[]);
    let answer = get(demo.address(), "/metrics", &[]).await;
    promtool_check_metrics(answer.text()).unwrap();
}
