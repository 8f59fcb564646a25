//! What each kind of agent says.

use std::time::Duration;

use pve_simulator::{Agent, AgentMix};
use serde_json::{Value, json};

use super::{V9, ask, cluster, machines, result};
use crate::{client::rows, recorded::recorded, shape::Shape};

/// Every command that tells about a guest, with the bodies that are known of it.
const COMMANDS: [(&str, &[&str]); 12] = [
    ("get-fsinfo", &["agent-get-fsinfo"]),
    ("get-host-name", &[]),
    ("get-memory-block-info", &[]),
    ("get-osinfo", &["agent-get-osinfo.windows"]),
    ("get-time", &[]),
    ("get-timezone", &[]),
    ("get-users", &["agent-get-users"]),
    ("get-vcpus", &[]),
    ("info", &["agent-info"]),
    ("network-get-interfaces", &["agent-network-get-interfaces"]),
    ("get-memory-blocks", &[]),
    ("ping", &[]),
];

#[tokio::test]
async fn healthy_agents_say_what_real_ones_say() {
    let simulator = cluster(AgentMix::all(Agent::Healthy), V9).await;
    for (command, more) in COMMANDS {
        let name = format!("nodes__pve1__qemu__100__agent__{command}");
        let known: Vec<Value> = [recorded(&name)]
            .into_iter()
            .chain(more.iter().map(|name| recorded(&format!("from-source/{name}"))))
            .collect();
        for vmid in machines(&simulator) {
            let mut body = ask(&simulator, vmid, command).await.json();
            if vmid % 2 == 1 && command == "get-fsinfo" {
                for row in body["data"]["result"].as_array_mut().unwrap() {
                    assert_eq!(row.get("total-bytes-privileged"), None, "version 7.2 does not know it");
                    row["total-bytes-privileged"] = 1.into();
                }
            }
            if body["data"]["result"] != json!([]) {
                Shape::of(&known).assert_covers(command, &Shape::of([&body]));
            }
        }
    }
    let [vmid, _] = machines(&simulator);
    assert_eq!(result(&simulator, vmid, "fsfreeze-status").await, "thawed");
}

#[tokio::test]
async fn numbers_of_healthy_agents_agree_with_those_of_pve() {
    let simulator = cluster(AgentMix::all(Agent::Healthy), V9).await;
    let [vmid, _] = machines(&simulator);
    let guest = simulator.guest(vmid).unwrap();
    let root = result(&simulator, vmid, "get-fsinfo").await[0].take();
    let (size, used) = (
        root["total-bytes"].as_u64().unwrap(),
        root["used-bytes"].as_u64().unwrap(),
    );
    assert_eq!(root["mountpoint"], "/");
    assert!(used < size && size < guest.settings.disk && size < root["total-bytes-privileged"].as_u64().unwrap());

    simulator.advance(Duration::from_secs(600));
    let listed = rows(&simulator, "pve1", "/cluster/resources?type=vm").await;
    let row = crate::client::row(&listed, &format!("qemu/{vmid}"));
    let interfaces = result(&simulator, vmid, "network-get-interfaces").await;
    let received = interfaces.as_array().unwrap().iter();
    let received: u64 = received.filter_map(|row| row["statistics"]["rx-bytes"].as_u64()).sum();
    assert_eq!(row["netin"], received);

    let now = simulator.now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let time = result(&simulator, vmid, "get-time").await;
    assert_eq!(u128::from(time.as_u64().unwrap()), now.as_nanos());
    assert_eq!(
        result(&simulator, vmid, "get-host-name").await["host-name"],
        guest.settings.name
    );
    let cpus = result(&simulator, vmid, "get-vcpus").await;
    assert_eq!(cpus.as_array().unwrap().len(), guest.settings.cpus as usize);
    assert_eq!(cpus[0]["online"], true);
}

#[tokio::test]
async fn a_full_one_is_nearly_full() {
    let simulator = cluster(AgentMix::all(Agent::Full), V9).await;
    let [vmid, _] = machines(&simulator);
    let root = result(&simulator, vmid, "get-fsinfo").await[0].take();
    let share = root["used-bytes"].as_f64().unwrap() / root["total-bytes"].as_f64().unwrap();
    assert!((0.95..1.0).contains(&share), "{share}");
}

