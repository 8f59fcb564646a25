//! The samplers of Linux: /proc, /sys and a few system calls.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use pve_guest_protocol::{Area, AreaSet, Areas};

mod arp;
mod conntrack;
mod disks;
mod entropy;
mod file_systems;
mod interfaces;
mod load;
mod memory;
mod network;
mod paging;
mod pressure;
mod processes;
mod protocols;
mod rows;
mod scheduler;
mod sockets;
mod softnet;
mod source;
mod stat;
mod system;
mod text;
mod time;
mod udp_queues;
mod users;

use arp::Arp;
use conntrack::Connections;
use disks::DiskCounters;
use entropy::Pool;
use file_systems::FileSystems;
pub use file_systems::{Ask, Usage};
use interfaces::Interfaces;
use load::LoadAverages;
use memory::MemoryInfo;
use network::InterfaceCounters;
use paging::PagingCounters;
use pressure::Stalls;
use processes::ProcessTable;
use protocols::ProtocolCounters;
use scheduler::RunQueues;
use sockets::SocketCounts;
use softnet::Softnet;
use source::Reading;
use stat::Stat;
use system::Machine;
use udp_queues::Queues;
use users::Sessions;

/// Where the kernel's files are.
#[derive(Clone, Debug)]
pub struct Roots {
    /// `/proc`
    pub proc: PathBuf,
    /// `/sys`
    pub sys: PathBuf,
    /// `/etc`
    pub etc: PathBuf,
    /// `/run`
    pub run: PathBuf,
}

impl Default for Roots {
    fn default() -> Self {
        Self::below("/")
    }
}

impl Roots {
    /// The directories of a system, or of a record of one, that lies below `root`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        Self {
            proc: root.join("proc"),
            sys: root.join("sys"),
            etc: root.join("etc"),
            run: root.join("run"),
        }
    }
}

/// Areas that change slowly, and after how long a regular sample holds them again. A little less than ten seconds and a minute,
/// so that a timer that is a moment early does not double them.
const SLOW: [(Area, Duration); 3] = [
    (Area::Interfaces, Duration::from_millis(9_500)),
    (Area::Users, Duration::from_millis(59_500)),
    (Area::System, Duration::from_millis(59_500)),
];

/// Reads what the kernel says about this machine.
///
/// Files that are read in every sample stay open, and all of them are read into one buffer, which grows to the longest.
pub struct Sampler {
    enabled: AreaSet,
    areas: Areas,
    failed: AreaSet,
    slow_at: [Option<Instant>; SLOW.len()],
    reading: Reading,
    stat: Stat,
    load: LoadAverages,
    memory: MemoryInfo,
    paging: PagingCounters,
    pressure: Stalls,
    processes: ProcessTable,
    sockets: SocketCounts,
    protocols: ProtocolCounters,
    conntrack: Connections,
    udp_queues: Queues,
    entropy: Pool,
    users: Sessions,
    system: Machine,
    scheduler: RunQueues,
    softnet: Softnet,
    disks: DiskCounters,
    file_systems: FileSystems,
    network: InterfaceCounters,
    interfaces: Interfaces,
    arp: Arp,
}

impl Sampler {
    /// Nothing is opened or read before the first sample. [`Area::Collector`] is the caller's own: it is never sampled here.
    pub fn new(roots: &Roots, enabled: AreaSet) -> Self {
        Self::with(roots, enabled, None)
    }

    /// The same, asking file systems in another way than the kernel's: for records of a machine, whose mounts are not here.
    pub fn asking(roots: &Roots, enabled: AreaSet, ask: Ask) -> Self {
        Self::with(roots, enabled, Some(ask))
    }

    fn with(roots: &Roots, mut enabled: AreaSet, ask: Option<Ask>) -> Self {
        enabled.remove(Area::Collector);
        Self {
            enabled,
            areas: Areas::default(),
            failed: AreaSet::NONE,
            slow_at: [None; SLOW.len()],
            reading: Reading::new(Instant::now()),
            stat: Stat::new(roots),
            load: LoadAverages::new(roots),
            memory: MemoryInfo::new(roots),
            paging: PagingCounters::new(roots),
            pressure: Stalls::new(roots),
            processes: ProcessTable::new(roots),
            sockets: SocketCounts::new(roots),
            protocols: ProtocolCounters::new(roots),
            conntrack: Connections::new(roots),
            udp_queues: Queues::new(roots),
            entropy: Pool::new(roots),
            users: Sessions::new(roots),
            system: Machine::new(roots),
            scheduler: RunQueues::new(roots),
            softnet: Softnet::new(roots),
            disks: DiskCounters::new(roots),
            file_systems: FileSystems::new(roots, ask),
            network: InterfaceCounters::new(roots),
            interfaces: Interfaces::new(roots),
            arp: Arp::new(roots),
        }
    }

