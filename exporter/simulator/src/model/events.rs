//! What happens in a lively cluster: a pure function of the seed and the number of the sample.

use super::{BackupResult, BackupRun, End, Model, NewTask, Node, PlannedBackup, guest_task};
use crate::{
    Options,
    calendar::seconds,
    clock::{Milliseconds, SAMPLE_PERIOD, milliseconds},
    faults::ActiveFaults,
    random::hash,
};

/// How long a gap (the machine slept) is still filled with events: one day.
const LONGEST_GAP: u64 = 8_640;

/// What is undone later, after a number of samples.
#[derive(Debug, Clone, Copy)]
enum Later {
    Start(u32),
    Unlock(u32),
    /// A guest, where it goes, and the number of the task.
    Arrive(u32, usize, u64),
}

/// Moves a lively cluster on, sample by sample.
#[derive(Debug)]
pub(crate) struct Events {
    enabled: bool,
    calm: bool,
    /// Nodes that never joined a cluster do not exchange guests.
    standalone: bool,
    done: u64,
    pending: Vec<(u64, Later)>,
    /// The nodes on which nothing can happen because they are dead or cut off.
    lost: Vec<bool>,
}

impl Events {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            enabled: options.events,
            calm: options.calm,
            standalone: options.standalone,
            done: 0,
            pending: Vec::new(),
            lost: Vec::new(),
        }
    }

    /// Lets happen what happened up to this sample. Faults count as they are now: they change only after a catching up.
    pub(crate) fn catch_up(&mut self, model: &mut Model, faults: &ActiveFaults, start: Milliseconds, generation: u64) {
        if self.enabled && self.done < generation {
            self.lost = lost_nodes(model, faults);
            let first = (self.done + 1).max(generation.saturating_sub(LONGEST_GAP));
            for number in first..=generation {
                let now = start + number * milliseconds(SAMPLE_PERIOD);
                model.pass_time(seconds(now), &self.lost);
                self.happen(model, now, number);
            }
        }
        self.done = self.done.max(generation);
    }

    fn happen(&mut self, model: &mut Model, now: Milliseconds, generation: u64) {
        let due: Vec<Later> = self
            .pending
            .extract_if(.., |(at, _)| *at <= generation)
            .map(|(_, later)| later)
            .collect();
        for later in due {
            self.undo(model, later, now);
        }
        let seed = model.seed;
        let draw = |question: u64| hash(&[seed, 0x6576_656E_7473, generation, question]);
        if draw(1).is_multiple_of(90) && !self.calm {
            // Five minutes without one of the shared storages.
            let shared: Vec<usize> = (0..model.storages.len())
                .filter(|at| model.storages[*at].shared)
                .collect();
            if let Some(at) = pick(&shared, draw(2)) {
                model.storages[*at].failing_until = generation + 30;
            }
        }
        match draw(3) % 16 {
            0 => self.stop(model, draw(4), now, generation),
            1 => {
                let running = self.free(model, true);
                if let Some(vmid) = pick(&running, draw(4)) {
                    model.change(*vmid, |guest| guest.restart(now));
                    task(model, *vmid, "reboot", now, Some((1 + draw(5) % 8, "OK")));
                }
            }
            2 => self.migrate(model, draw(4), draw(5), now, generation),
            3 | 4 => {
                let samples = 3 + draw(5) % 6;
                if let Some(vmid) = self.lock(model, draw(4), "backup", generation, samples) {
                    let result = model.backups.result(vmid, seconds(now));
                    backup(model, vmid, now, samples, result);
                }
            }
            5 => {
                if let Some(vmid) = self.lock(model, draw(4), "snapshot", generation, 1) {
                    task(model, vmid, "snapshot", now, Some((10, "OK")));
                }
            }
            // A backup that fails because it is killed leaves its lock behind, until somebody takes it away.
            6 if draw(6).is_multiple_of(2) && !self.calm => {
                if let Some(vmid) = self.lock(model, draw(4), "backup", generation, 120) {
                    backup(model, vmid, now, 4, BackupResult::Killed);
                }
            }
            _ => {}
        }
    }

    fn stop(&mut self, model: &mut Model, draw: u64, now: Milliseconds, generation: u64) {
        if let Some(vmid) = pick(&self.free(model, true), draw) {
            model.change(*vmid, super::Guest::stop);
            task(model, *vmid, "stop", now, Some((1, "OK")));
            self.pending.push((generation + 2 + draw % 12, Later::Start(*vmid)));
        }
    }

    fn lock(&mut self, model: &mut Model, draw: u64, lock: &str, generation: u64, samples: u64) -> Option<u32> {
        let mut guests = self.free(model, true);
        guests.extend(self.free(model, false));
        // What no job backs up stays without a backup.
        let is_reached = |vmid: &u32| model.guests.get(vmid).is_some_and(|guest| model.backups.reach(guest));
        guests.retain(|vmid| lock != "backup" || is_reached(vmid));
        let vmid = *pick(&guests, draw)?;
        model.change(vmid, |guest| guest.settings.lock = Some(lock.to_owned()));
        self.pending.push((generation + samples, Later::Unlock(vmid)));
        Some(vmid)
    }

    fn migrate(&mut self, model: &mut Model, draw: u64, target: u64, now: Milliseconds, generation: u64) {
        let guests = self.free(model, true);
        let Some(vmid) = pick(&guests, draw).copied() else {
            return;
        };
        let from = model.guests.get(&vmid).map_or(0, |guest| guest.node);
        let others: Vec<usize> = (0..model.nodes.len())
            .filter(|node| *node != from && !self.lost[*node] && !self.standalone)
            .collect();
        if let Some(to) = pick(&others, target) {
            model.change(vmid, |guest| guest.settings.lock = Some("migrate".to_owned()));
            if let Some(number) = task(model, vmid, "migrate", now, None) {
                self.pending.push((generation + 2, Later::Arrive(vmid, *to, number)));
            }
        }
    }

    fn undo(&self, model: &mut Model, later: Later, now: Milliseconds) {
        match later {
            Later::Start(vmid) => {
                let node = model.change(vmid, |guest| {
                    guest.start(now);
                    guest.node
                });
                if node.is_some_and(|node| !self.lost[node]) {
                    task(model, vmid, "start", now, Some((2, "OK")));
                }
            }
            Later::Unlock(vmid) => {
                model.change(vmid, |guest| guest.settings.lock = None);
            }
            Later::Arrive(vmid, to, number) => {
                let arrived = model.change(vmid, |guest| {
                    guest.settings.lock = None;
                    let arrives = !self.lost[guest.node] && !self.lost[to];
                    if arrives {
                        guest.migrate(to, now);
                    }
                    arrives
                });
                let status = if arrived == Some(true) {
                    "OK"
                } else {
                    "migration problems"
                };
                let end = End {
                    at: seconds(now),
                    status: status.into(),
                };
                model.tasks.end(number, end);
                model.finish_tasks(seconds(now));
            }
        }
    }

    /// The guests that nothing else holds, running or stopped; templates take no part.
    fn free(&self, model: &Model, running: bool) -> Vec<u32> {
        let guests = model.guests.values();
        guests
            .filter(|guest| guest.is_running() == running && !self.lost[guest.node])
            .filter(|guest| !guest.settings.template && guest.settings.lock.is_none())
            .map(|guest| guest.vmid)
            .collect()
    }
}