#[tokio::test]
async fn windows_and_bsd_are_not_linux() {
    let simulator = cluster(AgentMix::all(Agent::Windows), V9).await;
    let [new, old] = machines(&simulator);
    let known = recorded("from-source/agent-get-osinfo.windows");
    assert_eq!(ask(&simulator, new, "get-osinfo").await.json()["data"], known["data"]);
    let systems = result(&simulator, new, "get-fsinfo").await;
    assert_eq!(systems[1]["mountpoint"], "C:\\");
    assert_eq!(systems[2]["total-bytes"], systems[2]["used-bytes"]);
    assert_eq!(
        result(&simulator, new, "get-memory-block-info").await["error"]["desc"],
        "The command guest-get-memory-block-info has not been found"
    );

    for vmid in [new, old] {
        simulator.set_agent(vmid, Agent::Bsd);
    }
    assert_eq!(result(&simulator, new, "get-osinfo").await["id"], "freebsd");
    let interfaces = result(&simulator, new, "network-get-interfaces").await;
    assert_eq!(interfaces[0]["name"], "vtnet0");
    assert!(
        interfaces
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row.get("statistics").is_none())
    );
    for (vmid, class) in [(new, "CommandNotFound"), (old, "GenericError")] {
        assert_eq!(result(&simulator, vmid, "get-fsinfo").await["error"]["class"], class);
    }
}

#[tokio::test]
async fn disabled_unknown_and_frozen_commands_are_errors_in_a_good_answer() {
    let simulator = cluster(AgentMix::all(Agent::Disabled(vec!["get-users"])), V9).await;
    let [new, old] = machines(&simulator);
    let known = recorded("from-source/agent-error-disabled.http200");
    assert_eq!(ask(&simulator, new, "get-users").await.json(), known);
    assert_eq!(
        result(&simulator, old, "get-users").await["error"]["desc"],
        "Command guest-get-users has been disabled"
    );
    assert!(result(&simulator, new, "get-fsinfo").await.is_array());
    assert!(!enabled(&simulator, new, "guest-get-users").await.unwrap());
    assert!(enabled(&simulator, new, "guest-get-fsinfo").await.unwrap());

    for vmid in [new, old] {
        simulator.set_agent(vmid, Agent::Frozen);
    }
    for (vmid, why) in [
        (new, "the command is not allowed"),
        (old, "the agent is in frozen state"),
    ] {
        let error = result(&simulator, vmid, "get-fsinfo").await;
        let expected = format!("Command guest-get-fsinfo has been disabled: {why}");
        assert_eq!(error, json!({"error": {"class": "CommandNotFound", "desc": expected}}));
        assert_eq!(result(&simulator, vmid, "fsfreeze-status").await, "frozen");
        assert_eq!(result(&simulator, vmid, "ping").await, json!({}));
        assert!(!enabled(&simulator, vmid, "guest-get-fsinfo").await.unwrap());
    }

    simulator.set_agent(new, Agent::Old);
    let known = recorded("from-source/agent-error-notfound.http200");
    assert_eq!(ask(&simulator, new, "get-osinfo").await.json(), known);
    assert_eq!(enabled(&simulator, new, "guest-get-osinfo").await, None);
    let systems = result(&simulator, new, "get-fsinfo").await;
    assert_eq!(
        (systems[0]["mountpoint"].as_str(), systems[0].get("total-bytes")),
        (Some("/"), None)
    );
}

/// Whether an agent says that a command is enabled; nothing if it does not know it.
async fn enabled(simulator: &pve_simulator::Simulator, vmid: u32, name: &str) -> Option<bool> {
    let info = result(simulator, vmid, "info").await;
    let commands = info["supported_commands"].as_array().unwrap();
    let command = commands.iter().find(|command| command["name"] == name)?;
    command["enabled"].as_bool()
}

#[tokio::test]
async fn lies_are_many_long_and_wrong() {
    let simulator = cluster(AgentMix::all(Agent::Lying), V9).await;
    let [vmid, _] = machines(&simulator);
    for (command, _) in COMMANDS {
        let answer = ask(&simulator, vmid, command).await;
        assert_eq!(answer.status(), 200, "{command}");
        let is_text = std::str::from_utf8(&answer.body).is_ok();
        assert_eq!(
            is_text,
            !matches!(command, "get-host-name" | "get-timezone"),
            "{command}"
        );
    }
    let body = ask(&simulator, vmid, "get-fsinfo").await.body;
    let text = String::from_utf8(body).unwrap();
    assert!(text.len() > 100_000 && text.contains(":9223372036854775808,") && text.contains(":-1000,"));
    assert!(text.matches("\"mountpoint\":\"/\"").count() > 2);
    assert!(text.contains(&"/mnt".repeat(2_500)));
}
