//! The samplers over records of machines that are not here: `tests/trees`, and some that are made up on the way.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use pve_guest_collector::samplers::{Ask, Roots, Sampler, Usage};
use pve_guest_protocol::areas::{FileSystem, FileSystemError};
use pve_guest_protocol::{Area, AreaSet, Areas, Encoder, Header, MAX_LINE_BYTES};

const TREES: [&str; 4] = ["alpine", "debian-12", "debian-12-guest", "linux-3.10"];

fn tree(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees").join(name)
}

/// What the record cannot hold: the clock, which is this machine's.
fn recorded() -> AreaSet {
    let mut areas = AreaSet::ALL;
    areas.remove(Area::Time);
    areas
}

/// File systems of a size that follows from their path. One refuses.
fn ask() -> Ask {
    Arc::new(|path| {
        let length = path.as_os_str().len() as u64;
        match path.to_str() {
            Some("/boot") => Err(FileSystemError::Denied),
            _ => Ok(Usage {
                block_size: 4096,
                blocks: 1000 * length,
                blocks_free: 500 * length,
                blocks_available: 400 * length,
                inodes: 100 * length,
                inodes_free: 50 * length,
            }),
        }
    })
}

fn sampler(root: &Path) -> Sampler {
    Sampler::asking(&Roots::below(root), recorded(), ask())
}

fn whole_sample(sampler: &mut Sampler) -> Areas {
    sampler.sample(AreaSet::ALL, Instant::now()).clone()
}

/// One value per line, without what is absent.
fn written(mut areas: Areas) -> String {
    // Of the machine that reads the record: its architecture, and what its file system says of directories.
    if let Some(system) = &mut areas.system {
        system.machine = None;
    }
    if let Some(processes) = &mut areas.processes {
        processes.processes = None;
    }
    if let Some(sockets) = &mut areas.sockets {
        sockets.page_bytes = None;
    }
    let mut text = String::new();
    for line in format!("{areas:#?}").lines().filter(|line| !line.ends_with(": None,")) {
        writeln!(text, "{line}").unwrap();
    }
    // Some(\n 1,\n ) on one line.
    let mut short = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        short.push_str(line);
        if line.ends_with(": Some(") {
            let value = lines.next().unwrap_or_default();
            if value.ends_with(',') && lines.peek().is_some_and(|end| end.trim() == "),") {
                lines.next();
                short.push_str(value.trim().trim_end_matches(','));
                short.push_str("),");
            } else {
                short.push('\n');
                short.push_str(value);
            }
        }
        short.push('\n');
    }
    short
}

#[test]
fn records_of_machines_are_read_as_they_were_reviewed() {
    for name in TREES {
        let found = written(whole_sample(&mut sampler(&tree(name))));
        let golden = tree(name).with_added_extension("golden");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&golden, &found).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap();
        assert!(
            found == expected,
            "{name} differs from {}: run with UPDATE=1 and read the difference",
            golden.display()
        );
    }
}

#[test]
fn what_a_kernel_lacks_is_absent_and_said_to_be() {
    let absent = |name: &str| {
        let mut sampler = sampler(&tree(name));
        let areas = whole_sample(&mut sampler);
        (areas, sampler.failed())
    };
    let (old, failed) = absent("linux-3.10");
    assert_eq!(old.memory.unwrap().available, None);
    assert_eq!(old.paging.as_ref().unwrap().oom_kills, None);
    assert!(old.paging.unwrap().major_faults.is_some());
    assert!(
        old.disks
            .unwrap()
            .iter()
            .all(|disk| disk.discards.is_none() && disk.flushes.is_none())
    );
    assert_eq!(old.sockets.unwrap().tcp6_in_use, None);
    let lacks: AreaSet = [Area::Pressure, Area::UdpQueues].into_iter().collect();
    assert_eq!(failed, lacks);
    let (alpine, _) = absent("alpine");
    assert_eq!(alpine.conntrack, None);
    assert_eq!(alpine.scheduler, None);
}

