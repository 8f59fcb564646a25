//! Guest agents: what each kind of them makes of the exposition, and what is asked of PVE for it.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use pve_exporter::clock::Clock;
use pve_exporter::config::{Config, SourceSettings};
use pve_exporter::metrics::exposition::Format;
use pve_exporter::pve::api::agent::Command;
use pve_exporter::sources::name::SourceName;
use pve_simulator::{Agent, AgentMix, BackupResult, GuestKind, NewBackup, Options, Version};
use support::exporters::everything;
use support::simulated::{START, Simulated, failures, options, source_up, sources_down, until};
use support::strict::Exposition;

/// The seconds between scrapes.
const INTERVAL: u64 = 15;

/// After so many seconds every guest of a small cluster has been asked everything once.
const ALL_ASKED: u64 = 150;

/// Agents that do not keep the test waiting.
fn with_agents(agents: AgentMix) -> Options {
    Options {
        agents,
        agent_silence: Duration::from_millis(20),
        agent_timeout: Duration::from_millis(40),
        ..options()
    }
}

/// A cluster and an exporter with one clock, which the test moves on.
struct Scene {
    pve: Simulated,
    second: u64,
}

impl Scene {
    /// With what is built in, and the details.
    async fn start(agents: AgentMix) -> Self {
        Self::with(with_agents(agents), |config| config.metrics.guest_agent_details = true).await
    }

    async fn with(options: Options, change: impl FnOnce(&mut Config)) -> Self {
        let pve = Simulated::by(Clock::standing_at(START), options, change).await;
        Self { pve, second: 0 }
    }

    /// Lets time pass second by second, with scrapes in between.
    async fn pass(&mut self, seconds: u64) -> Exposition {
        for _ in 0..seconds {
            self.second().await;
        }
        self.pve.scrape().await
    }

    async fn second(&mut self) {
        if self.second.is_multiple_of(INTERVAL) {
            self.pve.scrape().await;
        }
        self.second += 1;
        self.pve.advance(1);
        self.pve.exporter.retry();
        self.pve.idle().await;
    }

    /// Lets time pass in leaps of a minute, each with a few seconds in which something can be asked.
    async fn leap(&mut self, minutes: u64) -> Exposition {
        for _ in 0..minutes {
            self.pve.advance(52);
            self.pve.scrape().await;
            for _ in 0..8 {
                self.pve.advance(1);
                self.pve.exporter.retry();
                self.pve.idle().await;
            }
        }
        self.pve.scrape().await
    }

    /// When a guest was asked, in seconds from the start, and what.
    fn asked(&self, vmid: u32) -> Vec<(u64, &'static str)> {
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(START);
        let calls = self.pve.simulator.agent_calls().into_iter();
        calls
            .filter(|call| call.vmid == vmid)
            .map(|call| (call.at.duration_since(began).unwrap().as_secs(), call.command))
            .collect()
    }

    /// How often a guest was asked each command.
    fn commands(&self, vmid: u32) -> BTreeMap<&'static str, usize> {
        let mut commands = BTreeMap::new();
        for (_, command) in self.asked(vmid) {
            *commands.entry(command).or_default() += 1;
        }
        commands
    }

    fn agent_calls(&self) -> usize {
        self.pve.simulator.agent_calls().len()
    }

    fn node_of(&self, vmid: u32) -> String {
        self.pve.simulator.guest(vmid).unwrap().node
    }
}

fn id(vmid: u32) -> String {
    format!("qemu/{vmid}")
}

fn state(seen: &Exposition, vmid: u32) -> &str {
    let mut samples = seen.samples("pve_guest_agent_state");
    let sample = samples.find(|sample| sample.label("id") == Some(&id(vmid)));
    sample.and_then(|sample| sample.label("state")).unwrap_or("absent")
}

fn of(seen: &Exposition, name: &str, vmid: u32) -> Option<f64> {
    seen.value(name, &[("id", &id(vmid))])
}

fn mounts(seen: &Exposition, vmid: u32) -> BTreeMap<String, f64> {
    let id = id(vmid);
    let samples = seen.samples("pve_guest_filesystem_size_bytes");
    samples
        .filter(|sample| sample.label("id") == Some(&id))
        .map(|sample| (sample.label("mountpoint").unwrap().to_owned(), sample.value))
        .collect()
}

