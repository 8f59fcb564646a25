//! Guest agents over their sockets: played ones that misbehave, and the real program.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant, SystemTime};

use pve_exporter::clock::Clock;
use pve_exporter::config::{Config, SourceSettings};
use pve_exporter::qga::commands::Command;
use pve_exporter::qga::session::{Limits, Session, SessionError};
use pve_exporter::sources::guest_direct::{DirectError, GuestDirect, read};
use pve_exporter::sources::name::SourceName;
use pve_simulator::{Agent as SimulatedAgent, AgentMix, BackupResult, NewBackup, Options, Version};
use support::agent::{Agent, Does, recorded};
use support::simulated::{START, Simulated, failures, options, source_up, until};
use support::strict::Exposition;
use tempfile::TempDir;

const VMID: u32 = 100;

const EVERYTHING: [Command; 4] = [
    Command::CpuStats,
    Command::DiskStats,
    Command::Load,
    Command::FileSystems,
];

const NAMES: [&str; 5] = [
    "guest-info",
    "guest-get-cpustats",
    "guest-get-diskstats",
    "guest-get-load",
    "guest-get-fsinfo",
];

/// Limits that no agent reaches on a slow machine, unless it is to.
fn limits() -> Limits {
    let long = Duration::from_secs(30);
    Limits {
        sync: long,
        command: long,
        budget: long,
        drains: 3,
        drain: long,
        reply_bytes: 100_000,
    }
}

struct Guest {
    directory: TempDir,
    agent: Agent,
}

impl Guest {
    fn of_version(version: &str) -> Self {
        let directory = TempDir::new().unwrap();
        let agent = Agent::start(directory.path(), VMID, version);
        Self { directory, agent }
    }

    async fn read(&self, limits: &Limits) -> Result<GuestDirect, DirectError> {
        read(self.directory.path(), VMID, &EVERYTHING, limits).await
    }

    /// An answer after everything that was wrong before is as if nothing had been.
    async fn is_well(&self) {
        self.agent.take_received();
        for name in NAMES {
            self.agent.set(name, Does::Answers(recorded("10.0", name)));
        }
        let direct = self.read(&limits()).await.unwrap();
        assert_eq!(direct, Guest::of_version("10.0").read(&limits()).await.unwrap());
        assert!(direct.cpu.is_some() && direct.damaged == 0);
        assert_eq!(self.agent.take_received(), NAMES);
    }
}

#[tokio::test]
async fn one_connection_brings_everything() {
    let guest = Guest::of_version("10.0");
    let direct = guest.read(&limits()).await.unwrap();
    assert_eq!(guest.agent.take_received(), NAMES);
    assert_eq!((guest.agent.connections(), direct.damaged), (1, 0));
    assert_eq!(direct.info.version, "10.0.2");
    let cpu = direct.cpu.unwrap();
    assert_eq!((cpu.idle, cpu.user, cpu.steal), (Some(13_120), Some(270), Some(0)));
    let disks = direct.disks.unwrap();
    assert_eq!(disks.len(), 1);
    assert_eq!((disks[0].device.as_str(), disks[0].read_bytes), ("vda", Some(24 * 512)));
    assert_eq!(direct.load.unwrap().one, Some(0.0));
    let file_systems = direct.file_systems.unwrap();
    assert_eq!(
        (&*file_systems[0].mountpoint, file_systems[0].total),
        ("/mnt/data", Some(20_381_696))
    );
}

#[tokio::test]
async fn what_is_not_enabled_is_not_asked() {
    let guest = Guest::of_version("7.2");
    let direct = guest.read(&limits()).await.unwrap();
    assert!(!guest.agent.take_received().contains(&"guest-get-load".to_owned()));
    assert!(direct.load.is_none() && direct.cpu.is_some() && direct.disks.is_some());

    for version in ["7.2", "10.0"] {
        let guest = Guest::of_version(version);
        guest
            .agent
            .set("guest-info", Does::Answers(recorded(version, "frozen-guest-info")));
        let direct = guest.read(&limits()).await.unwrap();
        assert_eq!(guest.agent.take_received(), ["guest-info"], "frozen");
        assert!(direct.cpu.is_none() && direct.damaged == 0);
    }
}

