//! A task as the ledger takes it.

use std::sync::Arc;

use crate::pve::api::tasks::Row;
use crate::pve::task_status::TaskResult;
use crate::pve::upid::Upid;

/// What a type beyond the bounds is called.
pub(super) const OTHER: &str = "other";

/// PVE's own are half as long.
const MAX_UPID: usize = 512;
const MAX_TYPE: usize = 64;

/// What tells a task from every other of its node. Ordered by start, so that the oldest can be forgotten first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) start: u32,
    pub(super) pid: u32,
    pub(super) pstart: u64,
}

/// How and when a task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// In Unix seconds of the node's clock.
    pub(super) at: u32,
    pub(super) result: TaskResult,
}

/// One row of a list of tasks. It has no `Debug`, because its UPID names a user.
pub struct Task {
    pub(super) node: Box<str>,
    pub(super) key: Key,
    pub(super) upid: Arc<str>,
    pub(super) kind: Box<str>,
    pub(super) id: Box<str>,
    /// `None` while it runs.
    pub(super) end: Option<End>,
    /// About the bytes that the row takes in PVE's list.
    pub(super) list_bytes: usize,
    /// The bytes that it takes in PVE's archive.
    pub(super) archive_bytes: usize,
}

impl Task {
    /// Reads a row; `None` if it is no task.
    #[must_use]
    pub fn read(row: &Row<'_>) -> Option<Self> {
        let upid = Upid::parse(&row.upid).filter(|_| row.upid.len() <= MAX_UPID)?;
        let end = match row.endtime {
            Some(at) => Some(End {
                at: u32::try_from(at).ok()?,
                result: TaskResult::of_finished(&row.status),
            }),
            None if matches!(&*row.status, "" | "RUNNING") => None,
            None => return None,
        };
        let valid = upid.kind.len() <= MAX_TYPE
            && upid
                .kind
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        Some(Self {
            node: upid.node.into(),
            key: Key {
                start: upid.start,
                pid: upid.pid,
                pstart: upid.pstart,
            },
            kind: if valid { upid.kind } else { OTHER }.into(),
            id: upid.id.into(),
            end,
            list_bytes: 3 * row.upid.len() + row.status.len(),
            archive_bytes: row.upid.len() + row.status.len() + "  6AFFD631\n".len(),
            upid: Arc::from(&*row.upid),
        })
    }

    /// The latest time in the row.
    pub(super) fn latest(&self) -> u32 {
        self.end.map_or(0, |end| end.at).max(self.key.start)
    }
}
