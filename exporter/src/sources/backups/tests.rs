use super::*;
use crate::subjects::guest::{Figures, GuestText};

fn guest(kind: GuestKind, vmid: u32) -> Guest {
    Guest {
        identity: Identity::new(&[("pve_cluster", "main"), ("id", &format!("{}/{vmid}", kind.as_str()))]),
        kind,
        vmid,
        node: "pve1".into(),
        text: GuestText::default(),
        state: "running",
        lock: None,
        ha_state: None,
        figures: Figures::default(),
    }
}

fn machines(vmids: &[u32]) -> Vec<Guest> {
    vmids.iter().map(|vmid| guest(GuestKind::Qemu, *vmid)).collect()
}

/// A task from before the start.
fn task(vmid: Option<u32>, end: u64) -> FinishedBackup {
    FinishedBackup {
        node: "pve1".into(),
        upid: format!("UPID:pve1:{end}:{vmid:?}").into(),
        vmid,
        start: end.saturating_sub(10),
        end,
        result: TaskResult::Ok,
        observed: false,
    }
}

fn observed(vmid: Option<u32>, end: u64) -> FinishedBackup {
    FinishedBackup {
        observed: true,
        ..task(vmid, end)
    }
}

fn at_node(node: &str, task: FinishedBackup) -> FinishedBackup {
    FinishedBackup {
        upid: format!("UPID:{node}:{}", task.end).into(),
        node: node.into(),
        ..task
    }
}

fn attempt(kind: Option<GuestKind>, vmid: u32, finished: u64, result: TaskResult) -> Attempt {
    Attempt {
        vmid,
        kind,
        started: finished - 5,
        finished,
        duration: Some(5),
        result,
        empty: false,
        size: Some(finished),
        transferred: None,
        freeze_skipped: None,
        mode: Some("snapshot"),
        storage: None,
    }
}

const QEMU: Option<GuestKind> = Some(GuestKind::Qemu);
const VM_100: GuestKey = (GuestKind::Qemu, 100);

fn told(attempts: Vec<Attempt>) -> LogRead {
    LogRead {
        attempts,
        ..LogRead::default()
    }
}

/// A ledger that knows `guests`.
fn ledger_of(guests: &[Guest], now: Instant) -> BackupLedger {
    let mut ledger = BackupLedger::new("main");
    ledger.observe(guests, true, now);
    ledger
}

/// Adds a task and takes what its log tells.
fn read(ledger: &mut BackupLedger, task: FinishedBackup, attempts: Vec<Attempt>, now: Instant) {
    ledger.add([task.clone()], now);
    ledger.consume(&task, told(attempts), now);
}

fn read_success(ledger: &mut BackupLedger, end: u64, now: Instant) {
    let attempts = vec![attempt(QEMU, 100, end, TaskResult::Ok)];
    read(ledger, task(Some(100), end), attempts, now);
}

/// The end of the task that is wanted.
fn wanted(ledger: &mut BackupLedger, now: Instant) -> Option<u64> {
    ledger.wanted(now, |_| false).map(|task| task.end)
}

/// Reads all that is wanted, and returns in which order.
fn read_all(ledger: &mut BackupLedger, now: Instant, tells: impl Fn(u64) -> Vec<Attempt>) -> Vec<u64> {
    let mut ends = Vec::new();
    while let Some(next) = ledger.wanted(now, |_| false) {
        ends.push(next.end);
        ledger.consume(&next, told(tells(next.end)), now);
    }
    ends
}

/// The ends of the last attempt and success, of each guest with a row.
fn ends(ledger: &BackupLedger, guests: &[Guest]) -> Vec<(u64, TaskResult, Option<u64>)> {
    let rows = ledger.rows(guests);
    rows.iter()
        .map(|row| {
            let (finished, result) = row.last_attempt.unwrap();
            let success = row.last_success.as_ref();
            (finished, result, success.map(|success| success.finished))
        })
        .collect()
}

fn broken() -> ApiError {
    ApiError::Status {
        path: "x".to_owned(),
        status: 500,
        problem: "y".to_owned(),
    }
}