/// The nodes on which nothing can happen because they are dead or cut off.
pub(crate) fn lost_nodes(model: &Model, faults: &ActiveFaults) -> Vec<bool> {
    let is_lost = |node: &Node| faults.dead(&node.name).is_some() || faults.partitioned(&node.name).is_some();
    model.nodes.iter().map(is_lost).collect()
}

/// Starts a task about a guest on its node, and says its number. It may be known after how many seconds and how it ends.
fn task(model: &mut Model, vmid: u32, what: &str, now: Milliseconds, end: Option<(u64, &'static str)>) -> Option<u64> {
    let guest = model.guests.get(&vmid)?;
    let mut task = NewTask::new(guest.node, guest_task(guest.kind, what), vmid, seconds(now));
    if let Some((after, status)) = end {
        task = task.ending(seconds(now) + after, status);
    }
    Some(model.start_task(task))
}

/// Starts the backup that holds the lock of a guest for a number of samples.
fn backup(model: &mut Model, vmid: u32, now: Milliseconds, samples: u64, result: BackupResult) {
    let plan = PlannedBackup {
        storage: "nas",
        guests: vec![(vmid, result)],
        begins: seconds(now),
        each: Some(samples * 10 - 2),
    };
    let node = model.guests.get(&vmid).map_or(0, |guest| guest.node);
    if let Some(task) = BackupRun::plan(model, node, plan) {
        model.start_task(task);
    }
}

fn pick<T>(from: &[T], draw: u64) -> Option<&T> {
    (!from.is_empty()).then(|| &from[crate::random::index(from.len(), &[draw])])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::{Fault, FaultKind};

    const START: Milliseconds = 1_786_800_000_000;

    fn after(generations: &[u64]) -> (Model, BTreeSet<String>) {
        let options = Options {
            events: true,
            ..Options::default()
        };
        let mut model = Model::new(&options, START);
        let mut events = Events::new(&options);
        let mut locks = BTreeSet::new();
        for generation in generations {
            events.catch_up(&mut model, &ActiveFaults::default(), START, *generation);
            locks.extend(model.guests.values().filter_map(|guest| guest.settings.lock.clone()));
        }
        (model, locks)
    }

    #[test]
    fn happen_alike_in_one_leap_or_in_steps() {
        let (leap, _) = after(&[200]);
        let (steps, locks) = after(&(0..=200).collect::<Vec<_>>());
        assert_eq!(format!("{leap:?}"), format!("{steps:?}"));
        assert!(locks.contains("backup") && locks.contains("migrate"), "{locks:?}");
    }

    #[test]
    fn a_quiet_cluster_stays_as_it_is() {
        let mut model = Model::new(&Options::default(), START);
        let before = format!("{model:?}");
        Events::new(&Options::default()).catch_up(&mut model, &ActiveFaults::default(), START, 500);
        assert_eq!(before, format!("{model:?}"));
    }

    #[test]
    fn nothing_happens_on_a_dead_node() {
        let options = Options {
            events: true,
            ..Options::default()
        };
        let mut model = Model::new(&options, START);
        let guests = |model: &Model, here: bool| -> Vec<String> {
            model
                .guests
                .values()
                .filter(|guest| (guest.node == 1) == here)
                .map(|guest| format!("{guest:?}"))
                .collect()
        };
        let (dead, alive) = (guests(&model, true), guests(&model, false));
        let mut faults = ActiveFaults::default();
        faults.add(Fault::new(FaultKind::Offline).on("pve2"), START);
        Events::new(&options).catch_up(&mut model, &faults, START, 500);
        assert_eq!(dead, guests(&model, true));
        assert_ne!(alive, guests(&model, false));
    }
}