#[tokio::test]
async fn a_refusal_is_no_answer_and_no_damage() {
    for (version, command) in [("7.2", "guest-get-cpustats"), ("10.0", "guest-get-cpustats")] {
        let guest = Guest::of_version(version);
        let refusal = recorded(version, &format!("frozen-{command}"));
        guest.agent.set(command, Does::Answers(refusal));
        let direct = guest.read(&limits()).await.unwrap();
        assert!(direct.cpu.is_none() && direct.disks.is_some());
        assert_eq!(direct.damaged, 0);
    }
}

#[tokio::test]
async fn when_the_time_is_up_nothing_more_is_asked() {
    let guest = Guest::of_version("10.0");
    let limits = Limits {
        budget: Duration::ZERO,
        ..limits()
    };
    let direct = guest.read(&limits).await.unwrap();
    assert_eq!(guest.agent.take_received(), ["guest-info"]);
    assert!(direct.cpu.is_none());
}

#[tokio::test]
async fn a_late_reply_is_read_on_the_next_connection() {
    for connections in [1, 2] {
        let guest = Guest::of_version("10.0");
        let answer = recorded("10.0", "guest-get-diskstats");
        guest
            .agent
            .set("guest-get-diskstats", Does::Hangs { connections, answer });
        let limits = Limits {
            command: Duration::from_secs(2),
            drain: if connections == 1 {
                limits().drain
            } else {
                Duration::from_secs(2)
            },
            ..limits()
        };
        let error = guest.read(&limits).await.unwrap_err();
        let timed_out = matches!(error, DirectError::Session(SessionError::TimedOut { drained: true }));
        assert!(timed_out, "{error:?}");
        assert_eq!(guest.agent.connections(), 1 + connections);
        assert!(!guest.agent.owes());
        guest.is_well().await;
    }
}

#[tokio::test]
async fn a_silent_agent_is_given_up_and_its_replies_are_passed_over_later() {
    let guest = Guest::of_version("10.0");
    guest.agent.set(
        "guest-info",
        Does::Hangs {
            connections: 4,
            answer: recorded("10.0", "guest-info"),
        },
    );
    let limits = Limits {
        command: Duration::from_millis(500),
        drain: Duration::from_millis(100),
        ..limits()
    };
    let error = guest.read(&limits).await.unwrap_err();
    let left = matches!(error, DirectError::Session(SessionError::TimedOut { drained: false }));
    assert!(left, "{error:?}");
    assert_eq!(guest.agent.connections(), 4);
    assert!(guest.agent.owes());
    assert_eq!(guest.agent.take_received(), ["guest-info"]);
    guest.is_well().await;
}

#[tokio::test]
async fn what_others_left_behind_is_passed_over() {
    let stale = [
        "{\"return\": {}}\n{\"return\": [1, 2",
        "\u{0}{\"return\": 1}\n",
        "{\"return\": 7}\n{\"return\": \"half a line",
    ];
    for stale in stale {
        let guest = Guest::of_version("10.0");
        guest.agent.owe(stale.as_bytes());
        guest.is_well().await;
        guest.agent.owe(&[b"\xFF".as_slice(), stale.as_bytes()].concat());
        guest.is_well().await;
    }
    let guest = Guest::of_version("10.0");
    for end in ["\n", ""] {
        guest.agent.owe(format!("{}{end}", "x".repeat(1_000_000)).as_bytes());
        guest.is_well().await;
    }
}

#[tokio::test]
async fn a_huge_reply_costs_itself() {
    let guest = Guest::of_version("10.0");
    let huge = format!("{{\"return\": [{}]}}\n", "[],".repeat(1_000_000));
    guest.agent.set("guest-get-diskstats", Does::Answers(huge.into_bytes()));
    let direct = guest.read(&limits()).await.unwrap();
    assert_eq!((direct.disks, direct.damaged), (None, 1));
    assert!(direct.cpu.is_some() && direct.load.is_some() && direct.file_systems.is_some());
    guest.is_well().await;
}

