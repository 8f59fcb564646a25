use super::*;
use crate::config::GuestKind;
use crate::metrics::labels::Identity;
use crate::pve::api::agent::Info;
use crate::subjects::guest::{Figures, GuestText};

const SECOND: Duration = Duration::from_secs(1);
const PACE: Pace = Pace {
    limits: Limits {
        file_systems: 32,
        interfaces: 0,
        addresses: 0,
        details: false,
    },
    fast: Duration::from_secs(300),
};

/// A guest, its agent, and the time.
struct Scene {
    guest: Guest,
    configured: Option<bool>,
    agent: Agent,
    now: Instant,
}

impl Scene {
    fn new() -> Self {
        let guest = Guest {
            identity: Identity::new(&[]),
            kind: GuestKind::Qemu,
            vmid: 100,
            node: "pve1".into(),
            text: GuestText::default(),
            state: "running",
            lock: None,
            ha_state: None,
            figures: Figures {
                uptime: Some(1000),
                ..Figures::default()
            },
        };
        let mut scene = Self {
            guest,
            configured: Some(true),
            agent: Agent::default(),
            now: Instant::now(),
        };
        scene.pass(1);
        scene
    }

    /// Lets time pass and lists the guest again.
    fn pass(&mut self, seconds: u64) {
        self.now += SECOND * u32::try_from(seconds).unwrap();
        let uptime = self.guest.figures.uptime.map(|uptime| uptime + seconds);
        self.guest.figures.uptime = uptime.filter(|_| self.guest.state == "running");
        self.list();
    }

    fn list(&mut self) {
        self.agent.list(&self.guest, self.configured, self.now, &PACE.limits);
    }

    fn next(&self) -> Option<Command> {
        // What is due at the same time is due a few milliseconds apart.
        Some(self.agent.next(self.now + SECOND)?.1)
    }

    fn ends(&mut self, command: Command, outcome: Outcome) {
        let call = Call {
            vmid: 100,
            node: Arc::clone(&self.guest.node),
            command,
        };
        let exchange = Exchange {
            end: 1_800_000_000.0,
            took: Duration::from_millis(10),
        };
        self.agent.started();
        assert_eq!(self.next(), None, "one call at a time");
        self.agent.ended(&call, outcome, exchange, self.now, &PACE);
    }

    fn answers(&mut self, command: Command, reply: Reply) {
        self.ends(command, Outcome::Answer(Answer::Data(reply)));
    }

    fn refuses(&mut self, command: Command, refusal: Refusal) {
        self.ends(command, Outcome::Answer(Answer::Refused(refusal)));
    }

    fn is_silent(&mut self, silence: Silence) {
        let command = self.next().unwrap();
        self.ends(command, Outcome::Silence(silence));
    }

    fn state(&self) -> &'static str {
        self.agent.state(self.guest.state, self.now, &PACE).as_str()
    }

    /// The seconds until it may be asked again, which are those that pass.
    fn rest(&mut self) -> u64 {
        let mut seconds = 0;
        while self.next().is_none() {
            self.pass(1);
            seconds += 1;
        }
        seconds
    }
}

fn info(disabled: &[Command]) -> Reply {
    Reply::Info(Info {
        version: "10.0".into(),
        disabled: disabled.to_vec(),
        missing: Vec::new(),
    })
}

#[test]
fn all_that_is_shown_is_asked_once_and_then_at_its_interval() {
    let mut scene = Scene::new();
    let mut asked = Vec::new();
    while let Some(command) = scene.next() {
        scene.ends(command, Outcome::Nonsense);
        asked.push(command);
    }
    use Command::{FileSystems, HostName, Info, OperatingSystem, Time};
    assert_eq!(asked, [FileSystems, Time, OperatingSystem, HostName, Info]);
    let mut scene = Scene::new();
    for command in asked {
        scene.refuses(command, Refusal::Other);
    }
    let rest = scene.rest();
    assert!((300..=330).contains(&rest), "{rest}");
    assert_eq!(scene.next(), Some(FileSystems));
}

