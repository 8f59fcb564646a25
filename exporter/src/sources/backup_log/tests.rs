use proptest::prelude::*;

use super::*;

fn task(vmid: Option<u32>, start: u64, end: u64, result: TaskResult) -> FinishedBackup {
    FinishedBackup {
        node: "pve1".into(),
        upid: "UPID:pve1:0000024E:000488B4:6AFFD186:vzdump:201:root@pam:".into(),
        vmid,
        start,
        end,
        result,
        observed: true,
    }
}

/// The attempts of a log that PVE has.
fn attempts<S: AsRef<str>>(lines: impl IntoIterator<Item = S>, task: &FinishedBackup) -> Vec<Attempt> {
    let lines: Vec<_> = lines.into_iter().collect();
    let log = read(&lines, task);
    assert_eq!((log.lost, log.damaged_rows), (false, 0));
    log.attempts
}

macro_rules! recorded {
    ($upid:literal) => {
        include_bytes!(concat!(
            "../../../tests/fixtures/pve-9.2/nodes__pve1__tasks__UPID:pve1:",
            $upid,
            ":root@pam:__log.json"
        ))
    };
}

fn of_container(started: u64, finished: u64, duration: u64, storage: &str) -> Attempt {
    Attempt {
        vmid: 201,
        kind: Some(GuestKind::Lxc),
        started,
        finished,
        duration: Some(duration),
        result: TaskResult::Ok,
        size: Some(1 << 20),
        transferred: Some(2_088_960),
        empty: false,
        freeze_skipped: None,
        mode: Some("stop"),
        storage: Some(storage.into()),
    }
}

fn failed(vmid: u32, at: u64) -> Attempt {
    Attempt {
        vmid,
        kind: Some(GuestKind::Qemu),
        started: at,
        finished: at,
        duration: None,
        result: TaskResult::Error,
        empty: false,
        size: None,
        transferred: None,
        freeze_skipped: None,
        mode: None,
        storage: Some("local".into()),
    }
}

#[test]
fn the_recorded_logs_are_read() {
    let (ok, error) = (TaskResult::Ok, TaskResult::Error);
    let (first, second, last) = (1_795_150_214, 1_795_150_216, 1_795_150_491);
    let cases: [(&[u8], FinishedBackup, Attempt); 5] = [
        (
            recorded!("0000024E:000488B4:6AFFD186:vzdump:201"),
            task(Some(201), first, first + 1, ok),
            of_container(first, first, 0, "local"),
        ),
        (
            recorded!("00000269:00048981:6AFFD188:vzdump:201"),
            task(Some(201), second, second + 1, ok),
            of_container(second, second, 0, "shared"),
        ),
        (
            recorded!("0000027F:00048A4A:6AFFD18A:vzdump:104"),
            task(Some(104), 1_795_150_218, 1_795_150_218, error),
            failed(104, 1_795_150_218),
        ),
        (
            recorded!("00000291:00048AC7:6AFFD18B:vzdump:100"),
            task(Some(100), 1_795_150_219, 1_795_150_219, error),
            failed(100, 1_795_150_219),
        ),
        (
            recorded!("00000740:0004F517:6AFFD29B:vzdump:201"),
            task(Some(201), last, last + 1, ok),
            of_container(last, last + 1, 1, "local"),
        ),
    ];
    for (body, task, expected) in cases {
        assert_eq!(convert(body, &task).unwrap().attempts, [expected]);
    }
}

/// Constructed after the sources of PVE, with a node two hours east of Greenwich.
#[test]
fn a_job_of_many_tells_of_each() {
    let body = include_bytes!("../../../tests/fixtures/task-log.constructed.json");
    // 2026-08-15 12:00:01 UTC.
    let start = 1_786_795_201;
    let log = convert(body, &task(None, start, start + 64, TaskResult::Error)).unwrap();
    let expected = [
        Attempt {
            duration: Some(62),
            result: TaskResult::Ok,
            finished: start + 63,
            transferred: Some(32 << 30),
            storage: Some("pbs".into()),
            ..failed(100, start + 1)
        },
        Attempt {
            storage: Some("pbs".into()),
            ..failed(101, start + 63)
        },
    ];
    assert_eq!(log.attempts, expected);
}

