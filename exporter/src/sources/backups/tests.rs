use super::*;
use crate::metrics::labels::Identity;
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

fn task(vmid: Option<u32>, end: u64) -> FinishedBackup {
    FinishedBackup {
        node: "pve1".into(),
        upid: format!("UPID:pve1:{end}:{vmid:?}").into(),
        vmid,
        start: end - 10,
        end,
        result: TaskResult::Ok,
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
        size: Some(finished),
        transferred: None,
        freeze_skipped: None,
        mode: Some("snapshot"),
        storage: None,
    }
}

const QEMU: Option<GuestKind> = Some(GuestKind::Qemu);

/// The ends of the last attempt and success, of each guest with a row.
fn ends(ledger: &BackupLedger, guests: &[Guest]) -> Vec<(u64, TaskResult, Option<u64>)> {
    let rows = ledger.rows(guests);
    rows.iter()
        .map(|row| {
            let (finished, result) = row.last_attempt.unwrap();
            (
                finished,
                result,
                row.last_success.as_ref().map(|success| success.finished),
            )
        })
        .collect()
}

fn refused() -> ApiError {
    ApiError::Forbidden {
        path: "x".to_owned(),
        problem: "y".to_owned(),
    }
}

#[test]
fn the_order_in_which_logs_are_read_does_not_matter() {
    let (now, guests) = (Instant::now(), machines(&[100]));
    let (ok, error) = (TaskResult::Ok, TaskResult::Error);
    let tasks = [(100, ok), (200, TaskResult::Warning), (300, error)];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let mut ledger = BackupLedger::default();
        ledger.observe(&guests, true, now);
        for (end, result) in order.map(|index: usize| tasks[index]) {
            ledger.consume(&task(Some(100), end), vec![attempt(QEMU, 100, end, result)], now);
        }
        assert_eq!(ends(&ledger, &guests), [(300, error, Some(200))]);
        let points = ledger.recovery_points("main", &guests);
        assert_eq!(points[0].timestamp, 195);
        assert_eq!(
            points[0].identity.pairs(),
            b"pve_cluster=\"main\",id=\"qemu/100\",source=\"backup\""
        );
    }
}

#[test]
fn a_kind_that_the_log_does_not_name_is_that_of_the_guest() {
    let (now, mut ledger) = (Instant::now(), BackupLedger::default());
    let guests = [guest(GuestKind::Lxc, 100)];
    ledger.observe(&guests, true, now);
    let error = TaskResult::Error;
    let attempts = vec![attempt(None, 100, 50, error), attempt(None, 999, 50, error)];
    ledger.consume(&task(None, 50), attempts, now);
    assert_eq!(ends(&ledger, &guests), [(50, error, None)]);
    assert!(ledger.recovery_points("main", &guests).is_empty());
    assert_eq!(ledger.guests.len(), 1);
}

#[test]
fn a_vmid_that_is_used_again_inherits_nothing() {
    let (now, mut ledger, guests) = (Instant::now(), BackupLedger::default(), machines(&[100]));
    ledger.observe(&guests, true, now);
    let read = |ledger: &mut BackupLedger, end| {
        ledger.consume(
            &task(Some(100), end),
            vec![attempt(QEMU, 100, end, TaskResult::Ok)],
            now,
        );
    };
    read(&mut ledger, 100);
    ledger.forget(GuestKind::Qemu, 100, 150);
    assert!(ends(&ledger, &guests).is_empty());
    // An older log is read after that.
    read(&mut ledger, 90);
    assert!(ends(&ledger, &guests).is_empty());
    read(&mut ledger, 200);
    // An older destroy task is seen after that, and one of another kind of guest.
    ledger.forget(GuestKind::Qemu, 100, 120);
    ledger.forget(GuestKind::Lxc, 100, 300);
    assert_eq!(ends(&ledger, &guests).len(), 1);
    // A container takes the vmid over.
    assert!(ledger.rows(&[guest(GuestKind::Lxc, 100)]).is_empty());
}