/// The share in use of a file system.
fn usage(seen: &Exposition, vmid: u32, mountpoint: &str) -> Option<f64> {
    let id = id(vmid);
    let value = |name| seen.value(name, &[("id", &id), ("mountpoint", mountpoint)]);
    let used = value("pve_guest_filesystem_usage_bytes")?;
    Some(used / (used + value("pve_guest_filesystem_available_bytes")?))
}

fn system(seen: &Exposition, vmid: u32, label: &str) -> Option<String> {
    let mut samples = seen.samples("pve_guest_system_info");
    let sample = samples.find(|sample| sample.label("id") == Some(&id(vmid)))?;
    sample.label(label).map(str::to_owned)
}

const HEALTHY: u32 = 100;
const FULL: u32 = 101;
const WINDOWS: u32 = 103;
const STOPPED: u32 = 104;
const BSD: u32 = 106;
const DEAD: u32 = 107;
const HUNG: u32 = 110;
const DISABLED: u32 = 111;
const OLD: u32 = 113;
const FROZEN: u32 = 116;
const FROZEN_OLD: u32 = 117;
const LYING: u32 = 119;
const UNCONFIGURED: u32 = 120;
const SWITCHED_OFF: u32 = 121;

fn each_kind() -> AgentMix {
    AgentMix::none()
        .with(HEALTHY, Agent::Healthy)
        .with(FULL, Agent::Full)
        .with(WINDOWS, Agent::Windows)
        .with(STOPPED, Agent::Healthy)
        .with(BSD, Agent::Bsd)
        .with(DEAD, Agent::Dead)
        .with(HUNG, Agent::Hung(Duration::from_secs(60)))
        .with(DISABLED, Agent::Disabled(vec!["get-fsinfo", "get-users"]))
        .with(OLD, Agent::Old)
        .with(FROZEN, Agent::Frozen)
        .with(FROZEN_OLD, Agent::Frozen)
        .with(LYING, Agent::Lying)
        .with(SWITCHED_OFF, Agent::Healthy)
}

