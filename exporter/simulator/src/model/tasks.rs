//! The tasks of every node: what runs, and the archive of what ended.

use std::borrow::Cow;

use super::{BackupRun, GuestKind, Node};
use crate::{
    calendar::Seconds,
    random::{hash, index},
};

/// The status of a task whose end nobody saw.
pub(crate) const UNEXPECTED: &str = "unexpected status";

/// A task of a node.
#[derive(Debug)]
pub(crate) struct Task {
    /// No other task of the cluster has it.
    pub(crate) number: u64,
    pub(crate) pid: u64,
    /// When its process started, in hundredths of a second since its node was booted.
    pub(crate) process_started: u64,
    pub(crate) started: Seconds,
    pub(crate) kind: Cow<'static, str>,
    pub(crate) id: String,
    /// The user, with the token if one was used.
    pub(crate) user: &'static str,
    /// When and how it ends or ended, if that is known already.
    pub(crate) end: Option<End>,
    /// What a `vzdump` task backs up.
    pub(crate) backup: Option<Box<BackupRun>>,
}

/// The end of a task.
#[derive(Debug, Clone)]
pub(crate) struct End {
    pub(crate) at: Seconds,
    pub(crate) status: Cow<'static, str>,
}

/// A task to start.
#[derive(Debug)]
pub(crate) struct NewTask {
    pub(crate) node: usize,
    pub(crate) kind: Cow<'static, str>,
    pub(crate) id: String,
    pub(crate) user: &'static str,
    pub(crate) started: Seconds,
    pub(crate) end: Option<End>,
    pub(crate) backup: Option<Box<BackupRun>>,
}

impl NewTask {
    /// A task of root.
    pub(crate) fn new(node: usize, kind: impl Into<Cow<'static, str>>, id: impl ToString, started: Seconds) -> Self {
        Self {
            node,
            kind: kind.into(),
            id: id.to_string(),
            user: "root@pam",
            started,
            end: None,
            backup: None,
        }
    }

    /// Says when and how it will end.
    pub(crate) fn ending(mut self, at: Seconds, status: impl Into<Cow<'static, str>>) -> Self {
        let status = status.into();
        self.end = Some(End { at, status });
        self
    }
}

impl Task {
    /// `UPID:node:PID:PSTART:STARTTIME:type:id:user:`
    pub(crate) fn upid(&self, node: &str) -> String {
        let Self { kind, id, user, .. } = self;
        let (pid, process, started) = (self.pid, self.process_started, self.started);
        format!("UPID:{node}:{pid:08X}:{process:08X}:{started:08X}:{kind}:{id}:{user}:")
    }

    /// The class in which PVE puts its status.
    pub(crate) fn class(&self, is_running: bool) -> &'static str {
        match self.end.as_ref().filter(|_| !is_running).map(|end| end.status.as_ref()) {
            None | Some(UNEXPECTED) => "unknown",
            Some("OK") => "ok",
            Some(status) if status.starts_with("WARNINGS: ") => "warning",
            Some(_) => "error",
        }
    }
}

/// The type of a task that does something with a guest.
pub(crate) fn guest_task(kind: GuestKind, what: &str) -> String {
    match kind {
        GuestKind::Qemu if what == "migrate" => "qmigrate".to_owned(),
        GuestKind::Qemu => format!("qm{what}"),
        GuestKind::Lxc => format!("vz{what}"),
    }
}

/// What identifies a task in its UPID.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upid<'a> {
    pub(crate) node: &'a str,
    pid: u64,
    process_started: u64,
    started: Seconds,
}

impl<'a> Upid<'a> {
    /// Reads a UPID; nothing if it is none.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix("UPID:")?.split(':');
        let node = parts.next().filter(|node| !node.is_empty())?;
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let upid = Self {
            node,
            pid: number()?,
            process_started: number()?,
            started: number()?,
        };
        // The type, the id, the user, and nothing after the last colon.
        let rest: Vec<&str> = parts.collect();
        matches!(rest[..], [kind, _, user, ""] if !kind.is_empty() && !user.is_empty()).then_some(upid)
    }

    fn is(&self, task: &Task) -> bool {
        (self.pid, self.process_started, self.started) == (task.pid, task.process_started, task.started)
    }
}

/// The tasks of one node.
#[derive(Debug, Default)]
pub(crate) struct NodeTasks {
    /// In the order of their start.
    running: Vec<Task>,
    /// In the order of their end, like PVE's index and the one old file that it keeps.
    index: Vec<Task>,
    old_index: Vec<Task>,
    last_pid: u64,
}

impl NodeTasks {
    /// What runs, newest first.
    pub(crate) fn running(&self) -> impl Iterator<Item = &Task> {
        self.running.iter().rev()
    }

    /// What ended, newest end first.
    pub(crate) fn archived(&self) -> impl Iterator<Item = &Task> {
        self.index.iter().rev().chain(self.old_index.iter().rev())
    }

    /// A task and whether it runs.
    pub(crate) fn find(&self, upid: &Upid<'_>) -> Option<(&Task, bool)> {
        let running = self.running.iter().map(|task| (task, true));
        let archived = self.archived().map(|task| (task, false));
        running.chain(archived).find(|(task, _)| upid.is(task))
    }

