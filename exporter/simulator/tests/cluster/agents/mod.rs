//! Guest agents: what each kind answers, and what PVE makes of it.

mod books;
mod kinds;
mod refusals;

use std::time::Duration;

use pve_simulator::{AgentMix, GuestKind, Options, Simulator, Version};
use serde_json::Value;

use crate::client::{Answer, Connection, quick};

const V9: Version = Version::new(9, 2, 11);

/// A cluster with such agents. What a dead one costs is short, but longer than anything else.
async fn cluster(agents: AgentMix, version: Version) -> Simulator {
    let options = Options {
        agents,
        versions: vec![version],
        agent_silence: Duration::from_millis(50),
        agent_timeout: Duration::from_millis(80),
        ..quick()
    };
    Simulator::start(options).await.unwrap()
}

/// The path of a command at the node of a guest.
fn path(simulator: &Simulator, vmid: u32, command: &str) -> String {
    let node = simulator.guest(vmid).unwrap().node;
    format!("/nodes/{node}/qemu/{vmid}/agent/{command}")
}

/// Asks the agent of a guest.
async fn ask(simulator: &Simulator, vmid: u32, command: &str) -> Answer {
    let method = match command {
        "ping" | "fsfreeze-status" => "POST",
        _ => "GET",
    };
    send(simulator, method, &path(simulator, vmid, command)).await
}

async fn send(simulator: &Simulator, method: &str, path: &str) -> Answer {
    let mut connection = Connection::open(simulator, "pve1").await.unwrap();
    connection.send(method, path, "").await.unwrap()
}

/// What the agent of a guest says.
async fn result(simulator: &Simulator, vmid: u32, command: &str) -> Value {
    let answer = ask(simulator, vmid, command).await;
    assert_eq!(answer.status(), 200, "{command}: {}", answer.status_line);
    answer.json()["data"]["result"].take()
}

/// The ids of two running machines; the agent of the first is one of version 10.0, that of the second one of 7.2.
fn machines(simulator: &Simulator) -> [u32; 2] {
    let guests = simulator.guests();
    [0, 1].map(|odd| {
        let is_one = |guest: &&pve_simulator::GuestSummary| guest.kind == GuestKind::Qemu && guest.running;
        let mut machines = guests.iter().filter(is_one).filter(|guest| guest.vmid % 2 == odd);
        machines.next().unwrap().vmid
    })
}