#[tokio::test]
async fn each_kind_of_agent_is_told_for_what_it_is() {
    let mut scene = Scene::start(each_kind()).await;
    scene.pve.simulator.set_guest(SWITCHED_OFF, |settings| {
        settings.agent = Some("fstrim_cloned_disks=1,enabled=0".to_owned());
    });
    let seen = scene.pass(ALL_ASKED).await;
    let states = [
        (HEALTHY, "healthy"),
        (FULL, "healthy"),
        (WINDOWS, "healthy"),
        (STOPPED, "stopped"),
        (BSD, "healthy"),
        (DEAD, "unresponsive"),
        (DISABLED, "command_disabled"),
        (OLD, "healthy"),
        (FROZEN, "frozen"),
        (FROZEN_OLD, "frozen"),
        (LYING, "healthy"),
        (UNCONFIGURED, "not_configured"),
        (SWITCHED_OFF, "not_configured"),
    ];
    for (vmid, expected) in states {
        assert_eq!(state(&seen, vmid), expected, "{vmid}: {:?}", scene.asked(vmid));
    }
    for vmid in scene
        .pve
        .simulator
        .guests()
        .iter()
        .filter(|guest| guest.kind == GuestKind::Lxc)
    {
        assert_eq!(state(&seen, vmid.vmid), "absent");
    }

    assert!(mounts(&seen, HEALTHY).contains_key("/") && usage(&seen, HEALTHY, "/").unwrap() < 0.9);
    assert!(usage(&seen, FULL, "/").unwrap() > 0.96);
    assert!(of(&seen, "pve_guest_clock_offset_seconds", HEALTHY).unwrap().abs() < 0.5);
    assert_eq!(of(&seen, "pve_guest_users", HEALTHY), Some(f64::from(HEALTHY % 3)));
    assert_eq!(system(&seen, HEALTHY, "name").unwrap(), "Debian GNU/Linux 13 (trixie)");
    assert!(of(&seen, "pve_guest_agent_last_answer_timestamp_seconds", HEALTHY).unwrap() >= START as f64);
    assert_eq!(of(&seen, "pve_guest_agent_retry_timestamp_seconds", HEALTHY), None);
    // What cannot fill up raises no alarm.
    let images = seen.samples("pve_guest_filesystem_size_bytes");
    let images = images.filter(|sample| sample.label("mountpoint").unwrap().starts_with("/snap/"));
    assert_eq!(images.count(), 0);

    let volumes = mounts(&seen, WINDOWS);
    assert!(
        volumes.contains_key(r"C:\") && !volumes.contains_key(r"D:\"),
        "{volumes:?}"
    );
    assert!((1.4..2.0).contains(&of(&seen, "pve_guest_clock_offset_seconds", WINDOWS).unwrap()));
    assert_eq!(mounts(&seen, BSD).len(), 0);
    assert_eq!(system(&seen, BSD, "name").unwrap(), "FreeBSD 14.2-RELEASE");

    for vmid in [DEAD, UNCONFIGURED, SWITCHED_OFF, STOPPED] {
        assert_eq!(
            of(&seen, "pve_guest_agent_last_answer_timestamp_seconds", vmid),
            None,
            "{vmid}"
        );
        assert_eq!(system(&seen, vmid, "name"), None, "{vmid}");
    }
    let retry = of(&seen, "pve_guest_agent_retry_timestamp_seconds", DEAD).unwrap();
    assert!(retry > (START + ALL_ASKED) as f64, "{retry}");
    let dead: Vec<u64> = scene.asked(DEAD).iter().map(|(at, _)| *at).collect();
    assert_eq!(dead.len(), 2, "{dead:?}");
    // Up to a tenth longer, and who has waited meanwhile comes first.
    assert!((60..=80).contains(&(dead[1] - dead[0])), "{dead:?}");

    assert_eq!(of(&seen, "pve_guest_filesystem_frozen", FROZEN), Some(1.0));
    assert_eq!(of(&seen, "pve_guest_filesystem_frozen", HEALTHY), None);
    for vmid in [FROZEN, FROZEN_OLD] {
        let commands: Vec<_> = scene.commands(vmid).into_iter().collect();
        assert!(
            matches!(commands[..], [("fsfreeze-status", 1..=3), ("get-fsinfo", 1)]),
            "{commands:?}"
        );
    }
    assert_eq!(scene.asked(STOPPED), []);
    // It may take more than a minute until the configurations are known.
    assert!(scene.asked(UNCONFIGURED).len() <= 1 && scene.asked(SWITCHED_OFF).len() <= 2);
    assert!(of(&seen, "pve_guest_agent_last_answer_timestamp_seconds", HUNG).is_none());
}

#[tokio::test]
async fn a_command_that_is_refused_is_an_error_and_asked_seldom() {
    let mut scene = Scene::start(each_kind()).await;
    let seen = scene.pass(ALL_ASKED).await;
    assert_eq!(mounts(&seen, DISABLED).len(), 0);
    assert_eq!(of(&seen, "pve_guest_users", DISABLED), None);
    assert_eq!(of(&seen, "pve_guest_filesystem_frozen", DISABLED), Some(0.0));
    assert_eq!(system(&seen, DISABLED, "name").unwrap(), "Debian GNU/Linux 13 (trixie)");
    let seen = scene.leap(40).await;
    assert_eq!(state(&seen, DISABLED), "command_disabled");
    let commands = scene.commands(DISABLED);
    assert_eq!(
        (commands["get-fsinfo"], commands["get-users"], commands["get-time"]),
        (1, 1, 1)
    );
    assert!((1..=2).contains(&commands["fsfreeze-status"]), "{commands:?}");
    let old = scene.commands(OLD);
    assert!(
        old.values().filter(|count| **count == 1).count() >= old.len() - 1,
        "{old:?}"
    );
    assert!(scene.commands(HEALTHY)["get-fsinfo"] >= 6);
    assert!(!scene.commands(HEALTHY).contains_key("fsfreeze-status"));
}

#[tokio::test]
async fn a_guest_thaws_and_is_healthy_again() {
    let mut scene = Scene::start(AgentMix::none().with(FROZEN, Agent::Frozen)).await;
    let seen = scene.pass(60).await;
    assert_eq!(state(&seen, FROZEN), "frozen");
    scene.pve.simulator.set_agent(FROZEN, Agent::Healthy);
    let seen = scene.pass(180).await;
    assert_eq!(state(&seen, FROZEN), "healthy");
    assert_eq!(of(&seen, "pve_guest_filesystem_frozen", FROZEN), Some(0.0));
    assert!(mounts(&seen, FROZEN).contains_key("/"));
}

#[tokio::test]
async fn an_agent_that_hangs_at_one_thing_is_asked_less_and_less() {
    let mut scene = Scene::start(AgentMix::none().with(HUNG, Agent::Hung(Duration::from_secs(60)))).await;
    let seen = scene.leap(30).await;
    assert_eq!(state(&seen, HUNG), "unresponsive");
    assert_eq!(of(&seen, "pve_guest_agent_last_answer_timestamp_seconds", HUNG), None);
    let asked = scene.asked(HUNG);
    assert_eq!(asked.len(), 4, "{asked:?}");
    let different: BTreeSet<_> = asked.iter().map(|(_, command)| command).collect();
    assert_eq!(different.len(), 4, "each time something else: {asked:?}");
}

#[tokio::test]
async fn what_a_lying_agent_says_is_bounded() {
    let mut scene = Scene::start(AgentMix::none().with(LYING, Agent::Lying)).await;
    let seen = scene.pass(ALL_ASKED).await;
    let mounts = mounts(&seen, LYING);
    assert!(mounts.len() <= 32, "{}", mounts.len());
    assert_eq!(mounts.get("/"), Some(&1_000_000.0), "the first of duplicates");
    let samples = seen.families.iter().flat_map(|family| &family.samples);
    for sample in samples.filter(|sample| sample.label("id") == Some(&id(LYING))) {
        assert!(
            sample.value.is_finite() && sample.value.abs() <= 2f64.powi(53),
            "{sample:?}"
        );
        for (label, value) in &sample.labels {
            assert!(
                value.chars().count() <= 128 && !value.chars().any(char::is_control),
                "{label}={value}"
            );
        }
    }
    let asked = scene.asked(LYING).len();
    scene.pass(60).await;
    assert_eq!(
        scene.asked(LYING).len(),
        asked,
        "nonsense is not asked for again at once"
    );
}

#[tokio::test]
async fn a_restart_resets_the_back_off_and_a_migration_does_not() {
    let (restarts, migrates) = (100, 101);
    let mix = AgentMix::none().with(restarts, Agent::Dead).with(migrates, Agent::Dead);
    let mut scene = Scene::start(mix).await;
    scene.leap(10).await;
    let before = (scene.asked(restarts).len(), scene.asked(migrates).len());
    assert_eq!(before, (3, 3), "after 0, 1 and 6 minutes");
    scene.pve.simulator.restart(restarts);
    let node = scene.node_of(migrates);
    let other = scene
        .pve
        .simulator
        .nodes()
        .into_iter()
        .find(|other| *other != node)
        .unwrap();
    scene.pve.simulator.migrate(migrates, &other);
    let seen = scene.pass(30).await;
    assert_eq!(state(&seen, restarts), "unknown");
    assert_eq!(scene.asked(restarts).len(), 3, "it boots");
    assert_eq!(state(&seen, migrates), "unresponsive");
    scene.leap(3).await;
    assert!(scene.asked(restarts).len() > 3 && scene.asked(migrates).len() == 3);

    scene.pve.simulator.set_agent(restarts, Agent::Healthy);
    let seen = scene.leap(8).await;
    assert_eq!(state(&seen, restarts), "healthy");
    assert!(mounts(&seen, restarts).contains_key("/"));
    scene.pve.simulator.stop(restarts);
    let seen = scene.pass(20).await;
    assert_eq!(state(&seen, restarts), "stopped");
    assert_eq!(mounts(&seen, restarts).len(), 0, "what it said is over with it");
}

#[tokio::test]
async fn the_configuration_says_who_has_an_agent_in_any_of_its_ways() {
    let mut scene = Scene::start(AgentMix::all(Agent::Healthy)).await;
    let ways = [
        (100, Some("1"), "healthy"),
        (101, Some("enabled=1,fstrim_cloned_disks=1"), "healthy"),
        (103, Some("type=virtio,enabled=1"), "healthy"),
        (106, Some("0"), "not_configured"),
        (107, Some("type=isa,enabled=0"), "not_configured"),
        (110, None, "not_configured"),
    ];
    for (vmid, value, _) in ways {
        let set = |settings: &mut pve_simulator::GuestSettings| settings.agent = value.map(str::to_owned);
        scene.pve.simulator.set_guest(vmid, set);
    }
    let seen = scene.pass(ALL_ASKED).await;
    for (vmid, value, expected) in ways {
        assert_eq!(state(&seen, vmid), expected, "{value:?}");
    }
}

fn ask_with_monitor(config: &mut Config) {
    let settings = SourceSettings {
        enabled: Some(true),
        ..SourceSettings::default()
    };
    config.sources.insert(SourceName::GuestAgents, settings);
}

fn privilege(seen: &Exposition, privilege: &str) -> Option<f64> {
    seen.value("pve_permission_granted", &[("privilege", privilege)])
}

#[tokio::test]
async fn pve_8_is_asked_only_by_those_who_say_so_and_may() {
    let of_8 = |monitors_guests| Options {
        versions: vec![Version::new(8, 4, 1)],
        monitors_guests,
        ..with_agents(AgentMix::all(Agent::Healthy))
    };
    for (monitors_guests, insists) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut scene = Scene::with(of_8(monitors_guests), |config| {
            if insists {
                ask_with_monitor(config);
            }
        })
        .await;
        let seen = scene.pass(30).await;
        let asks = monitors_guests && insists;
        assert_eq!(scene.agent_calls() > 0, asks, "{monitors_guests} {insists}");
        assert_eq!(state(&seen, 100), if asks { "healthy" } else { "absent" });
        // What is not asked needs nothing.
        let told = insists.then_some(f64::from(u8::from(monitors_guests)));
        assert_eq!(
            (privilege(&seen, "VM.Monitor"), privilege(&seen, "VM.GuestAgent.Audit")),
            (told, None)
        );
    }
}

