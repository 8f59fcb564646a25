//! `/nodes/{node}/qemu?full=1`: drives, pressure, balloon and QEMU version of the virtual machines of one node.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::config::GuestKind;
use crate::metrics::labels::Identity;
use crate::pve::api::node_qemu::{BalloonInfo, BlockStat, Row, decode};
use crate::pve::budget::Cost;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::pve::perl::EntryList;
use crate::sources::counters::Run;
use crate::sources::devices::Devices;
use crate::sources::guest_memory::{GuestMemory, device_identity, identity};
use crate::subjects::guest::GuestKey;
use crate::subjects::guest_balloon::GuestBalloon;
use crate::subjects::guest_drive::GuestDrive;
use crate::subjects::guest_machine::GuestMachine;
use crate::subjects::guest_pressure::{GuestPressure, Percent};

/// QEMU's monitors are asked.
pub const COST: Cost = Cost::Slow;

/// The running virtual machines of one node, each list sorted by guest.
#[derive(Debug, Default)]
pub struct NodeQemu {
    /// Their drives; none of a machine whose monitor was silent.
    pub drives: Arc<[GuestDrive]>,
    /// The pressure on them.
    pub pressures: Arc<[GuestPressure]>,
    /// QEMU and the size of the balloon.
    pub machines: Arc<[GuestMachine]>,
    /// Statistics of the balloon driver.
    pub balloons: Arc<[GuestBalloon]>,
    /// Rows and drives that could not be read.
    pub damaged_rows: u64,
}

/// What is remembered from one answer to the next; one for all nodes of a cluster.
pub type Memory = GuestMemory<Remembered>;

/// What is remembered of a virtual machine.
#[derive(Debug)]
pub struct Remembered {
    identity: Identity,
    run: Run,
    drives: Devices<DRIVE_COUNTERS>,
    version: Arc<str>,
    machine: Arc<str>,
}

const DRIVE_COUNTERS: usize = 9;

/// Reads it.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(
    client: &Client,
    node: &Arc<str>,
    cluster: &str,
    memory: &Mutex<Memory>,
    now: Instant,
) -> Result<NodeQemu, ApiError> {
    let request = Request::node(node, "qemu?full=1", COST);
    let answer = client.get(&request).await?;
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    answer.decode(&request.path, |body| convert(body, node, cluster, &mut memory, now))
}

/// Turns a body into subjects.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(
    body: &[u8],
    node: &Arc<str>,
    cluster: &str,
    memory: &mut Memory,
    now: Instant,
) -> Result<NodeQemu, DecodeError> {
    let mut rows = Rows::default();
    // A second row of one machine would be a second series of one name.
    let mut seen = HashSet::new();
    let damaged = decode(body, |row| {
        let vmid = row.vmid.and_then(|vmid| u32::try_from(vmid).ok());
        let Some(vmid) = vmid.filter(|vmid| seen.insert(*vmid)) else {
            rows.unusable += 1;
            return;
        };
        let guest = (GuestKind::Qemu, vmid);
        if row.status == "running" {
            let remembered = memory.seen(guest, now, || Remembered::new(cluster, guest));
            rows.add(row, guest, node, cluster, remembered);
        } else {
            memory.remove(guest);
        }
    })?;
    memory.forget(now);
    Ok(rows.sorted(damaged))
}

#[derive(Default)]
struct Rows {
    drives: Vec<GuestDrive>,
    pressures: Vec<GuestPressure>,
    machines: Vec<GuestMachine>,
    balloons: Vec<GuestBalloon>,
    unusable: u64,
}

