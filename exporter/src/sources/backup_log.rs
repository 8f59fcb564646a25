//! `/nodes/{node}/tasks/{upid}/log` of a vzdump task: how the backup of each guest went.

mod parser;
mod zone;

use std::sync::Arc;

use crate::config::GuestKind;
use crate::pve::api;
use crate::pve::budget::Cost;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::pve::task_status::TaskResult;
use crate::sources::backups::FinishedBackup;

/// How one backup of one guest went.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// The guest.
    pub vmid: u32,
    /// Its kind, where the log names it.
    pub kind: Option<GuestKind>,
    /// Unix seconds.
    pub started: u64,
    /// Unix seconds; of an attempt without an end when the task ended.
    pub finished: u64,
    /// Seconds, of an attempt that succeeded.
    pub duration: Option<u64>,
    /// `Unknown` when it neither finished nor failed; `Warning` when it finished and something was complained of.
    pub result: TaskResult,
    /// Whether there is no data in it, since every disk is left out.
    pub empty: bool,
    /// Bytes of the archive; on a Proxmox Backup Server of the guest's disks or files.
    pub size: Option<u64>,
    /// Bytes read from a virtual machine's disks, or of a container's files that were archived.
    pub transferred: Option<u64>,
    /// Whether a virtual machine with its agent on was backed up without its file systems being frozen.
    pub freeze_skipped: Option<bool>,
    /// `snapshot`, `suspend` or `stop`.
    pub mode: Option<&'static str>,
    /// The storage that the job was given.
    pub storage: Option<Arc<str>>,
}

/// What a log told.
#[derive(Debug, Default, PartialEq)]
pub struct LogRead {
    /// In the order of the log.
    pub attempts: Vec<Attempt>,
    /// Whether PVE had the log no more, so that nobody knows whom the task was about.
    pub lost: bool,
    /// Lines that could not be read.
    pub damaged_rows: u64,
}

/// Reads the log of `task`.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, task: &FinishedBackup) -> Result<LogRead, ApiError> {
    let request = Request::node(&task.node, &path(&task.upid), Cost::Cheap);
    let answer = client.get(&request).await?;
    answer.decode(&request.path, |body| convert(body, task))
}

/// A UPID ends in the name of a user, in which nearly every character may stand.
fn path(upid: &str) -> String {
    let mut path = String::from("tasks/");
    for byte in upid.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:@!".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path += &format!("%{byte:02X}");
        }
    }
    path + "/log?limit=0"
}

/// Turns a body into attempts.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(body: &[u8], task: &FinishedBackup) -> Result<LogRead, DecodeError> {
    let mut lines = Vec::new();
    let damaged_rows = api::task_log::decode(body, |line| lines.push(line.t))?;
    Ok(LogRead {
        damaged_rows,
        ..read(&lines, task)
    })
}

fn read<S: AsRef<str>>(lines: &[S], task: &FinishedBackup) -> LogRead {
    let log = parser::read(lines);
    let gone = !log.begun && matches!(lines, [line] if stands_for_no_log(line.as_ref()));
    let times = zone::unix_times(&log.runs, log.waited, task.start, task.end);
    let attempt = |(run, (started, finished)): (parser::Run, _)| Attempt {
        vmid: run.vmid,
        kind: run.kind,
        started,
        finished,
        duration: run.duration,
        result: run.result.unwrap_or(match task.vmid {
            Some(vmid) if vmid == run.vmid => task.result,
            _ => TaskResult::Unknown,
        }),
        empty: run.empty,
        size: run.size,
        transferred: run.transferred,
        freeze_skipped: run.freeze_skipped,
        mode: run.mode,
        storage: log.storage.clone(),
    };
    let mut attempts: Vec<_> = log.runs.into_iter().zip(times).map(attempt).collect();
    if let (true, Some(vmid)) = (attempts.is_empty(), task.vmid) {
        // It did not come to the guest at all, since the lock was not free in time, say; if it succeeded without the guest, that
        // lives on another node by now.
        if gone || !task.result.succeeded() {
            attempts.push(Attempt::of_task(task, vmid, log.storage));
        }
    }
    LogRead {
        lost: gone && attempts.is_empty(),
        attempts,
        damaged_rows: 0,
    }
}

/// What PVE answers in the place of a log that it has thrown away, or that is empty.
fn stands_for_no_log(line: &str) -> bool {
    line.starts_with("unable to open file - ") || line == "no content"
}

impl Attempt {
    /// What is known of an attempt of which only the task tells.
    fn of_task(task: &FinishedBackup, vmid: u32, storage: Option<Arc<str>>) -> Self {
        Self {
            vmid,
            kind: None,
            started: task.start,
            finished: task.end,
            duration: None,
            result: task.result,
            empty: false,
            size: None,
            transferred: None,
            freeze_skipped: None,
            mode: None,
            storage,
        }
    }
}

#[cfg(test)]
mod tests;