    /// All areas that are switched on: what a host gets first.
    pub fn enabled(&self) -> AreaSet {
        self.enabled
    }

    /// The areas of the next regular sample: all that are switched on, but for slow ones that a regular sample held not long ago.
    pub fn due(&mut self, now: Instant) -> AreaSet {
        let mut due = self.enabled;
        for ((area, pause), at) in SLOW.into_iter().zip(&mut self.slow_at) {
            if at.is_some_and(|at| now.saturating_duration_since(at) < pause) {
                due.remove(area);
            } else {
                *at = Some(now);
            }
        }
        due
    }

    /// Makes the next regular sample a whole one.
    pub fn forget(&mut self) {
        self.slow_at = [None; SLOW.len()];
    }

    /// Reads these areas, as far as they are switched on. An area that cannot be read is absent.
    ///
    /// Blocks for as long as the kernel takes, and for file systems that may hang no longer than 100 ms in all.
    pub fn sample(&mut self, wanted: AreaSet, now: Instant) -> &mut Areas {
        let wanted = wanted.intersection(self.enabled);
        self.reading.begin(now);
        self.areas = lists_of(std::mem::take(&mut self.areas), wanted);
        for area in wanted.iter() {
            self.read(area);
        }
        let present = self.areas.present();
        self.failed = wanted.iter().filter(|area| !present.contains(*area)).collect();
        &mut self.areas
    }

    /// Areas of the last sample that could not be read: this kernel has no such thing, or refuses it.
    pub fn failed(&self) -> AreaSet {
        self.failed
    }

    fn read(&mut self, area: Area) {
        let (reading, areas) = (&mut self.reading, &mut self.areas);
        match area {
            Area::Kernel => self.stat.sample(reading, areas),
            // Both stand in one file, and are sampled together.
            Area::Cpus if areas.kernel.is_some() => {}
            Area::Cpus => {
                self.stat.sample(reading, areas);
                areas.kernel = None;
            }
            Area::Load => self.load.sample(reading, areas),
            Area::Memory => self.memory.sample(reading, areas),
            Area::Paging => self.paging.sample(reading, areas),
            Area::Pressure => self.pressure.sample(reading, areas),
            Area::Processes => self.processes.sample(reading, areas),
            Area::Sockets => self.sockets.sample(reading, areas),
            Area::Protocols => self.protocols.sample(reading, areas),
            Area::Conntrack => self.conntrack.sample(reading, areas),
            Area::UdpQueues => self.udp_queues.sample(reading, areas),
            Area::Entropy => self.entropy.sample(reading, areas),
            Area::Time => time::sample(areas),
            Area::Users => self.users.sample(reading, areas),
            Area::System => self.system.sample(reading, areas),
            Area::Collector => {}
            Area::Scheduler => self.scheduler.sample(reading, areas),
            Area::Softnet => self.softnet.sample(reading, areas),
            Area::Disks => self.disks.sample(reading, areas),
            Area::FileSystems => self.file_systems.sample(reading, areas),
            Area::Network => self.network.sample(reading, areas),
            Area::Interfaces => self.interfaces.sample(reading, areas),
            Area::Arp => self.arp.sample(reading, areas),
        }
    }
}

/// The lists that the next sample fills again, with the memory that they have.
fn lists_of(before: Areas, wanted: AreaSet) -> Areas {
    fn kept<T>(list: Option<Vec<T>>, is_wanted: bool) -> Option<Vec<T>> {
        list.filter(|_| is_wanted)
    }
    Areas {
        cpus: kept(before.cpus, wanted.contains(Area::Cpus)),
        scheduler: kept(before.scheduler, wanted.contains(Area::Scheduler)),
        softnet: kept(before.softnet, wanted.contains(Area::Softnet)),
        disks: kept(before.disks, wanted.contains(Area::Disks)),
        file_systems: kept(before.file_systems, wanted.contains(Area::FileSystems)),
        network: kept(before.network, wanted.contains(Area::Network)),
        ..Areas::default()
    }
}
