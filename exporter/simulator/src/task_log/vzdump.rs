//! What `vzdump` writes, in the words of the plugins for virtual machines, containers and both kinds of storages.

use super::Lines;
use crate::{
    GuestKind,
    calendar::{DateTime, Seconds},
    model::{BackupResult, BackupRun, GuestRun, Model, Storage, Task, backup_file, id_list},
    random::{hash, whole},
};

const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1_073_741_824.0;

pub(super) fn write(model: &Model, node: usize, task: &Task, run: &BackupRun, lines: &mut Lines) {
    let start = task.started;
    lines.at(
        start,
        format!("INFO: starting new backup job: vzdump {}", run.arguments),
    );
    if !run.elsewhere.is_empty() {
        let list = id_list(&run.elsewhere, ", ");
        lines.at(start, format!("INFO: skip external VMs: {list}"));
    }
    let mut end = start;
    for guest in &run.guests {
        Log { model, run, guest }.write(node, lines);
        end = guest.ends;
    }
    let failed = run.guests.iter().any(|guest| !guest.result.is_success());
    match run.guests.last().map(|guest| &guest.result) {
        Some(BackupResult::Interrupted) => lines.at(end, "ERROR: Backup job failed - interrupted by signal"),
        Some(BackupResult::Killed) => {}
        _ if failed => lines.at(end, "INFO: Backup job finished with errors"),
        _ => lines.at(end, "INFO: Backup job finished successfully"),
    }
}

/// The part of the log that is about one guest.
struct Log<'a> {
    model: &'a Model,
    run: &'a BackupRun,
    guest: &'a GuestRun,
}

