use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../../../tests/fixtures/agent/", $name))
    };
}

fn data(command: Command, body: &[u8]) -> Reply {
    match decode(command, body).unwrap() {
        Answer::Data(reply) => reply,
        Answer::Refused(refusal) => panic!("{refusal:?}"),
    }
}

/// The reply to `result`, as PVE passes it on.
fn told(command: Command, result: &str) -> Result<Reply, DecodeError> {
    let body = format!(r#"{{"data":{{"result":{result}}}}}"#);
    decode(command, body.as_bytes()).map(|answer| match answer {
        Answer::Data(reply) => reply,
        Answer::Refused(refusal) => panic!("{refusal:?}"),
    })
}

fn file_systems(result: &str) -> Vec<FileSystem> {
    match told(Command::FileSystems, result).unwrap() {
        Reply::FileSystems(rows) => rows,
        other => panic!("{other:?}"),
    }
}

fn interfaces(result: &str) -> Vec<Interface> {
    match told(Command::Interfaces, result).unwrap() {
        Reply::Interfaces(rows) => rows,
        other => panic!("{other:?}"),
    }
}

fn text(text: &str) -> Box<str> {
    text.into()
}

#[test]
fn what_pve_passed_on_is_read() {
    assert_eq!(
        data(
            Command::FileSystems,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__get-fsinfo.json")
        ),
        Reply::FileSystems(vec![FileSystem {
            mountpoint: text("/mnt"),
            device: text("sda"),
            kind: text("ext4"),
            total: Some(1_003_171_840),
            total_privileged: Some(1_056_858_112),
            used: Some(21_016_576),
        }])
    );
    let reply = data(
        Command::Interfaces,
        fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__network-get-interfaces.json"),
    );
    let Reply::Interfaces(rows) = reply else { panic!() };
    let eth0 = rows.last().unwrap();
    assert_eq!((rows.len(), &*eth0.name), (2, "eth0"));
    let addresses: Vec<_> = eth0.addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.10.10.100/24", "fe80::be24:11ff:fed2:2e8b/64"]);
    assert_eq!(
        eth0.counters,
        Counters {
            receive_bytes: Some(198_145),
            receive_packets: Some(3332),
            receive_errors: Some(0),
            receive_drops: Some(0),
            transmit_bytes: Some(1006),
            transmit_packets: Some(13),
            transmit_errors: Some(0),
            transmit_drops: Some(0),
        }
    );
    let system = OperatingSystem {
        id: text("debian"),
        name: text("Debian GNU/Linux 13 (trixie)"),
        version: text("13"),
        kernel: text("6.12.107+deb13-cloud-amd64"),
        machine: text("x86_64"),
    };
    for (command, body, expected) in [
        (
            Command::Time,
            &fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__get-time.json")[..],
            Reply::Time(1_795_151_191.506_647),
        ),
        (
            Command::Users,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__get-users.json"),
            Reply::Users(0),
        ),
        (
            Command::OperatingSystem,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__get-osinfo.json"),
            Reply::OperatingSystem(system),
        ),
        (
            Command::HostName,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__get-host-name.json"),
            Reply::HostName(text("guest-web")),
        ),
        (
            Command::TimeZone,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__get-timezone.json"),
            Reply::TimeZone(TimeZone {
                zone: text("UTC"),
                offset: Some(0.0),
            }),
        ),
        (
            Command::Vcpus,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__get-vcpus.json"),
            Reply::Vcpus(Vcpus { online: 1, all: 1 }),
        ),
        (
            Command::MemoryBlocks,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__get-memory-block-info.json"),
            Reply::MemoryBlockSize(134_217_728),
        ),
        (
            Command::Info,
            fixture!("../pve-9.2/nodes__pve1__qemu__100__agent__info.json"),
            Reply::Info(Info {
                version: text("10.0.13"),
                ..Info::default()
            }),
        ),
        // Constructed: PVE's answer to a POST has not been recorded.
        (
            Command::FreezeStatus,
            br#"{"data":{"result":"frozen"}}"#,
            Reply::FreezeStatus(true),
        ),
    ] {
        assert_eq!(data(command, body), expected);
    }
}

#[test]
fn what_both_versions_of_the_agent_wrote_is_read() {
    for (version, bodies) in [
        (
            "10.0.2",
            [
                &fixture!("qga-10.0/guest-get-fsinfo.json")[..],
                fixture!("qga-10.0/guest-network-get-interfaces.json"),
                fixture!("qga-10.0/guest-get-time.json"),
                fixture!("qga-10.0/guest-get-users.json"),
                fixture!("qga-10.0/guest-get-osinfo.json"),
                fixture!("qga-10.0/guest-get-host-name.json"),
                fixture!("qga-10.0/guest-get-timezone.json"),
                fixture!("qga-10.0/guest-get-vcpus.json"),
                fixture!("qga-10.0/guest-get-memory-block-info.json"),
                fixture!("qga-10.0/guest-info.json"),
                fixture!("qga-10.0/guest-fsfreeze-status.json"),
            ],
        ),
        (
            "7.2.22",
            [
                fixture!("qga-7.2/guest-get-fsinfo.json"),
                fixture!("qga-7.2/guest-network-get-interfaces.json"),
                fixture!("qga-7.2/guest-get-time.json"),
                fixture!("qga-7.2/guest-get-users.json"),
                fixture!("qga-7.2/guest-get-osinfo.json"),
                fixture!("qga-7.2/guest-get-host-name.json"),
                fixture!("qga-7.2/guest-get-timezone.json"),
                fixture!("qga-7.2/guest-get-vcpus.json"),
                fixture!("qga-7.2/guest-get-memory-block-info.json"),
                fixture!("qga-7.2/guest-info.json"),
                fixture!("qga-7.2/guest-fsfreeze-status.json"),
            ],
        ),
    ] {
        let replies: Vec<_> = Command::ALL
            .iter()
            .zip(bodies)
            .map(|(command, body)| decode_line(*command, body).unwrap())
            .collect();
        let Some(Answer::Data(Reply::FileSystems(rows))) = replies.first() else {
            panic!("{replies:?}")
        };
        let row = rows.first().unwrap();
        assert_eq!(
            (&*row.mountpoint, row.total, row.used),
            ("/mnt/data", Some(20_381_696), Some(14_336))
        );
        assert_eq!(row.total_privileged.is_some(), version == "10.0.2");
        for reply in [
            Reply::Users(0),
            Reply::HostName(text("vtest-guest")),
            Reply::Vcpus(Vcpus { online: 2, all: 2 }),
            Reply::MemoryBlockSize(134_217_728),
            Reply::Info(Info {
                version: text(version),
                ..Info::default()
            }),
            Reply::FreezeStatus(false),
        ] {
            assert!(
                replies.contains(&Answer::Data(reply.clone())),
                "{reply:?} in {replies:?}"
            );
        }
    }
}

#[test]
fn a_refusal_is_told_from_data() {
    for (line, expected) in [
        (
            &fixture!("qga-10.0/frozen-guest-get-fsinfo.json")[..],
            Refusal::Disabled,
        ),
        (fixture!("qga-10.0/blocked-guest-file-open.json"), Refusal::Disabled),
        (fixture!("qga-10.0/guest-get-nonexistent.json"), Refusal::NotFound),
        (fixture!("qga-7.2/frozen-guest-get-fsinfo.json"), Refusal::Frozen),
        (fixture!("qga-7.2/blocked-guest-file-open.json"), Refusal::Disabled),
        (fixture!("qga-7.2/guest-get-nonexistent.json"), Refusal::NotFound),
    ] {
        let line = str::from_utf8(line).unwrap();
        assert_eq!(
            decode_line(Command::FileSystems, line.as_bytes()).unwrap(),
            Answer::Refused(expected),
            "{line}"
        );
        let body = format!(r#"{{"data":{{"result":{line}}}}}"#);
        for command in Command::ALL {
            let answer = decode(command, body.as_bytes()).unwrap();
            assert_eq!(answer, Answer::Refused(expected), "{command:?}: {line}");
        }
    }
    // Constructed.
    for (body, expected) in [
        (&fixture!("constructed/disabled.json")[..], Refusal::Disabled),
        (fixture!("constructed/not-found.json"), Refusal::NotFound),
        (fixture!("constructed/bsd-get-fsinfo.json"), Refusal::NotFound),
        (
            br#"{"data":{"result":{"error":{"class":"GenericError","desc":"failed to open /proc/self/mountinfo"}}}}"#,
            Refusal::Other,
        ),
        (br#"{"data":{"result":{"error":7}}}"#, Refusal::Other),
        (
            br#"{"data":{"result":{"error":{"class":[],"desc":"\ud800"}}}}"#,
            Refusal::Other,
        ),
    ] {
        assert_eq!(decode(Command::FileSystems, body).unwrap(), Answer::Refused(expected));
    }
}

#[test]
fn what_is_disabled_and_missing_is_told_by_info() {
    let info = |line: &[u8]| match decode_line(Command::Info, line).unwrap() {
        Answer::Data(Reply::Info(info)) => info,
        other => panic!("{other:?}"),
    };
    for blocked in [
        &fixture!("qga-10.0/guest-info-blocked.json")[..],
        fixture!("qga-7.2/guest-info-blocked.json"),
    ] {
        assert!(info(blocked).disabled.is_empty(), "none of ours");
    }
    for frozen in [
        &fixture!("qga-10.0/frozen-guest-info.json")[..],
        fixture!("qga-7.2/frozen-guest-info.json"),
    ] {
        let info = info(frozen);
        assert_eq!(
            info.disabled.len(),
            Command::ALL.len() - 2,
            "all but info and fsfreeze-status"
        );
        assert!(info.missing.is_empty());
    }
    let old = r#"{"return":{"version":"1.5.3","supported_commands":[{"name":"guest-info","enabled":true},7,{"name":"guest-get-time","enabled":0},{"name":"guest-get-time"}]}}"#;
    let old = info(old.as_bytes());
    assert_eq!((old.disabled, old.missing.len()), (vec![Command::Time], 9));
    for nothing in ["", r#","supported_commands":[]"#] {
        let silent = info(format!(r#"{{"return":{{"version":"1"{nothing}}}}}"#).as_bytes());
        assert!(silent.missing.is_empty());
    }
}

/// All constructed.
#[test]
fn other_systems_are_read() {
    let Reply::FileSystems(rows) = data(Command::FileSystems, fixture!("constructed/windows-get-fsinfo.json")) else {
        panic!()
    };
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (&*row.mountpoint, &*row.kind, row.total))
        .collect();
    assert_eq!(
        rows,
        [
            ("System Reserved", "NTFS", None),
            ("C:\\", "NTFS", Some(63_686_307_840)),
            ("System Reserved", "NTFS", None),
            ("C:\\Mounts\\Data", "ReFS", Some(107_374_182_400)),
            ("D:\\", "CDFS", Some(5_044_094_976)),
        ]
    );
    for (body, os, kernel) in [
        (
            &fixture!("constructed/windows-get-osinfo.json")[..],
            "Windows Server 2025 Standard",
            "26100",
        ),
        (
            fixture!("constructed/bsd-get-osinfo.json"),
            "FreeBSD 14.1-RELEASE",
            "14.1-RELEASE",
        ),
    ] {
        let Reply::OperatingSystem(system) = data(Command::OperatingSystem, body) else {
            panic!()
        };
        assert_eq!((&*system.name, &*system.kernel), (os, kernel));
    }
    let Reply::Interfaces(rows) = data(
        Command::Interfaces,
        fixture!("constructed/windows-network-get-interfaces.json"),
    ) else {
        panic!()
    };
    assert_eq!(rows.first().unwrap().counters.receive_drops, Some(12));
    let Reply::Interfaces(rows) = data(
        Command::Interfaces,
        fixture!("constructed/bsd-network-get-interfaces.json"),
    ) else {
        panic!()
    };
    let vtnet0 = rows.first().unwrap();
    assert_eq!(vtnet0.counters, Counters::default());
    assert_eq!(
        vtnet0.addresses.last().unwrap().to_string(),
        "fe80::be24:11ff:fe00:2/64"
    );
}

#[test]
fn lies_about_numbers_are_unknown() {
    let rows = file_systems(
        r#"[{"mountpoint":"/a","total-bytes":9223372036854775808,"used-bytes":-1},
            {"mountpoint":"/b","total-bytes":"1000","used-bytes":"1e2","total-bytes-privileged":9007199254740993},
            {"mountpoint":"/c","total-bytes":1e999},
            {"mountpoint":"/d","total-bytes":[],"used-bytes":{"a":"\ud800"}},
            {"mountpoint":"/e","total-bytes":99999999999999999999999,"used-bytes":null}]"#,
    );
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (&*row.mountpoint, row.total, row.total_privileged, row.used))
        .collect();
    assert_eq!(
        rows,
        [
            ("/a", None, None, None),
            ("/b", Some(1000), None, Some(100)),
            ("/d", None, None, None),
            ("/e", None, None, None),
        ]
    );
    let rows = interfaces(
        r#"[{"name":"a","statistics":{"rx-bytes":18446744073709551615,"tx-bytes":"7","rx-errs":-1,"tx-errs":1e20}},
            {"name":"b","statistics":[7],"ip-addresses":{}},
            {"name":"c","ip-addresses":[{"ip-address":"10.0.0.1","prefix":33},{"ip-address":"x"},7,{"ip-address":"::1","prefix":-1}]}]"#,
    );
    let counters = |index: usize| rows.get(index).unwrap().counters;
    assert_eq!(
        counters(0),
        Counters {
            receive_bytes: Some(u64::MAX),
            transmit_bytes: Some(7),
            ..Counters::default()
        }
    );
    assert_eq!(counters(1), Counters::default());
    let addresses: Vec<_> = rows.get(2).unwrap().addresses.iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["10.0.0.1", "::1"]);
}

