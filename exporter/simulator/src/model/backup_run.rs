//! One run of `vzdump`, which is planned as a whole when it begins.

use std::borrow::Cow;

use super::{GuestKind, Model, NewTask, Storage, UNEXPECTED, id_list};
use crate::{
    calendar::{DAY, Seconds},
    random::{hash, unit, walk, whole},
};

/// How the backup of one guest ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackupResult {
    /// It succeeds.
    Done,
    /// It succeeds, but the agent of the guest does not answer and its file systems are not frozen.
    NotFrozen,
    /// It succeeds with this warning, which the task counts.
    Warned(String),
    /// It fails for this reason, and the run goes on with the next guest.
    Failed(String),
    /// Somebody stops the task, which ends the run.
    Interrupted,
    /// The process dies, which ends the run and its log in the middle: `unexpected status`.
    Killed,
}

impl BackupResult {
    pub(crate) fn is_success(&self) -> bool {
        matches!(self, Self::Done | Self::NotFrozen | Self::Warned(_))
    }

    fn ends_the_run(&self) -> bool {
        matches!(self, Self::Interrupted | Self::Killed)
    }
}

/// One run of `vzdump` on a node.
#[derive(Debug)]
pub(crate) struct BackupRun {
    /// What it was called with.
    pub(crate) arguments: String,
    pub(crate) storage: String,
    pub(crate) keep: usize,
    /// What the selection covers on other nodes.
    pub(crate) elsewhere: Vec<u32>,
    pub(crate) guests: Vec<GuestRun>,
}

/// The backup of one guest within a run.
#[derive(Debug)]
pub(crate) struct GuestRun {
    pub(crate) vmid: u32,
    /// Nothing if the guest did not exist when the run began.
    pub(crate) kind: Option<GuestKind>,
    pub(crate) running: bool,
    pub(crate) begins: Seconds,
    pub(crate) ends: Seconds,
    pub(crate) result: BackupResult,
    /// Of the disk.
    pub(crate) disk: u64,
    /// Of the volume that is stored.
    pub(crate) size: u64,
    /// What had to be read or sent.
    pub(crate) transferred: u64,
}

/// What a run is going to do.
pub(crate) struct PlannedBackup<'a> {
    pub(crate) storage: &'a str,
    pub(crate) guests: Vec<(u32, BackupResult)>,
    pub(crate) begins: Seconds,
    /// How long each guest takes, if that is to be chosen.
    pub(crate) each: Option<Seconds>,
}

impl BackupRun {
    /// The run of a job on a node; nothing if it covers no guest there.
    pub(crate) fn of_job(
        model: &Model,
        job: usize,
        node: usize,
        by_node: &[Vec<u32>],
        begins: Seconds,
    ) -> Option<NewTask> {
        let job = &model.backups.jobs[job];
        let covered = |vmid: &&u32| model.guests.get(*vmid).is_some_and(|guest| job.covers(guest));
        let guests: Vec<_> = by_node[node]
            .iter()
            .filter(covered)
            .map(|vmid| (*vmid, model.backups.result(*vmid, begins)))
            .collect();
        let plan = PlannedBackup {
            storage: job.storage,
            // However many guests there are, all are done before the next job.
            each: (guests.len() > 120).then(|| (3 * 3_600 / guests.len() as u64).max(1)),
            guests,
            begins,
        };
        let mut task = Self::plan(model, node, plan)?;
        if let Some(run) = task.backup.as_deref_mut() {
            run.arguments = job.arguments();
            run.keep = job.keep;
            // PVE lists them all, which is of no use in the logs of a large cluster.
            if model.guests.len() <= 1_000 {
                let others = by_node.iter().enumerate().filter(|(other, _)| *other != node);
                run.elsewhere = others
                    .flat_map(|(_, guests)| guests.iter().filter(covered))
                    .copied()
                    .collect();
                run.elsewhere.sort_unstable();
            }
        }
        Some(task)
    }