#[tokio::test]
async fn an_auditor_of_pve_9_asks() {
    let mut scene = Scene::start(AgentMix::all(Agent::Healthy)).await;
    let seen = scene.pass(30).await;
    assert_eq!(privilege(&seen, "VM.GuestAgent.Audit"), Some(1.0));
    assert_eq!(privilege(&seen, "VM.Monitor"), None);
    assert_eq!(source_up(&seen, "guest_agents", "pve1"), Some(1.0));
}

#[tokio::test]
async fn nothing_but_what_is_named_is_ever_called() {
    let mut scene = Scene::with(with_agents(each_kind()), |config| {
        let metrics = &mut config.metrics;
        metrics.guest_agent_interfaces = true;
        metrics.guest_agent_addresses = true;
        metrics.guest_agent_details = true;
    })
    .await;
    scene.pass(ALL_ASKED).await;
    let calls = scene.pve.simulator.calls();
    let agent = "/nodes/{node}/qemu/{vmid}/agent";
    let called: BTreeSet<&str> = calls.received_by_template().into_keys().collect();
    let called: BTreeSet<&str> = called.into_iter().filter_map(|path| path.strip_prefix(agent)).collect();
    let named: BTreeSet<String> = Command::ALL
        .iter()
        .map(|command| format!("/{}", command.path()))
        .collect();
    assert_eq!(called, named.iter().map(String::as_str).collect());
    assert_eq!(calls.received_for("unknown"), 0);
}

