//! What happens by the clock, in every cluster: backup jobs, updates of the package lists and a few odd tasks.

use super::{BackupRun, Model, NewTask, tasks::guest_task};
use crate::{
    Options,
    calendar::{DAY, Seconds},
    random::hash,
};

/// How far the history of a new cluster reaches back.
const PAST: Seconds = 14 * DAY;

/// How often a snapshot fails in a lively cluster.
const SNAPSHOT_PERIOD: Seconds = 600;

/// How far the clock has come.
#[derive(Debug)]
pub(crate) struct Schedule {
    up_to: Seconds,
    /// When the next task starts.
    next: Seconds,
    /// How far the local time of the nodes is ahead of UTC.
    utc_offset: i64,
    /// The virtual machine whose snapshots fail, and when the cluster started.
    failing_snapshots: Option<(u32, Seconds)>,
}

/// A task that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Chore {
    Started(u32),
    Backup {
        job: usize,
        node: usize,
    },
    Update(usize),
    Shell(usize),
    Snapshot(u32),
    /// A backup whose storage cannot be reached.
    Unreachable(usize),
}

impl Schedule {
    pub(super) fn new(options: &Options, start: Seconds) -> Self {
        Self {
            up_to: start.saturating_sub(PAST),
            next: 0,
            utc_offset: i64::from(options.utc_offset_minutes) * 60,
            failing_snapshots: None,
        }
    }

    /// The local time of the nodes, counted as if it were UTC.
    pub(crate) fn local(&self, at: Seconds) -> Seconds {
        at.saturating_add_signed(self.utc_offset)
    }

    fn utc(&self, local: Seconds) -> Seconds {
        local.saturating_add_signed(-self.utc_offset)
    }

    /// When a job runs next.
    pub(crate) fn next_run(&self, job: &super::BackupJob, now: Seconds) -> Option<Seconds> {
        job.next_run(self.local(now)).map(|local| self.utc(local))
    }
}

impl Model {
    /// Lets the two weeks before the start happen.
    pub(super) fn live_through_the_past(&mut self, options: &Options, start: Seconds) {
        let begin = self.schedule.up_to;
        let recent = |since: &Seconds| (begin..start).contains(since);
        let mut past: Vec<(Seconds, Chore)> = self
            .guests
            .values()
            .filter_map(|guest| {
                let since = guest.running_since.map(crate::calendar::seconds).filter(recent)?;
                Some((since, Chore::Started(guest.vmid)))
            })
            .collect();
        let machine = self
            .guests
            .values()
            .filter(|guest| guest.kind == crate::GuestKind::Qemu && guest.is_running());
        let last = machine.max_by_key(|guest| guest.vmid).map(|guest| (guest.vmid, start));
        self.schedule.failing_snapshots = last.filter(|_| options.is_troubled());
        if options.is_troubled() {
            past.push((
                start.saturating_sub(7 * 3_600),
                Chore::Unreachable(self.nodes.len() - 1),
            ));
        }
        self.pass(start, past, &[]);
        self.schedule.up_to = start;
    }

    /// Lets happen what is due up to now, except on lost nodes. Whether it is done in one leap or in steps, the result
    /// is the same.
    pub(crate) fn pass_time(&mut self, now: Seconds, lost: &[bool]) {
        if self.tasks.any_runs(lost) {
            self.tasks.kill(lost, self.schedule.up_to);
        }
        if now >= self.schedule.next || self.tasks.next_end().is_some_and(|end| end <= now) {
            self.pass(now, Vec::new(), lost);
        }
        self.schedule.up_to = self.schedule.up_to.max(now);
    }

    fn pass(&mut self, now: Seconds, mut due: Vec<(Seconds, Chore)>, lost: &[bool]) {
        let is_due = now >= self.schedule.next;
        if is_due {
            due.extend(self.chores(self.schedule.up_to, now));
        }
        due.sort_unstable();
        let mut by_node = vec![Vec::new(); self.nodes.len()];
        if !due.is_empty() {
            for guest in self.guests.values() {
                by_node[guest.node].push(guest.vmid);
            }
        }
        for (at, chore) in due {
            if let Some(task) = self.chore(at, chore, &by_node)
                && lost.get(task.node) != Some(&true)
            {
                self.start_task(task);
            }
        }
        if is_due {
            let upcoming = self.chores(now, now + DAY);
            self.schedule.next = upcoming.iter().map(|(at, _)| *at).min().unwrap_or(now + DAY);
        }
        self.finish_tasks(now);
    }

