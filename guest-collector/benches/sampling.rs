//! What a sample costs, against the floor: the same files kept open and read without a look at them.
//!
//! `cargo bench -p pve-guest-collector --bench sampling` prints CPU time per sample (user and system, of this process) and, where
//! strace is installed, system calls per sample. Both sides run in turns of a few samples in one process, so that a busy machine
//! slows both.

#![expect(clippy::print_stdout, reason = "the figures are its purpose")]

#[cfg(target_os = "linux")]
fn main() {
    linux::main();
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
mod linux {
    use std::fs::File;
    use std::hint::black_box;
    use std::process::Command;
    use std::time::{Duration, Instant};

    use procfs::{Current, CurrentSI};
    use pve_guest_collector::samplers::{Roots, Sampler};
    use pve_guest_protocol::{Area, AreaSet};

    /// Samples of each side; the first of each are not counted.
    const SAMPLES: u32 = 400;
    const WARM_UP: u32 = 20;
    /// The time between two samples as far as the sampler knows: slow areas come as often as they would at this pace.
    const INTERVAL: Duration = Duration::from_secs(1);
    const SIX: [Area; 7] = [
        Area::Kernel,
        Area::Cpus,
        Area::Memory,
        Area::Disks,
        Area::Network,
        Area::Load,
        Area::FileSystems,
    ];
    const FILES_OF_SIX: [&str; 5] = [
        "/proc/stat",
        "/proc/meminfo",
        "/proc/diskstats",
        "/proc/net/dev",
        "/proc/loadavg",
    ];
    const FILES_OF_ALL: [&str; 21] = [
        "/proc/stat",
        "/proc/meminfo",
        "/proc/diskstats",
        "/proc/net/dev",
        "/proc/loadavg",
        "/proc/vmstat",
        "/proc/net/netstat",
        "/proc/net/snmp",
        "/proc/net/snmp6",
        "/proc/net/sockstat",
        "/proc/net/sockstat6",
        "/proc/net/softnet_stat",
        "/proc/net/arp",
        "/proc/net/udp",
        "/proc/net/udp6",
        "/proc/schedstat",
        "/proc/pressure/cpu",
        "/proc/pressure/io",
        "/proc/pressure/memory",
        "/proc/sys/fs/file-nr",
        "/proc/sys/kernel/random/entropy_avail",
    ];

    trait Side {
        fn sample(&mut self);
    }

    struct Floor {
        files: Vec<File>,
        buffer: Vec<u8>,
    }

    impl Floor {
        fn new(paths: &[&str]) -> Self {
            Self {
                files: paths.iter().filter_map(|path| File::open(path).ok()).collect(),
                buffer: vec![0; 64 * 1024],
            }
        }
    }

    impl Side for Floor {
        fn sample(&mut self) {
            for file in &self.files {
                black_box(rustix::io::pread(file, &mut *self.buffer, 0)).ok();
            }
            black_box(rustix::fs::statvfs("/")).ok();
        }
    }

    struct Ours {
        sampler: Sampler,
        now: Instant,
        step: Duration,
    }

    impl Ours {
        fn new(areas: AreaSet, step: Duration) -> Self {
            Self {
                sampler: Sampler::new(&Roots::default(), areas),
                now: Instant::now(),
                step,
            }
        }
    }

    impl Side for Ours {
        fn sample(&mut self) {
            self.now += self.step;
            let due = self.sampler.due(self.now);
            black_box(self.sampler.sample(due, self.now));
        }
    }

    /// The six by the crate procfs, which has no kept files.
    struct ByProcfs;

    impl Side for ByProcfs {
        fn sample(&mut self) {
            black_box(procfs::KernelStats::current()).ok();
            black_box(procfs::Meminfo::current()).ok();
            black_box(procfs::diskstats()).ok();
            black_box(procfs::net::dev_status()).ok();
            black_box(procfs::LoadAverage::current()).ok();
            black_box(rustix::fs::statvfs("/")).ok();
        }
    }

    pub(super) fn main() {
        // The traced run of this program, which does one side only.
        if let Some(name) = std::env::var_os("SAMPLING_SIDE") {
            let samples = std::env::var("SAMPLING_SAMPLES")
                .ok()
                .and_then(|samples| samples.parse().ok())
                .unwrap_or(0);
            let mut side = side(&name.to_string_lossy());
            for _ in 0..samples {
                side.sample();
            }
            return;
        }
        println!(
            "{:<34} {:>12} {:>10} {:>14}",
            "one sample of", "CPU, ms", "of floor", "system calls"
        );
        for names in [
            ["floor of six", "six", "six by procfs"],
            ["floor of all", "all", "all at 10 s"],
        ] {
            let costs = costs(names.map(side));
            for (name, cost) in names.into_iter().zip(costs) {
                print(name, cost, costs[0]);
            }
        }
        for area in Area::ALL.iter().filter(|area| **area != Area::Collector) {
            let [cost] = costs([Box::new(Ours::new(AreaSet::NONE.with(*area), 10 * INTERVAL))]);
            println!("  {:<32} {:>12.4}", area.name(), cost);
        }
    }

    fn side(name: &str) -> Box<dyn Side> {
        match name {
            "six" => Box::new(Ours::new(SIX.into_iter().collect(), INTERVAL)),
            "all" => Box::new(Ours::new(AreaSet::ALL, INTERVAL)),
            "all at 10 s" => Box::new(Ours::new(AreaSet::ALL, 10 * INTERVAL)),
            "six by procfs" => Box::new(ByProcfs),
            "floor of six" => Box::new(Floor::new(&FILES_OF_SIX)),
            _ => Box::new(Floor::new(&FILES_OF_ALL)),
        }
    }

    fn print(name: &str, cost: f64, least: f64) {
        let calls = system_calls(name).map_or("no strace".into(), |calls| format!("{calls:.1}"));
        println!("{name:<34} {cost:>12.4} {:>10.2} {calls:>14}", cost / least);
    }

    /// CPU milliseconds per sample of each side, in turns.
    fn costs<const SIDES: usize>(mut sides: [Box<dyn Side>; SIDES]) -> [f64; SIDES] {
        const TURN: u32 = 20;
        let mut totals = [Duration::ZERO; SIDES];
        for turn in 0..(WARM_UP + SAMPLES) / TURN {
            for (side, total) in sides.iter_mut().zip(&mut totals) {
                let before = cpu_time();
                (0..TURN).for_each(|_| side.sample());
                if turn * TURN >= WARM_UP {
                    *total += cpu_time() - before;
                }
            }
        }
        totals.map(|total| total.as_secs_f64() * 1000.0 / f64::from(SAMPLES))
    }

    fn cpu_time() -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
    }

    /// What a hundred samples more call, by strace's count.
    fn system_calls(side: &str) -> Option<f64> {
        let count = |samples: u32| {
            let output = tempfile::NamedTempFile::new().ok()?;
            let status = Command::new("strace")
                .args(["-f", "-c", "-U", "calls,name", "-o"])
                .arg(output.path())
                .arg(std::env::current_exe().ok()?)
                .env("SAMPLING_SIDE", side)
                .env("SAMPLING_SAMPLES", samples.to_string())
                .status()
                .ok()?;
            let summary = std::fs::read_to_string(output.path()).ok()?;
            let total = summary.lines().find(|line| line.trim_end().ends_with(" total"))?;
            status
                .success()
                .then(|| total.split_whitespace().next()?.parse::<f64>().ok())?
        };
        Some((count(240)? - count(40)?) / 200.0)
    }
}