#[test]
fn a_task_that_was_killed_leaves_the_result_open() {
    let lines = [
        "INFO: starting new backup job: vzdump 100 --storage local",
        "INFO: Starting Backup of VM 100 (qemu)",
        "INFO: Backup started at 2026-11-20 04:50:14",
        "INFO:   3% (1.0 GiB of 32.0 GiB) in 3s, read: 1.0 MiB/s, write: 1.0 MiB/s",
    ];
    let start = 1_795_150_214;
    let attempts = attempts(lines, &task(Some(100), start, start + 500, TaskResult::Unknown));
    assert_eq!(
        attempts,
        [Attempt {
            result: TaskResult::Unknown,
            finished: start + 500,
            ..failed(100, start)
        }]
    );
}

#[test]
fn a_task_that_never_came_to_its_guest_failed_for_it() {
    let lines = ["ERROR: can't acquire lock '/var/run/vzdump.lock' - got timeout"];
    let attempts_of = |vmid, result| attempts(lines, &task(vmid, 1000, 2000, result));
    assert_eq!(
        attempts_of(Some(100), TaskResult::Error),
        [Attempt {
            kind: None,
            finished: 2000,
            storage: None,
            ..failed(100, 1000)
        }]
    );
    // It did not get the lock in three hours, and PVE found no line to tell how it ended.
    assert_eq!(
        attempts_of(Some(100), TaskResult::Unknown)[0].result,
        TaskResult::Unknown
    );
    assert_eq!(attempts_of(None, TaskResult::Error), []);
    // The guest lives on another node by now.
    assert_eq!(attempts_of(Some(100), TaskResult::Ok), []);
}

#[test]
fn a_guest_of_which_the_log_tells_no_end_fared_like_its_task() {
    let lines = ["INFO: Starting Backup of VM 100 (qemu)"];
    let result = |vmid, result| attempts(lines, &task(vmid, 1000, 2000, result))[0].result;
    assert_eq!(result(Some(100), TaskResult::Error), TaskResult::Error);
    assert_eq!(result(None, TaskResult::Error), TaskResult::Unknown);
    assert_eq!(result(Some(101), TaskResult::Error), TaskResult::Unknown);
}

