//! What happens in a lively cluster: a pure function of the seed and the number of the sample.

use super::Model;
use crate::{
    clock::{Milliseconds, SAMPLE_PERIOD, milliseconds},
    random::hash,
};

/// How long a gap (the machine slept) is still filled with events: one day.
const LONGEST_GAP: u64 = 8_640;

/// What is undone later, after a number of samples.
#[derive(Debug, Clone, Copy)]
enum Later {
    Start(u32),
    Unlock(u32),
    Arrive(u32, usize),
}

/// Moves a lively cluster on, sample by sample.
#[derive(Debug)]
pub(crate) struct Events {
    enabled: bool,
    done: u64,
    pending: Vec<(u64, Later)>,
}

impl Events {
    pub(crate) fn new(enabled: bool) -> Self {
        Self {
            enabled,
            done: 0,
            pending: Vec::new(),
        }
    }

    /// Lets happen what happened up to this sample.
    pub(crate) fn catch_up(&mut self, model: &mut Model, start: Milliseconds, generation: u64) {
        if self.enabled {
            let first = (self.done + 1).max(generation.saturating_sub(LONGEST_GAP));
            for number in first..=generation {
                self.happen(model, start + number * milliseconds(SAMPLE_PERIOD), number);
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
            undo(model, later, now);
        }
        let draw = |question: u64| hash(&[model.seed, 0x6576_656E_7473, generation, question]);
        if draw(1).is_multiple_of(90) {
            // Five minutes without one of the shared storages.
            let shared: Vec<usize> = (0..model.storages.len())
                .filter(|at| model.storages[*at].shared)
                .collect();
            if let Some(at) = pick(&shared, draw(2)) {
                model.storages[*at].failing_until = generation + 30;
            }
        }
        match draw(3) % 16 {
            0 => self.stop(model, draw(4), generation),
            1 => {
                let running = free(model, true);
                if let Some(vmid) = pick(&running, draw(4)) {
                    model.change(*vmid, |guest| guest.restart(now));
                }
            }
            2 => self.migrate(model, draw(4), draw(5), generation),
            3 | 4 => self.lock(model, draw(4), "backup", generation, 3 + draw(5) % 6),
            5 => self.lock(model, draw(4), "snapshot", generation, 1),
            _ => {}
        }
    }

    fn stop(&mut self, model: &mut Model, draw: u64, generation: u64) {
        if let Some(vmid) = pick(&free(model, true), draw) {
            model.change(*vmid, super::Guest::stop);
            self.pending.push((generation + 2 + draw % 12, Later::Start(*vmid)));
        }
    }

    fn lock(&mut self, model: &mut Model, draw: u64, lock: &str, generation: u64, samples: u64) {
        let mut guests = free(model, true);
        guests.extend(free(model, false));
        if let Some(vmid) = pick(&guests, draw) {
            model.change(*vmid, |guest| guest.settings.lock = Some(lock.to_owned()));
            self.pending.push((generation + samples, Later::Unlock(*vmid)));
        }
    }

    fn migrate(&mut self, model: &mut Model, draw: u64, target: u64, generation: u64) {
        let guests = free(model, true);
        let Some(vmid) = pick(&guests, draw).copied() else {
            return;
        };
        let from = model.guests.get(&vmid).map_or(0, |guest| guest.node);
        let others: Vec<usize> = (0..model.nodes.len()).filter(|node| *node != from).collect();
        if let Some(to) = pick(&others, target) {
            model.change(vmid, |guest| guest.settings.lock = Some("migrate".to_owned()));
            self.pending.push((generation + 2, Later::Arrive(vmid, *to)));
        }
    }
}

fn undo(model: &mut Model, later: Later, now: Milliseconds) {
    match later {
        Later::Start(vmid) => model.change(vmid, |guest| guest.start(now)),
        Later::Unlock(vmid) => model.change(vmid, |guest| guest.settings.lock = None),
        Later::Arrive(vmid, node) => model.change(vmid, |guest| {
            guest.settings.lock = None;
            guest.migrate(node, now);
        }),
    };
}

/// The guests that nothing else holds, running or stopped; templates take no part.
fn free(model: &Model, running: bool) -> Vec<u32> {
    let guests = model.guests.values();
    guests
        .filter(|guest| guest.is_running() == running && !guest.settings.template && guest.settings.lock.is_none())
        .map(|guest| guest.vmid)
        .collect()
}

fn pick<T>(from: &[T], draw: u64) -> Option<&T> {
    (!from.is_empty()).then(|| &from[crate::random::index(from.len(), &[draw])])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::Options;

    const START: Milliseconds = 1_786_800_000_000;

    fn after(generations: &[u64]) -> (Model, BTreeSet<String>) {
        let mut model = Model::new(&Options::default(), START);
        let mut events = Events::new(true);
        let mut locks = BTreeSet::new();
        for generation in generations {
            events.catch_up(&mut model, START, *generation);
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
        Events::new(false).catch_up(&mut model, START, 500);
        assert_eq!(before, format!("{model:?}"));
    }
}
