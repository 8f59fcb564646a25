//! `pve-exporter demo`: a simulated cluster that moves, and an exporter as if on its first node.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use pve_simulator::{FAULT_NAMES, Fault, Options, Simulator, Sockets, Version};

use crate::clock::Clock;
use crate::config::{
    Cluster, Config, GuestAgentSocket, GuestTelemetry, Metrics, Secret, SecretSource, SourceSettings, parse_endpoint,
};
use crate::scrape::Exporter;
use crate::sources::name::SourceName;
use crate::telemetry::Telemetry;

/// Where the demo serves unless told otherwise: on this machine only.
pub const LISTEN_ADDRESS: &str = "127.0.0.1:9221";

/// The value of `pve_cluster`.
const CLUSTER: &str = "demo";

/// More series than 10,000 guests have.
const SERIES_BUDGET: u64 = 2_000_000;

/// What the simulated cluster looks like.
#[derive(Args, Clone, Debug)]
#[command(after_help = format!("Faults: {}", FAULT_NAMES.join(", ")))]
pub struct Arguments {
    /// Nodes of the simulated cluster
    #[arg(long, default_value_t = 3)]
    pub nodes: usize,
    /// Guests of the simulated cluster
    #[arg(long, default_value_t = 100)]
    pub guests: usize,
    /// What is random follows from this number
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Nothing is wrong that no fault brings about
    #[arg(long)]
    pub calm: bool,
    /// The versions of the nodes, in turn
    #[arg(
        long = "pve-version",
        value_name = "VERSION",
        value_delimiter = ',',
        default_value = "9.2.11"
    )]
    pub versions: Vec<Version>,
    /// A fault to switch on, such as offline:pve2 or status=500:/cluster/resources; may be repeated
    #[arg(long = "fault", value_name = "FAULT")]
    pub faults: Vec<Fault>,
}

/// A demo that runs. Dropping it ends the cluster, and leaves no files behind.
pub struct Demo {
    /// The cluster.
    pub simulator: Simulator,
    /// What the machines of the first node have on it.
    pub sockets: Sockets,
    /// The exporter on this node.
    pub exporter: Arc<Exporter>,
    arguments: Arguments,
}

impl Demo {
    /// Starts the cluster, and an exporter that reads all that there is of it by `clock`.
    ///
    /// # Errors
    /// What could not be had of the system.
    pub async fn start(arguments: Arguments, clock: Clock) -> Result<Self, String> {
        let options = Options {
            nodes: arguments.nodes,
            guests: arguments.guests,
            seed: arguments.seed,
            versions: arguments.versions.clone(),
            events: true,
            calm: arguments.calm,
            ceph: true,
            sees_backups: true,
            ..Options::default()
        };
        let of_cluster = |error| format!("the simulated cluster: {error}");
        let simulator = Simulator::start(options).await.map_err(of_cluster)?;
        for fault in arguments.faults.clone() {
            simulator.inject(fault);
        }
        let node = simulator.nodes().first().cloned().unwrap_or_default();
        let sockets = simulator.open_sockets(&node).map_err(of_cluster)?;
        let config = configuration(&simulator, &node, sockets.directory())?;
        let telemetry = Telemetry::start(&config.guest_telemetry, clock.clone());
        let exporter = Exporter::with_telemetry(config, clock, Some(telemetry)).map_err(|error| error.to_string())?;
        Ok(Self {
            simulator,
            sockets,
            exporter,
            arguments,
        })
    }

    /// What there is to see at `address`.
    #[must_use]
    pub fn greeting(&self, address: SocketAddr) -> String {
        let Arguments {
            nodes, guests, calm, ..
        } = self.arguments;
        let trouble = if calm {
            ""
        } else {
            ", and some of what is under them is wrong: a pool, disks,\na certificate, a service, agents, collectors and more"
        };
        format!(
            "A simulated cluster of {nodes} nodes and {guests} guests is running; its metrics are at

    http://{address}/metrics

Try

    curl -s http://{address}/metrics | grep pve_guest_up

The exporter is as if on pve1. Virtual machines there have a collector, and metrics of their own; Prometheus finds them at

    http://{address}/sd/guests
    http://{address}/guests/{CLUSTER}/qemu/100/metrics

Guests start, stop and migrate while you look{trouble}. What is under them is read node by node, and
what they are guest by guest: give it some minutes. Ctrl-C ends it."
        )
    }
}

fn configuration(simulator: &Simulator, node: &str, directory: &Path) -> Result<Config, String> {
    let endpoints = simulator
        .endpoints()
        .iter()
        .map(|url| parse_endpoint(url))
        .collect::<Result<_, _>>();
    let token_id = simulator.token_id().parse().map_err(|error| format!("{error}"))?;
    let token = SecretSource::Environment {
        variable: "demo".to_owned(),
        secret: Secret::new(simulator.token_secret()),
    };
    let mut cluster = Cluster::new(endpoints.map_err(|error| error.to_string())?, token_id, token);
    for node in simulator.nodes() {
        if let Some(fingerprint) = simulator.fingerprint(&node) {
            cluster
                .fingerprints
                .push(fingerprint.parse().map_err(|error| format!("{error}"))?);
        }
    }
    // Its disks do not sleep.
    let smart = SourceSettings {
        enabled: Some(true),
        ..SourceSettings::default()
    };
    let metrics = Metrics {
        series_budget: Some(SERIES_BUDGET),
        guest_drives: true,
        guest_interfaces: true,
        guest_pressure_full: true,
        guest_balloon: true,
        guest_agent_interfaces: true,
        guest_agent_addresses: true,
        guest_agent_details: true,
        snapshot_names: true,
        failed_tasks: 10,
        ..Metrics::default()
    };
    Ok(Config {
        metrics,
        sources: [(SourceName::DiskSmart, smart)].into(),
        guest_agent_socket: GuestAgentSocket {
            enabled: true,
            directory: directory.to_owned(),
            node: Some(node.to_owned()),
        },
        guest_telemetry: GuestTelemetry {
            enabled: true,
            directory: directory.to_owned(),
            node: Some(node.to_owned()),
            ..GuestTelemetry::default()
        },
        clusters: [(CLUSTER.to_owned(), cluster)].into(),
        ..Config::default()
    })
}
