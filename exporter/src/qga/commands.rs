//! The commands that are sent, and what a guest answers. Nothing that it says is trusted.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::pve::api::agent::{self, FileSystem};
use crate::pve::error::DecodeError;
use crate::pve::perl;

/// The most devices of one guest.
pub const MOST_DEVICES: usize = 16;

/// The most characters of a name.
const LONGEST: usize = 64;

/// From here on not every whole number is exact; no figure of a guest gets there.
const MOST: u64 = 1 << 53;

/// What a sector is to the kernel, whatever it is to the disk.
const SECTOR: u64 = 512;

/// A command that only tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Command {
    /// What CPUs have spent their time on; Linux, from version 7.1 on.
    CpuStats,
    /// What disks have read and written; Linux, from version 7.1 on.
    DiskStats,
    /// Load averages; from version 10.0 on.
    Load,
    /// File systems.
    FileSystems,
    /// The agent's version and commands.
    Info,
}

impl Command {
    /// Every command.
    pub const ALL: [Self; 5] = [
        Self::CpuStats,
        Self::DiskStats,
        Self::Load,
        Self::FileSystems,
        Self::Info,
    ];

    /// The name as the agent knows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuStats => "guest-get-cpustats",
            Self::DiskStats => "guest-get-diskstats",
            Self::Load => "guest-get-load",
            Self::FileSystems => "guest-get-fsinfo",
            Self::Info => "guest-info",
        }
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer<T> {
    /// What was asked for.
    Data(T),
    /// An error: the command is unknown or disabled, or nothing is told while file systems are frozen.
    Refused,
}

/// The answer of `guest-info`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// The agent's version.
    pub version: String,
    /// The commands that it answers at this moment: of those here almost none while file systems are frozen.
    pub enabled: BTreeSet<Command>,
}

/// Milliseconds that all CPUs together have spent since the guest booted. `user` contains the time of guests within the guest,
/// and `nice` that of nice ones. What not every CPU tells is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the modes of /proc/stat")]
pub struct CpuTimes {
    pub user: Option<u64>,
    pub nice: Option<u64>,
    pub system: Option<u64>,
    pub idle: Option<u64>,
    pub iowait: Option<u64>,
    pub irq: Option<u64>,
    pub softirq: Option<u64>,
    pub steal: Option<u64>,
}

/// What a block device has done since the guest booted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DiskIo {
    /// The kernel's name of it.
    pub device: String,
    /// Bytes read.
    pub read_bytes: Option<u64>,
    /// Bytes written.
    pub written_bytes: Option<u64>,
    /// Reads.
    pub reads: Option<u64>,
    /// Writes.
    pub writes: Option<u64>,
}

/// Load averages.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Over a minute.
    pub one: Option<f64>,
    /// Over five.
    pub five: Option<f64>,
    /// Over fifteen.
    pub fifteen: Option<f64>,
}

/// Reads the answer of [`Command::Info`].
///
/// # Errors
/// When it is not what the command promises.
pub fn info(line: &[u8]) -> Result<Answer<Info>, DecodeError> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow, default, deserialize_with = "perl::text")]
        version: Cow<'a, str>,
        #[serde(borrow, default, deserialize_with = "perl::rows")]
        supported_commands: Vec<Option<Row<'a>>>,
    }
    #[derive(Deserialize)]
    struct Row<'a> {
        #[serde(borrow, default, deserialize_with = "perl::text")]
        name: Cow<'a, str>,
        #[serde(default, deserialize_with = "perl::truth")]
        enabled: Option<bool>,
    }
    answer(line, || {
        let wire: Wire<'_> = returned(line)?;
        let enabled = wire.supported_commands.iter().flatten();
        let enabled: BTreeSet<&str> = enabled
            .filter(|row| row.enabled == Some(true))
            .map(|row| &*row.name)
            .collect();
        Ok(Info {
            version: name(&wire.version),
            enabled: Command::ALL
                .into_iter()
                .filter(|command| enabled.contains(command.name()))
                .collect(),
        })
    })
}