#[tokio::test]
async fn nonsense_costs_itself() {
    let nonsense = [
        "\n",
        "nonsense\n",
        "{\"return\": 5}\n",
        "{\"return\": [{\"cpu\": 0, \"user\": \n",
        "{}\n",
        "\u{fffd}\u{0}\n",
        "[[[[\n",
    ];
    for nonsense in nonsense {
        let guest = Guest::of_version("10.0");
        guest
            .agent
            .set("guest-get-cpustats", Does::Answers(nonsense.as_bytes().to_vec()));
        let direct = guest.read(&limits()).await.unwrap();
        assert_eq!((direct.cpu, direct.damaged), (None, 1), "{nonsense}");
        assert!(direct.disks.is_some());
        guest.is_well().await;
    }
}

#[tokio::test]
async fn a_connection_that_ends_in_a_reply_is_over() {
    let guest = Guest::of_version("10.0");
    guest
        .agent
        .set("guest-get-cpustats", Does::BreaksOff(b"{\"return\": [".to_vec()));
    let error = guest.read(&limits()).await.unwrap_err();
    let broken = matches!(error, DirectError::Session(SessionError::Broken { drained: true, .. }));
    assert!(broken, "{error:?}");
    assert_eq!(guest.agent.connections(), 2);
    guest.is_well().await;
}

#[tokio::test]
async fn a_socket_that_another_holds_is_waited_for() {
    let guest = Guest::of_version("10.0");
    let other = tokio::net::UnixStream::connect(guest.directory.path().join("100.qga"))
        .await
        .unwrap();
    until("the other one is served", || guest.agent.connections() == 1).await;
    let short = Limits {
        sync: Duration::from_millis(50),
        drain: Duration::from_millis(50),
        ..limits()
    };
    let error = guest.read(&short).await.unwrap_err();
    assert!(
        matches!(error, DirectError::Session(SessionError::TimedOut { drained: false })),
        "{error:?}"
    );
    assert_eq!(guest.agent.connections(), 1);
    let (limits, ()) = (limits(), drop(other));
    assert!(guest.read(&limits).await.is_ok());
    guest.is_well().await;
}

#[tokio::test]
async fn each_way_not_to_connect_is_told_apart() {
    let directory = TempDir::new().unwrap();
    let (socket, limits) = (directory.path().join("100.qga"), limits());
    let own = i32::try_from(std::process::id()).unwrap();
    let without_process = read(directory.path(), VMID, &[], &limits).await.unwrap_err();
    assert!(without_process.is_absent() && without_process.forbidden().is_none());
    let open = async || Session::open(&socket, own, &limits).await.map(drop);
    assert!(matches!(open().await, Err(SessionError::Absent)), "no socket");

    let crowded = tokio::net::UnixSocket::new_stream().unwrap();
    crowded.bind(&socket).unwrap();
    let listener = crowded.listen(1).unwrap();
    let mut others = Vec::new();
    while let Ok(other) = tokio::net::UnixStream::connect(&socket).await {
        others.push(other);
    }
    assert!(matches!(open().await, Err(SessionError::Busy)));
    drop((listener, others));
    assert!(matches!(open().await, Err(SessionError::Absent)), "nobody listens");

    let path = directory.path().join("100.pid");
    let forbidden = DirectError::Process {
        path: path.clone(),
        problem: std::io::ErrorKind::PermissionDenied.into(),
    };
    assert_eq!(forbidden.forbidden(), Some(&*path));
    let forbidden = DirectError::Session(SessionError::Forbidden { path: path.clone() });
    assert_eq!(forbidden.forbidden(), Some(&*path));
}

#[tokio::test]
async fn another_process_than_the_machines_own_is_told_nothing() {
    let guest = Guest::of_version("10.0");
    std::fs::write(guest.directory.path().join("100.pid"), "1\n").unwrap();
    let error = guest.read(&limits()).await.unwrap_err();
    let own = i32::try_from(std::process::id()).ok();
    let stranger = matches!(
        error,
        DirectError::Session(SessionError::Stranger { expected: 1, found }) if found == own
    );
    assert!(stranger, "{error:?}");
    until("the connection has ended", || guest.agent.connections() == 1).await;
    assert_eq!(guest.agent.take_received(), [""; 0]);
}

