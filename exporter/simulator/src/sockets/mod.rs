//! The sockets that QEMU has on one node: collectors behind the ports of virtual machines, and guest agents.

mod agent;
mod inside;
mod machine;

pub use machine::{Heard, PlayedMachine};

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use pve_guest_protocol::{AreaSet, BootId, Encoder, Header, PORT_NAME};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::{
    GuestKind, Simulator,
    clock::Milliseconds,
    cluster::Cluster,
    model::{Guest, Model},
    random::hash,
};

use inside::Inside;

/// How often a collector publishes.
const INTERVAL: Duration = Duration::from_secs(10);

/// How soon a machine that starts, stops or moves is noticed.
const NOTICED: Duration = Duration::from_secs(1);

/// A collector that falls silent does so once in this time, in seconds, for its last part.
const SILENCE_PERIOD: u64 = 1_200;
const SILENCE_BEGINS: u64 = 900;

/// A process that is nobody's QEMU.
const STRANGER: u32 = 1;

/// The collectors of the first machines of a node, in the order of their ids; those of others are well.
const MANNERS: [Manner; 12] = [
    Manner::Well,
    Manner::Well,
    Manner::Silent,
    Manner::Ahead,
    Manner::Babbles,
    Manner::Well,
    Manner::FallsSilent,
    Manner::Well,
    Manner::Newer,
    Manner::Well,
    Manner::Well,
    Manner::Misattributed,
];

/// What a collector is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Well,
    /// It never says anything.
    Silent,
    /// It falls silent now and then.
    FallsSilent,
    /// The clock of its guest is ahead, and nothing sets it.
    Ahead,
    /// Something else writes to its port.
    Babbles,
    /// It speaks a later version.
    Newer,
    /// Its socket is that of another machine.
    Misattributed,
}

/// A directory like `/var/run/qemu-server` of a node. It has the machines that run there and have a port by their arguments,
/// and follows them. Dropping it closes all sockets and takes the directory away.
#[derive(Debug)]
pub struct Sockets {
    directory: PathBuf,
    following: JoinHandle<()>,
}

impl Sockets {
    /// Where they are.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        self.following.abort();
    }
}

impl Simulator {
    /// Opens the sockets of a node, whose machines this process plays. Some of their collectors are unwell, unless the
    /// cluster is calm.
    ///
    /// # Errors
    ///
    /// Fails if there is no such node, or no directory to be had.
    pub fn open_sockets(&self, node: &str) -> io::Result<Sockets> {
        let index = self.cluster.node_named(node).ok_or(io::ErrorKind::NotFound)?;
        let directory = TempDir::with_prefix("qemu-server-")?;
        let manners = MANNERS.into_iter().filter(|_| !self.cluster.options.calm);
        let first = self.cluster.with_model(|model| here(model, index));
        Ok(Sockets {
            directory: directory.path().to_owned(),
            following: tokio::spawn(follow(Follower {
                cluster: Arc::clone(&self.cluster),
                node: index,
                manners: first.into_keys().zip(manners).collect(),
                machines: BTreeMap::new(),
                directory,
            })),
        })
    }
}

/// The machines with a port that run on a node, and since when.
fn here(model: &Model, node: usize) -> BTreeMap<u32, Milliseconds> {
    let has_port = |guest: &Guest| {
        let arguments = guest.settings.args.as_deref().unwrap_or_default();
        guest.kind == GuestKind::Qemu && guest.node == node && arguments.contains(PORT_NAME)
    };
    let guests = model.guests.values().filter(|guest| has_port(guest));
    guests
        .filter_map(|guest| Some((guest.vmid, guest.running_since?)))
        .collect()
}

/// What it drops it drops in this order: the directory is the last to go.
struct Follower {
    cluster: Arc<Cluster>,
    node: usize,
    manners: BTreeMap<u32, Manner>,
    machines: BTreeMap<u32, (Milliseconds, PlayedMachine)>,
    directory: TempDir,
}

async fn follow(mut follower: Follower) {
    loop {
        follower.catch_up();
        tokio::time::sleep(NOTICED).await;
    }
}

impl Follower {
    fn catch_up(&mut self) {
        let name = self.cluster.node_name(self.node);
        let mut here = self.cluster.with_model(|model| here(model, self.node));
        self.cluster.with_faults(|faults| {
            let is_dead = faults.dead(name).is_some();
            here.retain(|vmid, _| !is_dead && !faults.vanished(*vmid));
        });
        self.machines.retain(|vmid, (since, _)| here.get(vmid) == Some(since));
        for (vmid, since) in here {
            if self.machines.contains_key(&vmid) {
                continue;
            }
            match self.play(vmid) {
                Ok(machine) => _ = self.machines.insert(vmid, (since, machine)),
                Err(error) => tracing::warn!(vmid, %error, "the sockets of a machine cannot be opened"),
            }
        }
    }

