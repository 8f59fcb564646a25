//! What collectors in guests of this node publish over virtio-serial.
//!
//! A guest's port is found by `discovery`, its `session` reads what comes, and `intake` makes samples of that.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::clock::Clock;
use crate::config::GuestTelemetry;
use discovery::Presence;
use identity::Ports;
use session::{Connector, Session};

mod budget;
mod discovery;
mod dropped;
pub mod exposition;
mod guest;
pub mod identity;
mod intake;
pub mod opener;
mod rows;
mod session;
mod state;
mod timing;

pub use dropped::{Dropped, Reason};
pub use guest::{Guest, GuestSnapshot};
pub use intake::{Counts, GuestSample, Intake, Moment, Outcome};
pub use state::State;
pub use timing::Timing;

/// How long a guest that has gone is remembered, with the label sets that it has used up: its state goes at once.
const REMEMBERED: std::time::Duration = std::time::Duration::from_secs(24 * 3600);

/// How many ask the opener at a time.
const ASKING: usize = 4;

/// The collectors of all guests of this node.
#[derive(Debug)]
pub struct Telemetry {
    found: Arc<Mutex<Found>>,
    stop: watch::Sender<bool>,
    scanning: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Found {
    guests: BTreeMap<u32, Entry>,
    /// Why the last scan did not work; `None` before the first one has ended, and after one that worked.
    problem: Option<String>,
    scanned: bool,
}

#[derive(Debug)]
struct Entry {
    guest: Arc<Guest>,
    /// While the guest is there; its session ends with it.
    presence: Option<watch::Sender<Presence>>,
    last_seen: Instant,
}

impl Telemetry {
    /// Begins to look for guests, and to read what they say.
    #[must_use]
    pub fn start(settings: &GuestTelemetry, clock: Clock) -> Arc<Self> {
        Self::start_with(settings, clock, Timing::default())
    }

    /// The same with other times.
    #[must_use]
    pub fn start_with(settings: &GuestTelemetry, clock: Clock, timing: Timing) -> Arc<Self> {
        let found = Arc::new(Mutex::new(Found::default()));
        let (stop, stopped) = watch::channel(false);
        let scanner = Scanner {
            settings: settings.clone(),
            clock,
            timing,
            connector: Arc::new(Connector {
                ports: Ports {
                    directory: settings.directory.clone(),
                    name: settings.socket.clone(),
                },
                opener: settings.opener.clone(),
                turns: Semaphore::new(ASKING),
            }),
            found: Arc::clone(&found),
            sessions: JoinSet::new(),
        };
        let scanning = tokio::spawn(scanner.run(stopped));
        Arc::new(Self {
            found,
            stop,
            scanning: Mutex::new(Some(scanning)),
        })
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The guests of this node that have a port, by number.
    #[must_use]
    pub fn guests(&self) -> Vec<GuestSnapshot> {
        let found = self.found();
        let here = found.guests.values().filter(|entry| entry.presence.is_some());
        let here: Vec<_> = here.map(|entry| Arc::clone(&entry.guest)).collect();
        drop(found);
        here.iter().map(|guest| guest.snapshot()).collect()
    }

    /// A guest of this node that has a port.
    #[must_use]
    pub fn guest(&self, vmid: u32) -> Option<Arc<Guest>> {
        let found = self.found();
        let entry = found.guests.get(&vmid).filter(|entry| entry.presence.is_some())?;
        Some(Arc::clone(&entry.guest))
    }

    /// Whether all guests are known that have a port.
    ///
    /// # Errors
    /// Why not: it has not been looked yet, or the directory cannot be read.
    pub fn complete(&self) -> Result<(), String> {
        let found = self.found();
        match &found.problem {
            Some(problem) => Err(problem.clone()),
            None if found.scanned => Ok(()),
            None => Err("nobody has looked for guests yet".to_owned()),
        }
    }

    /// Reads all connections to the end, and closes them.
    pub async fn stop(&self) {
        // It is received as long as somebody scans.
        self.stop.send_replace(true);
        let scanning = self.scanning.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(scanning) = scanning {
            drop(scanning.await);
        }
    }
}

/// Looks for guests, and lets their sessions begin and end.
struct Scanner {
    settings: GuestTelemetry,
    clock: Clock,
    timing: Timing,
    connector: Arc<Connector>,
    found: Arc<Mutex<Found>>,
    sessions: JoinSet<()>,
}

impl Scanner {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        loop {
            let connector = Arc::clone(&self.connector);
            // The files are in memory, but there may be thousands.
            let scan = tokio::task::spawn_blocking(move || discovery::scan(&connector.ports)).await;
            match scan.unwrap_or_else(|error| Err(io::Error::other(error))) {
                Ok(guests) => self.update(&guests),
                Err(problem) => self.failed(&problem),
            }
            while self.sessions.try_join_next().is_some() {}
            // It ends when it is told to, and when nobody could tell it any more.
            if tokio::time::timeout(self.timing.scan, stopped.changed()).await.is_ok() {
                break;
            }
        }
        for entry in self.found().guests.values_mut() {
            entry.presence = None;
        }
        while self.sessions.join_next().await.is_some() {}
    }

    fn found(&self) -> MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn failed(&self, problem: &io::Error) {
        let problem = format!("cannot read {}: {problem}", self.settings.directory.display());
        let mut found = self.found();
        if found.problem.as_ref() != Some(&problem) {
            tracing::warn!(problem, "guests cannot be looked for");
        }
        found.problem = Some(problem);
    }

    fn update(&mut self, scanned: &BTreeMap<u32, Presence>) {
        let now = self.clock.now();
        let found = Arc::clone(&self.found);
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        (found.problem, found.scanned) = (None, true);
        for (vmid, entry) in &mut found.guests {
            if scanned.contains_key(vmid) {
                continue;
            }
            // Somebody may have removed the socket of a guest that runs: the connection is as good as before.
            let presence = discovery::presence(&self.connector.ports, *vmid);
            match &entry.presence {
                Some(sender) if presence != Presence::Gone => tell(sender, presence),
                _ => entry.presence = None,
            }
        }
        for (vmid, presence) in scanned {
            let entry = found.guests.entry(*vmid).or_insert_with(|| Entry {
                guest: Arc::new(Guest::new(
                    *vmid,
                    &self.settings,
                    self.timing.clone(),
                    self.clock.clone(),
                )),
                presence: None,
                last_seen: now,
            });
            entry.last_seen = now;
            match &entry.presence {
                Some(sender) => tell(sender, *presence),
                None => {
                    let (sender, receiver) = watch::channel(*presence);
                    entry.presence = Some(sender);
                    let session = Session {
                        guest: Arc::clone(&entry.guest),
                        connector: Arc::clone(&self.connector),
                        presence: receiver,
                    };
                    self.sessions.spawn(session.run());
                }
            }
        }
        let is_remembered =
            |entry: &Entry| entry.presence.is_some() || now.saturating_duration_since(entry.last_seen) < REMEMBERED;
        found.guests.retain(|_, entry| is_remembered(entry));
    }
}

fn tell(sender: &watch::Sender<Presence>, presence: Presence) {
    sender.send_if_modified(|told| std::mem::replace(told, presence) != presence);
}
