//! What a guest on the exporter's own node counts itself, read from its agent over the socket of its QEMU.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::metrics::labels::Identity;
use crate::pve::api::agent::FileSystem;
use crate::pve::error::DecodeError;
use crate::qga::commands::{self, Answer, Command, CpuTimes, DiskIo, Info, Load};
use crate::qga::session::{Limits, Reply, Session, SessionError};
use crate::sources::counters::Counter;
use crate::subjects::guest_direct::{GuestAgentCpu, GuestAgentDisk, GuestAgentLoad, MODES};
use crate::subjects::guest_filesystem::GuestFilesystem;

/// What one session brought. What the guest does not tell, or there was no time for, is absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GuestDirect {
    /// The agent.
    pub info: Info,
    /// The time of all CPUs.
    pub cpu: Option<CpuTimes>,
    /// Its block devices.
    pub disks: Option<Vec<DiskIo>>,
    /// Its load.
    pub load: Option<Load>,
    /// Its file systems.
    pub file_systems: Option<Vec<FileSystem>>,
    /// Answers that were not what they should be.
    pub damaged: u64,
}

/// Why nothing could be read of a guest.
#[derive(Debug, Error)]
pub enum DirectError {
    /// The file in which QEMU's process stands cannot be read.
    #[error("cannot read {}: {problem}", .path.display())]
    Process {
        /// The file.
        path: PathBuf,
        /// What the system said.
        problem: io::Error,
    },
    /// The session.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl DirectError {
    /// The file that the exporter may not open, if that is it.
    #[must_use]
    pub fn forbidden(&self) -> Option<&Path> {
        match self {
            Self::Process { path, problem } if problem.kind() == io::ErrorKind::PermissionDenied => Some(path),
            Self::Session(SessionError::Forbidden { path }) => Some(path),
            _ => None,
        }
    }

    /// Whether the guest has no agent that could be asked.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Process { problem, .. } => problem.kind() == io::ErrorKind::NotFound,
            Self::Session(error) => matches!(error, SessionError::Absent),
        }
    }
}

/// Asks the agent of `vmid`, whose socket and process file are in `directory`, those of `wanted` that it has enabled. See
/// [`Session`] for what happens when the future is dropped.
///
/// # Errors
/// When it has not answered everything that it was asked.
pub async fn read(
    directory: &Path,
    vmid: u32,
    wanted: &[Command],
    limits: &Limits,
) -> Result<GuestDirect, DirectError> {
    let pid = process(directory.join(format!("{vmid}.pid")))?;
    let socket = directory.join(format!("{vmid}.qga"));
    let session = Session::open(&socket, pid, limits).await?;
    let (mut session, reply) = session.ask(Command::Info.name()).await?;
    let mut direct = GuestDirect::default();
    direct.take(Command::Info, &reply);
    for command in wanted {
        if direct.info.enabled.contains(command) && session.has_time() {
            let reply;
            (session, reply) = session.ask(command.name()).await?;
            direct.take(*command, &reply);
        }
    }
    Ok(direct)
}

fn process(path: PathBuf) -> Result<i32, DirectError> {
    let pid = std::fs::read_to_string(&path).and_then(|text| text.trim().parse().map_err(io::Error::other));
    pid.map_err(|problem| DirectError::Process { path, problem })
}

impl GuestDirect {
    fn take(&mut self, command: Command, reply: &Reply) {
        let outcome = match reply {
            Reply::TooLong => {
                self.damaged += 1;
                return;
            }
            Reply::Line(line) => self.decode(command, line),
        };
        if let Err(error) = outcome {
            tracing::debug!(command = command.name(), problem = %error.without_beginning(), "a guest agent answered nonsense");
            self.damaged += 1;
        }
    }

    fn decode(&mut self, command: Command, line: &[u8]) -> Result<(), DecodeError> {
        match command {
            Command::Info => self.info = data(commands::info(line)?).unwrap_or_default(),
            Command::CpuStats => self.cpu = data(commands::cpu_stats(line)?).flatten(),
            Command::DiskStats => self.disks = data(commands::disk_stats(line)?),
            Command::Load => self.load = data(commands::load(line)?),
            Command::FileSystems => self.file_systems = data(commands::file_systems(line)?),
        }
        Ok(())
    }
}

fn data<T>(answer: Answer<T>) -> Option<T> {
    match answer {
        Answer::Data(data) => Some(data),
        Answer::Refused => None,
    }
}