#[test]
fn a_silent_agent_is_left_alone_for_longer_each_time() {
    let mut scene = Scene::new();
    for minutes in [1, 5, 15, 60, 240, 240] {
        scene.is_silent(Silence::Silent);
        assert_eq!(scene.state(), "unresponsive");
        let until = scene.agent.rests_until().unwrap() - scene.now;
        let rest = scene.rest();
        assert!((60 * minutes - 1..=66 * minutes).contains(&rest), "{minutes}: {rest}");
        assert!(until.as_secs().abs_diff(rest) <= 1);
    }
    scene.answers(Command::Time, Reply::Time(1.0));
    assert_eq!((scene.state(), scene.agent.rests_until()), ("healthy", None));
    scene.is_silent(Silence::Silent);
    assert!(scene.rest() <= 66, "an answer resets it");
}

#[test]
fn a_restart_resets_the_back_off_and_a_migration_does_not() {
    let mut scene = Scene::new();
    for _ in 0..3 {
        scene.rest();
        scene.is_silent(Silence::Silent);
    }
    scene.guest.node = "pve2".into();
    scene.guest.figures.uptime = Some(5);
    scene.pass(1);
    assert_eq!(scene.state(), "unresponsive");
    assert!(scene.rest() > 800, "it has moved");
    scene.is_silent(Silence::Silent);
    scene.guest.figures.uptime = Some(0);
    scene.pass(1);
    assert_eq!(scene.state(), "unknown");
    assert_eq!(scene.rest(), BOOT - 1, "it boots");

    for _ in 0..3 {
        scene.rest();
        scene.is_silent(Silence::Silent);
    }
    (scene.guest.state, scene.guest.figures.uptime) = ("stopped", None);
    scene.pass(30);
    (scene.guest.state, scene.guest.figures.uptime) = ("running", Some(150));
    scene.pass(1);
    assert_eq!(
        (scene.state(), scene.rest()),
        ("unknown", 0),
        "it was stopped meanwhile"
    );
}

#[test]
fn a_migration_is_none_of_the_restarts_that_the_uptime_tells_of_later() {
    let mut scene = Scene::new();
    scene.is_silent(Silence::Silent);
    scene.guest.node = "pve2".into();
    scene.pass(5);
    scene.guest.figures.uptime = Some(5);
    scene.pass(5);
    assert_eq!(scene.state(), "unresponsive", "the uptime is that of the new QEMU");
    scene.pass(1000);
    scene.guest.figures.uptime = Some(5);
    scene.pass(5);
    assert_eq!(scene.state(), "unknown", "the next one is a restart");
}

#[test]
fn who_has_moved_while_stopped_is_started_anew_by_the_first_restart() {
    let mut scene = Scene::new();
    (scene.guest.state, scene.guest.figures.uptime) = ("stopped", None);
    scene.pass(5);
    scene.guest.node = "pve2".into();
    scene.pass(5);
    (scene.guest.state, scene.guest.figures.uptime) = ("running", Some(1000));
    scene.pass(5);
    scene.is_silent(Silence::Silent);
    scene.guest.figures.uptime = Some(5);
    scene.pass(5);
    assert_eq!(scene.state(), "unknown");
}

#[test]
fn who_was_on_a_lost_node_has_been_started_anew_elsewhere() {
    let mut scene = Scene::new();
    scene.is_silent(Silence::Silent);
    let figures = scene.guest.figures;
    (scene.guest.state, scene.guest.figures) = ("unknown", Figures::default());
    scene.pass(10);
    assert_eq!((scene.state(), scene.next()), ("unknown", None));
    (scene.guest.state, scene.guest.figures) = ("running", figures);
    scene.pass(10);
    assert_eq!(scene.state(), "unresponsive", "only the way to it was lost");
    (scene.guest.state, scene.guest.figures) = ("unknown", Figures::default());
    scene.pass(10);
    (scene.guest.state, scene.guest.figures.uptime) = ("running", Some(130));
    scene.guest.node = "pve2".into();
    scene.list();
    assert_eq!(scene.state(), "unknown");
}

#[test]
fn a_clock_that_is_set_back_is_no_restart() {
    let mut scene = Scene::new();
    scene.answers(Command::Time, Reply::Time(1.0));
    scene.guest.figures.uptime = Some(993);
    scene.list();
    assert_eq!(scene.state(), "healthy");
}