    /// Moves the index aside, as PVE does when it is large.
    pub(crate) fn rotate(&mut self) {
        self.old_index = std::mem::take(&mut self.index);
    }

    fn archive(&mut self, task: Task, capacity: usize) {
        if self.index.len() >= capacity {
            self.rotate();
        }
        self.index.push(task);
    }
}

/// The tasks of all nodes.
#[derive(Debug)]
pub(crate) struct Tasks {
    nodes: Vec<NodeTasks>,
    /// How many tasks a file of the archive holds.
    capacity: usize,
    last_number: u64,
}

impl Tasks {
    pub(crate) fn new(nodes: usize, capacity: usize) -> Self {
        Self {
            nodes: (0..nodes).map(|_| NodeTasks::default()).collect(),
            capacity: capacity.max(1),
            last_number: 0,
        }
    }

    pub(crate) fn of(&self, node: usize) -> &NodeTasks {
        &self.nodes[node]
    }

    pub(crate) fn rotate(&mut self, node: usize) {
        self.nodes[node].rotate();
    }

    /// Starts a task and says its number. One whose end is known is archived only by [`Self::finish`].
    pub(crate) fn start(&mut self, new: NewTask, node: &Node) -> u64 {
        self.last_number += 1;
        let draw = |question: u64| hash(&[new.started, self.last_number, question]);
        let tasks = &mut self.nodes[new.node];
        // Process ids come round again at 2^22.
        tasks.last_pid = (tasks.last_pid + 1 + index(60, &[draw(1)]) as u64) % 4_194_304;
        let task = Task {
            number: self.last_number,
            pid: tasks.last_pid,
            process_started: node.seconds_since_boot(new.started) * 100 + index(100, &[draw(2)]) as u64,
            started: new.started,
            kind: new.kind,
            id: new.id,
            user: new.user,
            end: new.end,
            backup: new.backup,
        };
        let place = tasks.running.partition_point(|other| other.started <= task.started);
        tasks.running.insert(place, task);
        self.last_number
    }

    /// Says when and how a running task ends; false if there is none with this number.
    pub(crate) fn end(&mut self, number: u64, end: End) -> bool {
        let mut running = self.nodes.iter_mut().flat_map(|node| &mut node.running);
        let Some(task) = running.find(|task| task.number == number) else {
            return false;
        };
        task.end = Some(end);
        true
    }

    /// The number of a running task.
    pub(crate) fn running_number(&self, node: usize, upid: &Upid<'_>) -> Option<u64> {
        let (task, is_running) = self.nodes[node].find(upid)?;
        is_running.then_some(task.number)
    }

    /// A running or ended task.
    pub(crate) fn numbered(&self, node: usize, number: u64) -> Option<&Task> {
        let tasks = &self.nodes[node];
        tasks
            .running()
            .chain(tasks.archived())
            .find(|task| task.number == number)
    }

    /// When the next running task ends, as far as that is known.
    pub(crate) fn next_end(&self) -> Option<Seconds> {
        let running = self.nodes.iter().flat_map(|node| &node.running);
        running.filter_map(|task| Some(task.end.as_ref()?.at)).min()
    }

    /// Whether anything runs on one of these nodes.
    pub(crate) fn any_runs(&self, lost: &[bool]) -> bool {
        let nodes = self.nodes.iter().zip(lost);
        nodes
            .filter(|(_, lost)| **lost)
            .any(|(node, _)| !node.running.is_empty())
    }

    /// Ends everything that runs on lost nodes.
    pub(crate) fn kill(&mut self, lost: &[bool], at: Seconds) {
        let nodes = self.nodes.iter_mut().zip(lost);
        for task in nodes.filter(|(_, lost)| **lost).flat_map(|(node, _)| &mut node.running) {
            task.end = Some(End {
                at: at.max(task.started),
                status: UNEXPECTED.into(),
            });
        }
    }

    /// Archives what ended up to now, in the order of the ends; `ended` is told of each.
    pub(crate) fn finish(&mut self, now: Seconds, mut ended: impl FnMut(usize, &Task)) {
        for (number, tasks) in self.nodes.iter_mut().enumerate() {
            let is_over = |task: &mut Task| task.end.as_ref().is_some_and(|end| end.at <= now);
            let mut over: Vec<Task> = tasks.running.extract_if(.., is_over).collect();
            over.sort_by_key(|task| task.end.as_ref().map(|end| end.at));
            for task in over {
                ended(number, &task);
                tasks.archive(task, self.capacity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn upids_are_read_as_they_are_written() {
        let upid = Upid::parse("UPID:pve1:0001E240:0540A840:6A806762:vzdump::root@pam:").unwrap();
        let expected = Upid {
            node: "pve1",
            pid: 123_456,
            process_started: 0x0540_A840,
            started: 1_786_799_970,
        };
        assert_eq!(upid, expected);
        for text in [
            "",
            "UPID:pve1",
            "UPID:pve1:X:1:1:vzdump::root@pam:",
            "UPID:pve1:1:1:1:vzdump:root@pam:",
            "UPID:pve1:1:1:1:vzdump::root@pam",
        ] {
            assert_eq!(Upid::parse(text), None, "{text}");
        }
    }
}
