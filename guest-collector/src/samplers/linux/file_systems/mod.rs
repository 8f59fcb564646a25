//! How full file systems are. A dead mount of a network file system never stops the rest.

use std::time::{Duration, Instant};

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::{FileSystem, FileSystemError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Roots;
use super::source::{Reading, Shape, Source};

mod asker;
mod mounts;

use asker::Asker;
pub use asker::{Ask, Usage};
use mounts::Mount;

/// How often the table of mounts is read where the kernel does not tell of changes.
const TABLE: Duration = Duration::from_secs(60);

pub(super) struct FileSystems {
    /// The table that the first process sees: that of a service may show everything as read-only.
    of_init: Source,
    own: Source,
    mounts: Vec<Mount>,
    read_at: Option<Instant>,
    asker: Asker,
}

impl FileSystems {
    pub(super) fn new(roots: &Roots, ask: Option<Ask>) -> Self {
        let table = |process: &str| Source::new(roots.proc.join(process).join("mountinfo"), Shape::LongRows);
        Self {
            of_init: table("1"),
            own: table("self"),
            mounts: Vec::new(),
            read_at: None,
            asker: Asker::new(ask.unwrap_or_else(asker::statvfs)),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        if self.is_outdated(reading.now()) {
            self.read_table(reading);
        }
        if self.read_at.is_none() {
            areas.file_systems = None;
            return;
        }
        self.asker.question(
            self.mounts
                .iter()
                .filter(|mount| mount.may_hang)
                .map(|mount| mount.path.as_path()),
            reading.now(),
        );
        let rows = areas.file_systems.get_or_insert_default();
        rows.truncate(self.mounts.len());
        for (place, mount) in self.mounts.iter().enumerate() {
            let usage = match mount.may_hang {
                true => self.asker.answer(&mount.path, reading.now()),
                false => self.asker.direct(&mount.path),
            };
            match rows.get_mut(place) {
                Some(row) if is_of(row, mount) => fill(row, usage),
                Some(row) => *row = new_row(mount, usage),
                None => rows.push(new_row(mount, usage)),
            }
        }
    }

    fn read_table(&mut self, reading: &mut Reading) {
        let now = reading.now();
        // A table without a mount is one that another process may not see.
        let table = self
            .of_init
            .read(reading)
            .map(mounts::parse)
            .filter(|mounts| !mounts.is_empty());
        let Some(mounts) = table.or_else(|| self.own.read(reading).map(mounts::parse)) else {
            self.read_at = None;
            return;
        };
        let hanging = mounts.iter().filter(|mount| mount.may_hang);
        self.asker.keep(&hanging.map(|mount| mount.path.as_path()).collect());
        self.mounts = mounts;
        self.read_at = Some(now);
    }

    fn is_outdated(&self, now: Instant) -> bool {
        self.read_at.is_none_or(|at| now.duration_since(at) >= TABLE) || self.has_changed()
    }

    /// The kernel raises an exceptional condition of the open table when a mount comes or goes.
    fn has_changed(&self) -> bool {
        let Some(table) = self.of_init.file().or_else(|| self.own.file()) else {
            return false;
        };
        let mut watched = [PollFd::new(table, PollFlags::PRI)];
        let asked = poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        asked.is_ok()
            && watched
                .iter()
                .any(|table| table.revents().intersects(PollFlags::PRI | PollFlags::ERR))
    }
}

fn is_of(row: &FileSystem, mount: &Mount) -> bool {
    (&row.device, &row.mount_point, &row.kind) == (&mount.device, &mount.mount_point, &mount.kind)
        && (row.read_only, row.major, row.minor) == (mount.read_only, mount.major, mount.minor)
}

fn new_row(mount: &Mount, usage: Result<Usage, FileSystemError>) -> FileSystem {
    let mut row = FileSystem {
        device: mount.device.clone(),
        mount_point: mount.mount_point.clone(),
        kind: mount.kind.clone(),
        read_only: mount.read_only,
        major: mount.major,
        minor: mount.minor,
        ..FileSystem::default()
    };
    fill(&mut row, usage);
    row
}

fn fill(row: &mut FileSystem, usage: Result<Usage, FileSystemError>) {
    let told = usage.as_ref().ok();
    let bytes = |blocks: fn(&Usage) -> u64| told.map(|usage| blocks(usage).saturating_mul(usage.block_size));
    row.size_bytes = bytes(|usage| usage.blocks);
    row.free_bytes = bytes(|usage| usage.blocks_free);
    row.available_bytes = bytes(|usage| usage.blocks_available);
    row.inodes = told.map(|usage| usage.inodes);
    row.inodes_free = told.map(|usage| usage.inodes_free);
    row.error = usage.err();
}