/// A simulated cluster with an exporter on its node `pve1`, and agents of some machines there.
async fn with_agents(directory: &Path, change: impl FnOnce(&mut Config)) -> Simulated {
    with_options(directory, options(), change).await
}

async fn with_options(directory: &Path, options: Options, change: impl FnOnce(&mut Config)) -> Simulated {
    let options = Options { guests: 60, ..options };
    Simulated::by(Clock::standing_at(START), options, |config| {
        config.guest_agent_socket.enabled = true;
        config.guest_agent_socket.directory = directory.to_owned();
        config.guest_agent_socket.node = Some("pve1".to_owned());
        change(config);
    })
    .await
}

fn machines(pve: &Simulated, node: &str) -> Vec<u32> {
    let guests = pve.simulator.guests().into_iter();
    let machines = guests.filter(|guest| guest.node == node && guest.kind.as_str() == "qemu" && guest.running);
    machines.map(|guest| guest.vmid).collect()
}

fn cpu_time(seen: &Exposition, vmid: u32) -> Option<f64> {
    let id = format!("qemu/{vmid}");
    seen.value("pve_guest_agent_cpu_seconds_total", &[("id", &id), ("mode", "idle")])
}

fn last_round(seen: &Exposition) -> Option<f64> {
    let of_source = [("source", "guest_agent_socket")];
    seen.value("pve_source_last_success_timestamp_seconds", &of_source)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_who_is_worked_on_or_boots_or_beside_a_backup() {
    let directory = TempDir::new().unwrap();
    let pve = with_agents(directory.path(), |_| {}).await;
    let here = machines(&pve, "pve1");
    let agents = [here[0], here[1], here[2]].map(|vmid| Agent::start(directory.path(), vmid, "10.0"));
    let connections = || agents.iter().map(Agent::connections).collect::<Vec<_>>();
    let simulator = &pve.simulator;
    let task = simulator.start_task("pve1", "qmigrate", &here[1].to_string()).unwrap();
    assert!(simulator.restart(here[2]));
    pve.advance(20);
    let seen = pve.until("asked", |seen| cpu_time(seen, here[0]).is_some()).await;
    assert_eq!(connections(), [1, 0, 0]);

    assert!(simulator.end_task(&task, "OK"));
    let backup = NewBackup {
        node: "pve1".to_owned(),
        storage: "nas".to_owned(),
        guests: vec![(here[3], BackupResult::Done)],
        each: Duration::from_secs(300),
    };
    assert!(simulator.start_backup(&backup).is_some());
    pve.advance(120);
    let before = last_round(&seen);
    pve.until_aging(5, "the next round", |seen| last_round(seen) > before)
        .await;
    assert_eq!(connections(), [1, 0, 0], "a backup of another machine of the node");

    pve.advance(600);
    pve.until_aging(5, "it is over", |seen| {
        here[..3].iter().all(|vmid| cpu_time(seen, *vmid).is_some())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_when_a_backup_job_is_about_to_start() {
    let directory = TempDir::new().unwrap();
    let pve = with_agents(directory.path(), |_| {}).await;
    let seen = pve.later(1).await;
    let jobs = seen.samples("pve_backup_job_next_run_timestamp_seconds");
    let next = jobs.map(|sample| sample.value).min_by(f64::total_cmp).unwrap();
    let now = pve.simulator.now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    pve.advance((Duration::from_secs_f64(next - 20.0) - now).as_secs());
    let agent = Agent::start(directory.path(), machines(&pve, "pve1")[0], "10.0");
    let before = last_round(&pve.scrape().await);
    pve.until_aging(1, "a round", |seen| last_round(seen) > before).await;
    assert_eq!(agent.connections(), 0);
    pve.advance(600);
    pve.until_aging(5, "it is over", |_| agent.connections() > 0).await;
}

/// A machine of pve1 whose agent is asked both ways.
async fn asked_both_ways(directory: &Path) -> (Simulated, u32) {
    let vmid = 100;
    let options = Options {
        agents: AgentMix::none().with(vmid, SimulatedAgent::Healthy),
        ..options()
    };
    let pve = with_options(directory, options, |_| {}).await;
    assert!(machines(&pve, "pve1").contains(&vmid));
    (pve, vmid)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_over_the_api_is_waited_for() {
    let directory = TempDir::new().unwrap();
    let (pve, vmid) = asked_both_ways(directory.path()).await;
    let fault = pve.inject("hang:/nodes/*/qemu/*/agent/*").await;
    let hangs = || pve.simulator.calls().agent_calls() > 0;
    pve.until_aging(1, "a call hangs", |_| hangs()).await;
    let agent = Agent::start(directory.path(), vmid, "10.0");
    for _ in 0..20 {
        pve.age(5);
        pve.exporter.retry();
        pve.scrape().await;
    }
    assert_eq!(agent.connections(), 0);
    pve.simulator.clear(fault);
    pve.until_aging(1, "asked over the socket", |_| agent.connections() > 0)
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_over_the_api_meanwhile() {
    let directory = TempDir::new().unwrap();
    let (pve, vmid) = asked_both_ways(directory.path()).await;
    let agent = Agent::start(directory.path(), vmid, "10.0");
    let calls = || {
        let calls = pve.simulator.agent_calls().into_iter();
        calls.filter(|call| call.vmid == vmid).count()
    };
    pve.until_aging(1, "asked both ways", |_| agent.connections() > 0 && calls() > 0)
        .await;
    let never = Does::Hangs {
        connections: 100,
        answer: Vec::new(),
    };
    agent.set(NAMES[0], never);
    agent.take_received();
    pve.until_aging(5, "the agent is silent", |_| {
        agent.take_received().contains(&NAMES[0].to_owned())
    })
    .await;
    let (asked, connections) = (calls(), agent.connections());
    loop {
        pve.advance(60);
        pve.scrape().await;
        pve.tick().await;
        let now = calls();
        // The third time that it is waited for what the agent owes is the last one.
        if agent.connections() >= connections + 3 {
            break;
        }
        assert_eq!(now, asked);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_without_the_list_of_tasks() {
    let directory = TempDir::new().unwrap();
    let pve = with_agents(directory.path(), |_| {}).await;
    let agent = Agent::start(directory.path(), machines(&pve, "pve1")[0], "10.0");
    let fault = pve.inject("status=500:/cluster/tasks").await;
    for _ in 0..30 {
        pve.scrape().await;
        pve.tick().await;
    }
    assert_eq!(agent.connections(), 0);
    pve.simulator.clear(fault);
    pve.until_aging(5, "asked", |_| agent.connections() > 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_machines_of_the_own_node_are_shown() {
    let directory = TempDir::new().unwrap();
    let pve = with_agents(directory.path(), |_| {}).await;
    let (here, elsewhere) = (machines(&pve, "pve1"), machines(&pve, "pve2"));
    let (first, locked, absent) = (here[0], here[1], here[2]);
    let agents: Vec<Agent> = [first, locked, elsewhere[0]]
        .map(|vmid| Agent::start(directory.path(), vmid, "10.0"))
        .into();
    pve.simulator
        .set_guest(locked, |settings| settings.lock = Some("backup".to_owned()));
    pve.simulator.advance(Duration::from_secs(20));
    let seen = pve
        .until_aging(1, "asked", |seen| cpu_time(seen, first).is_some())
        .await;
    assert_eq!(cpu_time(&seen, first), Some(13.12));
    assert_eq!(seen.samples("pve_guest_agent_cpu_seconds_total").count(), 8);
    let id = format!("qemu/{first}");
    let of_disk = [("id", id.as_str()), ("device", "vda")];
    assert_eq!(
        seen.value("pve_guest_agent_disk_read_bytes_total", &of_disk),
        Some(12_288.0)
    );
    assert_eq!(seen.value("pve_guest_agent_disk_writes_total", &of_disk), Some(1.0));
    assert_eq!(seen.value("pve_guest_agent_load15", &[("id", &id)]), Some(0.0));
    assert_eq!(source_up(&seen, "guest_agent_socket", ""), Some(1.0));
    assert!(cpu_time(&seen, absent).is_none());
    assert_eq!(
        agents.iter().map(Agent::connections).collect::<Vec<_>>(),
        [1, 0, 0],
        "neither one that is locked nor one of another node"
    );
    assert_eq!(agents[0].take_received(), NAMES[..4]);

    pve.simulator.set_guest(locked, |settings| settings.lock = None);
    pve.simulator.advance(Duration::from_secs(20));
    let seen = pve
        .until_aging(5, "unlocked", |seen| cpu_time(seen, locked).is_some())
        .await;
    assert!(cpu_time(&seen, first).is_some());
    assert_eq!(agents[2].connections(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_systems_come_over_the_socket_where_the_api_is_not_asked_for_them() {
    let of_8 = |monitors_guests| Options {
        versions: vec![Version::new(8, 4, 1)],
        monitors_guests,
        ..options()
    };
    let ways = [
        (options(), None, false),
        (options(), Some(false), true),
        (of_8(true), None, true),
        (of_8(true), Some(true), false),
        (of_8(false), Some(true), true),
    ];
    for (options, over_api, expected) in ways {
        let directory = TempDir::new().unwrap();
        let pve = with_options(directory.path(), options, |config| {
            let settings = config.sources.entry(SourceName::GuestAgents).or_default();
            settings.enabled = over_api;
        })
        .await;
        let vmid = machines(&pve, "pve1")[0];
        let agent = Agent::start(directory.path(), vmid, "10.0");
        let id = format!("qemu/{vmid}");
        let of_disk = [("id", id.as_str()), ("mountpoint", "/mnt/data")];
        let size = |seen: &Exposition| seen.value("pve_guest_filesystem_size_bytes", &of_disk);
        pve.until_aging(5, "asked", |seen| {
            cpu_time(seen, vmid).is_some() && size(seen).is_some() == expected
        })
        .await;
        let over_socket = agent.take_received().contains(&NAMES[4].to_owned());
        assert_eq!(over_socket, expected, "{over_api:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_agent_costs_the_others_nothing_and_is_left_alone() {
    let directory = TempDir::new().unwrap();
    let pve = with_agents(directory.path(), |_| {}).await;
    let here = machines(&pve, "pve1");
    let [silent, well] = [here[0], here[1]].map(|vmid| Agent::start(directory.path(), vmid, "10.0"));
    let answer = recorded("10.0", "guest-info");
    silent.set("guest-info", Does::Hangs { connections: 4, answer });
    let seen = pve
        .until("the other one", |seen| cpu_time(seen, here[1]).is_some())
        .await;
    assert_eq!(source_up(&seen, "guest_agent_socket", ""), Some(1.0));
    assert_eq!((silent.connections(), well.connections()), (4, 1));

    silent.set("guest-info", Does::Answers(recorded("10.0", "guest-info")));
    let before = last_round(&seen);
    pve.scrape_after(50).await;
    pve.until("the next round", |seen| last_round(seen) > before).await;
    assert_eq!((silent.connections(), well.connections()), (4, 2));
    pve.scrape_after(50).await;
    let seen = pve.until("it answers", |seen| cpu_time(seen, here[0]).is_some()).await;
    assert!(cpu_time(&seen, here[1]).is_some());
    assert_eq!(silent.connections(), 5);
}

#[tokio::test]
async fn nobody_is_asked_where_it_is_off_or_the_node_is_another() {
    let directory = TempDir::new().unwrap();
    let off = with_agents(directory.path(), |config| config.guest_agent_socket.enabled = false).await;
    let agent = Agent::start(directory.path(), machines(&off, "pve1")[0], "10.0");
    let seen = off.settle().await;
    assert_eq!(source_up(&seen, "guest_agent_socket", ""), None);

    let elsewhere = with_agents(directory.path(), |config| {
        config.guest_agent_socket.node = Some("other".to_owned());
    })
    .await;
    let seen = elsewhere
        .until_aging(1, "failed", |seen| {
            failures(seen, "guest_agent_socket", "", "unreachable") > 0.0
        })
        .await;
    assert_eq!(source_up(&seen, "guest_agent_socket", ""), Some(0.0));

    let of_cluster = with_agents(directory.path(), |config| {
        let settings = SourceSettings {
            enabled: Some(false),
            max_age: None,
        };
        let cluster = config.clusters.get_mut("main").unwrap();
        cluster.sources.insert(SourceName::GuestAgentSocket, settings);
    })
    .await;
    assert_eq!(source_up(&of_cluster.settle().await, "guest_agent_socket", ""), None);
    assert_eq!(agent.connections(), 0);
}

/// Debian's `qemu-ga`, listening on a socket of a directory as if it were that of a machine.
struct Real {
    directory: TempDir,
    child: Child,
}

impl Real {
    async fn start() -> Self {
        let program = std::env::var_os("PVE_TEST_QEMU_GA")
            .map(PathBuf::from)
            .expect("no PVE_TEST_QEMU_GA: run `cargo xtask test`, which provides it");
        let directory = TempDir::new().unwrap();
        let socket = directory.path().join("100.qga");
        let child = Process::new(program)
            .args(["-m", "unix-listen", "-p"])
            .arg(&socket)
            .arg("-t")
            .arg(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::fs::write(directory.path().join("100.pid"), format!("{}\n", child.id())).unwrap();
        until("it listens", || socket.exists()).await;
        Self { directory, child }
    }

    async fn read(&self, limits: &Limits) -> Result<GuestDirect, DirectError> {
        read(self.directory.path(), VMID, &EVERYTHING, limits).await
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Process::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    fn stat(&self) -> Vec<String> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, after_name) = stat.rsplit_once(") ").unwrap();
        after_name.split(' ').map(str::to_owned).collect()
    }

    fn is_in_state(&self, states: &str) -> bool {
        states.contains(self.stat()[0].as_str())
    }

    /// Ticks of CPU that it has used, in hundredths of a second.
    fn used(&self) -> u64 {
        let stat = self.stat();
        [11, 12].iter().map(|at| stat[*at].parse::<u64>().unwrap()).sum()
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        // It ends a stopped process, too.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn the_real_agent_answers() {
    let agent = Real::start().await;
    for _ in 0..3 {
        let direct = agent.read(&limits()).await.unwrap();
        assert_eq!(direct.damaged, 0);
        assert!(!direct.info.version.is_empty());
        let cpu = direct.cpu.unwrap();
        assert!(cpu.user > Some(0) && cpu.idle > Some(0), "{cpu:?}");
        assert!(direct.disks.is_some() && direct.file_systems.is_some());
        assert_eq!(direct.load.is_some(), direct.info.enabled.contains(&Command::Load));
    }
}

#[tokio::test]
async fn the_real_agent_is_not_left_with_a_reply() {
    let agent = Real::start().await;
    let socket = agent.directory.path().join("100.qga");
    let short = Limits {
        command: Duration::from_millis(200),
        ..limits()
    };
    let pid = i32::try_from(agent.child.id()).unwrap();
    let session = Session::open(&socket, pid, &short).await.unwrap();
    agent.signal("-STOP");
    until("it has stopped", || agent.is_in_state("T")).await;
    let asked = Instant::now();
    let goes_on = async {
        until("the time for the reply is over", || asked.elapsed() > short.command * 2).await;
        agent.signal("-CONT");
    };
    let (outcome, ()) = tokio::join!(session.ask("guest-get-fsinfo"), goes_on);
    let error = outcome.map(|(_, reply)| reply).unwrap_err();
    assert!(matches!(error, SessionError::TimedOut { drained: true }), "{error:?}");

    // It has nothing to do any more: over a second it sleeps, and uses next to nothing.
    let (used, started) = (agent.used(), Instant::now());
    until("a second has passed", || {
        started.elapsed() >= Duration::from_secs(1) && agent.is_in_state("S")
    })
    .await;
    assert!(
        agent.used() - used < 20,
        "{} hundredths of a second",
        agent.used() - used
    );

    let direct = agent.read(&limits()).await.unwrap();
    assert!(direct.cpu.is_some() && direct.disks.is_some() && direct.damaged == 0);
}