#[test]
fn a_guest_is_forgotten_an_hour_after_a_quorate_list_last_had_it() {
    let (start, mut ledger, guests) = (Instant::now(), BackupLedger::default(), machines(&[100]));
    let after = |seconds| start + Duration::from_secs(seconds);
    ledger.observe(&guests, true, start);
    ledger.consume(
        &task(Some(100), 100),
        vec![attempt(QEMU, 100, 100, TaskResult::Ok)],
        start,
    );
    ledger.observe(&[], true, after(3599));
    ledger.observe(&[], false, after(7200));
    assert_eq!(ledger.rows(&guests).len(), 1);
    ledger.observe(&[], true, after(7200));
    ledger.observe(&guests, true, after(7201));
    assert!(ledger.rows(&guests).is_empty());
}

#[test]
fn logs_are_read_from_the_newest_on_until_each_guest_has_a_backup() {
    let (now, mut ledger) = (Instant::now(), BackupLedger::default());
    let mut guests = machines(&[100, 101, 102]);
    guests[2].text.template = Some(true);
    ledger.observe(&guests, true, now);
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
    let mut read = Vec::new();
    while let Some(next) = ledger.wanted(&finished, now) {
        read.push(next.end);
        let attempts = match next.end {
            100 => vec![
                attempt(QEMU, 100, 100, TaskResult::Ok),
                attempt(QEMU, 101, 99, TaskResult::Error),
            ],
            30 => vec![
                attempt(QEMU, 100, 30, TaskResult::Ok),
                attempt(QEMU, 101, 29, TaskResult::Ok),
            ],
            _ => vec![],
        };
        ledger.consume(next, attempts, now);
    }
    assert_eq!(read, [100, 80, 30]);
    assert_eq!(
        ends(&ledger, &guests),
        [(100, TaskResult::Ok, Some(100)), (99, TaskResult::Error, Some(29))]
    );
    // What ends later is read once, whomever it is about.
    let later = [task(Some(555), 111), task(None, 30)];
    assert_eq!(ledger.wanted(&later, now), Some(&later[0]));
    ledger.consume(&later[0], vec![], now);
    assert_eq!(ledger.wanted(&later, now), None);
}

#[test]
fn at_most_200_logs_from_before_the_start_are_read() {
    let (now, mut ledger) = (Instant::now(), BackupLedger::default());
    ledger.observe(&machines(&[100]), true, now);
    let mut finished: Vec<_> = (1000..1300).map(|end| task(None, end)).collect();
    let mut read = 0;
    while let Some(next) = ledger.wanted(&finished, now) {
        ledger.consume(next, vec![], now);
        read += 1;
    }
    assert_eq!(read, 200);
    finished.push(task(None, 2000));
    assert_eq!(ledger.wanted(&finished, now).unwrap().end, 2000);
}

#[test]
fn a_log_that_cannot_be_read_is_tried_three_times() {
    let (start, mut ledger) = (Instant::now(), BackupLedger::default());
    let after = |seconds| start + Duration::from_secs(seconds);
    ledger.observe(&machines(&[100]), true, start);
    let finished = [task(Some(100), 100)];
    let offline = ApiError::Offline {
        node: "pve1".to_owned(),
    };
    // A node that is offline costs none of them.
    let mut at = 0;
    for (error, pause) in [(&offline, 60), (&refused(), 60), (&offline, 60), (&refused(), 300)] {
        assert!(ledger.wanted(&finished, after(at)).is_some());
        ledger.failed(&finished[0], error, after(at));
        assert_eq!(ledger.wanted(&finished, after(at + pause - 1)), None);
        at += pause;
    }
    assert!(ledger.wanted(&finished, after(at)).is_some());
    assert_eq!(ledger.unreadable(), 0);
    ledger.failed(&finished[0], &refused(), after(at));
    assert_eq!(ledger.unreadable(), 1);
    assert_eq!(ledger.wanted(&finished, after(1_000_000)), None);
}

#[test]
fn a_log_is_entered_once() {
    let (now, mut ledger, guests) = (Instant::now(), BackupLedger::default(), machines(&[100]));
    ledger.observe(&guests, true, now);
    let task = task(Some(100), 100);
    ledger.consume(&task, vec![], now);
    ledger.consume(&task, vec![attempt(QEMU, 100, 100, TaskResult::Ok)], now);
    ledger.failed(&task, &refused(), now);
    assert!(ledger.rows(&guests).is_empty());
    assert_eq!(ledger.wanted(&[task], now), None);
}
