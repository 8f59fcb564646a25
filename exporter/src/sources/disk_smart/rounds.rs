//! Which disk of a node is asked next: each is asked when its readings are old, the one first that has waited longest.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::pve::error::ApiError;
use crate::sources::disks::NodeDisks;
use crate::subjects::disk::Disk;
use crate::subjects::disk_smart::Readings;

/// How long a disk is left alone that could not be read: it has been waited for in vain, and will be again.
const REST: Duration = Duration::from_secs(3600);

/// The readings of a node's disks.
#[derive(Debug, Default)]
pub struct NodeSmart {
    /// By device.
    pub disks: BTreeMap<Arc<str>, Arc<Readings>>,
    /// Disks that could not be read the last time.
    pub damaged_rows: u64,
}

/// What is known of each node's disks.
#[derive(Debug)]
pub struct Rounds {
    max_age: Duration,
    nodes: Mutex<Nodes>,
}

/// The disks of each node, by device.
type Nodes = HashMap<Arc<str>, BTreeMap<Arc<str>, Entry>>;

#[derive(Debug, Default)]
struct Entry {
    /// Another one under the same device is another disk.
    serial: String,
    tried: Option<Instant>,
    failed: bool,
    read: Option<(Instant, Arc<Readings>)>,
}

impl Entry {
    fn is_due(&self, max_age: Duration, now: Instant) -> bool {
        let age = |at: Instant| now.saturating_duration_since(at);
        match (&self.read, self.tried) {
            (_, Some(tried)) if self.failed => age(tried) >= REST,
            // As everywhere a little early, so that nobody sees an old one.
            (Some((at, _)), _) => age(*at) >= max_age * 4 / 5,
            (None, _) => true,
        }
    }
}

impl Rounds {
    /// Nothing is known yet. Readings are renewed when they are as old as `max_age`, and given out until they are three times as
    /// old.
    #[must_use]
    pub fn new(max_age: Duration) -> Self {
        Self {
            max_age,
            nodes: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The device at `node` to ask next, if one of `disks` is due. What is known of others is forgotten.
    #[must_use]
    pub fn next(&self, node: &Arc<str>, disks: &NodeDisks, now: Instant) -> Option<Arc<str>> {
        let mut nodes = self.lock();
        let entries = nodes.entry(Arc::clone(node)).or_default();
        let mut known = std::mem::take(entries);
        for disk in disks.disks.iter().filter(|disk| may_have_smart(disk)) {
            let same = known
                .remove(&disk.device)
                .filter(|entry| entry.serial == disk.text.serial);
            let entry = same.unwrap_or_else(|| Entry {
                serial: disk.text.serial.clone(),
                ..Entry::default()
            });
            entries.insert(Arc::clone(&disk.device), entry);
        }
        let due = entries.iter().filter(|(_, entry)| entry.is_due(self.max_age, now));
        let (device, _) = due.min_by_key(|(_, entry)| entry.tried)?;
        Some(Arc::clone(device))
    }

    /// Notes what came of asking `device`, and gives what is known of all disks of `node`.
    ///
    /// # Errors
    /// That of `outcome`. One that is the disk's own lets the disk rest; of any other it is not to blame.
    pub fn note(
        &self,
        node: &Arc<str>,
        device: &Arc<str>,
        outcome: Result<Readings, ApiError>,
        now: Instant,
    ) -> Result<NodeSmart, ApiError> {
        let mut nodes = self.lock();
        let entry = nodes.get_mut(node).and_then(|entries| entries.get_mut(device));
        match (outcome, entry) {
            (Ok(readings), Some(entry)) => {
                entry.read = Some((now, readings.into()));
                (entry.tried, entry.failed) = (Some(now), false);
            }
            (Err(error), entry) => {
                let its_own = matches!(
                    error,
                    ApiError::Timeout { .. } | ApiError::Status { .. } | ApiError::Decode { .. }
                );
                if let Some(entry) = entry.filter(|_| its_own) {
                    (entry.tried, entry.failed) = (Some(now), true);
                }
                return Err(error);
            }
            (Ok(_), None) => {}
        }
        drop(nodes);
        Ok(self.all(node, now))
    }

    /// What is known of the disks of `node`.
    #[must_use]
    pub fn all(&self, node: &Arc<str>, now: Instant) -> NodeSmart {
        let nodes = self.lock();
        let entries = || nodes.get(node).into_iter().flatten();
        let young = |at: Instant| now.saturating_duration_since(at) < self.max_age * 3;
        let readings = entries().filter_map(|(device, entry)| {
            let (_, readings) = entry.read.as_ref().filter(|(at, _)| young(*at))?;
            Some((Arc::clone(device), Arc::clone(readings)))
        });
        NodeSmart {
            disks: readings.collect(),
            damaged_rows: entries().filter(|(_, entry)| entry.failed).count() as u64,
        }
    }
}

/// Those of virtual machines have none, and `smartctl` cannot even open some.
fn may_have_smart(disk: &Disk) -> bool {
    !disk.device.starts_with("vd") && !disk.device.starts_with("xvd")
}