/// Reads the answer of [`Command::CpuStats`].
///
/// # Errors
/// When it is not what the command promises. One CPU less would look like a restart, so that all are read or none.
pub fn cpu_stats(line: &[u8]) -> Result<Answer<Option<CpuTimes>>, DecodeError> {
    #[derive(Deserialize)]
    struct Row {
        #[serde(default, deserialize_with = "perl::whole")]
        cpu: Option<u64>,
        #[serde(default, deserialize_with = "perl::whole")]
        user: Option<u64>,
        #[serde(default, deserialize_with = "perl::whole")]
        nice: Option<u64>,
        #[serde(default, deserialize_with = "perl::whole")]
        system: Option<u64>,
        #[serde(default, deserialize_with = "perl::whole")]
        idle: Option<u64>,
        #[serde(default, deserialize_with = "perl::whole")]
        iowait: Option<u64>,
        #[serde(default, deserialize_with = "perl::whole")]
        irq: Option<u64>,
        #[serde(default, deserialize_with = "perl::whole")]
        softirq: Option<u64>,
        #[serde(default, deserialize_with = "perl::whole")]
        steal: Option<u64>,
    }
    answer(line, || {
        let mut seen = BTreeSet::new();
        let mut sum: Option<CpuTimes> = None;
        let damaged = perl::for_each_row(line, &["return"], |row: Row| {
            if !seen.insert(row.cpu) {
                return;
            }
            let own = CpuTimes {
                user: row.user,
                nice: row.nice,
                system: row.system,
                idle: row.idle,
                iowait: row.iowait,
                irq: row.irq,
                softirq: row.softirq,
                steal: row.steal,
            };
            sum = Some(sum.map_or_else(|| own.and(&ZERO), |sum| sum.and(&own)));
        })?;
        Ok(sum.filter(|_| damaged == 0))
    })
}

const ZERO: CpuTimes = CpuTimes {
    user: Some(0),
    nice: Some(0),
    system: Some(0),
    idle: Some(0),
    iowait: Some(0),
    irq: Some(0),
    softirq: Some(0),
    steal: Some(0),
};

impl CpuTimes {
    fn and(&self, other: &Self) -> Self {
        let add = |one: Option<u64>, other: Option<u64>| one?.checked_add(other?).filter(|sum| *sum < MOST);
        Self {
            user: add(self.user, other.user),
            nice: add(self.nice, other.nice),
            system: add(self.system, other.system),
            idle: add(self.idle, other.idle),
            iowait: add(self.iowait, other.iowait),
            irq: add(self.irq, other.irq),
            softirq: add(self.softirq, other.softirq),
            steal: add(self.steal, other.steal),
        }
    }
}

/// Reads the answer of [`Command::DiskStats`]: whole devices, at most [`MOST_DEVICES`], without those that stand for memory or
/// for a part of another one.
///
/// # Errors
/// When it is not what the command promises.
pub fn disk_stats(line: &[u8]) -> Result<Answer<Vec<DiskIo>>, DecodeError> {
    #[derive(Deserialize)]
    struct Row<'a> {
        #[serde(borrow, default, deserialize_with = "perl::text")]
        name: Cow<'a, str>,
        #[serde(default, deserialize_with = "perl::object")]
        stats: Stats,
    }
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "kebab-case")]
    struct Stats {
        #[serde(deserialize_with = "perl::whole")]
        read_sectors: Option<u64>,
        #[serde(deserialize_with = "perl::whole")]
        write_sectors: Option<u64>,
        #[serde(deserialize_with = "perl::whole")]
        read_ios: Option<u64>,
        #[serde(deserialize_with = "perl::whole")]
        write_ios: Option<u64>,
    }
    answer(line, || {
        let (mut disks, mut seen) = (Vec::new(), BTreeSet::new());
        let bytes = |sectors: Option<u64>| sectors?.checked_mul(SECTOR).filter(|bytes| *bytes < MOST);
        perl::for_each_row(line, &["return"], |row: Row<'_>| {
            let device = name(&row.name);
            if disks.len() < MOST_DEVICES && is_whole_disk(&device) && seen.insert(device.clone()) {
                disks.push(DiskIo {
                    device,
                    read_bytes: bytes(row.stats.read_sectors),
                    written_bytes: bytes(row.stats.write_sectors),
                    reads: exact(row.stats.read_ios),
                    writes: exact(row.stats.write_ios),
                });
            }
        })?;
        Ok(disks)
    })
}

