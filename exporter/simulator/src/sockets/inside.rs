//! What the kernel inside a virtual machine with Linux counts. It agrees with what its host sees of it.

mod network;

use pve_guest_protocol::{
    Areas,
    areas::{
        Collector, Conntrack, Cpu, Disk, Entropy, FileSystem, Kernel, Load, Memory, Paging, Pressure, Processes,
        SchedulerCpu, SoftnetCpu, System, Time, Users,
    },
};

use crate::{
    api::linux_file_systems,
    clock::Milliseconds,
    model::{Guest, GuestSample},
    random::{counted, hash, unit, walk, whole},
};

/// `USER_HZ`.
const TICKS: u64 = 100;
const SECTOR: u64 = 512;

/// A system since it has booted.
#[derive(Debug)]
pub(super) struct Inside {
    boot: Milliseconds,
    at: Milliseconds,
    /// How many seconds its CPUs have worked, all together.
    worked: f64,
}

impl Inside {
    pub(super) fn of(guest: &Guest, now: Milliseconds) -> Self {
        let boot = guest.running_since.unwrap_or(now);
        let mut inside = Self {
            boot,
            at: boot,
            worked: 0.0,
        };
        inside.go_on(guest, now);
        inside
    }

    fn go_on(&mut self, guest: &Guest, now: Milliseconds) {
        let seconds = now.saturating_sub(self.at) as f64 / 1_000.0;
        self.worked += guest.sample(now).cpu * f64::from(guest.settings.cpus) * seconds;
        self.at = self.at.max(now);
    }

    /// What it counts now.
    pub(super) fn figures<'a>(&mut self, guest: &'a Guest, now: Milliseconds) -> Figures<'a> {
        self.go_on(guest, now);
        Figures {
            guest,
            sample: guest.sample(self.at),
            now: self.at as f64 / 1_000.0,
            uptime: self.at.saturating_sub(self.boot) as f64 / 1_000.0,
            boot: self.boot,
            worked: self.worked,
        }
    }
}

/// What a system counts at a time.
pub(super) struct Figures<'a> {
    guest: &'a Guest,
    sample: GuestSample,
    /// In Unix seconds.
    pub(super) now: f64,
    pub(super) uptime: f64,
    boot: Milliseconds,
    worked: f64,
}

