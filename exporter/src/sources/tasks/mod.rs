//! The tasks of a cluster: `/cluster/tasks` for what changes, `/nodes/{node}/tasks` for what it leaves out.
//!
//! [`ledger`] tells how each task is counted once.

mod history;
mod journal;
pub mod ledger;
mod rows;
mod tally;
mod task;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use journal::{FinishedBackup, RemovedGuest};
pub use ledger::{ArchiveRequest, AtWork, Ledger};
pub use rows::TaskRows;
pub use task::Task;

use crate::pve::api;
use crate::pve::budget::Cost;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};

/// PVE gives 50 unless asked for more. An archive has two files of about 700 tasks.
const ARCHIVE_ROWS: usize = 10_000;

/// Reading it reads two files of at most 50 kB.
const ARCHIVE_COST: Cost = Cost::Cheap;

/// What a refresh brought, beside what the ledger took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TasksRead {
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads the newest tasks of all nodes into the ledger; see [`Ledger::apply_recent`] for `online` and `now`.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch_recent(
    client: &Client,
    ledger: &Mutex<Ledger>,
    online: Option<&BTreeMap<Arc<str>, bool>>,
    now: f64,
) -> Result<TasksRead, ApiError> {
    let request = Request::entry("/cluster/tasks");
    let answer = client.get(&request).await?;
    let (tasks, mut read) = answer.decode(&request.path, decode)?;
    read.damaged_rows += lock(ledger).apply_recent(tasks, online, now);
    Ok(read)
}

/// Reads the archive that the ledger wants from a node into it; see [`Ledger::archive_wanted`] and [`Ledger::apply_archive`] for
/// `now`.
///
/// # Errors
/// Every [`ApiError`]. The archive stays wanted then.
pub async fn fetch_archive(
    client: &Client,
    ledger: &Mutex<Ledger>,
    wanted: &ArchiveRequest,
    now: f64,
) -> Result<TasksRead, ApiError> {
    let path = format!("tasks?source=archive&since={}&limit={ARCHIVE_ROWS}", wanted.since);
    let request = Request::node(&wanted.node, &path, ARCHIVE_COST);
    let answer = client.get(&request).await?;
    let (tasks, mut read) = answer.decode(&request.path, decode)?;
    read.damaged_rows += lock(ledger).apply_archive(wanted, tasks, now);
    Ok(read)
}