#[tokio::test]
async fn what_is_not_collected_or_filtered_out_is_not_asked() {
    let mut scene = Scene::with(with_agents(AgentMix::all(Agent::Healthy)), |config| {
        let cluster = config.clusters.get_mut("main").unwrap();
        cluster.guests.exclude.pools = vec!["prod".to_owned(), "test".to_owned()];
    })
    .await;
    let seen = scene.pass(60).await;
    let asked: BTreeSet<u32> = scene.pve.simulator.agent_calls().iter().map(|call| call.vmid).collect();
    assert!(!asked.is_empty());
    for guest in scene.pve.simulator.guests() {
        if matches!(guest.settings.pool.as_deref(), Some("prod" | "test")) {
            assert!(!asked.contains(&guest.vmid));
            assert_eq!(state(&seen, guest.vmid), "absent");
        }
    }

    let pve = Simulated::with(with_agents(AgentMix::all(Agent::Healthy)), |_| {}).await;
    let mut request = everything(Format::Classic);
    request.selection.remove(&SourceName::GuestAgents);
    for _ in 0..10 {
        drop(pve.exporter.scrape(&request).await.unwrap());
        pve.tick().await;
    }
    assert_eq!(pve.simulator.agent_calls(), []);
    request.selection = std::iter::once(SourceName::GuestAgents).collect();
    for _ in 0..10 {
        drop(pve.exporter.scrape(&request).await.unwrap());
        pve.tick().await;
    }
    assert!(!pve.simulator.agent_calls().is_empty());
}

