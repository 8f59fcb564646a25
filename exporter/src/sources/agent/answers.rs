//! What is known of one guest from its agent: the newest reply of each command, as far as it may be shown.

use std::time::Duration;

use crate::metrics::labels::Identity;
use crate::pve::api::agent::{Address, Command, Counters, FileSystem, OperatingSystem, Reply, TimeZone};
use crate::sources::agent::choice;
use crate::sources::agent::labels::LabelSets;
use crate::sources::guest_memory::{device_identity, id, identity};
use crate::sources::node_time::Exchange;
use crate::subjects::guest::GuestKey;
use crate::subjects::guest_agent_interface::{GuestAgentAddress, GuestAgentInterface};
use crate::subjects::guest_filesystem::GuestFilesystem;
use crate::subjects::guest_system::GuestSystem;

/// A call that took longer says nothing about the clock.
const SLOWEST: Duration = Duration::from_secs(2);

/// After so many of its intervals without a new one a reply gives no rows.
const INTERVALS: u32 = 3;

/// What of a guest's answers is shown. The default keeps a guest with an agent within its budget of series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most file systems; more than 32 are never shown.
    pub file_systems: usize,
    /// The most interfaces with counters; more than 16 are never shown. None by default: each costs 8 series.
    pub interfaces: usize,
    /// The most addresses, of all interfaces together. None by default.
    pub addresses: usize,
    /// Whether more is shown than what most look at: devices and types of file systems, users, virtual CPUs, the time zone, the
    /// size of memory blocks and the agent itself. Not by default.
    pub details: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_systems: choice::MOST_FILE_SYSTEMS,
            interfaces: 0,
            addresses: 0,
            details: false,
        }
    }
}

impl Limits {
    /// Whether anything that is shown comes from `command`, so that it is worth asking.
    #[must_use]
    pub fn want(&self, command: Command) -> bool {
        match command {
            Command::FileSystems => self.file_systems > 0,
            Command::Interfaces => self.interfaces > 0 || self.addresses > 0,
            Command::Users | Command::TimeZone | Command::Vcpus | Command::MemoryBlocks => self.details,
            // What the agent can do is worth knowing even if its version is not shown.
            Command::Time | Command::OperatingSystem | Command::HostName | Command::Info | Command::FreezeStatus => {
                true
            }
        }
    }
}

/// A value and when it came, in Unix seconds.
type Known<T> = Option<(f64, T)>;

/// What is known of one guest. It is bounded, whatever the guest says.
#[derive(Debug, Default)]
pub struct Answers {
    last: Option<Exchange>,
    labels: LabelSets,
    replies: Replies,
}

#[derive(Debug, Default)]
struct Replies {
    file_systems: Known<Vec<FileSystem>>,
    interfaces: Known<Interfaces>,
    clock_offset: Known<f64>,
    users: Known<u64>,
    operating_system: Known<OperatingSystem>,
    host_name: Known<Box<str>>,
    time_zone: Known<TimeZone>,
    vcpus_online: Known<u64>,
    memory_block_size: Known<u64>,
    agent_version: Known<Box<str>>,
    frozen: Known<bool>,
}

#[derive(Debug, Default)]
struct Interfaces {
    counters: Vec<(Box<str>, Counters)>,
    addresses: Vec<(Box<str>, Address)>,
}

/// The rows of one guest, each kind sorted by its labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AgentRows {
    /// Its file systems.
    pub file_systems: Vec<GuestFilesystem>,
    /// Its interfaces.
    pub interfaces: Vec<GuestAgentInterface>,
    /// Their addresses.
    pub addresses: Vec<GuestAgentAddress>,
    /// Everything else; `None` where that is nothing.
    pub system: Option<GuestSystem>,
}

