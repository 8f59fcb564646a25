//! What PVE says in place of an agent, in the words of its versions.

use std::{fs, path::Path, time::Duration};

use pve_simulator::{Agent, AgentMix, FaultKind, Options, Simulator, Version};

use super::{V9, ask, cluster, machines, path, send};
use crate::client::{Answer, get, quick, rows};

/// The status line and the body of an error that was written down.
fn known(name: &str) -> (String, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/recorded/from-source/{name}.http"));
    let text = fs::read_to_string(path).unwrap().replace("\r\n", "\n");
    let (head, body) = text.split_once("\n\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.trim_end().to_owned())
}

fn seen(answer: &Answer) -> (String, String) {
    let body = String::from_utf8(answer.body.clone()).unwrap();
    (answer.status_line.clone(), body)
}

/// The recorded words are about certain guests.
fn about(name: &str, recorded: u32, vmid: u32) -> (String, String) {
    let (line, body) = known(name);
    let rename = |text: String| text.replace(&recorded.to_string(), &vmid.to_string());
    (rename(line), rename(body))
}

#[tokio::test]
async fn pve_checks_the_configuration_then_the_machine_then_the_agent() {
    let simulator = cluster(AgentMix::none(), V9).await;
    let [vmid, _] = machines(&simulator);
    let set = |agent: Option<&str>| simulator.set_guest(vmid, |guest| guest.agent = agent.map(str::to_owned));
    let asked = async || seen(&ask(&simulator, vmid, "get-fsinfo").await);

    simulator.stop(vmid);
    assert_eq!(asked().await, known("500-agent-not-configured.pve9"));
    for off in ["0", "fstrim_cloned_disks=1,enabled=0"] {
        set(Some(off));
        simulator.stop(vmid);
        assert_eq!(asked().await, about("500-vm-not-running.pve9", 101, vmid));
        simulator.start_guest(vmid);
        assert_eq!(asked().await, known("500-agent-not-running.pve9"));
    }
    set(Some("1"));
    assert!(asked().await.0.contains(" 200 "));
    simulator.set_guest(vmid, |guest| guest.run_state = Some("paused".to_owned()));
    assert_eq!(asked().await, known("500-agent-not-running.pve9"));

    let before = path(&simulator, vmid, "get-fsinfo");
    let (here, other) = (simulator.guest(vmid).unwrap().node, "pve2");
    assert_ne!(here, other);
    simulator.migrate(vmid, other);
    let gone = seen(&get(&simulator, "pve1", &before).await);
    assert_eq!(gone, about("500-vm-migrated-away.pve9", 100, vmid));
}

#[tokio::test]
async fn dead_and_hung_agents_are_told_apart_in_the_words_of_each_version() {
    for (version, suffix, socket) in [
        (V9, "pve9", "qga"),
        (Version::new(9, 0, 5), "pve9", "qmp"),
        (Version::new(8, 3, 5), "pve8.3", "qmp"),
        (Version::new(8, 1, 4), "pve8.3", "qmp"),
        (Version::new(7, 4, 19), "pve8.3", "qmp"),
    ] {
        let options = Options {
            monitors_guests: true,
            agents: AgentMix::all(Agent::Dead),
            versions: vec![version],
            agent_silence: Duration::from_millis(20),
            agent_timeout: Duration::from_millis(30),
            ..quick()
        };
        let simulator = Simulator::start(options).await.unwrap();
        let [vmid, _] = machines(&simulator);
        let dead = seen(&ask(&simulator, vmid, "get-fsinfo").await);
        assert_eq!(dead, known(&format!("500-agent-not-running.{suffix}")), "{version}");

        simulator.set_agent(vmid, Agent::Hung(Duration::from_secs(60)));
        assert_eq!(ask(&simulator, vmid, "ping").await.status(), 200);
        let hung = ask(&simulator, vmid, "get-fsinfo").await.status_line;
        let (expected, _) = about("500-agent-timeout.pve9", 100, vmid);
        assert_eq!(
            hung,
            expected.replace("qga command", &format!("{socket} command")),
            "{version}"
        );

        simulator.set_agent(vmid, Agent::Hung(Duration::from_millis(5)));
        assert_eq!(ask(&simulator, vmid, "get-fsinfo").await.status(), 200);
    }
}

#[tokio::test]
async fn auditors_ask_agents_of_version_9_only() {
    let refused = |privileges: &str, vmid| format!("HTTP/1.1 403 Permission check failed (/vms/{vmid}, {privileges})");
    let old = cluster(AgentMix::all(Agent::Healthy), Version::new(8, 4, 1)).await;
    let [vmid, _] = machines(&old);
    for command in ["get-fsinfo", "ping", "fsfreeze-status"] {
        assert_eq!(ask(&old, vmid, command).await.status_line, refused("VM.Monitor", vmid));
    }

    let new = cluster(AgentMix::all(Agent::Healthy), V9).await;
    assert_eq!(ask(&new, vmid, "get-fsinfo").await.status(), 200);
    new.inject(FaultKind::NoPermission);
    let either = "VM.GuestAgent.Audit|VM.GuestAgent.Unrestricted";
    assert_eq!(ask(&new, vmid, "get-fsinfo").await.status_line, refused(either, vmid));
}

#[tokio::test]
async fn the_permissions_agree() {
    for (version, monitors_guests, expected) in [
        (V9, false, "VM.GuestAgent.Audit"),
        (Version::new(8, 4, 1), true, "VM.Monitor"),
    ] {
        let options = Options {
            versions: vec![version],
            monitors_guests,
            ..quick()
        };
        let simulator = Simulator::start(options).await.unwrap();
        let granted = get(&simulator, "pve1", "/access/permissions").await.json()["data"]["/vms"].take();
        for name in ["VM.GuestAgent.Audit", "VM.Monitor"] {
            assert_eq!(granted.get(name).is_some(), name == expected, "{version} {name}");
        }
    }
}

#[tokio::test]
async fn nothing_changes_a_guest_or_reads_its_files() {
    let simulator = cluster(AgentMix::all(Agent::Healthy), V9).await;
    let [vmid, _] = machines(&simulator);
    for (method, command, privilege) in [
        ("POST", "fsfreeze-freeze", "VM.GuestAgent.FileSystemMgmt"),
        ("POST", "fsfreeze-thaw", "VM.GuestAgent.FileSystemMgmt"),
        ("POST", "exec", "VM.GuestAgent.Unrestricted"),
        ("POST", "shutdown", "VM.PowerMgmt"),
        ("GET", "file-read?file=%2Fetc%2Fpasswd", "VM.GuestAgent.FileRead"),
    ] {
        let answer = send(&simulator, method, &path(&simulator, vmid, command)).await;
        assert_eq!(answer.status(), 403, "{command}");
        assert!(answer.status_line.contains(privilege), "{}", answer.status_line);
    }
    for (method, command) in [
        ("GET", "ping"),
        ("GET", "fsfreeze-status"),
        ("POST", "get-fsinfo"),
        ("GET", "get-load"),
    ] {
        let path = path(&simulator, vmid, command);
        let answer = send(&simulator, method, &path).await;
        let expected = format!("HTTP/1.1 501 Method '{method} {path}' not implemented");
        assert_eq!(answer.status_line, expected);
    }
    let odd = path(&simulator, vmid, "get-fsinfo?full=1");
    assert_eq!(get(&simulator, "pve1", &odd).await.status(), 400);
    let index = path(&simulator, vmid, "");
    let commands = rows(&simulator, "pve1", index.trim_end_matches('/')).await;
    assert!(commands.iter().any(|row| row["name"] == "network-get-interfaces"));
}
