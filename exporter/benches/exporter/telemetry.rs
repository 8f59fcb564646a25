//! Guests whose collectors publish: what reading them costs, beside a bare reader that throws the same bytes away.
//!
//! The collectors are another process, so that the CPU time of this one is the readers' alone.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pve_exporter::clock::Clock;
use pve_exporter::config::GuestTelemetry;
use pve_exporter::telemetry::{State, Telemetry, Timing};
use pve_guest_protocol::areas::{
    Cpu, Disk, FileSystem, Interface, Kernel, Load, Memory, NetworkCounters, Paging, Pressure, Processes, Protocols,
    SchedulerCpu, Sockets, SoftnetCpu, System, Time,
};
use pve_guest_protocol::{AreaSet, Areas, BootId, Encoder, Header};

/// The first argument of this program when it plays the collectors.
pub(crate) const AS_COLLECTORS: &str = "collectors";

const GUESTS: u32 = 200;

/// Samples of each guest, ten of which are what comes in 100 s.
const ROUNDS: u32 = 20;

const VMIDS: std::ops::Range<u32> = 100..100 + GUESTS;

/// The collectors, which do what each line of their input says; they end with this value.
struct Collectors {
    child: Child,
    _output: BufReader<std::process::ChildStdout>,
}

impl Collectors {
    fn start(directory: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .arg(AS_COLLECTORS)
            .arg(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        for vmid in VMIDS {
            std::fs::write(directory.join(format!("{vmid}.pid")), child.id().to_string()).unwrap();
        }
        let mut output = BufReader::new(child.stdout.take().unwrap());
        output.read_line(&mut String::new()).unwrap();
        Self { child, _output: output }
    }

    /// Each guest publishes once.
    fn publish(&mut self) {
        self.child.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
}

impl Drop for Collectors {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Plays the collectors of all guests: accepts one connection for each, then publishes whenever a line is read.
pub(crate) fn collectors(directory: &Path) {
    let listeners: Vec<_> = VMIDS
        .map(|vmid| UnixListener::bind(directory.join(format!("{vmid}.telemetry"))).unwrap())
        .collect();
    println!("listening");
    let mut streams: Vec<UnixStream> = listeners.iter().map(|listener| listener.accept().unwrap().0).collect();
    let (areas, mut encoder, mut lines) = (areas(), Encoder::default(), Vec::new());
    for (sequence, _) in (1..).zip(std::io::stdin().lines()) {
        lines.clear();
        let header = Header {
            boot_id: BootId([7; 16]),
            sequence,
            interval_seconds: 10.0,
            ..Header::default()
        };
        encoder.encode(&header, &areas, AreaSet::ALL, None, &mut lines);
        for stream in &mut streams {
            stream.write_all(&lines).unwrap();
        }
    }
}

pub(crate) async fn run() {
    println!("\n== {GUESTS} guests with a collector");
    let directory = tempfile::tempdir().unwrap();
    let mut collectors = Collectors::start(directory.path());
    let before = crate::process::resident("self", "VmRSS");
    let settings = GuestTelemetry {
        directory: directory.path().to_owned(),
        ..GuestTelemetry::default()
    };
    let timing = Timing {
        silence: Duration::from_secs(3600),
        ..Timing::default()
    };
    let telemetry = Telemetry::start_with(&settings, Clock::default(), timing);
    let samples = |telemetry: &Telemetry| {
        let guests = telemetry.guests();
        guests.iter().map(|guest| guest.counts.samples).sum::<u64>()
    };
    // The first round is of connecting and of memory that is kept.
    let mut start = 0.0;
    for round in 0..=ROUNDS {
        if round == 1 {
            start = cpu_seconds();
        }
        collectors.publish();
        let expected = u64::from(GUESTS * (round + 1));
        while samples(&telemetry) < expected {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    let read = (cpu_seconds() - start) / f64::from(GUESTS * ROUNDS);
    let guests = telemetry.guests();
    assert!(guests.iter().all(|guest| guest.state == State::Healthy));
    let bytes = guests.first().unwrap().counts.bytes / u64::from(ROUNDS + 1);
    let resident = crate::process::resident("self", "VmRSS") - before;
    let held = resident * 1024.0 / f64::from(GUESTS);
    // Between samples: it is looked for guests twice, and each is nudged twice.
    let start = cpu_seconds();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let idle = (cpu_seconds() - start) / 10.0;
    telemetry.stop().await;
    drop(collectors);

    let bare = bare_reader().await;
    println!(
        "reading a sample     {:9.3} ms of CPU for {bytes} bytes; read and thrown away {:.3} ms: ratio {:.1}",
        read * 1e3,
        bare * 1e3,
        read / bare
    );
    println!(
        "{GUESTS} guests at 10 s   {:9.2} % of a core, and {:.2} % for watching; {held:.0} kB resident per guest",
        read * f64::from(GUESTS) / 10.0 * 100.0,
        idle * 100.0
    );
}

/// The CPU time for a sample of a reader that throws it away.
async fn bare_reader() -> f64 {
    let directory = tempfile::tempdir().unwrap();
    let mut collectors = Collectors::start(directory.path());
    let total = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
    let mut readers = tokio::task::JoinSet::new();
    for vmid in VMIDS {
        let path = directory.path().join(format!("{vmid}.telemetry"));
        let stream = tokio::net::UnixStream::connect(path).await.unwrap();
        let total = std::sync::Arc::clone(&total);
        readers.spawn(async move {
            let mut bytes = vec![0; 64 * 1024];
            while stream.readable().await.is_ok() {
                while let Ok(length @ 1..) = stream.try_read(&mut bytes) {
                    total.fetch_add(length as u64, std::sync::atomic::Ordering::Relaxed);
                }
            }
        });
    }
    let quiet = async |collectors: &mut Collectors| {
        collectors.publish();
        let (mut last, mut since) = (0, Instant::now());
        while last == 0 || since.elapsed() < Duration::from_millis(200) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let now = total.load(std::sync::atomic::Ordering::Relaxed);
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
    };
    quiet(&mut collectors).await;
    let start = cpu_seconds();
    for _ in 0..ROUNDS {
        quiet(&mut collectors).await;
    }
    let cpu = (cpu_seconds() - start) / f64::from(GUESTS * ROUNDS);
    drop(collectors);
    readers.shutdown().await;
    cpu
}

/// Of this process so far, to the nanosecond.
fn cpu_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let nanoseconds = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<f64>().ok()
    });
    nanoseconds.sum::<f64>() / 1e9
}

/// All areas of a guest with four CPUs, two disks, three file systems and two interfaces.
fn areas() -> Areas {
    let some = Some(123_456_789);
    let text = |text: &str| Some(text.to_owned());
    let rows = 4;
    Areas {
        kernel: Some(Kernel {
            ticks_per_second: 100,
            context_switches: some,
            interrupts: some,
            forks: some,
            boot_time_seconds: some,
            processes_running: Some(2),
            processes_blocked: Some(0),
            ..Kernel::default()
        }),
        load: Some(Load {
            load1: 0.25,
            ..Load::default()
        }),
        memory: Some(full::<Memory>()),
        paging: Some(full::<Paging>()),
        pressure: Some(full::<Pressure>()),
        processes: Some(full::<Processes>()),
        sockets: Some(full::<Sockets>()),
        protocols: Some(full::<Protocols>()),
        time: Some(Time {
            state: Some(0),
            status: Some(8193),
            frequency: Some(-123_456),
            ..Time::default()
        }),
        system: Some(System {
            id: text("debian"),
            pretty_name: text("Debian GNU/Linux 13 (trixie)"),
            kernel_name: text("Linux"),
            kernel_release: text("6.12.41+deb13-amd64"),
            kernel_version: text("#1 SMP PREEMPT_DYNAMIC Debian 6.12.41-1 (2025-08-12)"),
            machine: text("x86_64"),
            host_name: text("web-01"),
            ..System::default()
        }),
        cpus: Some(
            (0..rows)
                .map(|cpu| Cpu {
                    cpu,
                    idle: 98_765_432,
                    user: 1_234_567,
                    system: 345_678,
                    ..Cpu::default()
                })
                .collect(),
        ),
        scheduler: Some(
            (0..rows)
                .map(|cpu| SchedulerCpu {
                    cpu,
                    running_nanoseconds: 123_456_789_012,
                    ..SchedulerCpu::default()
                })
                .collect(),
        ),
        softnet: Some(
            (0..rows)
                .map(|cpu| SoftnetCpu {
                    cpu,
                    processed: 12_345_678,
                    ..SoftnetCpu::default()
                })
                .collect(),
        ),
        disks: Some(
            ["sda", "sdb"]
                .map(|device| Disk {
                    device: device.to_owned(),
                    reads: 1_234_567,
                    sectors_read: 123_456_789,
                    writes: 2_345_678,
                    sectors_written: 234_567_890,
                    flushes: some,
                    ..Disk::default()
                })
                .into(),
        ),
        file_systems: Some(
            ["/", "/var", "/boot/efi"]
                .map(|mount_point| FileSystem {
                    device: "/dev/sda1".to_owned(),
                    mount_point: mount_point.to_owned(),
                    kind: "ext4".to_owned(),
                    size_bytes: Some(64 << 30),
                    free_bytes: Some(32 << 30),
                    available_bytes: Some(30 << 30),
                    inodes: some,
                    inodes_free: some,
                    ..FileSystem::default()
                })
                .into(),
        ),
        network: Some(
            ["lo", "eth0"]
                .map(|interface| NetworkCounters {
                    interface: interface.to_owned(),
                    receive_bytes: 123_456_789_012,
                    transmit_bytes: 12_345_678_901,
                    ..NetworkCounters::default()
                })
                .into(),
        ),
        interfaces: Some(
            ["lo", "eth0"]
                .map(|interface| Interface {
                    interface: interface.to_owned(),
                    operational_state: "up".to_owned(),
                    address: text("bc:24:11:00:00:01"),
                    mtu_bytes: Some(1500),
                    carrier: Some(1),
                    ..Interface::default()
                })
                .into(),
        ),
        ..Areas::default()
    }
}

/// One of which everything is known that is a number.
fn full<T: serde::de::DeserializeOwned + serde::Serialize + Default + Described>() -> T {
    let fields = T::names().map(|name| (name.to_owned(), serde_json::Value::from(12_345_678)));
    serde_json::from_value(serde_json::Value::Object(fields.collect())).unwrap()
}

trait Described {
    fn names() -> impl Iterator<Item = &'static str>;
}

macro_rules! described {
    ($($type:ident)*) => {$(
        impl Described for $type {
            fn names() -> impl Iterator<Item = &'static str> {
                Self::FIELDS.iter().map(|field| field.name)
            }
        }
    )*};
}
described!(Memory Paging Pressure Processes Sockets Protocols);