#[test]
fn the_order_in_which_logs_are_read_does_not_matter() {
    let (now, guests) = (Instant::now(), machines(&[100]));
    let (ok, error) = (TaskResult::Ok, TaskResult::Error);
    let tasks = [(100, ok), (200, TaskResult::Warning), (300, error)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut ledger = ledger_of(&guests, now);
        for (end, result) in order.map(|index: usize| tasks[index]) {
            let attempts = vec![attempt(QEMU, 100, end, result)];
            read(&mut ledger, task(Some(100), end), attempts, now);
        }
        assert_eq!(ends(&ledger, &guests), [(300, error, Some(200))]);
        let points = ledger.recovery_points(&guests);
        assert_eq!(points[0].timestamp, 195);
        assert_eq!(
            points[0].identity.pairs(),
            b"pve_cluster=\"main\",id=\"qemu/100\",source=\"backup\""
        );
    }
}

#[test]
fn a_kind_that_the_log_does_not_name_is_that_of_the_guest() {
    let now = Instant::now();
    let guests = [guest(GuestKind::Lxc, 100)];
    let mut ledger = ledger_of(&guests, now);
    // A machine had the number before.
    ledger.forget(VM_100, 10, now);
    let error = TaskResult::Error;
    let attempts = vec![attempt(None, 100, 50, error), attempt(None, 999, 50, error)];
    read(&mut ledger, task(None, 50), attempts, now);
    assert_eq!(ends(&ledger, &guests), [(50, error, None)]);
    assert!(ledger.recovery_points(&guests).is_empty());
    assert!(!ledger.guests.keys().any(|(_, vmid)| *vmid == 999));
}

#[test]
fn a_backup_without_data_is_nothing_to_recover_from() {
    let (now, guests) = (Instant::now(), machines(&[100]));
    let mut ledger = ledger_of(&guests, now);
    let empty = Attempt {
        empty: true,
        ..attempt(QEMU, 100, 50, TaskResult::Warning)
    };
    read(&mut ledger, task(None, 50), vec![empty], now);
    assert_eq!(ends(&ledger, &guests), [(50, TaskResult::Warning, None)]);
    assert!(ledger.recovery_points(&guests).is_empty());
}

#[test]
fn a_vmid_that_is_used_again_inherits_nothing() {
    let (now, guests) = (Instant::now(), machines(&[100]));
    let mut ledger = ledger_of(&guests, now);
    read_success(&mut ledger, 100, now);
    ledger.forget(VM_100, 150, now);
    assert!(ends(&ledger, &guests).is_empty());
    assert!(ledger.recovery_points(&guests).is_empty());
    // An older log is read after that.
    read_success(&mut ledger, 90, now);
    assert!(ends(&ledger, &guests).is_empty());
    read_success(&mut ledger, 200, now);
    let revision = ledger.revision();
    // An older destroy task is seen after that, and one of another kind of guest.
    ledger.forget(VM_100, 120, now);
    ledger.forget((GuestKind::Lxc, 100), 300, now);
    assert_eq!(ends(&ledger, &guests).len(), 1);
    assert_eq!(ledger.revision(), revision, "nothing has changed");
    // A container takes the vmid over.
    assert!(ledger.rows(&[guest(GuestKind::Lxc, 100)]).is_empty());
}

#[test]
fn a_guest_is_forgotten_a_week_after_a_quorate_list_last_had_it() {
    let (start, guests) = (Instant::now(), machines(&[100]));
    let after = |hours: u64| start + Duration::from_secs(3600 * hours);
    let mut ledger = ledger_of(&guests, start);
    read_success(&mut ledger, 100, start);
    ledger.forget((GuestKind::Lxc, 200), 100, start);
    ledger.observe(&[], true, after(7 * 24 - 1));
    ledger.observe(&[], false, after(8 * 24));
    assert_eq!(ledger.rows(&guests).len(), 1);
    // A job that began before 200 was destroyed has yet to be read.
    ledger.add([observed(None, 99)], after(8 * 24));
    ledger.observe(&[], true, after(8 * 24));
    assert_eq!(ledger.guests.len(), 1);
    ledger.observe(&guests, true, after(8 * 24));
    assert!(ledger.rows(&guests).is_empty());
    ledger.observe(&[], true, after(16 * 24));
    assert!(ledger.guests.is_empty());
}

