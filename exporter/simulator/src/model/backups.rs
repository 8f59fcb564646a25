//! What is backed up: the jobs, one run of `vzdump`, and the volumes that runs leave on storages.

use std::{borrow::Cow, collections::BTreeMap};

use super::{Guest, GuestKind, Model, NewTask};
use crate::{
    Options,
    calendar::{DAY, DateTime, Seconds, is_sunday},
    model::tasks::UNEXPECTED,
    random::{hash, unit, walk, whole},
};

/// A guest that is gone and whose backup is still there.
const GONE: u32 = 99_999;

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

/// Which guests a job covers.
#[derive(Debug)]
pub(crate) enum Selection {
    Pool(&'static str),
    Guests(Vec<u32>),
    AllExcept(Vec<u32>),
}

/// A job of `/cluster/backup`.
#[derive(Debug)]
pub(crate) struct BackupJob {
    pub(crate) id: &'static str,
    pub(crate) schedule: &'static str,
    pub(crate) selection: Selection,
    pub(crate) storage: &'static str,
    pub(crate) mode: &'static str,
    /// How many backups of a guest are kept.
    pub(crate) keep: usize,
    pub(crate) enabled: bool,
    /// Since when it is disabled, if it ran before.
    disabled_since: Option<Seconds>,
    /// The local time of day.
    time: Seconds,
    only_sundays: bool,
}

impl BackupJob {
    pub(crate) fn covers(&self, guest: &Guest) -> bool {
        match &self.selection {
            Selection::Pool(pool) => guest.settings.pool.as_deref() == Some(pool),
            Selection::Guests(guests) => guests.contains(&guest.vmid),
            Selection::AllExcept(guests) => !guests.contains(&guest.vmid),
        }
    }

    /// When the schedule comes round on a day of local time.
    fn on_day(&self, day: Seconds) -> Option<Seconds> {
        (!self.only_sundays || is_sunday(day)).then_some(day / DAY * DAY + self.time)
    }

    /// When the job runs on a day of local time.
    pub(crate) fn runs_on(&self, day: Seconds) -> Option<Seconds> {
        let runs = |at: &Seconds| self.enabled || self.disabled_since.is_some_and(|since| *at < since);
        self.on_day(day).filter(runs)
    }

    /// The next time of the schedule; PVE says it of disabled jobs, too.
    pub(crate) fn next_run(&self, local_now: Seconds) -> Option<Seconds> {
        let days = (0..=7).map(|day| local_now + day * DAY);
        days.filter_map(|day| self.on_day(day)).find(|at| *at > local_now)
    }

    /// The options of its runs.
    fn arguments(&self) -> String {
        let list = |guests: &[u32]| guests.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let guests = match &self.selection {
            Selection::Pool(pool) => format!("--pool {pool}"),
            Selection::Guests(guests) => list(guests),
            Selection::AllExcept(guests) if guests.is_empty() => "--all 1".to_owned(),
            Selection::AllExcept(guests) => format!("--all 1 --exclude {}", list(guests)),
        };
        let Self {
            mode, storage, keep, ..
        } = self;
        format!(
            "{guests} --mode {mode} --quiet 1 --storage {storage} --notes-template '{{{{guestname}}}}' --prune-backups \
             'keep-last={keep}'"
        )
    }
}

/// What is wrong with the backups of a lively cluster.
#[derive(Debug, Default)]
struct Troubles {
    /// Its backups fail since the night before the start.
    failing: Option<(u32, Seconds)>,
    /// Its agent does not answer.
    unfrozen: Option<u32>,
}

/// The name of a backup file, which has the local time in it.
pub(crate) fn backup_file(kind: GuestKind, vmid: u32, local: Seconds) -> String {
    let (format, time) = (file_format(kind), DateTime::at(local).of_file());
    format!("vzdump-{}-{vmid}-{time}.{format}", kind.as_str())
}

/// The format of backup files, which is their ending.
pub(crate) fn file_format(kind: GuestKind) -> &'static str {
    match kind {
        GuestKind::Qemu => "vma.zst",
        GuestKind::Lxc => "tar.zst",
    }
}

/// One backup on a storage.
#[derive(Debug)]
pub(crate) struct Volume {
    pub(crate) vmid: u32,
    pub(crate) kind: GuestKind,
    pub(crate) created: Seconds,
    pub(crate) size: u64,
    pub(crate) protected: bool,
    /// The node that has it, if the storage is not shared.
    pub(crate) node: usize,
}

/// The jobs and what they left behind.
#[derive(Debug)]
pub(crate) struct Backups {
    pub(crate) jobs: Vec<BackupJob>,
    troubles: Troubles,
    /// By storage and guest, oldest first.
    volumes: BTreeMap<(String, u32), Vec<Volume>>,
}