    /// A run over guests, one after the other; nothing without guests.
    pub(crate) fn plan(model: &Model, node: usize, plan: PlannedBackup<'_>) -> Option<NewTask> {
        let mut guests: Vec<GuestRun> = Vec::new();
        let mut time = plan.begins + 1;
        for (vmid, result) in &plan.guests {
            let guest = guest_run(model, *vmid, result.clone(), time, &plan);
            time = guest.ends;
            let over = guest.result.ends_the_run();
            guests.push(guest);
            if over {
                break;
            }
        }
        let id = match plan.guests.as_slice() {
            [] => return None,
            [(vmid, _)] => vmid.to_string(),
            _ => String::new(),
        };
        let list: Vec<u32> = plan.guests.iter().map(|(vmid, _)| *vmid).collect();
        let arguments = format!(
            "{} --mode snapshot --storage {} --notes-template '{{{{guestname}}}}'",
            id_list(&list, " "),
            plan.storage
        );
        let mut task = NewTask::new(node, "vzdump", id, plan.begins).ending(time + 1, status(&guests));
        task.backup = Some(Box::new(Self {
            arguments,
            storage: plan.storage.to_owned(),
            keep: 5,
            elsewhere: Vec::new(),
            guests,
        }));
        Some(task)
    }
}

fn guest_run(model: &Model, vmid: u32, result: BackupResult, begins: Seconds, plan: &PlannedBackup<'_>) -> GuestRun {
    let Some(guest) = model.guests.get(&vmid) else {
        return GuestRun {
            vmid,
            kind: None,
            running: false,
            begins,
            ends: begins,
            result: BackupResult::Failed(format!("unable to find VM '{vmid}'")),
            disk: 0,
            size: 0,
            transferred: 0,
        };
    };
    let disk = guest.settings.disk;
    let share = |number: u64| unit(&[guest.stream, number]);
    let grown = 0.1 * walk(hash(&[guest.stream, 30]), begins as f64, 30.0 * DAY as f64);
    let used = whole(disk as f64 * (0.1 + 0.5 * share(31) + grown)) & !0xFFF;
    let changed = whole(disk as f64 * (0.002 + 0.03 * unit(&[guest.stream, begins, 32]))) & !0xFFF;
    let to_server = model.storage(plan.storage).is_some_and(Storage::is_backup_server);
    let (size, transferred) = match (to_server, guest.kind) {
        // Only a machine that runs knows which of its blocks changed.
        (true, GuestKind::Qemu) => (disk, if guest.is_running() { changed } else { disk }),
        (true, GuestKind::Lxc) => (used, changed.min(used)),
        (false, _) => (whole(used as f64 * (0.4 + 0.2 * share(33))), disk),
    };
    let usual = 4 + (transferred >> 29) / 2 + hash(&[guest.stream, begins, 34]) % 20;
    let takes = match &result {
        BackupResult::Failed(_) => 1,
        _ => plan.each.unwrap_or(usual),
    };
    GuestRun {
        vmid,
        kind: Some(guest.kind),
        running: guest.is_running(),
        begins,
        ends: begins + takes,
        result,
        disk,
        size,
        transferred,
    }
}

/// The status of a whole run.
fn status(guests: &[GuestRun]) -> Cow<'static, str> {
    let has = |test: fn(&BackupResult) -> bool| guests.iter().any(|guest| test(&guest.result));
    let warned = |guest: &&GuestRun| matches!(guest.result, BackupResult::Warned(_));
    let warnings = guests.iter().filter(warned).count();
    if has(|result| *result == BackupResult::Killed) {
        UNEXPECTED.into()
    } else if has(|result| *result == BackupResult::Interrupted) {
        "interrupted by signal".into()
    } else if has(|result| !result.is_success()) {
        "job errors".into()
    } else if warnings > 0 {
        format!("WARNINGS: {warnings}").into()
    } else {
        "OK".into()
    }
}
