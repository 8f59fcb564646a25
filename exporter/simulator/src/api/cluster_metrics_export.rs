//! `/cluster/metrics/export`

use super::{Answer, Endpoint, Parameter, Scene};
use crate::{
    GuestKind, Version,
    json::Json,
    model::{Guest, GuestSample, NodeSample},
    reply::Refusal,
    view::View,
};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/cluster/metrics/export",
    since: Version::new(8, 2, 5),
    parameters: &[
        Parameter::new("local-only"),
        Parameter::new("history"),
        Parameter::new("start-time"),
        Parameter::new("node-list").since(Version::new(9, 0, 8)),
    ],
    privilege: Some(("/", "Sys.Audit")),
    answer: Answer::EveryNode(render),
};

/// Writes the metrics of one thing at one time.
struct Metrics<'a> {
    json: &'a mut Json,
    id: String,
    /// In seconds.
    timestamp: u64,
}

impl Metrics<'_> {
    fn gauge(&mut self, metric: &str, value: f64) {
        self.row(metric, "gauge", |json| json.float(value));
    }

    fn size(&mut self, metric: &str, value: u64) {
        self.row(metric, "gauge", |json| json.integer(value));
    }

    fn counter(&mut self, metric: &str, value: u64) {
        self.row(metric, "derive", |json| json.integer(value));
    }

    fn row(&mut self, metric: &str, kind: &str, value: impl FnOnce(&mut Json)) {
        self.json.begin_row();
        self.json.string_field("id", &self.id);
        self.json.string_field("metric", metric);
        self.json.integer_field("timestamp", self.timestamp);
        self.json.string_field("type", kind);
        self.json.key("value");
        value(self.json);
        self.json.end_object();
    }
}

/// Writes what this node's own pvestatd sampled last.
fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let view = scene.view;
    let node = &view.model.nodes[scene.node];
    let at = View::own_sample(view.model, view.faults, &scene.cluster.time, scene.node);
    let timestamp = at / 1_000;
    let sample = node.sample(at, view.load(scene.node, at));
    node_metrics(scene, json, timestamp, sample);
    for guest in view.guests().filter(|guest| guest.node == scene.node) {
        json.reserve(1_400);
        let id = format!("{}/{}", guest.kind.as_str(), guest.vmid);
        guest_metrics(Metrics { json, id, timestamp }, guest, &view.guest_sample(guest, at));
    }
    for storage in &view.model.storages {
        let usage = storage.usage(node, at);
        // One that cannot be reached has a size, too: none.
        let (size, used) = if view.storage_available(storage, scene.node) {
            usage
        } else {
            (0, 0)
        };
        let mut metrics = Metrics {
            json,
            id: format!("storage/{}/{}", node.name, storage.name),
            timestamp,
        };
        metrics.size("disk_total", size);
        metrics.size("disk_used", used);
    }
    Ok(())
}

fn node_metrics(scene: &Scene<'_>, json: &mut Json, timestamp: u64, sample: NodeSample) {
    let node = &scene.view.model.nodes[scene.node];
    let broken = scene.view.faults.zero_timestamp(&node.name);
    let id = format!("node/{}", node.name);
    let mut metrics = Metrics {
        json,
        id,
        timestamp: if broken { 0 } else { timestamp },
    };
    let size = |value: u64| if broken { 0 } else { value };
    let gauge = |value: f64| if broken { 0.0 } else { value };
    let load = |value: f64| gauge((value * 100.0).round() / 100.0);
    metrics.size("uptime", size(sample.uptime));
    metrics.counter("net_in", size(sample.net_in));
    metrics.counter("net_out", size(sample.net_out));
    metrics.gauge("cpu_avg1", load(sample.load[0]));
    metrics.gauge("cpu_avg5", load(sample.load[1]));
    metrics.gauge("cpu_avg15", load(sample.load[2]));
    metrics.size("cpu_max", size(node.cpus));
    metrics.gauge("cpu_current", gauge(sample.cpu));
    metrics.gauge("cpu_iowait", gauge(sample.waiting));
    metrics.size("mem_total", size(node.memory));
    metrics.size("mem_used", size(sample.memory));
    metrics.size("swap_total", size(node.swap));
    metrics.size("swap_used", size(sample.swap));
    metrics.size("disk_total", size(node.disk));
    metrics.size("disk_used", size(sample.disk));
}

fn guest_metrics(mut metrics: Metrics<'_>, guest: &Guest, sample: &GuestSample) {
    if guest.is_running() {
        metrics.gauge("cpu_current", sample.cpu);
        metrics.size("mem_used", sample.memory);
        metrics.counter("disk_read", sample.disk_read);
        metrics.counter("disk_write", sample.disk_write);
        metrics.counter("net_in", sample.net_in);
        metrics.counter("net_out", sample.net_out);
        if guest.kind == GuestKind::Lxc {
            metrics.size("disk_used", sample.disk);
        }
    }
    metrics.size("uptime", sample.uptime);
    metrics.size("cpu_max", u64::from(guest.settings.cpus));
    metrics.size("mem_total", guest.settings.memory);
    metrics.size("disk_total", guest.settings.disk);
}