impl Log<'_> {
    fn write(&self, node: usize, lines: &mut Lines) {
        let GuestRun { vmid, begins, .. } = *self.guest;
        let Some(kind) = self.guest.kind else {
            return self.fail(&format!("unable to find VM '{vmid}'"), lines);
        };
        let mut info = |at: Seconds, line: String| lines.at(at, format!("INFO: {line}"));
        info(begins, format!("Starting Backup of VM {vmid} ({})", kind.as_str()));
        info(begins, format!("Backup started at {}", self.local(begins)));
        let running = if self.guest.running { "running" } else { "stopped" };
        info(begins, format!("status = {running}"));
        let early = matches!(self.guest.result, BackupResult::Failed(ref problem) if problem.contains("is locked"));
        if !early {
            self.prepare(kind, &mut info);
            match kind {
                GuestKind::Qemu => self.machine(&mut info),
                GuestKind::Lxc => self.container(node, &mut info),
            }
        }
        match &self.guest.result {
            BackupResult::Failed(problem) => {
                if !early {
                    self.abort(problem, lines);
                }
                self.fail(problem, lines);
            }
            BackupResult::Interrupted => {
                self.abort("interrupted by signal", lines);
                self.fail("interrupted by signal", lines);
            }
            BackupResult::Killed => {}
            BackupResult::Done | BackupResult::NotFrozen | BackupResult::Warned(_) => self.finish(lines),
        }
    }

    /// Only QEMU's job is aborted, and says why before the guest is said to have failed for the same reason.
    fn abort(&self, problem: &str, lines: &mut Lines) {
        if self.guest.kind == Some(GuestKind::Qemu) {
            lines.at(self.guest.ends, format!("ERROR: {problem}"));
            lines.at(self.guest.ends, "INFO: aborting backup job");
        }
    }

    /// What comes before the guest is read.
    fn prepare(&self, kind: GuestKind, info: &mut impl FnMut(Seconds, String)) {
        let GuestRun { vmid, begins, .. } = *self.guest;
        let settings = self.model.guests.get(&vmid).map(|guest| &guest.settings);
        let mode = if self.guest.running { "snapshot" } else { "stop" };
        let about_mode = |info: &mut dyn FnMut(Seconds, String)| {
            info(begins, format!("backup mode: {mode}"));
            info(begins, "ionice priority: 7".to_owned());
        };
        // In stop mode the guest is prepared only after the mode is known.
        if !self.guest.running {
            about_mode(info);
        }
        match kind {
            GuestKind::Qemu => {
                info(
                    begins,
                    format!("VM Name: {}", settings.map_or("", |settings| &settings.name)),
                );
                let size = format!("{}G", self.guest.disk >> 30);
                info(
                    begins,
                    format!("include disk 'scsi0' 'local-lvm:vm-{vmid}-disk-0' {size}"),
                );
            }
            GuestKind::Lxc => {
                info(
                    begins,
                    format!("CT Name: {}", settings.map_or("", |settings| &settings.name)),
                );
                info(begins, "including mount point rootfs ('/') in backup".to_owned());
            }
        }
        if self.guest.running {
            about_mode(info);
        }
    }

    /// A virtual machine, whose disks QEMU sends block by block.
    fn machine(&self, info: &mut impl FnMut(Seconds, String)) {
        let GuestRun {
            begins,
            ends,
            running,
            transferred,
            disk,
            ..
        } = *self.guest;
        info(begins, format!("creating {}", self.target()));
        if !running {
            info(begins, "starting kvm to execute backup task".to_owned());
        } else if self.guest.result == BackupResult::NotFrozen {
            let problem = "skipping guest filesystem freeze - agent configured but not running?";
            info(begins, problem.to_owned());
        } else {
            info(begins, "issuing guest-agent 'fs-freeze' command".to_owned());
            info(begins, "issuing guest-agent 'fs-thaw' command".to_owned());
        }
        let draw = hash(&[u64::from(self.guest.vmid), begins]);
        let uuid = format!("{:08x}-{:04x}-4e0e-9a57-{:012x}", draw >> 32, draw & 0xFFFF, draw >> 16);
        info(begins, format!("started backup task '{uuid}'"));
        let incremental = self.to_server() && transferred < disk;
        let (target, total) = (bytes(transferred, 1), bytes(disk, 1));
        if running {
            info(begins, "resuming VM again".to_owned());
        }
        if incremental {
            info(
                begins,
                format!("scsi0: dirty-bitmap status: OK ({target} of {total} dirty)"),
            );
            info(
                begins,
                format!("using fast incremental mode (dirty-bitmap), {target} dirty of {total} total"),
            );
        } else if self.to_server() {
            info(begins, "scsi0: dirty-bitmap status: created new".to_owned());
        }
        if matches!(self.guest.result, BackupResult::Failed(_)) {
            return;
        }
        let took = ends - begins;
        let step = (took / 8).max(3);
        let speed = transferred as f64 / took.max(1) as f64;
        let rate = format!("{}/s", bytes(whole(speed), 1));
        for at in (step..took).step_by(usize::try_from(step).unwrap_or(3)).chain([took]) {
            let done = if at == took {
                transferred
            } else {
                whole(speed * at as f64)
            };
            let percent = (done * 100).checked_div(transferred).unwrap_or(100);
            let read = format!(
                "({} of {target}) in {}, read: {rate}, write: {rate}",
                bytes(done, 1),
                duration(at)
            );
            let over = self.guest.result.is_success() || at < took;
            if over {
                info(begins + at, format!("{percent:3}% {read}"));
            }
        }
        if !self.guest.result.is_success() {
            return;
        }
        let reused = if incremental {
            disk - transferred
        } else {
            disk / 100 * 96
        };
        let share = (reused * 100).checked_div(disk).unwrap_or(0);
        if self.to_server() {
            let reused = bytes(reused, 2);
            info(
                ends,
                format!("backup was done incrementally, reused {reused} ({share}%)"),
            );
        } else {
            info(
                ends,
                format!("backup is sparse: {} (35%) total zero data", bytes(disk / 100 * 35, 2)),
            );
        }
        let sent = bytes(transferred, 2);
        if took > 0 {
            info(ends, format!("transferred {sent} in {took} seconds ({rate})"));
        } else {
            info(ends, format!("transferred {sent} in <1 seconds"));
        }
        if !running {
            info(ends, "stopping kvm after backup task".to_owned());
        }
        if !self.to_server() {
            info(ends, format!("archive file size: {}", archive_size(self.guest.size)));
        }
    }

    /// A container, whose files a client packs.
    fn container(&self, node: usize, info: &mut impl FnMut(Seconds, String)) {
        let GuestRun {
            vmid,
            begins,
            ends,
            size,
            transferred,
            running,
            ..
        } = *self.guest;
        if running {
            info(begins, "create storage snapshot 'vzdump'".to_owned());
        }
        info(begins, format!("creating {}", self.target()));
        if self.to_server() {
            info(
                begins,
                format!("Starting backup: ct/{vmid}/{}", DateTime::at(begins).iso()),
            );
            info(begins, format!("Client name: {}", self.model.nodes[node].name));
            let target = "as root.pxar.didx";
            info(
                begins,
                format!("Upload directory '/mnt/vzsnap0' to 'root@pam@192.0.2.9:8007:store' {target}"),
            );
        }
        if !self.guest.result.is_success() {
            return;
        }
        let took = ends - begins;
        if self.to_server() {
            let (whole_size, sent, packed) = (bytes(size, 3), bytes(transferred, 3), bytes(transferred / 3, 3));
            let speed = bytes(transferred / took.max(1), 3);
            let stats = format!("(compressed {packed}) in {took}.20 s (average {speed}/s)");
            info(ends, format!("root.pxar: had to backup {sent} of {whole_size} {stats}"));
            let reused = size - transferred;
            let share = reused as f64 * 100.0 / size.max(1) as f64;
            let reused = bytes(reused, 3);
            info(
                ends,
                format!("root.pxar: backup was done incrementally, reused {reused} ({share:.1}%)"),
            );
            info(ends, format!("Duration: {took}.61s"));
        } else {
            let (written, speed) = (size * 2, bytes(size * 2 / took.max(1), 0).replace(' ', ""));
            let short = bytes(written, 1).replace(' ', "");
            info(ends, format!("Total bytes written: {written} ({short}, {speed}/s)"));
            info(ends, format!("archive file size: {}", archive_size(size)));
        }
    }

    fn finish(&self, lines: &mut Lines) {
        let GuestRun { vmid, begins, ends, .. } = *self.guest;
        lines.at(ends, "INFO: adding notes to backup");
        if let BackupResult::Warned(problem) = &self.guest.result {
            lines.at(ends, format!("WARN: {problem}"));
        }
        let keep = self.run.keep;
        lines.at(
            ends,
            format!("INFO: prune older backups with retention: keep-last={keep}"),
        );
        lines.at(ends, "INFO: pruned 0 backup(s)");
        if self.guest.kind == Some(GuestKind::Lxc) && self.guest.running {
            lines.at(ends, "INFO: cleanup temporary 'vzdump' snapshot");
        }
        let took = ends - begins;
        let time = format!("{:02}:{:02}:{:02}", took / 3_600, took / 60 % 60, took % 60);
        lines.at(ends, format!("INFO: Finished Backup of VM {vmid} ({time})"));
        lines.at(ends, format!("INFO: Backup finished at {}", self.local(ends)));
    }

    fn fail(&self, problem: &str, lines: &mut Lines) {
        let GuestRun { vmid, ends, .. } = *self.guest;
        lines.at(ends, format!("ERROR: Backup of VM {vmid} failed - {problem}"));
        lines.at(ends, format!("INFO: Failed at {}", self.local(ends)));
    }

    /// Logs are in the local time of the node.
    fn local(&self, at: Seconds) -> String {
        DateTime::at(self.model.schedule.local(at)).plain()
    }

    fn to_server(&self) -> bool {
        self.model
            .storage(&self.run.storage)
            .is_some_and(Storage::is_backup_server)
    }

    fn target(&self) -> String {
        let GuestRun { vmid, begins, .. } = *self.guest;
        let Some(kind) = self.guest.kind else {
            return String::new();
        };
        if self.to_server() {
            let group = if kind == GuestKind::Qemu { "vm" } else { "ct" };
            let time = DateTime::at(begins).iso();
            return format!("Proxmox Backup Server archive '{group}/{vmid}/{time}'");
        }
        let folder = match self.run.storage.as_str() {
            "local" => "/var/lib/vz".to_owned(),
            other => format!("/mnt/pve/{other}"),
        };
        let file = backup_file(kind, vmid, self.model.schedule.local(begins));
        format!("vzdump archive '{folder}/dump/{file}'")
    }
}