    fn play(&self, vmid: u32) -> io::Result<PlayedMachine> {
        let manner = self.manners.get(&vmid).copied().unwrap_or(Manner::Well);
        let process = if manner == Manner::Misattributed {
            STRANGER
        } else {
            std::process::id()
        };
        let inside = Arc::new(Mutex::new(None));
        let of_agent = Arc::clone(&inside);
        let cluster = Arc::clone(&self.cluster);
        let mut collector = Collector {
            manner,
            inside,
            header: Header::default(),
            encoder: Encoder::default(),
        };
        let machine = PlayedMachine::start(self.directory.path(), vmid, process)?;
        let has_agent = self.cluster.with_model(|model| {
            let guest = model.guests.get(&vmid);
            guest.is_some_and(|guest| guest.agent_is_on() == Some(true))
        });
        let of_collector = Arc::clone(&cluster);
        let machine = machine.with_collector(INTERVAL, move |heard| {
            look(&of_collector, vmid, |guest, now| collector.says(guest, now, heard))
        })?;
        if !has_agent {
            return Ok(machine);
        }
        machine.with_agent(move |line| {
            look(&cluster, vmid, |guest, now| {
                let mut inside = of_agent.lock().unwrap_or_else(PoisonError::into_inner);
                let inside = inside.get_or_insert_with(|| Inside::of(guest, now));
                agent::answer(guest, &inside.figures(guest, now), line)
            })
        })
    }
}

/// What a guest says, if it is still there.
fn look(cluster: &Cluster, vmid: u32, says: impl FnOnce(&Guest, Milliseconds) -> Vec<u8>) -> Vec<u8> {
    let now = cluster.time.now();
    cluster.with_model(|model| {
        let guest = model.guests.get(&vmid);
        guest.map(|guest| says(guest, now)).unwrap_or_default()
    })
}

struct Collector {
    manner: Manner,
    inside: Arc<Mutex<Option<Inside>>>,
    header: Header,
    encoder: Encoder,
}

impl Collector {
    fn says(&mut self, guest: &Guest, now: Milliseconds, heard: Heard) -> Vec<u8> {
        let id = match heard {
            Heard::Connected => return Vec::new(),
            Heard::Nothing => None,
            Heard::Asked(id) => Some(id),
        };
        let falls_silent = now / 1_000 % SILENCE_PERIOD >= SILENCE_BEGINS;
        match self.manner {
            // A machine that is paused says nothing.
            _ if guest.held_since.is_some() => Vec::new(),
            Manner::Silent => Vec::new(),
            Manner::FallsSilent if falls_silent => Vec::new(),
            Manner::Babbles => format!("{} login: \n", guest.settings.name).into_bytes(),
            _ => self.sample(guest, now, id),
        }
    }

    fn sample(&mut self, guest: &Guest, now: Milliseconds, id: Option<u64>) -> Vec<u8> {
        let mut inside = self.inside.lock().unwrap_or_else(PoisonError::into_inner);
        let inside = inside.get_or_insert_with(|| Inside::of(guest, now));
        let figures = inside.figures(guest, now);
        let is_ahead = self.manner == Manner::Ahead;
        let boot = hash(&[guest.stream, guest.running_since.unwrap_or_default()]);
        let mut boot_id = BootId::default();
        boot_id.0[..8].copy_from_slice(&boot.to_be_bytes());
        self.header = Header {
            boot_id,
            start_seconds: 6.0,
            sequence: self.header.sequence + 1,
            monotonic_seconds: figures.uptime,
            time_seconds: figures.now + if is_ahead { 95.0 } else { 0.0 },
            interval_seconds: INTERVAL.as_secs_f64(),
            ..Header::default()
        };
        if self.manner == Manner::Newer {
            self.header.version.major += 1;
        }
        let mut lines = Vec::new();
        self.encoder
            .encode(&self.header, &figures.areas(!is_ahead), AreaSet::ALL, id, &mut lines);
        lines
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{Clock, Fault, FaultKind, Options};

    async fn until(what: &str, mut holds: impl FnMut() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while !holds() {
            assert!(Instant::now() < deadline, "still not: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn sockets_follow_their_machines_and_leave_nothing() {
        let options = Options {
            clock: Clock::Manual,
            events: true,
            ..Options::default()
        };
        let simulator = Simulator::start(options).await.unwrap();
        let sockets = simulator.open_sockets("pve1").unwrap();
        let directory = sockets.directory().to_owned();
        let has = |name: &str| directory.join(name).exists();
        until("it is there", || {
            has("100.telemetry") && has("100.qga") && has("100.pid")
        })
        .await;
        assert!(!has("101.pid"), "that is on another node");
        simulator.stop(100);
        until("it has stopped", || {
            !has("100.telemetry") && !has("100.qga") && !has("100.pid")
        })
        .await;
        simulator.start_guest(100);
        simulator.migrate(101, "pve1");
        until("both are there", || has("100.telemetry") && has("101.telemetry")).await;
        simulator.migrate(101, "pve2");
        until("it has gone", || !has("101.pid")).await;
        let dead = simulator.inject(Fault::new(FaultKind::Offline).on("pve1"));
        until("the node is dead", || !has("100.telemetry")).await;
        simulator.clear(dead);
        until("it is back", || has("100.telemetry")).await;
        drop(sockets);
        until("nothing is left", || !directory.exists()).await;
    }
}