#[test]
fn an_area_that_is_off_or_not_asked_for_is_not_read() {
    let only: AreaSet = [Area::Load, Area::Cpus].into_iter().collect();
    let mut sampler = Sampler::asking(&Roots::below(tree("debian-12")), only, ask());
    assert_eq!(sampler.sample(AreaSet::ALL, Instant::now()).present(), only);
    let cpus = AreaSet::NONE.with(Area::Cpus);
    assert_eq!(sampler.sample(cpus, Instant::now()).present(), cpus);
    assert_eq!(
        sampler
            .sample(AreaSet::NONE.with(Area::Memory), Instant::now())
            .present(),
        AreaSet::NONE
    );
    assert_eq!(sampler.failed(), AreaSet::NONE);
}

#[test]
fn slow_areas_come_first_and_then_by_the_minute() {
    let mut sampler = sampler(&tree("debian-12"));
    let start = Instant::now();
    let is_due = |sampler: &mut Sampler, second, area| sampler.due(start + Duration::from_secs(second)).contains(area);
    assert_eq!(sampler.due(start), sampler.enabled());
    assert!(!is_due(&mut sampler, 5, Area::System));
    assert!(is_due(&mut sampler, 10, Area::Interfaces));
    assert!(!is_due(&mut sampler, 11, Area::Interfaces));
    assert!(is_due(&mut sampler, 60, Area::System));
    assert!(!is_due(&mut sampler, 70, Area::System));
    sampler.forget();
    assert!(is_due(&mut sampler, 71, Area::System));
    assert!(is_due(&mut sampler, 72, Area::Load));
}

/// A tree that is made up and changed by a test.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, path: &str, contents: impl AsRef<[u8]>) {
        let path = self.0.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        // In place, as the kernel's files change: open ones see it.
        std::fs::write(path, contents).unwrap();
    }

    fn sampler(&self) -> Sampler {
        sampler(self.0.path())
    }
}

fn stat(cpus: impl Iterator<Item = usize>) -> String {
    let mut text = "cpu  1 1 1 1 1 1 1 1 1 1\n".to_owned();
    for cpu in cpus {
        writeln!(text, "cpu{cpu} {cpu} 2 3 4 5 6 7 8 9 10").unwrap();
    }
    writeln!(text, "intr 5{}\nctxt 9\n", " 0".repeat(20_000)).unwrap();
    text
}

fn diskstats(disks: impl Iterator<Item = usize>) -> String {
    let mut text = String::new();
    for disk in disks {
        writeln!(
            text,
            " 8 {disk} dm-{disk} {disk} 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17"
        )
        .unwrap();
    }
    text
}

#[test]
fn a_machine_with_256_cpus_and_500_disks() {
    let machine = Machine::new();
    machine.write("proc/stat", stat(0..256));
    machine.write("proc/diskstats", diskstats(0..500));
    let mut sampler = machine.sampler();
    let areas = whole_sample(&mut sampler);
    let (cpus, disks) = (areas.cpus.as_ref().unwrap(), areas.disks.as_ref().unwrap());
    assert!(
        cpus.len() == 256
            && cpus
                .iter()
                .zip(0..)
                .all(|(row, cpu)| row.cpu == cpu && row.user == u64::from(cpu))
    );
    assert!(
        disks.len() == 500
            && disks
                .iter()
                .zip(0..)
                .all(|(row, disk)| row.device == format!("dm-{disk}") && row.reads == disk)
    );
    let mut lines = Vec::new();
    let encoded = Encoder::default().encode(&Header::default(), &areas, AreaSet::ALL, None, &mut lines);
    assert!(encoded.lines > 3 && encoded.omitted == 0);
    assert!(
        lines
            .split_inclusive(|byte| *byte == b'\n')
            .all(|line| line.len() <= MAX_LINE_BYTES)
    );
}

