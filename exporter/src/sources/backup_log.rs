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

/// Reads the log of `task`.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, task: &FinishedBackup) -> Result<Vec<Attempt>, ApiError> {
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

/// Turns a body into attempts, in the order of the log.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(body: &[u8], task: &FinishedBackup) -> Result<Vec<Attempt>, DecodeError> {
    let mut lines = Vec::new();
    api::task_log::decode(body, |line| lines.push(line.t))?;
    Ok(attempts(lines, task))
}

fn attempts<S: AsRef<str>>(lines: impl IntoIterator<Item = S>, task: &FinishedBackup) -> Vec<Attempt> {
    let log = parser::read(lines);
    let times = zone::unix_times(&log.runs, log.waited, task.start, task.end);
    let mut attempts: Vec<_> = log
        .runs
        .into_iter()
        .zip(times)
        .map(|(run, (started, finished))| Attempt {
            vmid: run.vmid,
            kind: run.kind,
            started,
            finished,
            duration: run.duration,
            result: run.result.unwrap_or(TaskResult::Unknown),
            size: run.size,
            transferred: run.transferred,
            freeze_skipped: run.freeze_skipped,
            mode: run.mode,
            storage: log.storage.clone(),
        })
        .collect();
    if let (true, TaskResult::Error, Some(vmid)) = (attempts.is_empty(), task.result, task.vmid) {
        // It did not come to the guest at all: the lock was not free in time, say.
        attempts.push(Attempt {
            vmid,
            kind: None,
            started: task.start,
            finished: task.end,
            duration: None,
            result: TaskResult::Error,
            size: None,
            transferred: None,
            freeze_skipped: None,
            mode: None,
            storage: log.storage,
        });
    }
    attempts
}

#[cfg(test)]
mod tests;