#[test]
fn logs_are_read_from_the_newest_on_until_each_guest_has_a_backup() {
    let now = Instant::now();
    let mut guests = machines(&[100, 101, 102]);
    guests[2].text.template = Some(true);
    let mut ledger = ledger_of(&guests, now);
    // 555 is gone, 102 is a template, and 100 alone will have a newer backup by then.
    let finished = [
        task(None, 30),
        task(None, 100),
        task(Some(100), 90),
        task(Some(101), 80),
        task(Some(555), 110),
        task(Some(102), 96),
        task(None, 20),
    ];
    ledger.add(finished, now);
    assert_eq!(ledger.waiting(), 5);
    let order = read_all(&mut ledger, now, |end| match end {
        100 => vec![
            attempt(QEMU, 100, 100, TaskResult::Ok),
            attempt(QEMU, 101, 99, TaskResult::Error),
        ],
        30 => vec![
            attempt(QEMU, 100, 30, TaskResult::Ok),
            attempt(QEMU, 101, 29, TaskResult::Ok),
        ],
        _ => vec![],
    });
    assert_eq!(order, [100, 80, 30]);
    assert_eq!(
        ends(&ledger, &guests),
        [(100, TaskResult::Ok, Some(100)), (99, TaskResult::Error, Some(29))]
    );
    assert_eq!(ledger.waiting(), 0);
    // What ends under observation is read, whomever it is about and whatever the node's clock says.
    ledger.add([observed(Some(555), 11)], now);
    assert_eq!(read_all(&mut ledger, now, |_| vec![]), [11]);
}

#[test]
fn a_clock_that_is_behind_hides_no_backup() {
    let now = Instant::now();
    let mut ledger = ledger_of(&machines(&[100]), now);
    read_success(&mut ledger, 5000, now);
    let late = at_node("pve2", observed(None, 4000));
    ledger.add([late, at_node("pve3", task(None, 4000))], now);
    let next = ledger.wanted(now, |_| false).unwrap();
    assert_eq!(&*next.node, "pve2");
    ledger.consume(&next, told(vec![]), now);
    assert_eq!(wanted(&mut ledger, now), None, "it is from before the start");
}

#[test]
fn each_node_has_100_logs_from_before_the_start_at_most() {
    let now = Instant::now();
    let mut ledger = ledger_of(&machines(&[100]), now);
    ledger.add((1000..1300).map(|end| task(None, end)), now);
    ledger.add((2000..2050).map(|end| at_node("pve2", task(None, end))), now);
    assert_eq!(ledger.waiting(), 150);
    let order = read_all(&mut ledger, now, |_| vec![]);
    let expected: Vec<_> = (2000..2050).rev().chain((1200..1300).rev()).collect();
    assert_eq!(order, expected);
    ledger.add([observed(None, 900)], now);
    assert_eq!(wanted(&mut ledger, now), Some(900));
}

#[test]
fn nobody_searches_long_for_backups_of_a_guest_that_no_job_backs_up() {
    let now = Instant::now();
    let mut ledger = ledger_of(&machines(&[100, 101]), now);
    let uncovered = NotBackedUp {
        guests: [(101, GuestKind::Qemu)].into(),
        damaged_rows: 0,
    };
    ledger.observe_uncovered(uncovered.into());
    ledger.add((1000..1300).map(|end| task(None, end)), now);
    let order = read_all(&mut ledger, now, |end| vec![attempt(QEMU, 100, end, TaskResult::Ok)]);
    assert_eq!(order.len(), 10);
    let mut ledger = ledger_of(&machines(&[100, 102]), now);
    ledger.add((1000..1300).map(|end| task(None, end)), now);
    let order = read_all(&mut ledger, now, |end| vec![attempt(QEMU, 100, end, TaskResult::Ok)]);
    assert_eq!(order.len(), 100, "one of a job is searched for");
}

#[test]
fn a_log_that_cannot_be_read_is_tried_three_times() {
    let start = Instant::now();
    let after = |seconds| start + Duration::from_secs(seconds);
    let mut ledger = ledger_of(&machines(&[100]), start);
    let task = task(Some(100), 100);
    ledger.add([task.clone()], start);
    let mut at = 0;
    for (failure, pause) in [(1, 60), (2, 300)] {
        ledger.failed(&task, &broken(), after(at));
        assert_eq!(wanted(&mut ledger, after(at + pause - 1)), None, "{failure}");
        at += pause;
        assert_eq!(wanted(&mut ledger, after(at)), Some(100), "{failure}");
    }
    assert_eq!((ledger.unreadable(), ledger.waiting()), (0, 1));
    ledger.failed(&task, &broken(), after(at));
    assert_eq!((ledger.unreadable(), ledger.waiting()), (1, 0));
    assert_eq!(wanted(&mut ledger, after(1_000_000)), None);
}