impl Backups {
    pub(super) fn new(options: &Options, guests: &BTreeMap<u32, Guest>, start: Seconds) -> Self {
        let plain = |guest: &&Guest| !guest.settings.template && guest.settings.hastate.is_none();
        let in_prod = |guest: &&Guest| guest.settings.pool.as_deref() == Some("prod");
        let mut others = guests.values().rev().filter(plain).filter(|guest| !in_prod(guest));
        // One guest that no job covers, and in a lively cluster one whose job was disabled a week ago.
        let uncovered = others.next().map(|guest| guest.vmid);
        let missed = others.next().map(|guest| guest.vmid).filter(|_| options.events);
        let mut machines = guests.values().filter(plain).filter(in_prod);
        let mut machine = || {
            let found = machines.find(|guest| guest.kind == GuestKind::Qemu && guest.is_running());
            found.map(|guest| guest.vmid).filter(|_| options.events)
        };
        let troubles = Troubles {
            unfrozen: machine(),
            failing: machine().map(|vmid| (vmid, start.saturating_sub(DAY))),
        };
        let gone = Volume {
            vmid: GONE,
            kind: GuestKind::Qemu,
            created: start.saturating_sub(40 * DAY),
            size: 32 << 30,
            protected: false,
            node: 0,
        };
        let job = |id, schedule, selection, storage, keep| BackupJob {
            id,
            schedule,
            selection,
            storage,
            mode: "snapshot",
            keep,
            enabled: true,
            disabled_since: None,
            time: 3_600,
            only_sundays: false,
        };
        let except = uncovered.into_iter().chain(missed).collect();
        let disabled = missed.map_or(Selection::Pool("archive"), |vmid| Selection::Guests(vec![vmid]));
        let jobs = vec![
            job("backup-nightly", "01:00", Selection::Pool("prod"), "backup", 7),
            BackupJob {
                time: 5 * 3_600,
                only_sundays: true,
                ..job("backup-weekly", "sun 05:00", Selection::AllExcept(except), "nas", 3)
            },
            BackupJob {
                enabled: false,
                disabled_since: missed.map(|_| start.saturating_sub(7 * DAY)),
                time: 4 * 3_600,
                ..job("backup-archive", "04:00", disabled, "backup", 7)
            },
        ];
        Self {
            jobs,
            troubles,
            volumes: BTreeMap::from([(("backup".to_owned(), GONE), vec![gone])]),
        }
    }

    /// How the backup of a guest that begins now is going to end.
    pub(crate) fn result(&self, vmid: u32, begins: Seconds) -> BackupResult {
        let Troubles { failing, unfrozen } = self.troubles;
        if failing.is_some_and(|(guest, since)| guest == vmid && begins >= since) {
            BackupResult::Failed("job failed with err -5 - Input/output error".to_owned())
        } else if unfrozen == Some(vmid) {
            BackupResult::NotFrozen
        } else {
            BackupResult::Done
        }
    }

    /// The backups on a storage.
    pub(crate) fn volumes(&self, storage: &str) -> impl Iterator<Item = &Volume> {
        let here = self
            .volumes
            .iter()
            .filter(move |((name, _), _)| name.as_str() == storage);
        here.flat_map(|(_, volumes)| volumes)
    }

    /// Keeps what a run that ended has stored, and drops what its retention does not cover.
    pub(crate) fn store(&mut self, node: usize, run: &BackupRun, ended: Seconds) {
        let stored = |guest: &&GuestRun| guest.result.is_success() && guest.ends <= ended;
        for guest in run.guests.iter().filter(stored) {
            let Some(kind) = guest.kind else { continue };
            let volumes = self.volumes.entry((run.storage.clone(), guest.vmid)).or_default();
            volumes.push(Volume {
                vmid: guest.vmid,
                kind,
                created: guest.begins,
                size: guest.size,
                protected: volumes.is_empty() && guest.vmid.is_multiple_of(10),
                node,
            });
            if volumes.iter().filter(|volume| !volume.protected).count() > run.keep
                && let Some(oldest) = volumes.iter().position(|volume| !volume.protected)
            {
                volumes.remove(oldest);
            }
        }
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
        let list: Vec<String> = plan.guests.iter().map(|(vmid, _)| vmid.to_string()).collect();
        let arguments = format!(
            "{} --mode snapshot --storage {} --notes-template '{{{{guestname}}}}'",
            list.join(" "),
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

    /// How many warnings it counted.
    fn warnings(guests: &[GuestRun]) -> usize {
        let warned = |guest: &&GuestRun| matches!(guest.result, BackupResult::Warned(_));
        guests.iter().filter(warned).count()
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
    let to_server = model
        .storage(plan.storage)
        .is_some_and(super::Storage::is_backup_server);
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
    let warnings = BackupRun::warnings(guests);
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