impl Answers {
    /// Takes note of the data that an agent has sent in `exchange`, which ended when the answer was there. A reply replaces the
    /// one before it. `limits` are the same each time; what they do not show is forgotten at once.
    pub fn note(&mut self, reply: Reply, exchange: Exchange, limits: &Limits) {
        self.answered(exchange);
        let at = exchange.end;
        let (replies, labels) = (&mut self.replies, &mut self.labels);
        // A frozen agent answers nothing but these two.
        if !matches!(reply, Reply::Info(_) | Reply::FreezeStatus(_)) && replies.frozen.is_some() {
            replies.frozen = Some((at, false));
        }
        let mut admit = |command: Command, texts: &[&str]| labels.admit((command, texts), at);
        match reply {
            Reply::FileSystems(rows) => {
                let mut rows = choice::file_systems(rows);
                rows.truncate(limits.file_systems);
                if !limits.details {
                    for row in &mut rows {
                        (row.device, row.kind) = (Box::default(), Box::default());
                    }
                }
                rows.retain(|row| admit(Command::FileSystems, &[&row.mountpoint, &row.device, &row.kind]));
                replies.file_systems = Some((at, rows));
            }
            Reply::Interfaces(rows) => {
                let rows = choice::interfaces(rows);
                let mut known = Interfaces::default();
                for row in rows.iter().take(limits.interfaces) {
                    if row.counters != Counters::default() && admit(Command::Interfaces, &[&row.name]) {
                        known.counters.push((row.name.clone(), row.counters));
                    }
                }
                let addresses = rows.iter().flat_map(|row| {
                    choice::addresses(row)
                        .into_iter()
                        .map(|address| (row.name.clone(), address))
                });
                for (name, address) in addresses.take(limits.addresses) {
                    if admit(Command::Interfaces, &[&name, &address.to_string()]) {
                        known.addresses.push((name, address));
                    }
                }
                replies.interfaces = Some((at, known));
            }
            Reply::Time(time) => {
                let middle = at - exchange.took.as_secs_f64() / 2.0;
                let offset = ((time - middle) * 100.0).round() / 100.0;
                replies.clock_offset = (exchange.took <= SLOWEST).then_some((at, offset));
            }
            Reply::Users(users) => replies.users = limits.details.then_some((at, users)),
            Reply::OperatingSystem(system) => {
                let texts: [&str; 5] = [
                    &system.id,
                    &system.name,
                    &system.version,
                    &system.kernel,
                    &system.machine,
                ];
                replies.operating_system = admit(Command::OperatingSystem, &texts).then_some((at, system));
            }
            Reply::HostName(name) => {
                replies.host_name = admit(Command::HostName, &[&name]).then_some((at, name));
            }
            Reply::TimeZone(zone) => {
                let shown = limits.details && admit(Command::TimeZone, &[&zone.zone]);
                replies.time_zone = shown.then_some((at, zone));
            }
            Reply::Vcpus(vcpus) => replies.vcpus_online = limits.details.then_some((at, vcpus.online)),
            Reply::MemoryBlockSize(size) => replies.memory_block_size = limits.details.then_some((at, size)),
            Reply::Info(info) => {
                let shown = limits.details && admit(Command::Info, &[&info.version]);
                replies.agent_version = shown.then_some((at, info.version));
            }
            Reply::FreezeStatus(frozen) => replies.frozen = Some((at, frozen)),
        }
    }

    /// Takes note that the agent answered at all, be it with a refusal. [`Self::note`] does that, too.
    pub fn answered(&mut self, exchange: Exchange) {
        self.last = Some(exchange);
    }

    /// Forgets what the agent has told, for a guest that was started or has no agent any more; neither when it last answered,
    /// nor what of the guest's label sets is used up.
    pub fn forget(&mut self) {
        self.replies = Replies::default();
    }

    /// When the agent last answered, in Unix seconds.
    #[must_use]
    pub fn last_answer(&self) -> Option<f64> {
        self.last.map(|exchange| exchange.end)
    }

    /// How often something was left out because the guest had brought about too many label sets.
    #[must_use]
    pub fn label_sets_dropped(&self) -> u64 {
        self.labels.dropped()
    }

