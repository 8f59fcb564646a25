//! What is wrong with backups, and the volumes that they leave on storages.

use std::collections::BTreeMap;

use super::{BackupJob, BackupResult, BackupRun, Guest, GuestKind, GuestRun, Selection};
use crate::{
    Options,
    calendar::{DAY, DateTime, Seconds},
};

/// A guest that is gone and whose backup is still there.
const GONE: u32 = 99_999;

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
        let missed = others.next().map(|guest| guest.vmid).filter(|_| options.is_troubled());
        let mut machines = guests.values().filter(plain).filter(in_prod);
        let mut machine = || {
            let found = machines.find(|guest| guest.kind == GuestKind::Qemu && guest.is_running());
            found.map(|guest| guest.vmid).filter(|_| options.is_troubled())
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

    /// Whether a job backs the guest up.
    pub(crate) fn reach(&self, guest: &Guest) -> bool {
        self.jobs.iter().any(|job| job.enabled && job.covers(guest))
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
