//! A PVE whose `/cluster/resources` a test writes row by row.

use std::sync::Arc;
use std::time::Duration;

use pve_exporter::clock::Clock;
use pve_exporter::config::Config;
use pve_exporter::metrics::exposition::Format;
use pve_exporter::scrape::Exporter;
use serde_json::{Value, json};

use crate::support::exporters::{checked, scrape, text, with_config};
use crate::support::fixture_server::FixtureServer;
use crate::support::strict::Exposition;

pub(crate) struct Bodies {
    pub(crate) server: FixtureServer,
    pub(crate) exporter: Arc<Exporter>,
    clock: Clock,
}

impl Bodies {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with the configuration changed; the cluster is `main`.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let server = FixtureServer::empty().await;
        let (exporter, clock) = with_config(&[("main", server.cluster())], change);
        Self {
            server,
            exporter,
            clock,
        }
    }

    /// Sets the answer to a path.
    pub(crate) fn reply(&self, path: &str, body: &Value) {
        self.server.reply(path, 200, "OK", body.to_string());
    }

    pub(crate) fn age(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Scrapes in both formats after `/cluster/resources` has become `rows` and 15 s have passed.
    pub(crate) async fn resources(&self, rows: &[Value]) -> Exposition {
        self.reply("/cluster/resources", &json!({ "data": rows }));
        self.age(15);
        self.scrape().await
    }

    pub(crate) async fn scrape(&self) -> Exposition {
        checked(&text(&self.exporter, Format::Classic).await, Format::Classic);
        scrape(&self.exporter).await
    }
}

/// `row` with the fields of `other` over its own; null takes a field away.
pub(crate) fn but(row: &Value, other: Value) -> Value {
    let mut row = row.clone();
    let (Value::Object(fields), Value::Object(others)) = (&mut row, other) else {
        panic!("not objects");
    };
    for (key, value) in others {
        if value.is_null() {
            fields.remove(&key);
        } else {
            fields.insert(key, value);
        }
    }
    row
}

pub(crate) fn node(name: &str, status: &str) -> Value {
    json!({"id": format!("node/{name}"), "type": "node", "node": name, "status": status, "level": "",
        "uptime": 90000, "cpu": 0.25, "maxcpu": 8, "mem": 4096, "maxmem": 8192, "disk": 10, "maxdisk": 100})
}

/// A virtual machine that runs on `pve1`.
pub(crate) fn machine(vmid: u32) -> Value {
    json!({"id": format!("qemu/{vmid}"), "type": "qemu", "vmid": vmid, "node": "pve1", "status": "running",
        "name": format!("vm-{vmid}"), "template": 0, "uptime": 1000, "cpu": 0.5, "maxcpu": 2, "mem": 1024, "maxmem": 2048,
        "disk": 0, "maxdisk": 4096, "netin": 500, "netout": 600, "diskread": 700, "diskwrite": 800})
}

pub(crate) fn storage(name: &str, node: &str, shared: bool, used: u64) -> Value {
    json!({"id": format!("storage/{node}/{name}"), "type": "storage", "storage": name, "node": node, "plugintype": "nfs",
        "content": "iso,backup", "shared": u8::from(shared), "status": "available", "maxdisk": 1000, "disk": used})
}