/// The counters of a guest's CPUs. The kernel lets the time of waiting, and of doing nothing, go back now and then.
#[derive(Debug, Default)]
pub struct CpuCounters([Counter; MODES.len()]);

/// The rows of one guest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DirectRows {
    /// Its CPUs, by mode.
    pub cpus: Vec<GuestAgentCpu>,
    /// Its block devices.
    pub disks: Vec<GuestAgentDisk>,
    /// Its load.
    pub load: Option<GuestAgentLoad>,
    /// Its file systems.
    pub file_systems: Vec<GuestFilesystem>,
}

/// Makes rows of what the guest `id` said. `counters` are those of the same guest; whether its QEMU has run on since the last
/// time is `continues`.
#[must_use]
pub fn rows(cluster: &str, id: &str, direct: &GuestDirect, counters: &mut CpuCounters, continues: bool) -> DirectRows {
    let of_guest = [("pve_cluster", cluster), ("id", id)];
    let with = |name, value| Identity::new(&[of_guest[0], of_guest[1], (name, value)]);
    let times = direct.cpu.unwrap_or_default();
    let times = [
        times.user,
        times.nice,
        times.system,
        times.idle,
        times.iowait,
        times.irq,
        times.softirq,
        times.steal,
    ];
    let modes = MODES.iter().zip(times).zip(&mut counters.0);
    let mut disks: Vec<&DiskIo> = direct.disks.iter().flatten().collect();
    disks.sort_unstable_by(|one, other| one.device.cmp(&other.device));
    DirectRows {
        cpus: modes
            .filter_map(|((mode, time), counter)| {
                Some(GuestAgentCpu {
                    identity: with("mode", mode),
                    seconds: seconds(counter.read(time, continues)?),
                })
            })
            .collect(),
        disks: disks
            .into_iter()
            .map(|disk| GuestAgentDisk {
                identity: with("device", &disk.device),
                read_bytes: disk.read_bytes,
                written_bytes: disk.written_bytes,
                reads: disk.reads,
                writes: disk.writes,
            })
            .collect(),
        load: direct.load.map(|load| GuestAgentLoad {
            identity: Identity::new(&of_guest),
            one: load.one,
            five: load.five,
            fifteen: load.fifteen,
        }),
        file_systems: Vec::new(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds stay below 2^53")]
fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direct(idle: u64) -> GuestDirect {
        let disk = |device: &str| DiskIo {
            device: device.to_owned(),
            reads: Some(1),
            ..DiskIo::default()
        };
        GuestDirect {
            cpu: Some(CpuTimes {
                user: Some(1500),
                idle: Some(idle),
                ..CpuTimes::default()
            }),
            disks: Some(vec![disk("vdb"), disk("vda")]),
            load: Some(Load {
                one: Some(0.5),
                ..Load::default()
            }),
            ..GuestDirect::default()
        }
    }

    fn pairs(identity: &Identity) -> &str {
        str::from_utf8(identity.pairs()).unwrap()
    }

    #[test]
    fn rows_are_sorted_and_of_the_guest() {
        let rows = rows("main", "qemu/100", &direct(20), &mut CpuCounters::default(), true);
        let cpus: Vec<_> = rows
            .cpus
            .iter()
            .map(|row| (pairs(&row.identity), row.seconds))
            .collect();
        assert_eq!(
            cpus,
            [
                (r#"pve_cluster="main",id="qemu/100",mode="user""#, 1.5),
                (r#"pve_cluster="main",id="qemu/100",mode="idle""#, 0.02)
            ]
        );
        let disks: Vec<_> = rows.disks.iter().map(|row| pairs(&row.identity)).collect();
        assert_eq!(
            disks,
            [
                r#"pve_cluster="main",id="qemu/100",device="vda""#,
                r#"pve_cluster="main",id="qemu/100",device="vdb""#
            ]
        );
        assert_eq!(rows.load.map(|load| load.one), Some(Some(0.5)));
    }

    #[test]
    fn a_time_that_goes_back_now_and_then_is_no_restart() {
        let mut counters = CpuCounters::default();
        let mut idle = |time, continues| {
            let rows = rows("main", "qemu/100", &direct(time), &mut counters, continues);
            rows.cpus.get(1).map(|row| row.seconds)
        };
        assert_eq!(idle(2000, false), Some(2.0));
        assert_eq!(idle(1990, true), None);
        assert_eq!(idle(2010, true), Some(2.01));
        assert_eq!(idle(10, false), Some(0.01), "restarted");
    }
}