#[tokio::test]
async fn dead_agents_hold_one_worker_of_a_node_and_nothing_else_waits() {
    let mut scene = Scene::with(
        Options {
            nodes: 1,
            guests: 320,
            agent_silence: Duration::from_millis(30),
            ..with_agents(AgentMix::all(Agent::Dead))
        },
        |_| {},
    )
    .await;
    let machines = scene.pve.simulator.guests().into_iter();
    let machines = machines.filter(|guest| guest.kind == GuestKind::Qemu && guest.running && !guest.settings.template);
    assert!(machines.count() >= 150);
    let seen = scene.pass(240).await;
    assert!(scene.agent_calls() > 100, "{}", scene.agent_calls());
    assert_eq!(scene.pve.simulator.highest_agent_concurrency("pve1"), 1);
    assert_eq!(sources_down(&seen), []);
    let failures: f64 = seen
        .samples("pve_source_failures_total")
        .map(|sample| sample.value)
        .sum();
    assert_eq!(failures, 0.0);
}

/// The running machines of a node.
fn machines(scene: &Scene, node: &str) -> Vec<u32> {
    let guests = scene.pve.simulator.guests().into_iter();
    let here = guests.filter(|guest| guest.kind == GuestKind::Qemu && guest.running && guest.node == node);
    here.map(|guest| guest.vmid).collect()
}

#[tokio::test]
async fn nobody_is_asked_beside_a_backup_that_somebody_has_started() {
    let mut scene = Scene::with(
        Options {
            guests: 60,
            ..with_agents(AgentMix::all(Agent::Healthy))
        },
        |_| {},
    )
    .await;
    scene.pass(30).await;
    let guests = machines(&scene, "pve1").into_iter().take(4);
    let backup = NewBackup {
        node: "pve1".to_owned(),
        storage: "nas".to_owned(),
        guests: guests.map(|vmid| (vmid, BackupResult::Done)).collect(),
        each: Duration::from_secs(20),
    };
    let simulator = &scene.pve.simulator;
    assert!(simulator.agent_calls_during_backups() == 0 && simulator.start_backup(&backup).is_some());
    // The list of tasks may be ten seconds old.
    scene.pass(11).await;
    let at_first = scene.pve.simulator.agent_calls_beside_backups();
    assert!(at_first <= 11, "{at_first}");
    let asked = scene.agent_calls();
    scene.pass(60).await;
    assert_eq!(scene.pve.simulator.agent_calls_beside_backups(), at_first);
    assert!(scene.agent_calls() > asked, "other nodes go on");
    scene.pass(30).await;
    let at = scene.agent_calls();
    scene.pass(60).await;
    let calls = scene.pve.simulator.agent_calls();
    assert!(calls[at..].iter().any(|call| call.node == "pve1"), "it is over");
    assert_eq!(scene.pve.simulator.agent_calls_beside_backups(), at_first);
}