#[test]
fn cpus_disks_and_interfaces_come_and_go() {
    let machine = Machine::new();
    let header = "Inter-|   Receive\n face |bytes\n";
    let interface = |name: &str| format!("{name}: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
    let mut sampler = machine.sampler();
    let mut sample = |cpus: &[usize], disks: &[usize], interfaces: &[&str]| {
        machine.write("proc/stat", stat(cpus.iter().copied()));
        machine.write("proc/diskstats", diskstats(disks.iter().copied()));
        let rows: String = interfaces.iter().map(|name| interface(name)).collect();
        machine.write("proc/net/dev", format!("{header}{rows}"));
        let areas = whole_sample(&mut sampler);
        let found: Vec<_> = areas.cpus.unwrap().iter().map(|row| row.cpu as usize).collect();
        assert_eq!(found, cpus);
        let found: Vec<_> = areas.disks.unwrap().into_iter().map(|row| row.device).collect();
        assert_eq!(found, disks.iter().map(|disk| format!("dm-{disk}")).collect::<Vec<_>>());
        let found: Vec<_> = areas.network.unwrap().into_iter().map(|row| row.interface).collect();
        assert_eq!(found, interfaces);
    };
    sample(&[0, 1, 2, 3], &[0, 1], &["lo", "eth0"]);
    sample(&[0, 2], &[1, 7], &["lo", "eth1", "eth0"]);
    sample(&[0, 1, 2], &[], &["eth0"]);
    sample(&[0, 1, 2, 3], &[0, 1, 2], &["eth0", "eth0.5", "lo"]);
}

#[test]
fn a_counter_of_unhandled_packets_stays_with_its_interface() {
    let machine = Machine::new();
    let row = |name: &str| format!("{name}: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n");
    machine.write("sys/class/net/eth0/statistics/rx_nohandler", "10\n");
    machine.write("sys/class/net/eth1/statistics/rx_nohandler", "11\n");
    let mut sampler = machine.sampler();
    let mut unhandled = |names: &[&str]| {
        let rows: String = names.iter().map(|name| row(name)).collect();
        machine.write("proc/net/dev", format!("\n\n{rows}"));
        let network = whole_sample(&mut sampler).network.unwrap();
        network.iter().map(|row| row.receive_no_handler).collect::<Vec<_>>()
    };
    assert_eq!(unhandled(&["eth0", "eth1", "lo"]), [Some(10), Some(11), None]);
    assert_eq!(unhandled(&["lo", "eth1"]), [None, Some(11)]);
    assert_eq!(unhandled(&["eth1", "eth0"]), [Some(11), Some(10)]);
}

/// Whatever is cut off at the end of a file is absent; what is left is what it was.
#[test]
fn a_file_that_is_cut_anywhere_never_gives_another_value() {
    let source = tree("debian-12");
    let machine = Machine::new();
    let cut_files: [(&str, Area); 7] = [
        ("proc/stat", Area::Cpus),
        ("proc/diskstats", Area::Disks),
        ("proc/net/dev", Area::Network),
        ("proc/meminfo", Area::Memory),
        ("proc/loadavg", Area::Load),
        ("proc/net/sockstat", Area::Sockets),
        ("proc/self/mountinfo", Area::FileSystems),
    ];
    for (file, area) in cut_files {
        let contents = std::fs::read(source.join(file)).unwrap();
        machine.write(file, &contents);
        let mut sampler = Sampler::asking(&Roots::below(machine.0.path()), AreaSet::NONE.with(area), ask());
        let whole = values(sampler.sample(AreaSet::ALL, Instant::now()));
        assert!(!whole.is_empty(), "{file}");
        for length in (0..contents.len()).step_by(5) {
            machine.write(file, &contents[..length]);
            // Mounts are read again after a minute at the latest.
            let now = Instant::now() + Duration::from_secs(100 * length as u64);
            let cut = values(sampler.sample(AreaSet::ALL, now));
            let invented = cut.iter().find(|value| !whole.contains(value));
            assert_eq!(invented, None, "{file} cut at {length}");
        }
    }
}

/// The lines of text of all values; numbers of one row cannot be told from those of another, which a cut does not mix up.
fn values(areas: &Areas) -> Vec<String> {
    let text = written(areas.clone());
    text.lines()
        .map(str::trim)
        .filter(|line| line.contains(": "))
        .filter(|line| !line.ends_with(['(', '[', '{']) && !line.ends_with("([]),"))
        .map(Into::into)
        .collect()
}

/// A file system that answers when it is let go, as a dead mount of NFS does when its server is back.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    asked: AtomicUsize,
}

