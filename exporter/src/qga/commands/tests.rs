//! Recorded answers of qemu-guest-agent 7.2.22 and 10.0.2, and made-up ones of guests that lie.

use super::*;

macro_rules! recorded {
    ($path:literal) => {
        include_bytes!(concat!("../../../tests/fixtures/", $path, ".json"))
    };
}

fn data<T>(answer: Result<Answer<T>, DecodeError>) -> T {
    match answer.unwrap() {
        Answer::Data(data) => data,
        Answer::Refused => panic!("refused"),
    }
}

#[test]
fn info_tells_what_is_enabled() {
    let (old, new) = (
        data(info(recorded!("qga-7.2/guest-info"))),
        data(info(recorded!("qga-10.0/guest-info"))),
    );
    assert_eq!((&*old.version, &*new.version), ("7.2.22", "10.0.2"));
    assert!(new.enabled.into_iter().eq(Command::ALL));
    assert!(!old.enabled.contains(&Command::Load) && old.enabled.contains(&Command::CpuStats));
    for frozen in [
        &recorded!("qga-7.2/frozen-guest-info")[..],
        recorded!("qga-10.0/frozen-guest-info"),
    ] {
        assert!(data(info(frozen)).enabled.into_iter().eq([Command::Info]));
    }
}

#[test]
fn cpus_are_added_up() {
    let times = data(cpu_stats(recorded!("qga-7.2/guest-get-cpustats"))).unwrap();
    let expected = CpuTimes {
        user: Some(210),
        nice: Some(0),
        system: Some(2560),
        idle: Some(12_170),
        iowait: Some(0),
        irq: Some(0),
        softirq: Some(90),
        steal: Some(0),
    };
    assert_eq!(times, expected);
}

#[test]
fn what_not_every_cpu_tells_is_no_sum() {
    let sum = |json: &str| data(cpu_stats(json.as_bytes()));
    let times = sum(r#"{"return": [{"cpu": 0, "user": 1, "idle": 5}, {"cpu": 1, "user": 2}]}"#).unwrap();
    assert_eq!((times.user, times.idle, times.nice), (Some(3), None, None));
    let twice = sum(r#"{"return": [{"cpu": 0, "user": 1}, {"cpu": 0, "user": 2}]}"#).unwrap();
    assert_eq!(twice.user, Some(1), "the first one wins");
    assert_eq!(sum(r#"{"return": [{"cpu": 0, "user": 1}, 7]}"#), None, "a CPU is lost");
    assert_eq!(sum(r#"{"return": []}"#), None);
    for wrong in [
        "-1",
        "9223372036854775807",
        "18446744073709551615",
        "1e300",
        "\"x\"",
        "null",
        "{}",
    ] {
        let json = format!(r#"{{"return": [{{"cpu": 0, "user": {wrong}, "idle": 1}}]}}"#);
        let times = sum(&json).unwrap();
        assert_eq!((times.user, times.idle), (None, Some(1)), "{wrong}");
    }
}

#[test]
fn only_whole_disks_are_told_of() {
    let disks = data(disk_stats(recorded!("qga-10.0/guest-get-diskstats")));
    let expected = DiskIo {
        device: "vda".to_owned(),
        read_bytes: Some(12_288),
        written_bytes: Some(1024),
        reads: Some(9),
        writes: Some(1),
    };
    assert_eq!(disks, [expected]);
    for whole in [
        "vda", "sdaa", "xvdb", "nvme0n1", "mmcblk0", "dm-0", "md127", "zd16", "rbd0", "drbd1", "x",
    ] {
        assert!(is_whole_disk(whole), "{whole}");
    }
    for other in [
        "",
        "vda1",
        "sdaa12",
        "xvdb3",
        "hda1",
        "nvme0n1p1",
        "mmcblk0p2",
        "loop0",
        "ram15",
        "zram0",
        "fd0",
        "sr0",
    ] {
        assert!(!is_whole_disk(other), "{other}");
    }
}

#[test]
fn a_guest_that_lies_about_disks_gets_few_and_tame_names() {
    let row = |name: &str, sectors: &str| format!(r#"{{"name": "{name}", "stats": {{"read-sectors": {sectors}}}}}"#);
    let rows: Vec<_> = (0..1000).map(|number| row(&format!("dm-{number}"), "1")).collect();
    let json = format!(r#"{{"return": [{}]}}"#, rows.join(","));
    assert_eq!(data(disk_stats(json.as_bytes())).len(), MOST_DEVICES);

    let long = "ä".repeat(200);
    let rows = [
        row("a\\u0001", "2"),
        row("a\\u0002", "3"),
        row("vda", "-5"),
        row("vda", "4"),
        row("vdb", "18446744073709551615"),
        row(&long, "1"),
        row(&format!("{long}x"), "1"),
        r#"{"name": ["x"]}"#.to_owned(),
        r#"{"name": "vdc", "stats": 7}"#.to_owned(),
        "[]".to_owned(),
    ];
    let json = format!(r#"{{"return": [{}]}}"#, rows.join(","));
    let disks = data(disk_stats(json.as_bytes()));
    let seen: Vec<_> = disks.iter().map(|disk| (&*disk.device, disk.read_bytes)).collect();
    let cut = "ä".repeat(64);
    assert_eq!(
        seen,
        [
            ("a\u{FFFD}", Some(1024)),
            ("vda", None),
            ("vdb", None),
            (&*cut, Some(512)),
            ("vdc", None)
        ]
    );
}

#[test]
fn loads_are_real_numbers() {
    let zero = Load {
        one: Some(0.0),
        five: Some(0.0),
        fifteen: Some(0.0),
    };
    assert_eq!(data(load(recorded!("qga-10.0/guest-get-load"))), zero);
    let wrong = data(load(br#"{"return": {"load1m": -1, "load5m": 1e9, "load15m": 0.25}}"#));
    assert_eq!((wrong.one, wrong.five, wrong.fifteen), (None, None, Some(0.25)));
    assert_eq!(load(recorded!("qga-7.2/guest-get-load")).unwrap(), Answer::Refused);
}

#[test]
fn file_systems_are_those_that_pve_passes_on() {
    for recorded in [
        &recorded!("qga-7.2/guest-get-fsinfo")[..],
        recorded!("qga-10.0/guest-get-fsinfo"),
    ] {
        let all = data(file_systems(recorded));
        assert_eq!(
            (all.len(), &*all[0].mountpoint, all[0].used),
            (1, "/mnt/data", Some(14_336))
        );
    }
}

#[test]
fn refusals_of_both_versions_are_known() {
    for refusal in [
        &recorded!("qga-7.2/frozen-guest-get-cpustats")[..],
        recorded!("qga-10.0/frozen-guest-get-cpustats"),
    ] {
        assert_eq!(cpu_stats(refusal).unwrap(), Answer::Refused);
    }
}

#[test]
fn nonsense_is_an_error() {
    let deep = "[".repeat(100_000);
    for nonsense in [
        "",
        "{",
        "[]",
        "{}",
        "7",
        r#"{"return": 7}"#,
        &deep,
        &format!(r#"{{"return": {deep}"#),
    ] {
        assert!(cpu_stats(nonsense.as_bytes()).is_err(), "{nonsense:.40}");
        assert!(info(nonsense.as_bytes()).is_err(), "{nonsense:.40}");
        assert!(load(nonsense.as_bytes()).is_err(), "{nonsense:.40}");
    }
    assert!(
        disk_stats(b"{\"return\": [{\"name\": \"\xff\xfe\"}]}").is_err(),
        "no UTF-8"
    );
}
