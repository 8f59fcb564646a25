//! What the lines of a vzdump log say, guest by guest, without making Unix times of the node's local ones.
//!
//! vzdump puts `INFO: `, `WARN: ` or `ERROR: ` before each line, also before each line of a message that has several. Text of a
//! guest can thus follow a prefix, but stands alone behind one only where a guest agent's error has several lines: those are
//! `WARN` or `ERROR`, so that an `INFO` line of the exact shape is vzdump's own.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use crate::config::GuestKind;
use crate::pve::perl::float_to_whole;
use crate::pve::task_status::TaskResult;

/// A log.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The guests in the order in which vzdump came to them.
    pub(super) runs: Vec<Run>,
    /// The storage that the job was given.
    pub(super) storage: Option<Arc<str>>,
    /// Whether the job waited until another one had ended.
    pub(super) waited: bool,
    /// Whether any line is vzdump's.
    pub(super) begun: bool,
    /// Nothing that follows is about a guest.
    over: bool,
}

/// The part of a log that tells of one guest.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Run {
    pub(super) vmid: u32,
    pub(super) kind: Option<GuestKind>,
    /// In seconds of the node's local time, as all times here.
    pub(super) started: Option<i64>,
    pub(super) finished: Option<i64>,
    /// In seconds, of a run that succeeded.
    pub(super) duration: Option<u64>,
    /// `None` when it neither finished nor failed.
    pub(super) result: Option<TaskResult>,
    pub(super) size: Option<u64>,
    pub(super) transferred: Option<u64>,
    pub(super) freeze_skipped: Option<bool>,
    pub(super) mode: Option<&'static str>,
    /// There is no data in the backup: every disk is left out.
    pub(super) empty: bool,
    /// When a Proxmox Backup Server was told that it began, in Unix seconds.
    pub(super) started_utc: Option<i64>,
    /// There was a warning, or an error that vzdump survived.
    complaint: bool,
    /// The backup goes to a Proxmox Backup Server.
    pbs: bool,
    /// The size is known better than from the lines of progress.
    size_known: bool,
    /// The last line announced a freeze.
    freezing: bool,
}

impl Run {
    /// Whether lines about this guest may still come.
    fn open(&self) -> bool {
        self.finished.is_none() && matches!(self.result, None | Some(TaskResult::Error))
    }
}

/// Reads the lines of a log.
pub(super) fn read<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> Log {
    let mut log = Log::default();
    for line in lines {
        if log.over {
            break;
        }
        let line = line.as_ref();
        if let Some(text) = line.strip_prefix("INFO: ") {
            log.info(text);
        } else if let Some(text) = line.strip_prefix("ERROR: ") {
            log.error(text);
        } else if line.starts_with("WARN: ") {
            if let Some(run) = log.runs.last_mut() {
                run.complain();
            }
        } else {
            continue;
        }
        log.begun = true;
    }
    log
}

impl Log {
    fn info(&mut self, text: &str) {
        if let Some((vmid, kind)) = starting(text) {
            self.runs.push(Run {
                vmid,
                kind,
                ..Run::default()
            });
            return;
        }
        self.over = text.starts_with("Backup job finished ");
        match self.runs.last_mut() {
            Some(run) => run.info(text),
            None if text.starts_with("trying to get global lock") => self.waited = true,
            None => {
                if let Some(command) = text.strip_prefix("starting new backup job: vzdump ") {
                    self.storage = storage(command);
                }
            }
        }
    }

    fn error(&mut self, text: &str) {
        let failed = number_after(text, "Backup of VM ").filter(|(_, rest)| rest.starts_with(" failed - "));
        match (self.runs.last_mut().filter(|run| run.open()), failed) {
            (Some(run), Some((vmid, _))) if run.vmid == vmid => {
                (run.result, run.complaint) = (Some(TaskResult::Error), true)
            }
            // While one guest is being backed up vzdump says nothing of another: the words came from elsewhere.
            (Some(run), _) => {
                if run.freezing {
                    run.freeze_skipped = Some(true);
                }
                run.complain();
            }
            // Some failures come before the start is announced.
            (None, Some((vmid, _))) => self.runs.push(Run {
                vmid,
                result: Some(TaskResult::Error),
                ..Run::default()
            }),
            // An open run may have been told so by its guest.
            (None, None) => self.over = text.starts_with("Backup job failed - "),
        }
    }
}