    /// The rows of `guest` at `now`, in Unix seconds. A reply that is older than three times the `interval` of its command gives
    /// none. Whether the guest runs is for the caller to know.
    #[must_use]
    pub fn rows(&self, cluster: &str, guest: GuestKey, now: f64, interval: &dyn Fn(Command) -> Duration) -> AgentRows {
        let replies = &self.replies;
        let age = Age { now, interval };
        let file_systems = age.fresh(&replies.file_systems, Command::FileSystems);
        let interfaces = age.fresh(&replies.interfaces, Command::Interfaces);
        AgentRows {
            file_systems: file_systems
                .into_iter()
                .flatten()
                .map(|row| file_system(cluster, guest, row))
                .collect(),
            interfaces: interfaces
                .into_iter()
                .flat_map(|interfaces| &interfaces.counters)
                .map(|(name, counters)| interface(cluster, guest, name, counters))
                .collect(),
            addresses: interfaces
                .into_iter()
                .flat_map(|interfaces| &interfaces.addresses)
                .map(|(name, of)| address(cluster, guest, name, of))
                .collect(),
            system: replies.system(cluster, guest, &age),
        }
    }
}

/// What decides how old a reply may be.
struct Age<'a> {
    now: f64,
    interval: &'a dyn Fn(Command) -> Duration,
}

impl Age<'_> {
    fn fresh<'a, T>(&self, known: &'a Known<T>, command: Command) -> Option<&'a T> {
        let (at, value) = known.as_ref()?;
        let longest = (self.interval)(command) * INTERVALS;
        // Of a clock that was set back the age is not known either.
        ((self.now - at).abs() <= longest.as_secs_f64()).then_some(value)
    }
}

impl Replies {
    fn system(&self, cluster: &str, guest: GuestKey, age: &Age<'_>) -> Option<GuestSystem> {
        let unknown = GuestSystem::unknown(identity(cluster, guest));
        let mut system = unknown.clone();
        if let Some(known) = age.fresh(&self.operating_system, Command::OperatingSystem).cloned() {
            system.os = known.id;
            system.name = known.name;
            system.version = known.version;
            system.kernel = known.kernel;
            system.machine = known.machine;
        }
        if let Some(zone) = age.fresh(&self.time_zone, Command::TimeZone).cloned() {
            (system.timezone, system.utc_offset) = (zone.zone, zone.offset);
        }
        let text = |known, command| age.fresh(known, command).cloned().unwrap_or_default();
        system.hostname = text(&self.host_name, Command::HostName);
        system.agent_version = text(&self.agent_version, Command::Info);
        system.clock_offset = age.fresh(&self.clock_offset, Command::Time).copied();
        system.users = age.fresh(&self.users, Command::Users).copied();
        system.vcpus_online = age.fresh(&self.vcpus_online, Command::Vcpus).copied();
        system.memory_block_size = age.fresh(&self.memory_block_size, Command::MemoryBlocks).copied();
        system.frozen = age.fresh(&self.frozen, Command::FreezeStatus).copied();
        (system != unknown).then_some(system)
    }
}

fn file_system(cluster: &str, guest: GuestKey, row: &FileSystem) -> GuestFilesystem {
    let size = row
        .total_privileged
        .filter(|size| row.total.is_some_and(|total| total <= *size))
        .or(row.total);
    let described = !(row.device.is_empty() && row.kind.is_empty());
    GuestFilesystem {
        identity: device_identity(cluster, guest, "mountpoint", &row.mountpoint),
        device: described.then(|| (row.device.clone(), row.kind.clone())),
        size,
        usage: row.used.filter(|used| Some(*used) <= size),
        available: row
            .total
            .zip(row.used)
            .and_then(|(total, used)| total.checked_sub(used)),
    }
}

fn interface(cluster: &str, guest: GuestKey, name: &str, counters: &Counters) -> GuestAgentInterface {
    GuestAgentInterface {
        identity: device_identity(cluster, guest, "interface", name),
        receive_bytes: counters.receive_bytes,
        receive_packets: counters.receive_packets,
        receive_errors: counters.receive_errors,
        receive_drops: counters.receive_drops,
        transmit_bytes: counters.transmit_bytes,
        transmit_packets: counters.transmit_packets,
        transmit_errors: counters.transmit_errors,
        transmit_drops: counters.transmit_drops,
    }
}

fn address(cluster: &str, guest: GuestKey, interface: &str, of: &Address) -> GuestAgentAddress {
    GuestAgentAddress {
        identity: Identity::new(&[
            ("pve_cluster", cluster),
            ("id", &id(guest)),
            ("interface", interface),
            ("address", &of.address.to_string()),
        ]),
        address: of.address,
        prefix: of.prefix,
    }
}

#[cfg(test)]
mod tests;