#[test]
fn lies_about_text_are_cleaned() {
    let mut body = br#"{"data":{"result":[{"mountpoint":"/a"#.to_vec();
    body.extend_from_slice(b"\xff\xfe");
    body.extend_from_slice(br#"","total-bytes":1},{"mountpoint":"\ud800","total-bytes":2},{"mountpoint":"/\u0007\u202eb\n","total-bytes":3},{"mountpoint":7,"total-bytes":4},7,{"mountpoint":"","type":null},{"mountpoint":""#);
    body.extend_from_slice(&b"x".repeat(10_000));
    body.extend_from_slice(br#""}]}}"#);
    let Reply::FileSystems(rows) = data(Command::FileSystems, &body) else {
        panic!()
    };
    let rows: Vec<_> = rows.iter().map(|row| (&*row.mountpoint, row.total)).collect();
    let long = "x".repeat(text::LONGEST);
    assert_eq!(
        rows,
        [
            ("/a\u{FFFD}\u{FFFD}", Some(1)),
            ("/b", Some(3)),
            ("7", Some(4)),
            ("", None),
            (&*long, None)
        ]
    );
}

#[test]
fn lies_about_how_much_there_is_are_bounded() {
    let many = |row: &str, count: usize| format!("[{}{row}]", format!("{row},").repeat(count - 1));
    assert_eq!(file_systems(&many("{}", 100_000)).len(), MOST_ROWS);
    assert_eq!(interfaces(&many("{}", 100_000)).len(), MOST_ROWS);
    assert_eq!(
        told(Command::Users, &many("{}", 100_000)).unwrap(),
        Reply::Users(100_000)
    );
    assert!(told(Command::FileSystems, &many("{}", 1 << 20)).is_err());
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for command in Command::ALL {
        drop(told(command, &deep));
    }
}

#[test]
fn an_answer_that_says_nothing_is_an_error_and_tells_nothing() {
    for (command, result) in [
        (Command::FileSystems, r#"{"secret":1}"#),
        (Command::FileSystems, "null"),
        (Command::Interfaces, r#""secret""#),
        (Command::Time, "-1"),
        (Command::Time, r#""secret""#),
        (Command::Time, "1e30"),
        (Command::Users, r#"{"secret":[]}"#),
        (Command::OperatingSystem, "{}"),
        (Command::OperatingSystem, r#"{"pretty-name":"secret\ud800"}"#),
        (Command::HostName, r#"{"host-name":" "}"#),
        (Command::HostName, r#"["secret"]"#),
        (Command::TimeZone, r#"{"offset":1e9}"#),
        (Command::MemoryBlocks, r#"{"size":0}"#),
        (Command::MemoryBlocks, r#"{"size":-9223372036854775808}"#),
        (Command::Info, "[]"),
        (Command::FreezeStatus, r#""secret""#),
    ] {
        let error = told(command, result).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{command:?}: {error}");
    }
    for body in [
        "",
        "<html>secret",
        r#"{"data":null}"#,
        r#"{"data":{"result":[{}"#,
        r#"{"data":{"secret":1}}"#,
    ] {
        let error = decode(Command::FileSystems, body.as_bytes()).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
    assert!(decode_line(Command::Users, br#"{"other":[]}"#).is_err());
}

#[test]
fn paths_are_those_of_pve() {
    let paths = Command::ALL.map(Command::path);
    assert_eq!(
        paths,
        [
            "get-fsinfo",
            "network-get-interfaces",
            "get-time",
            "get-users",
            "get-osinfo",
            "get-host-name",
            "get-timezone",
            "get-vcpus",
            "get-memory-block-info",
            "info",
            "fsfreeze-status",
        ]
    );
    let posts: Vec<_> = Command::ALL.into_iter().filter(|command| command.is_post()).collect();
    assert_eq!(posts, [Command::FreezeStatus]);
}
