//! `pve-exporter demo`: a simulated cluster that moves, and an exporter for it.

use std::process::ExitCode;

use clap::Args;
use pve_exporter::clock::Clock;
use pve_exporter::config::{Cluster, Config, Metrics, Secret, SecretSource, SourceSettings, parse_endpoint};
use pve_exporter::scrape::Exporter;
use pve_exporter::sources::name::SourceName;
use pve_simulator::{FAULT_NAMES, Fault, Options, Simulator};
use tokio::net::TcpListener;

/// Where the demo serves unless told otherwise: on this machine only.
const LISTEN_ADDRESS: &str = "127.0.0.1:9221";

/// What the simulated cluster looks like.
#[derive(Args)]
#[command(after_help = format!("Faults: {}", FAULT_NAMES.join(", ")))]
pub(crate) struct DemoArguments {
    /// Nodes of the simulated cluster
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    /// Guests of the simulated cluster
    #[arg(long, default_value_t = 50)]
    guests: usize,
    /// What is random follows from this number
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A fault to switch on, such as offline:pve2 or status=500:/cluster/resources; may be repeated
    #[arg(long = "fault", value_name = "FAULT")]
    faults: Vec<Fault>,
}

impl DemoArguments {
    pub(crate) async fn run(self, listen_address: Option<&str>) -> ExitCode {
        match self.start(listen_address.unwrap_or(LISTEN_ADDRESS)).await {
            Ok((_simulator, listener, exporter)) => crate::serve(vec![listener], exporter).await,
            Err(problem) => crate::fail(&problem),
        }
    }

    #[expect(clippy::print_stdout, reason = "the demo tells where to look")]
    async fn start(self, address: &str) -> Result<(Simulator, TcpListener, std::sync::Arc<Exporter>), String> {
        let Self {
            nodes,
            guests,
            seed,
            faults,
        } = self;
        let options = Options {
            nodes,
            guests,
            seed,
            events: true,
            ceph: true,
            ..Options::default()
        };
        let simulator = Simulator::start(options)
            .await
            .map_err(|error| format!("the simulated cluster: {error}"))?;
        for fault in faults {
            simulator.inject(fault);
        }
        let exporter =
            Exporter::new(configuration(&simulator)?, Clock::default()).map_err(|error| error.to_string())?;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|error| format!("cannot listen on {address}: {error}"))?;
        let address = listener.local_addr().map_err(|error| error.to_string())?;
        println!("A simulated cluster of {nodes} nodes and {guests} guests is running; its metrics are at\n");
        println!("    http://{address}/metrics\n\nTry\n\n    curl -s http://{address}/metrics | grep pve_guest_up\n");
        println!(
            "Guests start, stop and migrate while you look, and some of what is under them is wrong: a pool, disks, a certificate,"
        );
        println!("a service and more. That is read node by node: give it a minute. Ctrl-C ends it.");
        Ok((simulator, listener, exporter))
    }
}

fn configuration(simulator: &Simulator) -> Result<Config, String> {
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
        guest_drives: true,
        guest_interfaces: true,
        guest_pressure_full: true,
        failed_tasks: 10,
        ..Metrics::default()
    };
    Ok(Config {
        metrics,
        sources: [(SourceName::DiskSmart, smart)].into(),
        clusters: [("demo".to_owned(), cluster)].into(),
        ..Config::default()
    })
}