impl Gate {
    fn ask(self: &Arc<Self>, hanging: &'static str) -> Ask {
        let (gate, answer) = (Arc::clone(self), ask());
        Arc::new(move |path| {
            if path == Path::new(hanging) {
                gate.asked.fetch_add(1, Ordering::SeqCst);
                let mut is_open = gate.is_open.lock().unwrap();
                while !*is_open {
                    is_open = gate.opened.wait(is_open).unwrap();
                }
            }
            answer(path)
        })
    }

    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

fn eventually(mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < until, "not in twenty seconds");
        std::thread::yield_now();
    }
}

fn file_system<'a>(areas: &'a Areas, mount_point: &str) -> &'a FileSystem {
    areas
        .file_systems
        .as_ref()
        .unwrap()
        .iter()
        .find(|row| row.mount_point == mount_point)
        .unwrap()
}

#[test]
fn a_dead_mount_stops_nothing_and_is_back_when_it_answers() {
    let gate = Arc::new(Gate::default());
    let mut sampler = Sampler::asking(
        &Roots::below(tree("linux-3.10")),
        recorded(),
        gate.ask("/srv/team share"),
    );
    for _ in 0..5 {
        let areas = whole_sample(&mut sampler);
        let dead = file_system(&areas, "/srv/team share");
        assert_eq!((dead.size_bytes, dead.error), (None, Some(FileSystemError::Timeout)));
        assert_eq!(file_system(&areas, "/").error, None);
    }
    assert_eq!(gate.asked.load(Ordering::SeqCst), 1, "one question at a time");
    // It is waited for once only: a hundred samples would take ten seconds and more.
    let start = Instant::now();
    for _ in 0..100 {
        sampler.sample(AreaSet::NONE.with(Area::FileSystems), Instant::now());
    }
    assert!(start.elapsed() < Duration::from_secs(5));
    gate.open();
    eventually(|| {
        file_system(&whole_sample(&mut sampler), "/srv/team share")
            .size_bytes
            .is_some()
    });
    assert_eq!(file_system(&whole_sample(&mut sampler), "/srv/team share").error, None);
}

fn network_mounts(count: usize) -> String {
    (0..count)
        .map(|mount| format!("{mount} 0 0:{mount} / /srv/{mount:02} rw - nfs filer:/srv/{mount} rw\n"))
        .collect()
}

fn answered(sampler: &mut Sampler) -> usize {
    let rows = whole_sample(sampler).file_systems.unwrap();
    rows.iter().filter(|row| row.error.is_none()).count()
}

#[test]
fn many_network_mounts_that_answer_are_all_told() {
    let machine = Machine::new();
    machine.write("proc/self/mountinfo", network_mounts(40));
    let mut sampler = machine.sampler();
    eventually(|| answered(&mut sampler) == 40);
    eventually(|| answered(&mut sampler) == 40);
}