impl Run {
    fn complain(&mut self) {
        self.complaint = true;
        if self.result == Some(TaskResult::Ok) {
            self.result = Some(TaskResult::Warning);
        }
    }

    fn info(&mut self, text: &str) {
        self.freezing = false;
        if let Some(time) = text.strip_prefix("Backup finished at ") {
            if !self.open() && self.finished.is_none() {
                self.finished = local(time);
            }
        } else if let Some(time) = text.strip_prefix("Failed at ") {
            if self.result == Some(TaskResult::Error) && self.finished.is_none() {
                self.finished = local(time);
            }
        } else if self.open() {
            self.step(text);
        }
    }

    fn step(&mut self, text: &str) {
        if let Some(time) = text.strip_prefix("Backup started at ") {
            self.started = self.started.or_else(|| local(time));
        } else if let Some(duration) = finished(text, self.vmid) {
            self.duration = Some(duration);
            self.result = Some(if self.complaint {
                TaskResult::Warning
            } else {
                TaskResult::Ok
            });
        } else if let Some(mode) = text.strip_prefix("backup mode: ") {
            self.mode = ["snapshot", "suspend", "stop"].into_iter().find(|known| *known == mode);
        } else if let Some(archive) = text.strip_prefix("creating Proxmox Backup Server archive '") {
            self.pbs = true;
            self.started_utc = archive_time(archive);
        } else if text == "backup contains no disks" {
            self.empty = true;
            self.complain();
        } else if let Some(size) = text.strip_prefix("archive file size: ") {
            self.size = bytes(size);
        } else if self.kind == Some(GuestKind::Qemu) {
            self.step_of_machine(text);
        } else {
            self.step_of_container(text);
        }
    }

    fn step_of_machine(&mut self, text: &str) {
        if let Some(rest) = text.strip_prefix("transferred ") {
            self.transferred = rest.split_once(" in ").and_then(|(size, _)| bytes(size));
        } else if text == "issuing guest-agent 'fs-freeze' command" {
            (self.freezing, self.freeze_skipped) = (true, Some(false));
        } else if let Some(why) = text
            .strip_prefix("skipping guest-agent 'fs-freeze', ")
            .or_else(|| text.strip_prefix("skipping guest filesystem freeze - "))
        {
            self.freeze_skipped = match why {
                "agent configured but not running?" => Some(true),
                "already frozen" => Some(false),
                // Nobody wanted a freeze.
                _ => None,
            };
        } else if self.pbs && !self.size_known {
            let total = text
                .strip_prefix("using fast incremental mode (dirty-bitmap), ")
                .and_then(|rest| rest.strip_suffix(" total")?.split_once(" dirty of "));
            self.size_known = total.is_some();
            if let Some((_, size)) = total.or_else(|| progress(text)) {
                self.size = bytes(size);
            }
        }
    }

    fn step_of_container(&mut self, text: &str) {
        if let Some(rest) = text.strip_prefix("Total bytes written: ") {
            self.transferred = number(rest).map(|(bytes, _)| bytes);
        } else if self.pbs
            && let Some((changed, size)) = archive(text)
        {
            // One line for each archive: root.pxar, or its metadata and payload apart.
            self.transferred = Some(self.transferred.unwrap_or(0).saturating_add(changed));
            self.size = Some(self.size.unwrap_or(0).saturating_add(size));
        }
    }
}

/// `vm/100/2026-08-15T12:00:02Z'`
fn archive_time(archive: &str) -> Option<i64> {
    let (_, time) = archive.strip_suffix("Z'")?.rsplit_once('/')?;
    let (day, time) = time.split_once('T')?;
    local(&format!("{day} {time}"))
}

/// `Starting Backup of VM 100 (qemu)`
fn starting(text: &str) -> Option<(u32, Option<GuestKind>)> {
    let (vmid, rest) = number_after(text, "Starting Backup of VM ")?;
    let kind = rest.strip_prefix(" (")?.strip_suffix(')')?;
    kind.bytes().all(|byte| byte.is_ascii_lowercase()).then_some((
        vmid,
        [GuestKind::Qemu, GuestKind::Lxc]
            .into_iter()
            .find(|known| known.as_str() == kind),
    ))
}