impl Rows {
    fn add(&mut self, row: Row<'_>, guest: GuestKey, node: &Arc<str>, cluster: &str, remembered: &mut Remembered) {
        if !remembered.run.continues(node, row.uptime) {
            remembered.drives = Devices::default();
        }
        let identity = &remembered.identity;
        let percent = Percent {
            cpu_some: row.pressurecpusome,
            cpu_full: row.pressurecpufull,
            io_some: row.pressureiosome,
            io_full: row.pressureiofull,
            memory_some: row.pressurememorysome,
            memory_full: row.pressurememoryfull,
        };
        if percent != Percent::default() {
            self.pressures.push(GuestPressure {
                identity: identity.clone(),
                guest,
                percent,
            });
        }
        self.balloons.extend(balloon(&row.ballooninfo, guest, identity));
        let balloon_size = row.ballooninfo.actual.or(row.balloon);
        // Where QEMU does not tell its version PVE says so, and guesses the machine type.
        let (version, machine) = match &*row.running_qemu {
            "unknown" => ("", ""),
            version => (version, &*row.running_machine),
        };
        if balloon_size.is_some() || !version.is_empty() {
            self.machines.push(GuestMachine {
                identity: identity.clone(),
                guest,
                version: keep(&mut remembered.version, version),
                machine: keep(&mut remembered.machine, machine),
                balloon_size,
            });
        }
        // No drives at all are those of a silent monitor: what is remembered of them stays for when it speaks again.
        if !row.blockstat.is_empty() {
            self.add_drives(row.blockstat, guest, cluster, &mut remembered.drives);
        }
    }

    fn add_drives(
        &mut self,
        entries: EntryList<'_, BlockStat>,
        guest: GuestKey,
        cluster: &str,
        remembered: &mut Devices<DRIVE_COUNTERS>,
    ) {
        let all = entries.len();
        let readings: Vec<_> = entries
            .into_iter()
            .filter_map(|(name, drive)| Some((name, counters(&drive?))))
            .collect();
        self.unusable += (all - readings.len()) as u64;
        remembered.read(
            readings,
            |name| device_identity(cluster, guest, "drive", name),
            |identity, counters| {
                // A CD drive without a medium has never done anything.
                if counters.iter().any(|value| value.is_some_and(|value| value > 0)) {
                    self.drives.push(drive(identity, guest, counters));
                }
            },
        );
    }

    fn sorted(mut self, damaged: u64) -> NodeQemu {
        // Stable: the drives of a guest are sorted by name.
        self.drives.sort_by_key(|row| row.guest);
        self.pressures.sort_unstable_by_key(|row| row.guest);
        self.machines.sort_unstable_by_key(|row| row.guest);
        self.balloons.sort_unstable_by_key(|row| row.guest);
        NodeQemu {
            drives: self.drives.into(),
            pressures: self.pressures.into(),
            machines: self.machines.into(),
            balloons: self.balloons.into(),
            damaged_rows: damaged + self.unusable,
        }
    }
}

impl Remembered {
    fn new(cluster: &str, guest: GuestKey) -> Self {
        Self {
            identity: identity(cluster, guest),
            run: Run::default(),
            drives: Devices::default(),
            version: Arc::default(),
            machine: Arc::default(),
        }
    }
}

fn keep(known: &mut Arc<str>, text: &str) -> Arc<str> {
    if **known != *text {
        *known = text.into();
    }
    Arc::clone(known)
}

/// The counters of a drive, in the order in which [`drive`] takes them.
fn counters(drive: &BlockStat) -> [Option<u64>; DRIVE_COUNTERS] {
    [
        drive.rd_bytes,
        drive.wr_bytes,
        drive.rd_operations,
        drive.wr_operations,
        drive.flush_operations,
        drive.rd_total_time_ns,
        drive.wr_total_time_ns,
        drive.flush_total_time_ns,
        failed(drive),
    ]
}

fn failed(drive: &BlockStat) -> Option<u64> {
    drive
        .failed_rd_operations?
        .checked_add(drive.failed_wr_operations?)?
        .checked_add(drive.failed_flush_operations?)?
        .checked_add(drive.failed_unmap_operations.unwrap_or(0))
}

