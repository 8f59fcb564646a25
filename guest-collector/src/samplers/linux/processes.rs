//! Processes, threads and open files.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::Processes;

use super::Roots;
use super::load;
use super::source::{Reading, Shape, Source};
use super::text::{Words, number, single};

/// How often limits are read: they change by an administrator's hand.
const LIMITS: Duration = Duration::from_secs(300);

pub(super) struct ProcessTable {
    proc: PathBuf,
    load: Source,
    files: Source,
    /// Directories of /proc that are no processes, `.` and `..` among them.
    others: Option<u64>,
    process_limit: Option<u64>,
    thread_limit: Option<u64>,
    limits_at: Option<Instant>,
}

impl ProcessTable {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            proc: roots.proc.clone(),
            load: Source::new(roots.proc.join("loadavg"), Shape::Whole),
            files: Source::new(roots.proc.join("sys/fs/file-nr"), Shape::Whole),
            others: None,
            process_limit: None,
            thread_limit: None,
            limits_at: None,
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        let now = reading.now();
        if self.limits_at.is_none_or(|at| now.duration_since(at) >= LIMITS) {
            self.limits_at = Some(now);
            let mut limit = |name: &str| {
                reading
                    .once(self.proc.join("sys/kernel").join(name))
                    .and_then(single)
                    .and_then(number)
            };
            self.process_limit = limit("pid_max");
            self.thread_limit = limit("threads-max");
            self.others = other_directories(&self.proc);
        }
        let (files, file_limit) = self.files.read(reading).map(open_files).unwrap_or_default();
        let processes = Processes {
            processes: self.processes(),
            threads: self
                .load
                .read(reading)
                .and_then(load::parse)
                .and_then(|load| load.tasks),
            process_limit: self.process_limit,
            thread_limit: self.thread_limit,
            files,
            file_limit,
        };
        areas.processes = (processes != Processes::default()).then_some(processes);
    }

    /// The kernel counts a directory for each process in the links of /proc: one question instead of a list of all.
    fn processes(&self) -> Option<u64> {
        number_of(rustix::fs::stat(&self.proc).ok()?.st_nlink).checked_sub(self.others?)
    }
}

/// The type of a number of links is the platform's.
fn number_of(links: impl Into<u64>) -> u64 {
    links.into()
}

/// Directories that are not named by a number, and two links of /proc itself.
fn other_directories(proc: &Path) -> Option<u64> {
    let entries = std::fs::read_dir(proc).ok()?.flatten();
    let is_other = |name: &[u8]| name.first().is_some_and(|byte| !byte.is_ascii_digit());
    let others = entries.filter(|entry| {
        is_other(entry.file_name().as_encoded_bytes()) && entry.file_type().is_ok_and(|kind| kind.is_dir())
    });
    u64::try_from(others.count()).ok()?.checked_add(2)
}

/// `1312 0 98872`: how many are open, 0, how many may be.
fn open_files(contents: &[u8]) -> (Option<u64>, Option<u64>) {
    let mut words = Words::of(single(contents).unwrap_or_default());
    let open = words.number();
    (open, words.nth(1).and_then(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_counted_without_a_list_of_them() {
        let mut reading = Reading::new(Instant::now());
        let mut areas = Areas::default();
        let mut table = ProcessTable::new(&Roots::default());
        // Processes come and go between the two counts: one in many tries meets none.
        let agrees = (0..1000).any(|_| {
            table.sample(&mut reading, &mut areas);
            let listed = std::fs::read_dir("/proc").unwrap().flatten();
            let listed = listed
                .filter(|entry| number(entry.file_name().as_encoded_bytes()).is_some())
                .count() as u64;
            areas.processes.as_ref().unwrap().processes == Some(listed)
        });
        assert!(agrees);
    }

    #[test]
    fn open_files_of_a_cut_line_are_unknown() {
        assert_eq!(open_files(b"1312\t0\t98872\n"), (Some(1312), Some(98872)));
        assert_eq!(open_files(b"1312\t0\n"), (Some(1312), None));
        assert_eq!(open_files(b"1312\t0\t988"), (None, None));
    }
}