#[test]
fn nobody_is_asked_who_is_locked_or_boots_or_does_not_plainly_run() {
    let mut scene = Scene::new();
    assert!(scene.next().is_some());
    scene.guest.lock = Some("migrate".into());
    scene.list();
    assert_eq!(scene.next(), None);
    scene.guest.lock = None;
    for (state, uptime) in [
        ("running", Some(BOOT - 1)),
        ("running", None),
        ("paused", Some(1000)),
        ("stopped", None),
        ("unknown", None),
    ] {
        let mut scene = Scene::new();
        (scene.guest.state, scene.guest.figures.uptime) = (state, uptime);
        scene.agent = Agent::default();
        scene.list();
        assert_eq!(scene.next(), None, "{state} {uptime:?}");
    }
}

#[test]
fn the_configuration_says_whether_there_is_one() {
    let mut scene = Scene::new();
    scene.configured = Some(false);
    scene.list();
    assert_eq!((scene.state(), scene.next()), ("not_configured", None));
    scene.configured = None;
    scene.list();
    assert_eq!(scene.state(), "unknown");
    scene.is_silent(Silence::NotConfigured);
    assert_eq!((scene.state(), scene.next()), ("not_configured", None));
    scene.configured = Some(true);
    scene.list();
    assert!(scene.next().is_some(), "it has been configured since");
    scene.is_silent(Silence::NotConfigured);
    let rest = scene.rest();
    assert!(
        (3600 - 1..=3960).contains(&rest),
        "{rest}: it has to be started anew first"
    );
}

#[test]
fn who_has_not_been_asked_for_long_is_not_healthy_any_more() {
    for frozen in [false, true] {
        let mut scene = Scene::new();
        scene.answers(Command::FreezeStatus, Reply::FreezeStatus(frozen));
        let before = scene.state();
        scene.guest.lock = Some("backup".into());
        scene.pass(900);
        assert_eq!(scene.state(), before);
        scene.pass(1);
        assert_eq!(scene.state(), "unknown");
        scene.guest.lock = None;
        scene.pass(1);
        let command = scene.next().unwrap();
        scene.answers(command, Reply::FreezeStatus(frozen));
        assert_eq!(scene.state(), before);
    }
    let mut scene = Scene::new();
    while let Some(command) = scene.next() {
        scene.refuses(command, Refusal::Other);
    }
    scene.guest.lock = Some("backup".into());
    scene.pass(1200);
    assert_eq!(scene.state(), "healthy", "it was not time yet");
    scene.pass(100);
    assert_eq!(scene.state(), "unknown");
}

#[test]
fn a_command_that_is_disabled_is_remembered_once_it_is_known_that_the_guest_is_not_frozen() {
    let mut scene = Scene::new();
    scene.refuses(Command::FileSystems, Refusal::Disabled);
    assert_eq!((scene.state(), scene.next()), ("healthy", Some(Command::FreezeStatus)));
    scene.answers(Command::FreezeStatus, Reply::FreezeStatus(false));
    assert_eq!(scene.state(), "command_disabled");
    let due = |scene: &Scene, command| scene.agent.due.get(&command).map(|due| (*due - scene.now).as_secs());
    assert_eq!(due(&scene, Command::FileSystems), Some(REFUSED.as_secs()));
    assert_eq!(due(&scene, Command::FreezeStatus), None);

    scene.answers(
        Command::Info,
        info(&[Command::FileSystems, Command::FreezeStatus, Command::Interfaces]),
    );
    assert_eq!(scene.state(), "command_disabled");
    assert_eq!(
        due(&scene, Command::FreezeStatus),
        None,
        "nothing new, and nobody asks for interfaces"
    );
    scene.answers(Command::Info, info(&[]));
    assert_eq!((scene.state(), due(&scene, Command::FileSystems)), ("healthy", Some(0)));
}

#[test]
fn nothing_is_remembered_of_a_guest_that_is_frozen() {
    for refusal in [Refusal::Disabled, Refusal::Frozen] {
        let mut scene = Scene::new();
        scene.refuses(Command::FileSystems, refusal);
        if refusal == Refusal::Disabled {
            scene.answers(Command::FreezeStatus, Reply::FreezeStatus(true));
        }
        assert_eq!((scene.state(), scene.next()), ("frozen", None), "{refusal:?}");
        assert!(scene.rest() <= 60);
        assert_eq!(scene.next(), Some(Command::FreezeStatus), "and nothing else");
        scene.answers(Command::FreezeStatus, Reply::FreezeStatus(false));
        assert_eq!(scene.state(), "healthy");
        assert!(scene.rest() <= 1);
        scene.refuses(Command::Info, Refusal::Other);
        assert!(scene.agent.disabled.is_empty());
    }
}

