use super::*;
use crate::config::GuestKind;
use crate::metrics::labels::LabelWriter;
use crate::metrics::table::{Sample, Subject};
use crate::pve::api::agent::{Answer, decode};

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../tests/fixtures/agent/", $name))
    };
}

const GUEST: GuestKey = (GuestKind::Qemu, 100);
const START: f64 = 1_795_151_191.0;
const ALL: Limits = Limits {
    file_systems: 99,
    interfaces: 99,
    addresses: 99,
    details: true,
};

fn at(end: f64) -> Exchange {
    let took = Duration::from_millis(10);
    Exchange { end, took }
}

fn reply(command: Command, body: &[u8]) -> Reply {
    match decode(command, body).unwrap() {
        Answer::Data(reply) => reply,
        Answer::Refused(refusal) => panic!("{refusal:?}"),
    }
}

fn told(command: Command, result: &str) -> Reply {
    reply(command, format!(r#"{{"data":{{"result":{result}}}}}"#).as_bytes())
}

fn rows(answers: &Answers, now: f64) -> AgentRows {
    answers.rows("main", GUEST, now, &Command::interval)
}

fn noted(command: Command, body: &[u8], limits: &Limits) -> AgentRows {
    let mut answers = Answers::default();
    answers.note(reply(command, body), at(START), limits);
    rows(&answers, START)
}

/// The labels after those of the guest.
fn labels<S: Subject>(row: &S) -> String {
    let pairs = String::from_utf8(row.identity().pairs().to_vec()).unwrap();
    pairs
        .strip_prefix(r#"pve_cluster="main",id="qemu/100","#)
        .unwrap()
        .to_owned()
}

fn series<S: Subject>(rows: &[S]) -> usize {
    let has = |row: &S, sample: &Sample<S>| match sample {
        Sample::Value(value) => value(row).is_some(),
        Sample::Split(values) => values.iter().any(|(_, value)| value(row).is_some()),
        Sample::State(state) => state(row).is_some(),
        Sample::Text(text) => text(row, &mut LabelWriter::new(&mut Vec::new())),
    };
    let of = |row| S::TABLE.iter().filter(|metric| has(row, &metric.sample)).count();
    rows.iter().map(of).sum()
}

fn all_series(rows: &AgentRows) -> usize {
    let system: Vec<_> = rows.system.iter().cloned().collect();
    series(&rows.file_systems) + series(&rows.interfaces) + series(&rows.addresses) + series(&system)
}

/// What a guest with two file systems and one interface has told.
fn typical(limits: &Limits) -> Answers {
    let mut answers = Answers::default();
    for (command, body) in [
        (Command::FileSystems, &fixture!("constructed/linux-get-fsinfo.json")[..]),
        (
            Command::Interfaces,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__network-get-interfaces.json"),
        ),
        (
            Command::Time,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__get-time.json"),
        ),
        (
            Command::Users,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__get-users.json"),
        ),
        (
            Command::OperatingSystem,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__get-osinfo.json"),
        ),
        (
            Command::HostName,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__get-host-name.json"),
        ),
        (
            Command::TimeZone,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__get-timezone.json"),
        ),
        (
            Command::Vcpus,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__get-vcpus.json"),
        ),
        (
            Command::MemoryBlocks,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__get-memory-block-info.json"),
        ),
        (
            Command::Info,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__info.json"),
        ),
    ] {
        answers.note(reply(command, body), at(START), limits);
    }
    answers
}

#[test]
fn recorded_replies_become_rows() {
    let rows = rows(&typical(&ALL), START);
    let identity = identity("main", GUEST);
    assert_eq!(
        rows.system,
        Some(GuestSystem {
            os: "debian".into(),
            name: "Debian GNU/Linux 13 (trixie)".into(),
            version: "13".into(),
            kernel: "6.12.107+deb13-cloud-amd64".into(),
            machine: "x86_64".into(),
            hostname: "guest-web".into(),
            timezone: "UTC".into(),
            agent_version: "10.0.13".into(),
            utc_offset: Some(0.0),
            clock_offset: Some(0.51),
            users: Some(0),
            vcpus_online: Some(1),
            memory_block_size: Some(134_217_728),
            frozen: None,
            ..GuestSystem::unknown(identity)
        })
    );
    let interfaces: Vec<_> = rows
        .interfaces
        .iter()
        .map(|row| (labels(row), row.receive_bytes, row.transmit_packets))
        .collect();
    assert_eq!(
        interfaces,
        [(r#"interface="eth0""#.to_owned(), Some(198_145), Some(13))]
    );
    let addresses: Vec<_> = rows.addresses.iter().map(|row| (labels(row), row.prefix)).collect();
    let expected = r#"interface="eth0",address="10.10.10.100""#.to_owned();
    assert_eq!(addresses, [(expected, Some(24))]);
}

#[test]
fn a_guest_with_an_agent_costs_few_series() {
    let cost = |limits: &Limits| all_series(&rows(&typical(limits), START));
    let default = Limits::default();
    assert_eq!(cost(&default), 2 * 3 + 2, "file systems; system and clock");
    assert_eq!(
        cost(&Limits {
            interfaces: 16,
            ..default
        }),
        8 + 8
    );
    assert_eq!(
        cost(&ALL),
        16 + 1 + 7,
        "an address; two file systems, the zone and memory blocks"
    );
    let none = Limits {
        file_systems: 0,
        ..default
    };
    let asked: Vec<_> = Command::ALL
        .into_iter()
        .filter(|command| !none.want(*command))
        .collect();
    assert_eq!(
        asked,
        [
            Command::FileSystems,
            Command::Interfaces,
            Command::Users,
            Command::TimeZone,
            Command::Vcpus,
            Command::MemoryBlocks
        ]
    );
    assert!(Command::ALL.into_iter().all(|command| ALL.want(command)));
}

#[test]
fn what_is_kept_for_root_is_size_and_not_available() {
    let rows = noted(
        Command::FileSystems,
        fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__get-fsinfo.json"),
        &ALL,
    );
    assert_eq!(
        rows.file_systems,
        [GuestFilesystem {
            identity: device_identity("main", GUEST, "mountpoint", "/mnt"),
            device: Some(("sda".into(), "ext4".into())),
            size: Some(1_056_858_112),
            usage: Some(21_016_576),
            available: Some(1_003_171_840 - 21_016_576),
        }]
    );
}

/// All constructed.
#[test]
fn other_systems_become_rows() {
    let windows = noted(
        Command::FileSystems,
        fixture!("constructed/windows-get-fsinfo.json"),
        &ALL,
    );
    let windows: Vec<_> = windows
        .file_systems
        .iter()
        .map(|row| (labels(row), row.size, row.available))
        .collect();
    assert_eq!(
        windows,
        [
            (
                r#"mountpoint="C:\\""#.to_owned(),
                Some(63_686_307_840),
                Some(63_686_307_840 - 21_474_836_480)
            ),
            (
                r#"mountpoint="C:\\Mounts\\Data""#.to_owned(),
                Some(107_374_182_400),
                Some(106_300_440_576)
            ),
        ],
        "neither the CD nor what has no size"
    );
    let home_assistant = noted(Command::FileSystems, fixture!("constructed/haos-get-fsinfo.json"), &ALL);
    let mounts: Vec<_> = home_assistant.file_systems.iter().map(labels).collect();
    assert_eq!(
        mounts,
        [
            r#"mountpoint="/mnt/boot""#,
            r#"mountpoint="/mnt/data""#,
            r#"mountpoint="/var""#
        ]
    );
    let linux = noted(
        Command::Interfaces,
        fixture!("constructed/linux-network-get-interfaces.json"),
        &ALL,
    );
    assert_eq!(linux.interfaces.len(), 1, "wg0 and ifb0 have no counters");
    let addresses: Vec<_> = linux.addresses.iter().map(|row| row.address.to_string()).collect();
    assert_eq!(addresses, ["192.0.2.50", "10.9.0.1"]);
    let windows = noted(
        Command::Interfaces,
        fixture!("constructed/windows-network-get-interfaces.json"),
        &ALL,
    );
    assert_eq!(
        windows.interfaces.iter().map(labels).collect::<Vec<_>>(),
        [r#"interface="Ethernet""#]
    );
    let bsd = noted(
        Command::Interfaces,
        fixture!("constructed/bsd-network-get-interfaces.json"),
        &ALL,
    );
    assert_eq!((bsd.interfaces.len(), bsd.addresses.len()), (0, 1));
}

#[test]
fn a_reply_is_shown_for_three_of_its_intervals() {
    let answers = typical(&ALL);
    let kinds = |now: f64| {
        let rows = rows(&answers, now);
        let system = rows.system.as_ref();
        (
            rows.file_systems.len(),
            rows.interfaces.len(),
            system.is_some_and(|system| system.users.is_some()),
            system.is_some_and(|system| !system.os.is_empty()),
        )
    };
    assert_eq!(kinds(START + 900.0), (2, 1, true, true));
    assert_eq!(kinds(START + 901.0), (0, 0, true, true));
    assert_eq!(kinds(START + 6.0 * 3600.0 + 1.0), (0, 0, false, true));
    assert_eq!(kinds(START + 18.0 * 3600.0 + 1.0), (0, 0, false, false));
    assert_eq!(kinds(START - 901.0), (0, 0, true, true), "a clock that was set back");
    assert_eq!(rows(&answers, START + 1e6), AgentRows::default());
    assert_eq!(answers.last_answer(), Some(START));
}

#[test]
fn a_guest_that_was_started_has_told_nothing() {
    let mut answers = typical(&ALL);
    answers.forget();
    assert_eq!(rows(&answers, START), AgentRows::default());
    assert_eq!(answers.last_answer(), Some(START));
}

#[test]
fn the_clock_is_compared_with_the_middle_of_the_call() {
    let offset = |milliseconds| {
        let mut answers = Answers::default();
        let took = Duration::from_millis(milliseconds);
        let exchange = Exchange { end: START, took };
        answers.note(Reply::Time(START - 1.0), exchange, &ALL);
        rows(&answers, START).system.and_then(|system| system.clock_offset)
    };
    assert_eq!(offset(0), Some(-1.0));
    assert_eq!(offset(1500), Some(-0.25));
    assert_eq!(offset(2001), None);
}

#[test]
fn a_guest_is_thawed_when_it_answers_again() {
    let mut answers = Answers::default();
    let frozen = |answers: &Answers| rows(answers, START).system.and_then(|system| system.frozen);
    answers.note(Reply::Users(1), at(START), &ALL);
    assert_eq!(frozen(&answers), None, "never asked");
    answers.note(Reply::FreezeStatus(true), at(START), &ALL);
    answers.note(told(Command::Info, r#"{"version":"10.0.2"}"#), at(START), &ALL);
    assert_eq!(frozen(&answers), Some(true), "a frozen agent answers that");
    answers.note(Reply::Users(1), at(START), &ALL);
    assert_eq!(frozen(&answers), Some(false));
}

#[test]
fn lies_cost_no_more_than_samples() {
    let body = r#"[{"mountpoint":"/used-up","name":"a","total-bytes":100,"used-bytes":101,"total-bytes-privileged":110},
        {"mountpoint":"/more-than-all","name":"b","total-bytes":100,"used-bytes":200},
        {"mountpoint":"/small","name":"c","total-bytes":100,"used-bytes":1,"total-bytes-privileged":50},
        {"mountpoint":"/","name":"d","total-bytes":9223372036854775808,"used-bytes":1},
        {"mountpoint":"/small","name":"e","total-bytes":7}]"#;
    let mut answers = Answers::default();
    answers.note(told(Command::FileSystems, body), at(START), &ALL);
    let rows = rows(&answers, START).file_systems;
    let figures: Vec<_> = rows
        .iter()
        .map(|row| (labels(row), row.size, row.usage, row.available))
        .collect();
    let mount = |place: &str| format!("mountpoint=\"{place}\"");
    assert_eq!(
        figures,
        [
            (mount("/more-than-all"), Some(100), None, None),
            (mount("/small"), Some(100), Some(1), Some(99)),
            (mount("/used-up"), Some(110), Some(101), None),
        ]
    );
}

#[test]
fn counters_go_as_far_as_64_bits_and_back() {
    let mut answers = Answers::default();
    for bytes in [u64::MAX, 5] {
        let body = format!(
            r#"[{{"name":"eth0","statistics":{{"rx-bytes":{bytes}}}}},{{"name":"eth0","statistics":{{"rx-bytes":7}}}}]"#
        );
        answers.note(told(Command::Interfaces, &body), at(START), &ALL);
        let rows = rows(&answers, START).interfaces;
        let received: Vec<_> = rows.iter().map(|row| row.receive_bytes).collect();
        assert_eq!(received, [Some(bytes)]);
    }
}

#[test]
fn a_guest_gets_64_new_label_sets_a_day() {
    let mut answers = Answers::default();
    let mounts = |first: u32| {
        let rows: Vec<_> = (first..first + 1000)
            .map(|number| format!(r#"{{"mountpoint":"/{number:05}","total-bytes":1}}"#))
            .collect();
        told(Command::FileSystems, &format!("[{}]", rows.join(",")))
    };
    let shown = |answers: &Answers| rows(answers, START).file_systems.len();
    for (round, expected) in [(0, 32), (1, 32), (2, 0), (3, 0), (0, 32)] {
        answers.note(mounts(round * 1000), at(START), &ALL);
        assert_eq!(shown(&answers), expected, "round {round}");
    }
    assert_eq!(answers.label_sets_dropped(), 64);
    answers.note(Reply::HostName("a-new-one".into()), at(START), &ALL);
    assert_eq!(rows(&answers, START).system, None);
    answers.note(Reply::Users(3), at(START), &ALL);
    assert_eq!(rows(&answers, START).system.and_then(|system| system.users), Some(3));
    answers.forget();
    answers.note(mounts(5000), at(START), &ALL);
    assert_eq!(
        (shown(&answers), answers.label_sets_dropped()),
        (0, 97),
        "a start brings no new day"
    );
}