/// The ledger's tasks in a body of either endpoint.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode(body: &[u8]) -> Result<(Vec<Task>, TasksRead), DecodeError> {
    let (mut tasks, mut unread) = (Vec::new(), 0);
    let damaged = api::tasks::decode(body, |row| match Task::read(&row) {
        Some(task) => tasks.push(task),
        None => unread += 1,
    })?;
    let damaged_rows = damaged + unread;
    Ok((tasks, TasksRead { damaged_rows }))
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pve::task_status::TaskResult;

    macro_rules! body {
        ($name:literal) => {
            include_bytes!(concat!("../../../tests/fixtures/", $name))
        };
    }

    const CLUSTER: &[u8] = body!("pve-9.2/cluster__tasks.json");
    const ARCHIVE: &[u8] = body!("pve-9.2/nodes__pve1__tasks@source=archive&limit=500.json");

    /// A little after what was recorded.
    const NOW: f64 = 1_795_160_000.0;

    fn tasks(body: &[u8]) -> Vec<Task> {
        let (tasks, read) = decode(body).unwrap();
        assert_eq!(read, TasksRead::default());
        tasks
    }

    fn online(nodes: &[(&str, bool)]) -> BTreeMap<Arc<str>, bool> {
        nodes.iter().map(|(name, online)| (Arc::from(*name), *online)).collect()
    }

    /// The rows of `ledger` that have a sample of what `value` gives, without the cluster.
    fn samples(
        ledger: &mut Ledger,
        value: impl Fn(&crate::subjects::task::TaskType) -> Option<u64>,
    ) -> Vec<(String, u64)> {
        let rows = ledger.rows("main");
        let row = |row: &crate::subjects::task::TaskType| {
            let labels = str::from_utf8(row.identity.pairs())
                .unwrap()
                .replace("pve_cluster=\"main\",", "");
            value(row).map(|value| (labels, value))
        };
        rows.types.iter().filter_map(row).collect()
    }

    fn finished(ledger: &mut Ledger) -> u64 {
        ledger.rows("main").finished.iter().map(|row| row.finished).sum()
    }

    #[test]
    fn each_recorded_body_is_read_whole() {
        for (body, rows, running) in [
            (CLUSTER, 35, 0),
            (ARCHIVE, 36, 0),
            (body!("pve-9.2/nodes__pve1__tasks.json"), 36, 0),
            (body!("pve-9.2/nodes__pve1__tasks@errors=1.json"), 4, 0),
            (body!("pve-9.2/nodes__pve1__tasks@limit=500&source=all.json"), 36, 0),
            (body!("pve-9.2/nodes__pve1__tasks@source=active.json"), 1, 1),
            (body!("pve-9.2/nodes__pve1__tasks@source=archive.json"), 36, 0),
            (body!("pve-9.2/nodes__pve1__tasks@typefilter=vzdump.json"), 6, 0),
            (body!("pve-9.2/nodes__pve2__tasks.json"), 10, 0),
            (body!("pve-9.2/nodes__pve2__tasks@limit=500&source=all.json"), 10, 0),
            (body!("pve-9.2/nodes__pve2__tasks@source=archive&limit=500.json"), 10, 0),
            (body!("pve-9.2/nodes__pve2__tasks@source=archive.json"), 10, 0),
        ] {
            let tasks = tasks(body);
            let unfinished = tasks.iter().filter(|task| task.end.is_none()).count();
            assert_eq!((tasks.len(), unfinished), (rows, running));
        }
    }

    #[test]
    fn each_constructed_body_is_read_whole() {
        for body in [
            &body!("cluster-tasks.constructed.json")[..],
            body!("nodes-tasks.source-all.constructed.json"),
        ] {
            let ends: Vec<_> = tasks(body).iter().map(|task| task.end.map(|end| end.result)).collect();
            assert_eq!(
                ends[..3],
                [None, Some(TaskResult::Ok), Some(TaskResult::Error)],
                "running, then finished ones"
            );
        }
    }

    #[test]
    fn what_was_finished_before_sets_times_and_counts_nothing() {
        let mut ledger = Ledger::new(2);
        let nodes = online(&[("pve1", true), ("pve2", true), ("pve3", false)]);
        ledger.apply_recent(tasks(CLUSTER), Some(&nodes), NOW);
        let wanted = ledger.archive_wanted();
        let names: Vec<_> = wanted.iter().map(|request| (&*request.node, request.since)).collect();
        assert_eq!(names, [("pve1", 0), ("pve2", 0)], "all of it, once");
        ledger.apply_archive(&wanted[0], tasks(ARCHIVE), NOW);
        assert_eq!(ledger.archive_wanted().len(), 1);
        assert_eq!(finished(&mut ledger), 0);
        assert_eq!(
            samples(&mut ledger, |row| row.last_success)[..2],
            [
                ("node=\"pve1\",type=\"aptupdate\"".to_owned(), 1_795_150_236),
                ("node=\"pve1\",type=\"hastart\"".to_owned(), 1_795_151_301)
            ]
        );
        let failed = |row: &crate::subjects::task::TaskType| row.last_failure;
        assert!(samples(&mut ledger, failed).contains(&("node=\"pve1\",type=\"vzdump\"".to_owned(), 1_795_150_219)));
        let durations = samples(&mut ledger, |row| row.last_duration);
        assert!(durations.contains(&("node=\"pve1\",type=\"qmigrate\"".to_owned(), 1062)));
        let running = samples(&mut ledger, |row| row.running);
        assert!(running.contains(&("node=\"pve2\",type=\"vzdump\"".to_owned(), 0)));
        assert!(!running.iter().any(|(labels, _)| labels.contains("pve3")), "offline");
        let rows = ledger.rows("main");
        assert!(rows.history.iter().all(|row| row.gaps == 0));
        let failed: Vec<_> = rows
            .failed
            .iter()
            .map(|row| str::from_utf8(row.identity.pairs()).unwrap())
            .collect();
        assert_eq!(
            failed,
            [
                "pve_cluster=\"main\",node=\"pve2\",upid=\"UPID:pve2:0000010B:0006469D:6AFFD5FB:vzstart:210\",type=\"vzstart\",task_id=\"210\"",
                "pve_cluster=\"main\",node=\"pve1\",upid=\"UPID:pve1:000002F8:000491AE:6AFFD19D:qmigrate:104\",type=\"qmigrate\",task_id=\"104\""
            ],
            "no user among them"
        );
    }

    #[test]
    fn backups_of_before_are_found_once_and_the_newest_first() {
        let mut ledger = Ledger::new(0);
        ledger.apply_recent(tasks(CLUSTER), None, NOW);
        let wanted = ledger.archive_wanted();
        ledger.apply_archive(&wanted[0], tasks(ARCHIVE), NOW);
        let backups = ledger.take_finished_backups();
        let ends: Vec<_> = backups
            .iter()
            .map(|backup| (&*backup.id, backup.end, backup.result))
            .collect();
        assert_eq!(
            ends[..3],
            [
                ("201", 1_795_150_492, TaskResult::Ok),
                ("200", 1_795_150_236, TaskResult::Warning),
                ("100", 1_795_150_219, TaskResult::Error)
            ]
        );
        assert_eq!(backups.len(), 6);
        assert!(!backups.iter().any(|backup| backup.observed));
        assert!(ledger.take_finished_backups().is_empty());
        assert!(ledger.rows("main").failed.is_empty());
    }

    fn list(rows: &[(&str, u32, &str)]) -> Vec<Task> {
        let row = |(pid, (kind, start, end)): (usize, &(&str, u32, &str))| {
            format!("{{\"upid\":\"UPID:pve1:{pid:08X}:00000001:{start:08X}:{kind}::root@pam:\"{end}}}")
        };
        let rows: Vec<_> = rows.iter().enumerate().map(row).collect();
        tasks(format!("{{\"data\":[{}]}}", rows.join(",")).as_bytes())
    }

    #[test]
    fn a_task_that_runs_counts_when_it_ends_and_not_again() {
        let mut ledger = Ledger::new(0);
        let before = ("qmstart", 50, r#","endtime":60,"status":"OK""#);
        let oldest = |ledger: &mut Ledger| samples(ledger, |row| row.running_oldest_start);
        ledger.apply_recent(list(&[before, ("vzdump", 100, "")]), None, NOW);
        assert_eq!(oldest(&mut ledger), [("node=\"pve1\",type=\"vzdump\"".to_owned(), 100)]);
        let ended = ("vzdump", 100, r#","endtime":"160","status":"job errors""#);
        for _ in 0..2 {
            ledger.apply_recent(list(&[before, ended]), None, NOW);
            assert_eq!(oldest(&mut ledger), []);
            let rows = ledger.rows("main");
            let mut counted = rows.finished.iter().filter(|row| row.finished > 0);
            let row = counted.next().unwrap();
            assert_eq!((row.finished, row.duration), (1, 60));
            assert!(
                str::from_utf8(row.identity.pairs())
                    .unwrap()
                    .ends_with("type=\"vzdump\",result=\"error\"")
            );
            assert!(counted.next().is_none());
        }
        let backups = ledger.take_finished_backups();
        assert!(backups.len() == 1 && backups[0].observed);
    }

    #[test]
    fn a_task_that_is_nowhere_is_given_up_as_a_gap() {
        let mut ledger = Ledger::new(0);
        let before = ("qmstart", 50, r#","endtime":60,"status":"OK""#);
        ledger.apply_recent(list(&[before, ("vzdump", 100, "")]), None, NOW);
        for gaps in [0, 0, 1] {
            ledger.apply_recent(list(&[before]), None, NOW);
            for request in ledger.archive_wanted() {
                ledger.apply_archive(&request, list(&[before]), NOW);
            }
            assert_eq!(ledger.rows("main").history[0].gaps, gaps);
        }
        ledger.apply_recent(list(&[before]), None, NOW);
        assert_eq!(ledger.archive_wanted(), []);
    }

    #[test]
    fn a_task_that_no_list_has_is_given_up_after_a_day_without_an_archive() {
        let mut ledger = Ledger::new(0);
        let before = ("qmstart", 50, r#","endtime":60,"status":"OK""#);
        ledger.apply_recent(list(&[before, ("vzdump", 100, "")]), None, NOW);
        for (seconds, gaps) in [(10.0, 0), (86_409.0, 0), (86_410.0, 1), (200_000.0, 1)] {
            ledger.apply_recent(list(&[before]), None, NOW + seconds);
            assert_eq!(ledger.rows("main").history[0].gaps, gaps, "{seconds}");
        }
        // One that is listed now and then is not.
        for seconds in [300_000.0, 350_000.0] {
            ledger.apply_recent(list(&[before]), None, NOW + seconds);
            ledger.apply_recent(list(&[before, ("aptupdate", 200, "")]), None, NOW + seconds + 50_000.0);
        }
        assert_eq!(ledger.rows("main").history[0].gaps, 1);
    }

    #[test]
    fn times_of_a_clock_in_the_future_are_not_believed() {
        const FUTURE: u32 = 2_000_000_000;
        const OK: &str = r#","endtime":2000000060,"status":"OK""#;
        let mut ledger = Ledger::new(5);
        let before = ("qmstart", 50, r#","endtime":60,"status":"OK""#);
        let ahead = ("vzdump", FUTURE, OK);
        let known = [before, ahead, ("qmdestroy", FUTURE, OK), ("qmstart", 40, OK)];
        let apply = |ledger: &mut Ledger, rows: &[_]| ledger.apply_recent(list(rows), None, NOW);
        assert_eq!(apply(&mut ledger, &known), 3);
        let successes = |ledger: &mut Ledger| samples(ledger, |row| row.last_success);
        assert_eq!(
            successes(&mut ledger),
            [("node=\"pve1\",type=\"qmstart\"".to_owned(), 60)]
        );
        assert!(ledger.take_finished_backups().is_empty() && ledger.take_removed_guests().is_empty());
        // What the archive has beside is as old, and what starts when the clock is right again is new.
        for request in ledger.archive_wanted() {
            let mut archived = known.to_vec();
            archived.push(("aptupdate", FUTURE + 5, OK));
            assert_eq!(ledger.apply_archive(&request, list(&archived), NOW), 4);
        }
        assert_eq!(finished(&mut ledger), 0);
        let mut rows = known.to_vec();
        rows.push(("qmstart", 90, r#","endtime":100,"status":"OK""#));
        rows.push(("vzdump", FUTURE + 90, r#","endtime":2000000099,"status":"bad""#));
        assert_eq!(apply(&mut ledger, &rows), 4);
        assert_eq!(finished(&mut ledger), 2, "they are counted all the same");
        assert_eq!(successes(&mut ledger)[0].1, 100);
        assert!(samples(&mut ledger, |row| row.last_failure).is_empty());
        assert!(ledger.rows("main").failed.is_empty());
    }

    #[test]
    fn a_node_that_left_is_forgotten_after_a_day() {
        let mut ledger = Ledger::new(1);
        ledger.apply_recent(tasks(CLUSTER), None, NOW + 1000.0);
        let rest = online(&[("pve1", true), ("pve3", false)]);
        for (now, nodes) in [(2000.0, 3), (88_000.0, 3), (88_400.0, 2)] {
            ledger.apply_recent(tasks(CLUSTER), Some(&rest), NOW + now);
            assert_eq!(ledger.rows("main").history.len(), nodes, "pve3 is only offline");
        }
        assert!(ledger.rows("main").failed.is_empty(), "it was on pve2");
    }

    #[test]
    fn no_body_makes_the_ledger_grow_without_bounds() {
        let mut ledger = Ledger::new(1000);
        let kinds: Vec<_> = (0..5000).map(|number| format!("type{number}")).collect();
        let end = r#","endtime":7000,"status":"bad""#;
        let rows: Vec<_> = kinds
            .iter()
            .zip(1..)
            .map(|(kind, start)| (kind.as_str(), start, end))
            .collect();
        ledger.apply_recent(list(&[("ty/pe", 1, end), (&"t".repeat(65), 1, "")]), None, NOW);
        for end in [end, ""] {
            let rows: Vec<_> = rows.iter().map(|(kind, start, _)| (*kind, *start, end)).collect();
            ledger.apply_recent(list(&rows), None, NOW);
        }
        let rows = ledger.rows("main");
        assert!((100..=101).contains(&rows.types.len()));
        assert_eq!(rows.failed.len(), 100);
        let running = samples(&mut ledger, |row| row.running)
            .iter()
            .map(|(_, running)| running)
            .sum::<u64>();
        assert!(running <= 1001, "{running}");
        let long = format!(
            r#"{{"data":[{{"upid":"UPID:pve1:00000001:00000001:00000001:a:{}:u:"}},7]}}"#,
            "x".repeat(600)
        );
        let (tasks, read) = decode(long.as_bytes()).unwrap();
        assert_eq!((tasks.len(), read.damaged_rows), (0, 2));
    }
}
