//! A real Prometheus scrapes `/pve` as the page about migrating says, and answers what dashboard 10347 asks.

use std::time::Duration;

use serde_json::Value;

use crate::live::{Both, host};
use crate::support::prometheus::Prometheus;
use crate::support::simulated::options;

const DEADLINE: Duration = Duration::from_secs(60);

/// What its panels show, by the metrics and joins that they use, and with how many series for so many nodes, guests and storages.
const QUERIES: [(&str, Counted); 19] = [
    ("count by (instance) (pve_node_info)", Counted::One),
    (
        "pve_up * on (id, instance) group_left (name) pve_node_info",
        Counted::Nodes,
    ),
    (
        "pve_up * on (id, instance) group_left (name, type, node) pve_guest_info",
        Counted::Guests,
    ),
    (
        "pve_up * on (id, instance) group_left (storage) pve_storage_info",
        Counted::Storages,
    ),
    (
        "pve_uptime_seconds * on (id, instance) group_left (name) pve_guest_info",
        Counted::Guests,
    ),
    (
        "pve_cpu_usage_limit and on (id, instance) pve_node_info",
        Counted::Nodes,
    ),
    (
        "pve_cpu_usage_ratio * on (id, instance) group_left (name) pve_node_info",
        Counted::Nodes,
    ),
    (
        "pve_cpu_usage_ratio * on (id, instance) group_left (name, type) pve_guest_info",
        Counted::Guests,
    ),
    (
        "sum(pve_cpu_usage_ratio * pve_cpu_usage_limit and on (id, instance) pve_node_info)",
        Counted::One,
    ),
    (
        "pve_memory_usage_bytes / pve_memory_size_bytes and on (id, instance) pve_node_info",
        Counted::Nodes,
    ),
    (
        "pve_memory_size_bytes * on (id, instance) group_left (name, type) pve_guest_info",
        Counted::Guests,
    ),
    (
        "pve_disk_usage_bytes / pve_disk_size_bytes and on (id, instance) pve_node_info",
        Counted::Nodes,
    ),
    (
        "pve_disk_usage_bytes / pve_disk_size_bytes * on (id, instance) group_left (storage, node) pve_storage_info",
        Counted::Storages,
    ),
    (
        "pve_disk_size_bytes * on (id, instance) group_left (name, type) pve_guest_info",
        Counted::Guests,
    ),
    (
        "rate(pve_network_transmit_bytes[20s]) * on (id, instance) group_left (name, type) pve_guest_info",
        Counted::Guests,
    ),
    (
        "rate(pve_network_receive_bytes[20s]) * on (id, instance) group_left (name, type) pve_guest_info",
        Counted::Guests,
    ),
    (
        "rate(pve_disk_write_bytes[20s]) * on (id, instance) group_left (name, type) pve_guest_info",
        Counted::Guests,
    ),
    (
        "rate(pve_disk_read_bytes[20s]) * on (id, instance) group_left (name, type) pve_guest_info",
        Counted::Guests,
    ),
    ("count(pve_guest_info{template=\"0\"})", Counted::One),
];

/// How many series a query gives.
enum Counted {
    One,
    Nodes,
    Guests,
    Storages,
}

/// The scrape configurations of the page, in their order, for these nodes and this exporter.
fn scrape_configurations(both: &Both) -> Vec<String> {
    let page = include_str!("../../docs/migrating.md");
    let blocks = page
        .split("```yaml\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```"));
    let blocks = blocks
        .map(|(block, _)| block)
        .filter(|block| block.starts_with("scrape_configs:"));
    let filled = |block: &str| {
        let mut block = block.replace("exporter.example:9221", &both.ours.to_string());
        for node in both.simulator.nodes() {
            block = block.replace(
                &format!("{node}.example"),
                &format!("\"{}\"", host(&both.simulator, &node)),
            );
        }
        format!("global: {{scrape_interval: 500ms, scrape_timeout: 500ms}}\n{block}")
    };
    blocks.map(filled).collect()
}

fn series(result: &Value) -> usize {
    result.as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_panel_has_data() {
    let both = Both::start(options()).await;
    let (nodes, guests) = (both.simulator.nodes().len(), both.simulator.guests().len());
    let configurations = scrape_configurations(&both);
    assert_eq!(configurations.len(), 2);
    let prometheus = tokio::task::block_in_place(|| {
        configurations
            .iter()
            .map(|yaml| Prometheus::with_config(yaml))
            .collect::<Vec<_>>()
    });
    let [several, one] = &prometheus[..] else {
        panic!("two configurations")
    };
    tokio::task::block_in_place(|| {
        for prometheus in [several, one] {
            let told = |result: &Value| series(result) == guests;
            prometheus.wait_for(
                "rate(pve_disk_read_bytes[20s]) and on (id) pve_guest_info",
                |result| series(result) > 0,
                DEADLINE,
            );
            prometheus.wait_for("pve_guest_info", told, DEADLINE);
            let storages = series(&prometheus.query("pve_storage_info"));
            assert!(storages > nodes);
            for (query, counted) in &QUERIES {
                let expected = match counted {
                    Counted::One => 1,
                    Counted::Nodes => nodes,
                    Counted::Guests => guests,
                    Counted::Storages => storages,
                };
                prometheus.wait_for(query, |result| series(result) == expected, DEADLINE);
            }
            // What each node knows by itself, whichever way it was asked.
            let of_nodes = |result: &Value| series(result) == nodes;
            prometheus.wait_for("count by (id) (pve_subscription_info)", of_nodes, DEADLINE);
            let incomplete = "min by (instance, collector) (pve_scrape_collector_success) == 0";
            prometheus.wait_for(incomplete, |result| series(result) == 0, DEADLINE);
        }
    });
}