#[test]
fn a_failure_that_is_not_the_logs_own_uses_up_no_try() {
    let start = Instant::now();
    let path = || "x".to_owned();
    let status = |status| ApiError::Status {
        path: path(),
        status,
        problem: path(),
    };
    let limit = Duration::from_secs(1);
    for error in [
        ApiError::Forbidden {
            path: path(),
            problem: path(),
        },
        ApiError::Offline { node: path() },
        ApiError::Timeout {
            endpoint: path(),
            path: path(),
            limit,
        },
        ApiError::Unreachable {
            endpoint: path(),
            problem: path(),
        },
        ApiError::Resting(Box::new(ApiError::Tls {
            endpoint: path(),
            problem: path(),
        })),
        status(595),
        status(599),
    ] {
        let mut ledger = ledger_of(&machines(&[100]), start);
        let task = task(Some(100), 100);
        ledger.add([task.clone()], start);
        for _ in 0..10 {
            ledger.failed(&task, &error, start);
        }
        let later = start + Duration::from_secs(300);
        assert_eq!(wanted(&mut ledger, later), Some(100), "{error}");
        assert_eq!(ledger.unreadable(), 0, "{error}");
    }
}

#[test]
fn a_node_that_cannot_be_asked_holds_up_no_other() {
    let now = Instant::now();
    let mut ledger = ledger_of(&machines(&[100]), now);
    let hung = at_node("pve2", observed(None, 300));
    ledger.add([hung, observed(None, 200), observed(None, 100)], now);
    let next = ledger.wanted(now, |node| **node == *"pve2");
    assert_eq!(next.map(|task| task.end), Some(200));
    assert_eq!(wanted(&mut ledger, now), Some(300));
    assert!(ledger.wanted(now, |_| true).is_none());
}

#[test]
fn a_log_is_entered_once() {
    let (now, guests) = (Instant::now(), machines(&[100]));
    let mut ledger = ledger_of(&guests, now);
    let task = task(Some(100), 100);
    read(&mut ledger, task.clone(), vec![], now);
    let attempts = vec![attempt(QEMU, 100, 100, TaskResult::Ok)];
    ledger.consume(&task, told(attempts), now);
    ledger.failed(&task, &broken(), now);
    assert!(ledger.rows(&guests).is_empty());
    assert_eq!(wanted(&mut ledger, now), None);
}

#[test]
fn a_log_that_is_never_read_is_given_up_after_a_week() {
    let (now, guests) = (Instant::now(), machines(&[100]));
    let mut ledger = ledger_of(&guests, now);
    ledger.add([observed(None, 100), task(None, 90)], now);
    ledger.observe(&guests, true, now + Duration::from_secs(7 * 24 * 3600));
    assert_eq!((ledger.waiting(), ledger.unreadable()), (0, 1));
}

#[test]
fn a_failure_that_names_no_guest_is_the_nodes() {
    let (now, guests) = (Instant::now(), machines(&[100]));
    let mut ledger = ledger_of(&guests, now);
    let failed = |vmid, end, result| FinishedBackup {
        result,
        ..observed(vmid, end)
    };
    let (ok, error, killed) = (TaskResult::Ok, TaskResult::Error, TaskResult::Unknown);
    // The newest counts, in whatever order they are read.
    for (end, result) in [(200, killed), (100, error), (300, ok), (310, TaskResult::Warning)] {
        read(&mut ledger, failed(None, end, result), vec![], now);
    }
    read(&mut ledger, failed(Some(100), 400, error), vec![], now);
    let of_guest = vec![attempt(QEMU, 100, 500, error)];
    read(&mut ledger, failed(None, 500, error), of_guest, now);
    // PVE had thrown it away: whom it named is not known.
    let thrown_away = failed(None, 600, error);
    ledger.add([thrown_away.clone()], now);
    let lost = LogRead {
        lost: true,
        ..LogRead::default()
    };
    ledger.consume(&thrown_away, lost, now);
    assert_eq!(ledger.unreadable(), 1);
    let rows = ledger.failures();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].last, 200);
    assert_eq!(rows[0].identity.pairs(), b"pve_cluster=\"main\",node=\"pve1\"");
    ledger.retain_nodes(|node| **node != *"pve1");
    assert!(ledger.failures().is_empty());
}