#[tokio::test]
async fn nobody_is_asked_when_a_backup_job_is_about_to_start() {
    let mut scene = Scene::start(AgentMix::all(Agent::Healthy)).await;
    let seen = scene.pve.later(1).await;
    let now = scene
        .pve
        .simulator
        .now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let jobs = seen.samples("pve_backup_job_next_run_timestamp_seconds");
    let next = jobs
        .map(|sample| Duration::from_secs_f64(sample.value).as_secs())
        .min()
        .unwrap();
    scene.pve.advance(next - now.as_secs() - 120);
    scene.pass(400).await;
    let simulator = &scene.pve.simulator;
    let calls = simulator.agent_calls();
    let at = |call: &pve_simulator::AgentCall| call.at.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    assert!(calls.iter().any(|call| at(call) < next) && calls.iter().any(|call| at(call) > next));
    assert_eq!(simulator.agent_calls_beside_backups(), 0);
    let backups = simulator.calls().received_for("/nodes/{node}/tasks/{upid}/log");
    assert!(backups > 0, "there was a backup");
}

#[tokio::test]
async fn a_guest_that_is_locked_or_worked_on_is_left_alone() {
    let (locked, moves) = (100, 101);
    let mut scene = Scene::start(AgentMix::all(Agent::Healthy)).await;
    let simulator = &scene.pve.simulator;
    assert!(simulator.lock_guest(locked, Some("snapshot")));
    let task = simulator
        .start_task(&scene.node_of(moves), "qmigrate", &moves.to_string())
        .unwrap();
    scene.pass(90).await;
    assert_eq!((scene.asked(locked), scene.asked(moves)), (vec![], vec![]));
    assert_eq!(scene.pve.simulator.agent_calls_during_backups(), 0);
    assert!(!scene.asked(103).is_empty());
    scene.pve.simulator.lock_guest(locked, None);
    scene.pve.simulator.end_task(&task, "OK");
    let seen = scene.pass(60).await;
    assert_eq!((state(&seen, locked), state(&seen, moves)), ("healthy", "healthy"));
}

#[tokio::test]
async fn without_the_list_of_tasks_nobody_is_asked() {
    let mut scene = Scene::start(AgentMix::all(Agent::Healthy)).await;
    scene.pass(20).await;
    let fault = scene.pve.inject("status=500:/cluster/tasks").await;
    scene.pass(12).await;
    let asked = scene.agent_calls();
    assert!(asked > 0);
    scene.pass(60).await;
    assert_eq!(scene.agent_calls(), asked);
    scene.pve.simulator.clear(fault);
    scene.pass(60).await;
    assert!(scene.agent_calls() > asked);
}

#[tokio::test]
async fn without_the_list_of_backup_jobs_nobody_is_asked() {
    let mut scene = Scene::with(with_agents(AgentMix::all(Agent::Healthy)), |config| {
        let off = SourceSettings {
            enabled: Some(false),
            ..SourceSettings::default()
        };
        config.sources.insert(SourceName::BackupJobs, off);
    })
    .await;
    scene.pass(60).await;
    assert_eq!(scene.agent_calls(), 0, "it is off");

    let mut scene = Scene::start(AgentMix::all(Agent::Healthy)).await;
    let fault = scene.pve.inject("status=500:/cluster/backup").await;
    scene.pass(60).await;
    assert_eq!(scene.agent_calls(), 0, "it cannot be read");
    scene.pve.simulator.clear(fault);
    scene.pass(90).await;
    assert!(scene.agent_calls() > 0);
}