#[test]
fn of_a_log_that_was_thrown_away_only_the_task_is_known() {
    for line in ["unable to open file - No such file or directory", "no content"] {
        let body = format!(r#"{{"data":[{{"n":1,"t":"{line}"}}],"total":1}}"#);
        let log = |vmid, result| convert(body.as_bytes(), &task(vmid, 1000, 2000, result)).unwrap();
        for result in [TaskResult::Ok, TaskResult::Error] {
            let LogRead { attempts, lost, .. } = log(Some(100), result);
            let expected = Attempt {
                kind: None,
                finished: 2000,
                storage: None,
                result,
                ..failed(100, 1000)
            };
            assert_eq!((attempts, lost), (vec![expected], false), "{line}");
        }
        let of_many = log(None, TaskResult::Error);
        assert!(of_many.lost && of_many.attempts.is_empty(), "{line}");
    }
    // Such a line in a log is none.
    let lines = ["INFO: starting new backup job: vzdump --all 1", "no content"];
    assert_eq!(attempts(lines, &task(None, 1000, 2000, TaskResult::Error)), []);
}

/// Constructed after the sources of PVE.
#[test]
fn a_job_whose_storage_is_down_names_no_guest() {
    let body = include_bytes!(
        "../../../tests/fixtures/pve-9/nodes__pve2__tasks__UPID:pve2:000015B6:00BC6200:6A7FAC01:vzdump::root@pam:__log.json"
    );
    let log = convert(body, &task(None, 1000, 1002, TaskResult::Error)).unwrap();
    assert_eq!(log, LogRead::default());
}

#[test]
fn lines_that_cannot_be_read_are_counted() {
    let body = br#"{"data":[{"n":1,"t":"INFO: Starting Backup of VM 100 (qemu)"},7,[]]}"#;
    let log = convert(body, &task(None, 1000, 2000, TaskResult::Ok)).unwrap();
    assert_eq!((log.damaged_rows, log.attempts.len()), (2, 1));
}

#[test]
fn the_path_holds_what_a_user_is_called() {
    assert_eq!(
        path("UPID:pve1:0000024E:000488B4:6AFFD186:vzdump:201:root@pam!a:"),
        "tasks/UPID:pve1:0000024E:000488B4:6AFFD186:vzdump:201:root@pam!a:/log?limit=0"
    );
    assert_eq!(path("a?b#c%d/é"), "tasks/a%3Fb%23c%25d%2F%C3%A9/log?limit=0");
}

/// Lines as vzdump writes them, with anything in the places that others fill.
fn line() -> impl Strategy<Value = String> {
    let vmid = 99..102_u32;
    prop_oneof![
        (vmid.clone(), ".{0,6}").prop_map(|(vmid, kind)| format!("INFO: Starting Backup of VM {vmid} ({kind})")),
        vmid.clone()
            .prop_map(|vmid| format!("INFO: Starting Backup of VM {vmid} (qemu)")),
        (vmid.clone(), any::<u64>())
            .prop_map(|(vmid, hours)| format!("INFO: Finished Backup of VM {vmid} ({hours}:59:59)")),
        vmid.prop_map(|vmid| format!("ERROR: Backup of VM {vmid} failed - x")),
        "INFO: Backup (started|finished) at [0-9]{4}-[01][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-5][0-9]",
        "INFO: Failed at .{0,20}",
        "INFO: (archive file size: |transferred |root.pxar: had to backup |Total bytes written: ).{0,30}",
        "INFO: creating Proxmox Backup Server archive 'x'",
        "INFO: [0-9]{0,4}% \\([0-9.]{0,25} [KMGTP]iB of [0-9.]{0,25}[KMGTP]B\\) in .{0,4}",
        "(INFO|ERROR|WARN): .{0,40}",
        ".{0,40}",
    ]
}

proptest! {
    #[test]
    fn no_log_makes_the_reader_panic(lines in prop::collection::vec(line(), 0..40), start: u64, took: u64) {
        let task = task(Some(100), start, start.saturating_add(took), TaskResult::Error);
        for attempt in attempts(&lines, &task) {
            prop_assert!(task.start <= attempt.started);
            prop_assert!(attempt.started <= attempt.finished);
            prop_assert!(attempt.finished <= task.end);
        }
    }

    #[test]
    fn what_was_written_is_read(
        guests in prop::collection::vec((100..200_u32, any::<bool>(), 0..20_000_u64, 0..4_u8, 0..3_u64), 1..12),
        start in 1_500_000_000..2_500_000_000_u64,
        quarter in -48..=56_i64,
    ) {
        let shown = |unix: u64| {
            let local = unix.checked_add_signed(quarter * 900).unwrap();
            humantime::format_rfc3339_seconds(std::time::UNIX_EPOCH + std::time::Duration::from_secs(local))
                .to_string()
                .replace(['T', 'Z'], " ")
                .trim_end()
                .to_owned()
        };
        let mut lines = vec!["INFO: starting new backup job: vzdump --all 1 --storage s1".to_owned()];
        let (mut expected, mut now) = (Vec::new(), start);
        for (vmid, machine, took, ending, pause) in guests {
            now += pause;
            let kind = if machine { GuestKind::Qemu } else { GuestKind::Lxc };
            lines.push(format!("INFO: Starting Backup of VM {vmid} ({})", kind.as_str()));
            lines.push(format!("INFO: Backup started at {}", shown(now)));
            lines.push("INFO: backup mode: snapshot".to_owned());
            if ending == 1 {
                lines.push("WARN: unable to add notes - x".to_owned());
            }
            if ending == 2 {
                lines.push(format!("ERROR: Backup of VM {vmid} failed - x"));
                lines.push(format!("INFO: Failed at {}", shown(now + took)));
            } else {
                lines.push("INFO: archive file size: 12MB".to_owned());
                lines.push(format!("INFO: Finished Backup of VM {vmid} ({:02}:{:02}:{:02})", took / 3600, took / 60 % 60, took % 60));
                lines.push(format!("INFO: Backup finished at {}", shown(now + took)));
            }
            let succeeded = ending != 2;
            expected.push(Attempt {
                vmid,
                kind: Some(kind),
                started: now,
                finished: now + took,
                duration: succeeded.then_some(took),
                result: match ending {
                    1 => TaskResult::Warning,
                    2 => TaskResult::Error,
                    _ => TaskResult::Ok,
                },
                empty: false,
                size: succeeded.then_some(12 << 20),
                transferred: None,
                freeze_skipped: None,
                mode: Some("snapshot"),
                storage: Some("s1".into()),
            });
            now += took;
        }
        lines.push("TASK OK".to_owned());
        prop_assert_eq!(attempts(&lines, &task(None, start, now + 1, TaskResult::Ok)), expected);
    }
}