#[test]
fn who_does_not_say_whether_it_is_frozen_has_disabled_what_it_refuses() {
    let refused = |refusal| Outcome::Answer(Answer::Refused(refusal));
    for outcome in [
        refused(Refusal::Disabled),
        refused(Refusal::NotFound),
        refused(Refusal::Other),
        Outcome::Nonsense,
    ] {
        let case = format!("{outcome:?}");
        let mut scene = Scene::new();
        scene.refuses(Command::Time, Refusal::Disabled);
        scene.ends(Command::FreezeStatus, outcome);
        assert_eq!(scene.state(), "command_disabled", "{case}");
        let asked: Vec<_> = std::iter::from_fn(|| {
            let command = scene.next()?;
            scene.refuses(command, Refusal::Other);
            Some(command)
        })
        .collect();
        assert!(!asked.contains(&Command::FreezeStatus), "{case}: {asked:?}");
        assert!(!asked.contains(&Command::Time), "{case}: {asked:?}");
    }
}

#[test]
fn a_command_that_an_old_agent_lacks_is_not_asked_again() {
    let mut scene = Scene::new();
    scene.refuses(Command::FileSystems, Refusal::NotFound);
    let missing = vec![Command::Time, Command::FreezeStatus];
    let old = Info {
        version: "2.5".into(),
        missing,
        ..Info::default()
    };
    scene.answers(Command::Info, Reply::Info(old));
    let asked: Vec<_> = std::iter::from_fn(|| {
        let command = scene.next()?;
        scene.ends(command, Outcome::Nonsense);
        Some(command)
    })
    .collect();
    assert!(
        !asked.contains(&Command::FileSystems) && !asked.contains(&Command::Time),
        "{asked:?}"
    );
    assert_eq!(scene.state(), "healthy");
}

#[test]
fn a_command_that_runs_out_of_time_does_not_keep_the_others_back() {
    let mut scene = Scene::new();
    let mut late = Vec::new();
    let began = scene.now;
    while scene.now < began + 8 * HOUR {
        match scene.next() {
            Some(Command::FileSystems) => {
                scene.is_silent(Silence::TimedOut);
                late.push((scene.now - began).as_secs() / 60);
            }
            Some(command) => scene.refuses(command, Refusal::Other),
            None => scene.pass(1),
        }
    }
    assert_eq!(scene.state(), "healthy", "others are answered");
    assert_eq!(late.len(), 6, "{late:?}: after 1, 5, 15, 60 and 240 minutes");
}

#[test]
fn whom_pve_fails_at_is_left_alone_for_longer_each_time() {
    let mut scene = Scene::new();
    scene.answers(Command::Time, Reply::Time(1.0));
    for minutes in [1, 5, 15, 60, 240, 240] {
        let command = scene.next().unwrap();
        scene.ends(command, Outcome::Fault);
        assert_eq!(scene.agent.rests_until(), None, "nobody says that it is silent");
        let rested = scene.rest();
        let least = minutes * 60;
        assert!((least - 1..=least * 11 / 10).contains(&rested), "{minutes}: {rested}");
    }
}

#[test]
fn nobody_is_blamed_for_what_pve_says() {
    for (outcome, rest) in [
        (Outcome::Failure, 15),
        (Outcome::Silence(Silence::Moved), 15),
        (Outcome::Silence(Silence::NotRunning), 15),
        (Outcome::Forbidden, 3600),
    ] {
        let mut scene = Scene::new();
        scene.answers(Command::Time, Reply::Time(1.0));
        scene.ends(Command::FileSystems, outcome);
        assert_eq!((scene.state(), scene.agent.rests_until()), ("healthy", None));
        let rested = scene.rest();
        assert!((rest - 1..=rest * 11 / 10).contains(&rested), "{rested}");
    }
}
