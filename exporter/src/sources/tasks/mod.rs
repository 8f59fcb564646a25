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
pub use ledger::{ArchiveRequest, Ledger};
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
    let (tasks, read) = answer.decode(&request.path, decode)?;
    lock(ledger).apply_recent(tasks, online, now);
    Ok(read)
}

/// Reads the archive that the ledger wants from a node into it; see [`Ledger::archive_wanted`].
///
/// # Errors
/// Every [`ApiError`]. The archive stays wanted then.
pub async fn fetch_archive(
    client: &Client,
    ledger: &Mutex<Ledger>,
    wanted: &ArchiveRequest,
) -> Result<TasksRead, ApiError> {
    let path = format!("tasks?source=archive&since={}&limit={ARCHIVE_ROWS}", wanted.since);
    let request = Request::node(&wanted.node, &path, ARCHIVE_COST);
    let answer = client.get(&request).await?;
    let (tasks, read) = answer.decode(&request.path, decode)?;
    lock(ledger).apply_archive(wanted, tasks);
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