impl Figures<'_> {
    fn part(&self, question: u64) -> f64 {
        unit(&[self.guest.stream, 0x696E_7369, question])
    }

    /// A counter that grows by so much a second, about.
    fn count(&self, question: u64, rate: f64) -> u64 {
        let stream = hash(&[self.guest.stream, self.boot, 0x696E_7369, question]);
        counted(stream, rate * (0.3 + self.part(question)), self.uptime)
    }

    pub(super) fn cpus(&self) -> Vec<Cpu> {
        let number = self.guest.settings.cpus;
        let ticks = |seconds: f64| whole(seconds * TICKS as f64);
        let iowait = self.uptime * 0.02 * self.part(1);
        let cpu = |cpu| {
            // The first one has a bit more to do.
            let share = 1.1 - 0.2 * (f64::from(cpu) + 0.5) / f64::from(number);
            let worked = self.worked / f64::from(number) * share;
            Cpu {
                cpu,
                user: ticks(worked * 0.62),
                nice: ticks(worked * 0.02),
                system: ticks(worked * 0.26),
                idle: ticks(self.uptime - worked - iowait),
                iowait: ticks(iowait),
                softirq: ticks(worked * 0.04),
                steal: ticks(worked * 0.06 * self.part(2)),
                ..Cpu::default()
            }
        };
        (0..number).map(cpu).collect()
    }

    pub(super) fn load(&self) -> Load {
        let busy = f64::from(self.guest.settings.cpus) * self.sample.cpu;
        let over = |period: f64| {
            let stream = hash(&[self.guest.stream, whole(period)]);
            let load = 0.02 + busy * (0.8 + 0.5 * walk(stream, self.now, period));
            (load * 100.0).round() / 100.0
        };
        Load {
            load1: over(60.0),
            load5: over(300.0),
            load15: over(900.0),
            tasks_runnable: Some(1 + whole(busy)),
            tasks: Some(self.processes() * 2),
        }
    }

    fn processes(&self) -> u64 {
        90 + whole(120.0 * self.part(3) + 20.0 * walk(self.guest.stream, self.now, 600.0))
    }

    pub(super) fn disks(&self) -> Vec<Disk> {
        let drives = self.guest.block_statistics(&self.sample);
        let disks = drives.into_iter().filter_map(|(drive, counts)| {
            let minor: u32 = drive.name.strip_prefix("scsi")?.parse().ok()?;
            let milliseconds = counts.nanoseconds.map(|all| all / 1_000_000);
            let busy = (milliseconds[0] + milliseconds[1]) / 4;
            Some(Disk {
                device: if minor == 0 { "sda" } else { "sdb" }.to_owned(),
                major: 8,
                minor: minor * 16,
                reads: counts.operations[0],
                sectors_read: counts.bytes[0] / SECTOR,
                read_milliseconds: milliseconds[0],
                writes: counts.operations[1],
                writes_merged: counts.operations[1] / 3,
                sectors_written: counts.bytes[1] / SECTOR,
                write_milliseconds: milliseconds[1],
                busy_milliseconds: busy.min(whole(self.uptime * 1_000.0)),
                weighted_milliseconds: milliseconds[0] + milliseconds[1],
                discards: Some(counts.unmaps),
                sectors_discarded: Some(counts.unmapped_bytes / SECTOR),
                flushes: Some(counts.flushes),
                flush_milliseconds: Some(counts.flush_nanoseconds / 1_000_000),
                ..Disk::default()
            })
        });
        disks.collect()
    }

    fn file_systems(&self) -> Vec<FileSystem> {
        let systems = linux_file_systems(self.guest, self.now);
        let systems = systems.into_iter().map(|system| {
            let inodes = system.privileged / 16_384;
            FileSystem {
                device: format!("/dev/{}", system.name),
                read_only: system.kind == "squashfs",
                size_bytes: Some(system.privileged),
                free_bytes: Some(system.privileged - system.used),
                available_bytes: Some(system.size - system.used),
                inodes: Some(inodes),
                inodes_free: Some(inodes - inodes / 3 * (system.used >> 20) / (1 + (system.size >> 20))),
                mount_point: system.mountpoint,
                kind: system.kind.to_owned(),
                ..FileSystem::default()
            }
        });
        systems.collect()
    }

    fn memory(&self) -> Memory {
        let total = self.guest.settings.memory / 100 * 97 / 1_024;
        let used = (self.sample.memory / 1_024).min(total);
        let cached = used / 10 * (2 + whole(4.0 * self.part(4)));
        let (buffers, slab) = (cached / 12, used / 20);
        let swap = 1 << 20;
        Memory {
            total: Some(total),
            free: Some(total - used),
            available: Some(total - used + cached / 10 * 9),
            buffers: Some(buffers),
            cached: Some(cached - buffers),
            active: Some(used / 2),
            inactive: Some(used / 3),
            swap_cached: Some(0),
            swap_total: Some(swap),
            swap_free: Some(swap - whole(400_000.0 * self.part(5).powi(3))),
            dirty: Some(whole(9_000.0 * walk(self.guest.stream, self.now, 60.0))),
            writeback: Some(0),
            anonymous_pages: Some((used - cached) / 10 * 7),
            mapped: Some(cached / 4),
            shared: Some(cached / 20),
            slab: Some(slab),
            slab_reclaimable: Some(slab / 3 * 2),
            slab_unreclaimable: Some(slab / 3),
            kernel_stack: Some(self.processes() * 16),
            page_tables: Some(used / 150),
            commit_limit: Some(total / 2 + swap),
            committed: Some(used - cached / 2),
            huge_pages_total: Some(0),
            huge_pages_free: Some(0),
            huge_page_size: Some(2_048),
            ..Memory::default()
        }
    }

    /// Everything that a collector tells; its clock is right or has been lost.
    pub(super) fn areas(&self, clock_is_right: bool) -> Areas {
        let cpus = self.cpus();
        let processes = self.processes();
        let packets = self.network().iter().map(|all| all.receive_packets).sum::<u64>();
        Areas {
            kernel: Some(Kernel {
                ticks_per_second: TICKS,
                context_switches: Some(self.count(12, 1_800.0)),
                interrupts: Some(self.count(13, 900.0)),
                forks: Some(self.count(14, 1.2)),
                boot_time_seconds: Some(self.boot / 1_000),
                processes_running: self.load().tasks_runnable,
                processes_blocked: Some(0),
                ..Kernel::default()
            }),
            load: Some(self.load()),
            memory: Some(self.memory()),
            paging: Some(Paging {
                paged_in: Some(self.sample.disk_read >> 10),
                paged_out: Some(self.sample.disk_write >> 10),
                swapped_in: Some(self.count(15, 0.02)),
                swapped_out: Some(self.count(16, 0.05)),
                faults: Some(self.sample.disk_read >> 10),
                major_faults: Some(self.sample.disk_read >> 16),
                oom_kills: Some(if self.guest.vmid.is_multiple_of(7) { 2 } else { 0 }),
            }),
            pressure: Some(Pressure {
                cpu_some: Some(self.count(17, 9_000.0)),
                cpu_full: Some(0),
                memory_some: Some(self.count(18, 600.0)),
                memory_full: Some(self.count(19, 150.0)),
                io_some: Some(self.count(20, 8_000.0)),
                io_full: Some(self.count(21, 2_500.0)),
                ..Pressure::default()
            }),
            processes: Some(Processes {
                processes: Some(processes),
                threads: Some(processes * 2),
                process_limit: Some(32_768),
                thread_limit: Some(15_000),
                files: Some(processes * 9),
                file_limit: Some(1 << 20),
            }),
            sockets: Some(self.sockets()),
            protocols: Some(self.protocols()),
            conntrack: Some(Conntrack {
                entries: Some(20 + processes / 4),
                entry_limit: Some(65_536),
                ..Conntrack::default()
            }),
            entropy: Some(Entropy {
                available_bits: Some(256),
                pool_bits: Some(256),
            }),
            time: Some(time(clock_is_right)),
            users: Some(Users {
                sessions: u64::from(self.guest.vmid % 3),
                users: Some(u64::from(self.guest.vmid % 3)),
            }),
            system: Some(system(&self.guest.settings.name)),
            collector: Some(Collector {
                samples: Some(whole(self.uptime / 10.0)),
                samples_skipped: Some(0),
                requests: Some(self.count(22, 0.05)),
                lines_damaged: Some(0),
                cpu_microseconds: Some(whole(self.uptime * 60.0)),
                resident: Some(1_900),
                ..Collector::default()
            }),
            scheduler: Some(cpus.iter().map(|cpu| self.scheduler(cpu)).collect()),
            softnet: Some(
                cpus.iter()
                    .map(|cpu| softnet(cpu.cpu, packets / cpus.len() as u64))
                    .collect(),
            ),
            cpus: Some(cpus),
            disks: Some(self.disks()),
            file_systems: Some(self.file_systems()),
            network: Some(self.network()),
            interfaces: Some(self.interfaces()),
            ..Areas::default()
        }
    }

    fn scheduler(&self, cpu: &Cpu) -> SchedulerCpu {
        let worked = cpu.user + cpu.nice + cpu.system + cpu.softirq;
        SchedulerCpu {
            cpu: cpu.cpu,
            running_nanoseconds: worked * (1_000_000_000 / TICKS),
            waiting_nanoseconds: worked * (50_000_000 / TICKS),
            timeslices: worked * 3,
        }
    }
}