    /// Starts a task and says its number.
    pub(crate) fn start_task(&mut self, task: NewTask) -> u64 {
        let node = &self.nodes[task.node];
        self.tasks.start(task, node)
    }

    /// Archives the tasks that ended.
    pub(crate) fn finish_tasks(&mut self, now: Seconds) {
        let Self { tasks, backups, .. } = self;
        tasks.finish(now, |node, task| {
            if let (Some(run), Some(end)) = (&task.backup, &task.end) {
                backups.store(node, run, end.at);
            }
        });
    }

    /// What is due after one time and up to another.
    fn chores(&self, after: Seconds, up_to: Seconds) -> Vec<(Seconds, Chore)> {
        let schedule = &self.schedule;
        let mut chores = Vec::new();
        let mut day = schedule.local(after) / DAY * DAY;
        while schedule.utc(day) <= up_to {
            for node in 0..self.nodes.len() {
                let draw = |question: u64| hash(&[self.seed, 0x6461_796C, node as u64, day, question]);
                for (job, settings) in self.backups.jobs.iter().enumerate() {
                    let at = settings.runs_on(day).map(|at| at + 2 + draw(job as u64) % 4);
                    chores.extend(at.map(|at| (at, Chore::Backup { job, node })));
                }
                chores.push((day + 3 * 3_600 + draw(10) % 7_200, Chore::Update(node)));
                chores.push((day + 8 * 3_600 + draw(11) % 36_000, Chore::Shell(node)));
            }
            day += DAY;
        }
        for (at, _) in &mut chores {
            *at = schedule.utc(*at);
        }
        chores.extend(self.failing_snapshots(after, up_to));
        chores.retain(|(at, _)| *at > after && *at <= up_to);
        chores
    }

    /// Every hour of the last day before the start, and more often from then on.
    fn failing_snapshots(&self, after: Seconds, up_to: Seconds) -> Vec<(Seconds, Chore)> {
        let Some((vmid, start)) = self.schedule.failing_snapshots else {
            return Vec::new();
        };
        let first = after.max(start.saturating_sub(DAY)) / SNAPSHOT_PERIOD;
        (first..=up_to / SNAPSHOT_PERIOD)
            .map(|number| number * SNAPSHOT_PERIOD)
            .filter(|at| *at >= start || at.is_multiple_of(3_600))
            .map(|at| (at, Chore::Snapshot(vmid)))
            .collect()
    }

    fn chore(&self, at: Seconds, chore: Chore, by_node: &[Vec<u32>]) -> Option<NewTask> {
        let duration = 1 + hash(&[self.seed, at]) % 20;
        Some(match chore {
            Chore::Backup { job, node } => return BackupRun::of_job(self, job, node, by_node, at),
            Chore::Update(node) => NewTask::new(node, "aptupdate", "", at).ending(at + duration, "OK"),
            Chore::Shell(node) => NewTask::new(node, "vncshell", "", at).ending(at + duration * 60, "OK"),
            Chore::Started(vmid) => {
                let guest = self.guests.get(&vmid)?;
                NewTask::new(guest.node, guest_task(guest.kind, "start"), vmid, at).ending(at + duration / 8, "OK")
            }
            Chore::Unreachable(node) => {
                let problem = "could not activate storage 'nas': storage 'nas' is not online";
                NewTask::new(node, "vzdump", "", at).ending(at + 4, problem)
            }
            Chore::Snapshot(vmid) => {
                let problem = "snapshot feature is not available";
                let task = NewTask::new(self.guests.get(&vmid)?.node, "qmsnapshot", vmid, at).ending(at + 1, problem);
                NewTask {
                    user: "automation@pve!snapshots",
                    ..task
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_alike_in_one_leap_or_in_steps() {
        let start = 1_786_800_000;
        let (mut leap, mut steps) = (
            Model::new(&Options::default(), start * 1_000),
            Model::new(&Options::default(), start * 1_000),
        );
        leap.pass_time(start + 2 * DAY, &[]);
        for step in 1..=2 * DAY / 10 {
            steps.pass_time(start + step * 10, &[]);
        }
        assert!(leap.tasks.of(0).archived().any(|task| task.started > start + DAY));
        assert_eq!(format!("{leap:?}"), format!("{steps:?}"));
    }
}
