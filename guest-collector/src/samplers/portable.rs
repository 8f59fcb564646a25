//! What the library sysinfo tells of systems other than Linux: memory, load, file systems and the system's name.
//!
//! It has no raw counters of CPUs, disks and interfaces, and rates are not what a report holds: those areas stay absent.

use std::time::Instant;

use pve_guest_protocol::areas::{FileSystem, Load, Memory, System};
use pve_guest_protocol::{Area, AreaSet, Areas};
use sysinfo::Disks;

/// Where the system's files are: here they have no place.
#[derive(Clone, Debug, Default)]
pub struct Roots;

/// Reads what the system says about this machine.
pub struct Sampler {
    enabled: AreaSet,
    areas: Areas,
    failed: AreaSet,
}

impl Sampler {
    /// Nothing is read before the first sample.
    pub fn new(_roots: &Roots, enabled: AreaSet) -> Self {
        let readable = [Area::Load, Area::Memory, Area::FileSystems, Area::System]
            .into_iter()
            .collect();
        Self {
            enabled: enabled.intersection(readable),
            areas: Areas::default(),
            failed: AreaSet::NONE,
        }
    }

    /// All areas that are switched on and can be read here.
    pub fn enabled(&self) -> AreaSet {
        self.enabled
    }

    /// The areas of the next regular sample: all of them.
    pub fn due(&mut self, _now: Instant) -> AreaSet {
        self.enabled
    }

    /// Makes the next regular sample a whole one, as each is.
    pub fn forget(&mut self) {}

    /// Reads these areas, as far as they are switched on. An area that cannot be read is absent.
    pub fn sample(&mut self, wanted: AreaSet, _now: Instant) -> &mut Areas {
        let wanted = wanted.intersection(self.enabled);
        self.areas = Areas {
            load: wanted.contains(Area::Load).then(load).flatten(),
            memory: wanted.contains(Area::Memory).then(memory).flatten(),
            file_systems: wanted.contains(Area::FileSystems).then(file_systems).flatten(),
            system: wanted.contains(Area::System).then(system),
            ..Areas::default()
        };
        let present = self.areas.present();
        self.failed = wanted.iter().filter(|area| !present.contains(*area)).collect();
        &mut self.areas
    }

    /// Areas of the last sample that could not be read.
    pub fn failed(&self) -> AreaSet {
        self.failed
    }
}

fn load() -> Option<Load> {
    if cfg!(windows) {
        return None;
    }
    let load = sysinfo::System::load_average().ok()?;
    Some(Load {
        load1: load.one,
        load5: load.five,
        load15: load.fifteen,
        ..Load::default()
    })
}

fn memory() -> Option<Memory> {
    let mut system = sysinfo::System::new().ok()?;
    system.refresh_memory();
    let kilobytes = |bytes: u64| Some(bytes / 1024);
    Some(Memory {
        total: kilobytes(system.total_memory()),
        free: kilobytes(system.free_memory()),
        available: kilobytes(system.available_memory()),
        swap_total: kilobytes(system.total_swap()),
        swap_free: kilobytes(system.free_swap()),
        ..Memory::default()
    })
}

fn file_systems() -> Option<Vec<FileSystem>> {
    let disks = Disks::new_with_refreshed_list().ok()?;
    let row = |disk: &sysinfo::Disk| FileSystem {
        device: disk.name().to_string_lossy().into_owned(),
        mount_point: disk.mount_point().to_string_lossy().into_owned(),
        kind: disk.file_system().to_string_lossy().into_owned(),
        read_only: disk.is_read_only(),
        size_bytes: Some(disk.total_space()),
        available_bytes: Some(disk.available_space()),
        ..FileSystem::default()
    };
    Some(disks.iter().map(row).collect())
}

fn system() -> System {
    System {
        name: sysinfo::System::name().ok(),
        pretty_name: sysinfo::System::long_os_version().ok(),
        version: sysinfo::System::os_version().ok(),
        kernel_release: sysinfo::System::kernel_version().ok(),
        machine: Some(sysinfo::System::cpu_arch()),
        host_name: sysinfo::System::host_name().ok(),
        ..System::default()
    }
}