fn softnet(cpu: u32, processed: u64) -> SoftnetCpu {
    SoftnetCpu {
        cpu,
        processed,
        times_squeezed: processed / 20_000,
        ..SoftnetCpu::default()
    }
}

fn time(is_right: bool) -> Time {
    let (state, status) = if is_right { (0, 0x2001) } else { (5, 0x40) };
    Time {
        state: Some(state),
        status: Some(status),
        offset: Some(42_000),
        frequency: Some(-655_360),
        maximum_error: Some(if is_right { 23_000 } else { 16_000_000 }),
        estimated_error: Some(500),
        loop_time_constant: Some(7),
        tick: Some(10_000),
        tai_offset: Some(37),
        ..Time::default()
    }
}

fn system(name: &str) -> System {
    let text = |text: &str| Some(text.to_owned());
    System {
        id: text("debian"),
        name: text("Debian GNU/Linux"),
        pretty_name: text("Debian GNU/Linux 13 (trixie)"),
        version: text("13 (trixie)"),
        version_codename: text("trixie"),
        version_id: text("13"),
        kernel_name: text("Linux"),
        kernel_release: text("6.12.107+deb13-cloud-amd64"),
        kernel_version: text("#1 SMP PREEMPT_DYNAMIC Debian 6.12.107-1 (2026-08-29)"),
        machine: text("x86_64"),
        host_name: text(name),
        domain_name: text("(none)"),
        virtualization: text("kvm"),
        time_zone: text("UTC"),
        time_zone_offset_seconds: Some(0),
        clock_source: text("kvm-clock"),
        clock_sources: text("kvm-clock tsc hpet acpi_pm"),
        ..System::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{GuestKind, Model};

    const START: Milliseconds = 1_786_800_000_000;

    fn counters(areas: &Areas) -> Vec<u64> {
        let cpus = areas.cpus.iter().flatten();
        let cpus = cpus.flat_map(|cpu| [cpu.user, cpu.system, cpu.idle, cpu.iowait, cpu.steal]);
        let disks = areas.disks.iter().flatten();
        let disks = disks.flat_map(|disk| [disk.reads, disk.sectors_written, disk.busy_milliseconds]);
        let networks = areas.network.iter().flatten();
        let networks = networks.flat_map(|network| [network.receive_bytes, network.transmit_packets]);
        let pressure = areas.pressure.iter().filter_map(|pressure| pressure.io_full);
        cpus.chain(disks).chain(networks).chain(pressure).collect()
    }

    #[test]
    fn counters_only_grow_and_shares_are_shares() {
        for vmid in 100..140 {
            let mut guest = Guest::new(1, vmid, GuestKind::Qemu, 0, Model::plain_settings("web-01"));
            guest.start(START - 86_400_000);
            let mut inside = Inside::of(&guest, START);
            let mut before = counters(&inside.figures(&guest, START).areas(true));
            for step in 1..100 {
                let areas = inside.figures(&guest, START + step * 10_000).areas(true);
                let now = counters(&areas);
                assert!(now.iter().zip(&before).all(|(now, before)| now >= before), "{vmid}");
                before = now;
                let memory = areas.memory.unwrap();
                assert!(memory.free <= memory.available && memory.available <= memory.total);
                for system in areas.file_systems.unwrap() {
                    assert!(system.inodes_free <= system.inodes && system.available_bytes <= system.free_bytes);
                }
                let cpus = areas.cpus.unwrap();
                let ticks: u64 = cpus.iter().map(|cpu| cpu.user + cpu.system + cpu.idle).sum();
                assert!(ticks <= cpus.len() as u64 * (86_400 + step * 10) * TICKS);
            }
        }
    }
}