fn drive(identity: &Identity, guest: GuestKey, counters: [Option<u64>; DRIVE_COUNTERS]) -> GuestDrive {
    let [
        read_bytes,
        written_bytes,
        reads,
        writes,
        flushes,
        read_nanoseconds,
        write_nanoseconds,
        flush_nanoseconds,
        failed_operations,
    ] = counters;
    GuestDrive {
        identity: identity.clone(),
        guest,
        read_bytes,
        written_bytes,
        reads,
        writes,
        flushes,
        read_nanoseconds,
        write_nanoseconds,
        flush_nanoseconds,
        failed_operations,
    }
}

/// The counters are those of the guest's kernel, which a reboot inside the guest sets back while QEMU goes on: they are taken
/// as they come.
fn balloon(told: &BalloonInfo, guest: GuestKey, identity: &Identity) -> Option<GuestBalloon> {
    let last_update = told.last_update.filter(|time| *time > 0)?;
    Some(GuestBalloon {
        identity: identity.clone(),
        guest,
        total: told.total_mem,
        free: told.free_mem,
        swapped_in: told.mem_swapped_in,
        swapped_out: told.mem_swapped_out,
        major_faults: told.major_page_faults,
        minor_faults: told.minor_page_faults,
        last_update: Some(last_update),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::table::{Sample, Subject, Value};

    const RECORDED: &[u8] = include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__qemu@full=1.json");
    const CONSTRUCTED_9: &[u8] = include_bytes!("../../tests/fixtures/pve-9/nodes__pve1__qemu@full=1.json");
    const CONSTRUCTED_8: &[u8] = include_bytes!("../../tests/fixtures/pve-8/nodes__pve1__qemu@full=1.json");

    /// A cluster that is asked once a minute.
    struct Asked {
        memory: Memory,
        now: Instant,
    }

    impl Asked {
        fn new() -> Self {
            Self {
                memory: Memory::default(),
                now: Instant::now(),
            }
        }

        fn answer(&mut self, node: &str, body: &[u8]) -> NodeQemu {
            self.now += Duration::from_secs(60);
            convert(body, &node.into(), "main", &mut self.memory, self.now).unwrap()
        }

        /// One machine with the drive `scsi0` that has read `bytes` and failed 1, 2, 3 and 4 times; silent without.
        fn read_bytes(&mut self, node: &str, uptime: u64, bytes: Option<u64>) -> Option<u64> {
            let blockstat = bytes.map(|bytes| {
                format!(r#","blockstat":{{"scsi0":{{"rd_bytes":{bytes},"failed_rd_operations":1,"failed_wr_operations":2,"failed_flush_operations":3,"failed_unmap_operations":"4"}}}}"#)
            });
            let answer = self.answer(
                node,
                format!(
                    r#"{{"data":[{{"vmid":100,"status":"running","uptime":{uptime}{}}}]}}"#,
                    blockstat.unwrap_or_default()
                )
                .as_bytes(),
            );
            let drive = answer.drives.first()?;
            assert_eq!(drive.failed_operations, Some(10));
            drive.read_bytes
        }
    }

    fn answer(body: &[u8]) -> NodeQemu {
        Asked::new().answer("pve1", body)
    }

    fn sample<S: Subject>(row: &S, name: &str) -> Option<Value> {
        let metric = S::TABLE.iter().find(|metric| metric.name == name).unwrap();
        match metric.sample {
            Sample::Value(value) => value(row),
            _ => None,
        }
    }

    fn vmids(pressures: &[GuestPressure]) -> Vec<u32> {
        pressures.iter().map(|row| row.guest.1).collect()
    }

    #[test]
    fn recorded_machines_whose_monitor_is_silent_have_only_pressure() {
        let bodies: [(&[u8], &[u32]); 4] = [
            (RECORDED, &[100, 101, 105, 107]),
            (
                include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__qemu.json"),
                &[100, 101, 105, 107],
            ),
            (
                include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve2__qemu@full=1.json"),
                &[110],
            ),
            (
                include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve2__qemu.json"),
                &[110],
            ),
        ];
        for (body, running) in bodies {
            let answer = answer(body);
            assert_eq!(vmids(&answer.pressures), running);
            assert!(answer.drives.is_empty() && answer.machines.is_empty() && answer.balloons.is_empty());
            assert_eq!(answer.damaged_rows, 0);
        }
        let pressures = answer(RECORDED).pressures;
        let silent = &pressures[3];
        assert_eq!(
            str::from_utf8(silent.identity.pairs()),
            Ok(r#"pve_cluster="main",id="qemu/107""#)
        );
        for (name, expected) in [
            ("pve_guest_pressure_cpu_some_ratio", Value::Float(0.0014)),
            ("pve_guest_pressure_cpu_full_ratio", Value::Float(0.0013)),
            ("pve_guest_pressure_memory_full_ratio", Value::Whole(0)),
        ] {
            assert_eq!(sample(silent, name), Some(expected));
        }
    }

    #[test]
    fn a_constructed_machine_shows_drives_balloon_and_version() {
        for (body, version, machine) in [
            (CONSTRUCTED_9, "11.0.0", "pc-q35-11.0+pve1"),
            (CONSTRUCTED_8, "9.2.0", "pc-q35-9.2+pve1"),
        ] {
            let answer = answer(body);
            let drives: Vec<_> = answer
                .drives
                .iter()
                .map(|drive| str::from_utf8(drive.identity.pairs()).unwrap())
                .collect();
            assert_eq!(
                drives,
                [
                    r#"pve_cluster="main",id="qemu/100",drive="ide2""#,
                    r#"pve_cluster="main",id="qemu/100",drive="scsi0""#
                ]
            );
            for (name, expected) in [
                ("pve_guest_drive_read_bytes_total", Value::Whole(5_123_400_000)),
                ("pve_guest_drive_written_bytes_total", Value::Whole(98_123_452_416)),
                ("pve_guest_drive_reads_total", Value::Whole(312_345)),
                ("pve_guest_drive_writes_total", Value::Whole(8_123_456)),
                ("pve_guest_drive_flushes_total", Value::Whole(123_456)),
                ("pve_guest_drive_read_seconds_total", Value::Float(123.456_789_012)),
                ("pve_guest_drive_write_seconds_total", Value::Float(987.654_321_098)),
                ("pve_guest_drive_flush_seconds_total", Value::Float(5.566_778_899)),
                ("pve_guest_drive_failed_operations_total", Value::Whole(0)),
            ] {
                assert_eq!(sample(&answer.drives[1], name), Some(expected), "{name}");
            }
            let [qemu] = &*answer.machines else {
                panic!("{answer:?}")
            };
            assert_eq!((&*qemu.version, &*qemu.machine), (version, machine));
            assert_eq!(qemu.balloon_size, Some(8_589_934_592));
            let [balloon] = &*answer.balloons else {
                panic!("{answer:?}")
            };
            assert_eq!(
                (balloon.free, balloon.minor_faults, balloon.last_update),
                (Some(3_221_225_472), Some(98_765_432), Some(1_786_800_000))
            );
            assert_eq!(answer.damaged_rows, 0);
        }
        assert_eq!(vmids(&answer(CONSTRUCTED_9).pressures), [100, 105]);
        assert!(answer(CONSTRUCTED_8).pressures.is_empty(), "PVE 8 does not tell it");
        let list = include_bytes!("../../tests/fixtures/pve-9/nodes__pve1__qemu.json");
        assert_eq!(vmids(&answer(list).pressures), [100, 105]);
    }

    #[test]
    fn a_silent_monitor_leaves_the_counters_as_they_were() {
        let mut asked = Asked::new();
        assert_eq!(asked.read_bytes("pve1", 60, Some(100)), Some(100));
        assert_eq!(asked.read_bytes("pve1", 120, None), None);
        assert_eq!(
            asked.read_bytes("pve1", 180, Some(90)),
            None,
            "lower than before the silence"
        );
        assert_eq!(asked.read_bytes("pve1", 240, Some(110)), Some(110));
        assert_eq!(asked.read_bytes("pve1", 300, Some(0)), None, "a hiccup");
        assert_eq!(asked.read_bytes("pve1", 360, Some(1)), None);
        assert_eq!(
            asked.read_bytes("pve1", 420, Some(2)),
            Some(2),
            "stood for three refreshes"
        );
    }

    #[test]
    fn a_restart_and_a_migration_lower_the_counters_at_once() {
        let mut asked = Asked::new();
        assert_eq!(asked.read_bytes("pve1", 600, Some(100)), Some(100));
        assert_eq!(
            asked.read_bytes("pve1", 5, None),
            None,
            "restarted, and silent at first"
        );
        assert_eq!(asked.read_bytes("pve1", 65, Some(7)), Some(7));
        assert_eq!(asked.read_bytes("pve2", 70, Some(3)), Some(3), "migrated");
        asked.answer("pve2", br#"{"data":[{"vmid":100,"status":"stopped","uptime":0}]}"#);
        assert_eq!(asked.read_bytes("pve2", 100, Some(1)), Some(1), "stopped and started");
    }

    #[test]
    fn a_drive_that_has_done_nothing_has_no_row() {
        let answer = answer(
            br#"{"data":[{"vmid":100,"status":"running","blockstat":{
                "ide2":{"rd_bytes":0,"wr_bytes":0,"rd_operations":0,"wr_operations":0,"flush_operations":0,"failed_rd_operations":0},
                "scsi0":{"rd_bytes":0,"failed_rd_operations":"2","failed_wr_operations":0,"failed_flush_operations":0}}}]}"#,
        );
        let [broken] = &*answer.drives else {
            panic!("{answer:?}")
        };
        assert_eq!(
            (broken.read_bytes, broken.writes, broken.failed_operations),
            (Some(0), None, Some(2))
        );
    }

    #[test]
    fn what_is_damaged_costs_only_itself() {
        let answer = answer(
            br#"{"data":[7,{"vmid":101,"status":"running","blockstat":[],"ballooninfo":"x","balloon":"512"},{"status":"running"},
                {"vmid":4294967296,"status":"running"},
                {"vmid":"100","status":"running","pressurecpusome":"x","ballooninfo":{"actual":-1,"mem_swapped_in":-1,"free_mem":5,"last_update":9},
                 "blockstat":{"virtio1":{"rd_bytes":{}},"virtio0":7,"a\"b":{"rd_bytes":1},"sata0":{"rd_bytes":"8"},"sata0":{"rd_bytes":9}}},
                {"vmid":100,"status":"running","balloon":3},
                {"vmid":102,"status":"running","running-qemu":"unknown","running-machine":"pc","ballooninfo":{"actual":4,"total_mem":8,"last_update":0}}]}"#,
        );
        assert_eq!(answer.damaged_rows, 4 + 1);
        let [drive] = &*answer.drives else { panic!("{answer:?}") };
        assert_eq!((drive.guest, drive.read_bytes), ((GuestKind::Qemu, 100), Some(8)));
        assert!(answer.pressures.is_empty());
        let [balloon] = &*answer.balloons else {
            panic!("{answer:?}")
        };
        assert_eq!((balloon.free, balloon.swapped_in), (Some(5), None));
        let sizes: Vec<_> = answer
            .machines
            .iter()
            .map(|row| (row.guest.1, row.balloon_size))
            .collect();
        assert_eq!(sizes, [(101, Some(512)), (102, Some(4))]);
        assert!(
            answer
                .machines
                .iter()
                .all(|row| row.version.is_empty() && row.machine.is_empty())
        );
    }

    #[test]
    fn text_is_shared_between_answers() {
        let mut asked = Asked::new();
        let [first, second] = [(); 2].map(|()| asked.answer("pve1", CONSTRUCTED_9));
        assert!(Arc::ptr_eq(&first.machines[0].machine, &second.machines[0].machine));
    }
}