/// Whether `device` is no partition (`vda1`, `nvme0n1p1`), nor a disk of memory, a loop, a floppy or an optical disk.
fn is_whole_disk(device: &str) -> bool {
    let stem = device.trim_end_matches(|c: char| c.is_ascii_digit());
    let numbered = stem.len() < device.len();
    let lettered = |prefix: &str| {
        stem.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_lowercase()))
    };
    let of_letters = ["vd", "sd", "xvd", "hd"].into_iter().any(lettered);
    let of_numbers = ["nvme", "mmcblk"].iter().any(|prefix| stem.starts_with(prefix)) && stem.ends_with('p');
    let other = ["loop", "ram", "zram", "fd", "sr"].contains(&stem);
    !(device.is_empty() || numbered && (of_letters || of_numbers || other))
}

/// Reads the answer of [`Command::Load`].
///
/// # Errors
/// When it is not what the command promises.
pub fn load(line: &[u8]) -> Result<Answer<Load>, DecodeError> {
    #[derive(Deserialize)]
    struct Wire {
        #[serde(default, deserialize_with = "perl::float")]
        load1m: Option<f64>,
        #[serde(default, deserialize_with = "perl::float")]
        load5m: Option<f64>,
        #[serde(default, deserialize_with = "perl::float")]
        load15m: Option<f64>,
    }
    answer(line, || {
        let wire: Wire = returned(line)?;
        let real = |load: Option<f64>| load.filter(|load| (0.0..1e6).contains(load));
        Ok(Load {
            one: real(wire.load1m),
            five: real(wire.load5m),
            fifteen: real(wire.load15m),
        })
    })
}

/// Reads the answer of [`Command::FileSystems`], which is what PVE passes on.
///
/// # Errors
/// When it is not what the command promises.
pub fn file_systems(line: &[u8]) -> Result<Answer<Vec<FileSystem>>, DecodeError> {
    Ok(match agent::decode_line(agent::Command::FileSystems, line)? {
        agent::Answer::Data(agent::Reply::FileSystems(all)) => Answer::Data(all),
        _ => Answer::Refused,
    })
}

fn answer<T>(line: &[u8], data: impl FnOnce() -> Result<T, DecodeError>) -> Result<Answer<T>, DecodeError> {
    #[derive(Deserialize)]
    struct Wire {
        error: Option<IgnoredAny>,
    }
    let wire: Wire = serde_json::from_slice(line).map_err(|error| DecodeError::new(&error, line))?;
    if wire.error.is_some() {
        return Ok(Answer::Refused);
    }
    data().map(Answer::Data)
}

fn returned<'de, T: Deserialize<'de>>(line: &'de [u8]) -> Result<T, DecodeError> {
    #[derive(Deserialize)]
    struct Wire<T> {
        r#return: T,
    }
    let wire: Result<Wire<T>, _> = serde_json::from_slice(line);
    wire.map(|wire| wire.r#return)
        .map_err(|error| DecodeError::new(&error, line))
}

fn exact(number: Option<u64>) -> Option<u64> {
    number.filter(|number| *number < MOST)
}

/// A name as it may be shown: what is cut or replaced must not make two of it equal later, and so it is done before they are
/// compared.
fn name(text: &str) -> String {
    let shown = |c: char| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c };
    text.chars().take(LONGEST).map(shown).collect()
}

#[cfg(test)]
mod tests;
