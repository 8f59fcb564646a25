//! Every fault, as a client meets it.

mod answers;
mod nodes;

use pve_simulator::{Fault, FaultId, Simulator};
use serde_json::Value;

use crate::client::quick;

const RESOURCES: &str = "/cluster/resources";
const STATUS: &str = "/cluster/status";
const ALL: &str = "/cluster/metrics/export";

async fn cluster() -> Simulator {
    Simulator::start(quick()).await.unwrap()
}

async fn inject(simulator: &Simulator, fault: &str) -> FaultId {
    let id = simulator.inject(fault.parse::<Fault>().unwrap());
    simulator.settled().await;
    id
}

fn ids(metrics: &[Value]) -> Vec<&str> {
    metrics.iter().filter_map(|row| row["id"].as_str()).collect()
}