#[tokio::test]
async fn what_pve_fails_at_is_no_agents_fault() {
    for (fault, reason) in [
        ("status=595", "status"),
        ("hang", "timeout"),
        ("status=403", "forbidden"),
    ] {
        let mut scene = Scene::with(with_agents(AgentMix::all(Agent::Healthy)), |config| {
            let cluster = config.clusters.get_mut("main").unwrap();
            cluster.request_timeout = Duration::from_millis(200);
            // An agent gets more, but not more than the whole.
            cluster.refresh_timeout = Duration::from_secs(1);
        })
        .await;
        let before = scene.pass(90).await;
        let id = scene.pve.inject(&format!("{fault}:pve2:/nodes/*/qemu/*/agent/*")).await;
        let seen = scene.pass(330).await;
        assert_eq!(source_up(&seen, "guest_agents", "pve2"), Some(0.0), "{fault}");
        assert!(failures(&seen, "guest_agents", "pve2", reason) > 0.0, "{fault}");
        assert_eq!(
            sources_down(&seen),
            [("guest_agents".to_owned(), "pve2".to_owned())],
            "{fault}"
        );
        for vmid in machines(&scene, "pve2") {
            assert_eq!(state(&seen, vmid), "healthy", "{fault}: {vmid}");
            assert_eq!(
                mounts(&seen, vmid),
                mounts(&before, vmid),
                "{fault}: what was read is served on"
            );
        }
        scene.pve.simulator.clear(id);
        let seen = scene.leap(if reason == "forbidden" { 75 } else { 8 }).await;
        assert_eq!(sources_down(&seen), [], "{fault}");
        for vmid in machines(&scene, "pve2") {
            let last = of(&seen, "pve_guest_agent_last_answer_timestamp_seconds", vmid).unwrap();
            let now = scene
                .pve
                .simulator
                .now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap();
            assert!(now.as_secs_f64() - last < 400.0, "{fault}: {vmid}");
        }
    }
}

#[tokio::test]
async fn garbage_is_the_guests_own() {
    let mut scene = Scene::start(AgentMix::all(Agent::Healthy)).await;
    scene.pve.inject("garbage:/nodes/*/qemu/100/agent/get-fsinfo").await;
    let seen = scene.pass(90).await;
    assert_eq!(sources_down(&seen), []);
    assert_eq!((state(&seen, 100), mounts(&seen, 100).len()), ("healthy", 0));
    assert!(!mounts(&seen, 101).is_empty());
}

#[tokio::test]
async fn whom_pve_always_fails_at_costs_its_node_nothing() {
    for fault in ["status=500", "truncated"] {
        let mut scene = Scene::start(AgentMix::all(Agent::Healthy)).await;
        let node = scene.node_of(100);
        scene.pve.inject(&format!("{fault}:/nodes/*/qemu/100/agent/*")).await;
        let seen = scene.pass(ALL_ASKED).await;
        assert_eq!(sources_down(&seen), [], "{fault}");
        assert!(
            (1..=3).contains(&scene.asked(100).len()),
            "{fault}: {:?}",
            scene.asked(100)
        );
        for vmid in machines(&scene, &node).into_iter().filter(|vmid| *vmid != 100) {
            assert_eq!(state(&seen, vmid), "healthy", "{fault}: {vmid}");
        }
    }
}

#[tokio::test]
async fn an_agent_gets_the_time_that_pve_waits_for_it() {
    let options = Options {
        agent_silence: Duration::from_millis(500),
        ..with_agents(AgentMix::all(Agent::Dead))
    };
    let mut scene = Scene::with(options, |config| {
        config.clusters.get_mut("main").unwrap().request_timeout = Duration::from_millis(200);
    })
    .await;
    let seen = scene.pass(30).await;
    assert_eq!(sources_down(&seen), []);
    assert_eq!(state(&seen, 100), "unresponsive");
}

#[tokio::test]
async fn agents_wait_while_pve_has_other_worries() {
    let mut scene = Scene::start(AgentMix::all(Agent::Healthy)).await;
    scene.pass(15).await;
    let id = scene.pve.inject("slow=100ms:/cluster/resources").await;
    scene.pve.advance(20);
    let simulator = &scene.pve.simulator;
    let is_read = || simulator.nodes().iter().any(|node| simulator.running_calls(node) > 0);
    let takes_long = async {
        until("the list is being read", is_read).await;
        scene.pve.age(4);
    };
    tokio::join!(scene.pve.scrape(), takes_long);
    let asked = scene.agent_calls();
    for _ in 0..9 {
        scene.pve.tick().await;
    }
    assert_eq!(scene.agent_calls(), asked);
    scene.pve.simulator.clear(id);
    scene.pass(30).await;
    assert!(scene.agent_calls() > asked);
}