/// `Finished Backup of VM 100 (00:01:02)`
fn finished(text: &str, expected: u32) -> Option<u64> {
    let (vmid, rest) = number_after(text, "Finished Backup of VM ")?;
    let mut parts = rest.strip_prefix(" (")?.strip_suffix(')')?.split(':');
    let mut part = || match number::<u64>(parts.next()?)? {
        (value, "") => Some(value),
        _ => None,
    };
    let (hours, minutes, seconds) = (part()?, part()?, part()?);
    let duration = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?;
    (vmid == expected && parts.next().is_none()).then_some(duration.checked_add(seconds)?)
}

/// ` 42% (1.0 GiB of 2.0 GiB) in 3s, read: ...`
fn progress(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = number::<u64>(text.trim_start())?;
    let (sizes, _) = rest.strip_prefix("% (")?.split_once(") in ")?;
    sizes.split_once(" of ")
}

/// `root.pxar: had to backup 479.821 MiB of 2.246 GiB (compressed 120.488 MiB) in 3.42s`, and `upload` of old clients.
fn archive(text: &str) -> Option<(u64, u64)> {
    let (name, rest) = text.split_once(": had to ")?;
    if !matches!(name, "root.pxar" | "root.mpxar" | "root.ppxar") {
        return None;
    }
    let rest = rest.strip_prefix("backup ").or_else(|| rest.strip_prefix("upload "))?;
    let (changed, rest) = rest.split_once(" of ")?;
    let (size, _) = rest.split_once(" (").or_else(|| rest.split_once(" in "))?;
    Some((bytes(changed)?, bytes(size)?))
}

fn number_after<'a>(text: &'a str, before: &str) -> Option<(u32, &'a str)> {
    number(text.strip_prefix(before)?)
}

/// The digits at the beginning, and what follows them.
fn number<T: std::str::FromStr>(text: &str) -> Option<(T, &str)> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

/// `1.23GB` or `1.23 GiB`: both count in powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let end = text.find(|byte: char| !byte.is_ascii_digit() && byte != '.')?;
    let (value, unit) = text.split_at_checked(end)?;
    let exponent = match unit.trim_start() {
        "B" => 0,
        "KB" | "KiB" => 1,
        "MB" | "MiB" => 2,
        "GB" | "GiB" => 3,
        "TB" | "TiB" => 4,
        "PB" | "PiB" => 5,
        _ => return None,
    };
    float_to_whole(value.parse::<f64>().ok()? * 1024_f64.powi(exponent))
}

/// `2026-11-20 04:50:14`, as if it were UTC.
fn local(time: &str) -> Option<i64> {
    if !time.bytes().all(|byte| byte.is_ascii_digit() || b"-: ".contains(&byte)) {
        return None;
    }
    let time = humantime::parse_rfc3339_weak(time)
        .ok()?
        .duration_since(UNIX_EPOCH)
        .ok()?;
    i64::try_from(time.as_secs()).ok()
}

/// The value of `--storage` in a command line that is quoted for a shell.
fn storage(command: &str) -> Option<Arc<str>> {
    let mut words = words(command).into_iter();
    // Each option has a value, which may look like an option itself.
    while let Some(word) = words.next() {
        if word == "--storage" {
            return words.next().map(Into::into);
        }
        if word.starts_with("--") {
            words.next();
        }
    }
    None
}

fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quoted) = (String::new(), false);
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' => quoted = !quoted,
            '\\' if !quoted => word.extend(characters.next()),
            ' ' if !quoted => words.push(std::mem::take(&mut word)),
            other => word.push(other),
        }
    }
    words.push(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(log: &str) -> Vec<Run> {
        read(log.lines()).runs
    }

    #[test]
    fn sizes_are_powers_of_1024_whatever_their_unit_is_called() {
        for (text, size) in [
            ("0KB", 0),
            ("173MB", 173 << 20),
            ("1.50GB", 3 << 29),
            ("2.00TB", 2 << 40),
            ("32.00 GiB", 32 << 30),
            ("82.957 KiB", 84_947),
            ("516 B", 516),
        ] {
            assert_eq!(bytes(text), Some(size), "{text}");
        }
        for text in ["", "GB", "1.2.3GB", "5", "-1GB", "1 XB", "99999999999999999999TB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn the_storage_is_the_value_of_its_own_option() {
        for (command, expected) in [
            (
                "201 --compress zstd --notes-template '{{guestname}} {{node}}' --storage local --mode stop",
                Some("local"),
            ),
            ("100 --notes-template '--storage' --storage 'a b'", Some("a b")),
            ("100 --notes-template 'it'\\''s --storage x' --mode stop", None),
            ("--all 1 --quiet 1 --storage", None),
            ("", None),
        ] {
            assert_eq!(storage(command).as_deref(), expected, "{command}");
        }
    }

    /// Constructed after the sources of vzdump: a job of a VM and a container to a Proxmox Backup Server.
    #[test]
    fn what_goes_to_a_backup_server_has_the_size_of_the_guest() {
        let runs = runs(
            "INFO: Starting Backup of VM 100 (qemu)
INFO: creating Proxmox Backup Server archive 'vm/100/2026-08-15T12:00:02Z'
INFO: scsi0: dirty-bitmap status: OK (1.5 GiB of 32.0 GiB dirty)
INFO: using fast incremental mode (dirty-bitmap), 1.5 GiB dirty of 32.0 GiB total
INFO:  50% (768.0 MiB of 1.5 GiB) in 3s, read: 256.0 MiB/s, write: 200.0 MiB/s
INFO: backup was done incrementally, reused 30.60 GiB (95%)
INFO: transferred 1.50 GiB in 7 seconds (219.4 MiB/s)
INFO: Finished Backup of VM 100 (00:00:09)
INFO: Starting Backup of VM 102 (qemu)
INFO: creating Proxmox Backup Server archive 'vm/102/2026-08-15T12:00:12Z'
INFO: 100% (4.0 GiB of 4.0 GiB) in 3s, read: 256.0 MiB/s, write: 200.0 MiB/s
INFO: transferred 4.00 GiB in <1 seconds
INFO: Finished Backup of VM 102 (00:00:09)
INFO: Starting Backup of VM 200 (lxc)
INFO: creating Proxmox Backup Server archive 'ct/200/2026-08-15T12:00:12Z'
INFO: root.mpxar: had to backup 1.000 MiB of 2.000 MiB (compressed 100 KiB) in 0.10 s (average 10 MiB/s)
INFO: root.ppxar: had to upload 3.00 MiB of 1.00 GiB in 11.68s, average speed 616.75 KiB/s).
INFO: /srv/root.pxar: had to backup 9 GiB of 9 GiB (compressed 1 B) in 1s
INFO: Uploaded backup catalog (516 B)
INFO: Finished Backup of VM 200 (00:00:12)",
        );
        let sizes: Vec<_> = runs.iter().map(|run| (run.size, run.transferred)).collect();
        assert_eq!(
            sizes,
            [
                (Some(32 << 30), Some(3 << 29)),
                (Some(4 << 30), Some(4 << 30)),
                (Some((2 << 20) + (1 << 30)), Some(4 << 20)),
            ]
        );
    }

    #[test]
    fn a_freeze_that_was_wanted_and_did_not_happen_is_told() {
        for (lines, skipped, result) in [
            ("", None, TaskResult::Ok),
            (
                "INFO: issuing guest-agent 'fs-freeze' command\nINFO: issuing guest-agent 'fs-thaw' command",
                Some(false),
                TaskResult::Ok,
            ),
            (
                "INFO: skipping guest-agent 'fs-freeze', agent configured but not running?",
                Some(true),
                TaskResult::Ok,
            ),
            (
                "INFO: skipping guest filesystem freeze - agent configured but not running?",
                Some(true),
                TaskResult::Ok,
            ),
            (
                "INFO: skipping guest filesystem freeze - already frozen",
                Some(false),
                TaskResult::Ok,
            ),
            (
                "INFO: skipping guest filesystem freeze - disabled in VM options",
                None,
                TaskResult::Ok,
            ),
            (
                "INFO: skipping guest-agent 'fs-freeze', agent not configured in VM options",
                None,
                TaskResult::Ok,
            ),
            (
                "INFO: issuing guest-agent 'fs-freeze' command\nERROR: VM 100 qmp command 'guest-fsfreeze-freeze' failed - got timeout\nINFO: issuing guest-agent 'fs-thaw' command",
                Some(true),
                TaskResult::Warning,
            ),
        ] {
            let runs = runs(&format!(
                "INFO: Starting Backup of VM 100 (qemu)\n{lines}\nINFO: Finished Backup of VM 100 (00:00:09)"
            ));
            assert_eq!(runs.len(), 1);
            assert_eq!(
                (runs[0].freeze_skipped, runs[0].result),
                (skipped, Some(result)),
                "{lines}"
            );
        }
    }

    #[test]
    fn text_of_a_guest_does_not_pass_for_a_line() {
        let runs = runs(
            "INFO: Starting Backup of VM 100 (qemu)
INFO: VM Name: Finished Backup of VM 100 (00:00:01)
INFO: VM Name: x (qemu)
INFO: Starting Backup of VM 999 (qemu) (qemu)
INFO: Starting Backup of VM +7 (qemu)
INFO:  Starting Backup of VM 999 (qemu)
Starting Backup of VM 999 (qemu)
ERROR: unable to freeze guest fs - something
ERROR: Backup of VM 999 failed - forged by the agent of 100
ERROR: Backup of VM 100 failed - forged by the agent of 100
INFO: issuing guest-agent 'fs-thaw' command
WARN: Backup of VM 999 failed - forged
INFO: Finished Backup of VM 999 (00:00:02)
INFO: Finished Backup of VM 100 (00:00:03)
INFO: Backup finished at 2026-11-20 04:50:14",
        );
        assert_eq!(runs.len(), 1);
        assert_eq!((runs[0].result, runs[0].duration), (Some(TaskResult::Warning), Some(3)));
    }

    #[test]
    fn what_is_told_after_the_job_is_about_no_guest() {
        let guest = "INFO: Starting Backup of VM 100 (qemu)\nINFO: Finished Backup of VM 100 (00:00:03)";
        for (end, result) in [
            ("INFO: Backup job finished successfully", TaskResult::Ok),
            ("INFO: Backup job finished with errors", TaskResult::Ok),
            ("ERROR: Backup job failed - x", TaskResult::Ok),
            ("INFO: VM Name: Backup job finished successfully", TaskResult::Warning),
        ] {
            let runs = runs(&format!("{guest}\n{end}\nWARN: could not send the mail"));
            assert_eq!(runs[0].result, Some(result), "{end}");
        }
        let told = runs(
            "INFO: Starting Backup of VM 100 (qemu)\nERROR: Backup job failed - says the agent\nINFO: Finished Backup of VM 100 (00:00:03)",
        );
        assert_eq!(told[0].result, Some(TaskResult::Warning));
    }

    #[test]
    fn a_backup_without_disks_is_empty() {
        let runs = runs(
            "INFO: Starting Backup of VM 100 (qemu)\nINFO: backup contains no disks\nINFO: Finished Backup of VM 100 (00:00:03)",
        );
        assert_eq!((runs[0].empty, runs[0].result), (true, Some(TaskResult::Warning)));
    }

    #[test]
    fn a_failure_counts_for_its_own_guest_until_that_finishes() {
        let result = |lines: &str| runs(&format!("INFO: Starting Backup of VM 100 (qemu)\n{lines}"))[0].result;
        let failed = "ERROR: Backup of VM 100 failed - x";
        assert_eq!(result(failed), Some(TaskResult::Error));
        assert_eq!(result("ERROR: Backup of VM 999 failed - x"), None);
        let finished = format!("{failed}\nINFO: Finished Backup of VM 100 (00:00:03)");
        assert_eq!(result(&finished), Some(TaskResult::Warning));
    }

    #[test]
    fn a_failure_before_the_start_is_one_and_a_start_without_an_end_is_none() {
        let runs = runs(
            "ERROR: Backup of VM 999 failed - unable to find VM '999'
INFO: Failed at 2026-11-20 04:50:18
INFO: Starting Backup of VM 101 (lxc)
INFO: Backup started at 2026-11-20 04:50:18
INFO: Starting Backup of VM 102 (lxc)
INFO: Finished Backup of VM 102 (101:00:09)
WARN: uploading backup task log failed
ERROR: Backup job failed - interrupted by signal
INFO: Starting Backup of VM 103 (lxc)",
        );
        let results: Vec<_> = runs.iter().map(|run| (run.vmid, run.result)).collect();
        assert_eq!(
            results,
            [
                (999, Some(TaskResult::Error)),
                (101, None),
                (102, Some(TaskResult::Warning)),
            ]
        );
        assert_eq!(runs[0].finished, runs[1].started);
        assert_eq!(runs[2].duration, Some(101 * 3600 + 9));
    }
}