/// A size as PVE writes it, in units of 1024.
fn bytes(size: u64, digits: usize) -> String {
    let (mut value, mut unit) = (size as f64, "B");
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1_024.0 {
            break;
        }
        (value, unit) = (value / 1_024.0, larger);
    }
    format!("{value:.digits$} {unit}")
}

/// A size as `vzdump` writes it of a file.
fn archive_size(size: u64) -> String {
    let size = size as f64;
    if size < MIB {
        format!("{}KB", whole(size / 1_024.0))
    } else if size < GIB {
        format!("{}MB", whole(size / MIB))
    } else {
        format!("{:.2}GB", size / GIB)
    }
}

fn duration(seconds: u64) -> String {
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m {seconds}s"),
        (hours, minutes, seconds) => format!("{hours}h {minutes}m {seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_written_as_pve_writes_them() {
        assert_eq!(
            (bytes(628 << 20, 2), bytes(34_359_738_368, 1)),
            ("628.00 MiB".to_owned(), "32.0 GiB".to_owned())
        );
        assert_eq!(bytes(5 << 40, 1), "5.0 TiB");
        let sizes = [1_024, 2_088_960, 5_123_456_789].map(archive_size);
        assert_eq!(sizes, ["1KB", "1MB", "4.77GB"]);
        assert_eq!([3, 64, 3_723].map(duration), ["3s", "1m 4s", "1h 2m 3s"]);
    }
}