#[test]
fn dead_mounts_hold_no_threads_but_their_own() {
    let machine = Machine::new();
    machine.write("proc/self/mountinfo", network_mounts(40));
    let gate = Arc::new(Gate::default());
    let (dead, alive) = (gate.ask("dead"), ask());
    let ask: Ask = Arc::new(move |path| match path.to_str() {
        Some(name) if name < "/srv/15" => dead(Path::new("dead")),
        _ => alive(path),
    });
    let without_threads = Arc::strong_count(&ask) + 1;
    let mut sampler = Sampler::asking(&Roots::below(machine.0.path()), recorded(), Arc::clone(&ask));
    eventually(|| answered(&mut sampler) == 25);
    assert_eq!(gate.asked.load(Ordering::SeqCst), 15);
    gate.open();
    eventually(|| answered(&mut sampler) == 40);
    // One waits for the next sample.
    eventually(|| Arc::strong_count(&ask) <= without_threads + 1);
}

#[test]
fn a_dead_mount_that_is_unmounted_leaves_no_thread() {
    let line = |kind: &str| format!("1 0 0:9 / /srv rw - {kind} filer:/srv rw\n2 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
    let machine = Machine::new();
    machine.write("proc/self/mountinfo", line("nfs"));
    let gate = Arc::new(Gate::default());
    let ask = gate.ask("/srv");
    let mut sampler = Sampler::asking(&Roots::below(machine.0.path()), recorded(), Arc::clone(&ask));
    let start = Instant::now();
    let rows = |sampler: &mut Sampler, second| {
        let areas = sampler.sample(AreaSet::ALL, start + Duration::from_secs(second));
        areas
            .file_systems
            .as_ref()
            .unwrap()
            .iter()
            .map(|row| row.mount_point.clone())
            .collect::<Vec<_>>()
    };
    let without_threads = Arc::strong_count(&ask);
    assert_eq!(rows(&mut sampler, 0), ["/srv", "/"]);
    assert_eq!(Arc::strong_count(&ask), without_threads + 1);
    machine.write("proc/self/mountinfo", "2 0 8:1 / / rw - ext4 /dev/sda1 rw\n");
    assert_eq!(rows(&mut sampler, 60), ["/"]);
    assert_eq!(Arc::strong_count(&ask), without_threads + 1, "it still hangs");
    gate.open();
    eventually(|| {
        rows(&mut sampler, 61);
        Arc::strong_count(&ask) == without_threads
    });
}

#[test]
fn many_dead_mounts_take_few_threads() {
    let machine = Machine::new();
    machine.write("proc/self/mountinfo", network_mounts(100));
    let asked = Arc::new(AtomicUsize::new(0));
    let gate = Arc::new(Gate::default());
    let (count, hang) = (Arc::clone(&asked), gate.ask("hanging"));
    let ask: Ask = Arc::new(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        hang(Path::new("hanging"))
    });
    let mut sampler = Sampler::asking(&Roots::below(machine.0.path()), recorded(), ask);
    for _ in 0..3 {
        let rows = whole_sample(&mut sampler).file_systems.unwrap();
        assert_eq!(rows.len(), 100);
        assert!(rows.iter().all(|row| row.error == Some(FileSystemError::Timeout)));
    }
    assert!(asked.load(Ordering::SeqCst) <= 16);
    gate.open();
}

#[test]
fn samples_of_this_machine_allocate_nothing_once_warm() {
    let six = [
        Area::Kernel,
        Area::Cpus,
        Area::Memory,
        Area::Disks,
        Area::Network,
        Area::Load,
        Area::FileSystems,
    ];
    let mut sampler = Sampler::new(&Roots::default(), six.into_iter().collect());
    let warm = (0..50).any(|_| {
        let count = allocation_counter::measure(|| {
            sampler.sample(AreaSet::ALL, Instant::now());
        });
        count.count_total == 0
    });
    assert!(warm);
    assert_eq!(sampler.failed(), AreaSet::NONE);
    let areas = sampler.sample(AreaSet::ALL, Instant::now());
    assert!(!areas.cpus.as_ref().unwrap().is_empty() && areas.memory.as_ref().unwrap().total.is_some());
    assert!(areas.network.as_ref().unwrap().iter().any(|row| row.interface == "lo"));
}
