//! How fast the surveys of a cluster may read: one rate for all of them, what the other sources leave of the requests of a minute,
//! and one read in flight at each node.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Reads that may start within [`WINDOW`].
const STARTS: usize = 60;
const WINDOW: Duration = Duration::from_secs(60);

/// Less than the time between two ticks, and more than the time within one.
const APART: Duration = Duration::from_millis(500);

/// How far apart reads start at most, however much the other sources ask.
const FURTHEST: Duration = Duration::from_secs(6);

/// Who has not asked for so long does not wait any more.
const FORGOTTEN: Duration = Duration::from_secs(2);

/// What the surveys of one cluster share.
#[derive(Default)]
pub struct Limiter {
    state: Mutex<State>,
    /// Whether the other sources have asked so much within the last minute that surveys hold back.
    is_full: Option<Box<dyn Fn() -> bool + Send + Sync>>,
}

#[derive(Debug, Default)]
struct State {
    starts: VecDeque<Instant>,
    /// Those that came too soon, the longest waiting first.
    waiting: Vec<Waiting>,
    busy: BTreeSet<Arc<str>>,
}

#[derive(Debug)]
struct Waiting {
    reader: Arc<str>,
    rank: Rank,
    asked: Instant,
}

/// Who comes first where several have something to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rank {
    /// What somebody may be woken for, and what comes to an end: logs.
    First,
    /// What goes round for ever.
    Later,
}

/// A read in flight; its node is free again when this is dropped.
pub(crate) struct Permit {
    limiter: Arc<Limiter>,
    node: Arc<str>,
}

impl Limiter {
    /// A limiter that holds back where `is_full` says that the cluster has been asked enough within the last minute.
    pub(crate) fn new(is_full: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self {
            is_full: Some(Box::new(is_full)),
            ..Self::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a read is in flight at `node`.
    pub(crate) fn is_busy(&self, node: &str) -> bool {
        self.lock().busy.contains(node)
    }

    /// Lets `reader` read at `node`, unless it is too soon or another one's turn.
    pub(crate) fn start(
        self: &Arc<Self>,
        reader: &Arc<str>,
        rank: Rank,
        node: &Arc<str>,
        now: Instant,
    ) -> Option<Permit> {
        let mut state = self.lock();
        let since = |start: &Instant| now.saturating_duration_since(*start);
        while state.starts.front().is_some_and(|first| since(first) >= WINDOW) {
            state.starts.pop_front();
        }
        // Whoever has stopped asking holds up nobody.
        state.waiting.retain(|waiting| since(&waiting.asked) < FORGOTTEN);
        let last = state.starts.back().map_or(WINDOW, since);
        let is_full = || self.is_full.as_ref().is_some_and(|is_full| is_full());
        let too_soon = state.starts.len() >= STARTS || last < APART || last < FURTHEST && is_full();
        let first = state.waiting.iter().min_by_key(|waiting| waiting.rank);
        let others_turn = first.is_some_and(|first| first.reader != *reader && first.rank <= rank);
        if !too_soon && !others_turn && state.busy.contains(node) {
            // It waits for its node and not for its turn, which others may have.
            return None;
        }
        if too_soon || others_turn {
            match state.waiting.iter_mut().find(|waiting| waiting.reader == *reader) {
                Some(waiting) => waiting.asked = now,
                None => state.waiting.push(Waiting {
                    reader: Arc::clone(reader),
                    rank,
                    asked: now,
                }),
            }
            return None;
        }
        state.waiting.retain(|waiting| waiting.reader != *reader);
        state.busy.insert(Arc::clone(node));
        state.starts.push_back(now);
        let (limiter, node) = (Arc::clone(self), Arc::clone(node));
        Some(Permit { limiter, node })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.limiter.lock().busy.remove(&self.node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn surveys_that_have_much_to_read_take_turns() {
        let (limiter, started) = (Arc::new(Limiter::default()), Instant::now());
        let surveys: [Arc<str>; 3] = ["a".into(), "b".into(), "c".into()];
        let mut turns = [0; 3];
        for second in 0..100 {
            for (survey, turns) in surveys.iter().zip(&mut turns) {
                let permit = limiter.start(survey, Rank::Later, &"pve1".into(), started + second * SECOND);
                *turns += usize::from(permit.is_some());
            }
        }
        assert!(turns.iter().all(|turns| *turns >= 32), "{turns:?}");
    }

    #[test]
    fn logs_come_before_surveys_as_long_as_there_are_any() {
        let (limiter, started) = (Arc::new(Limiter::default()), Instant::now());
        let mut turns = [0; 3];
        for second in 0..100 {
            let readers = [("logs", Rank::First), ("a", Rank::Later), ("b", Rank::Later)];
            let readers = readers.into_iter().zip(&mut turns);
            for ((reader, rank), turns) in readers.filter(|((_, rank), _)| *rank == Rank::Later || second < 50) {
                let permit = limiter.start(&reader.into(), rank, &"pve1".into(), started + second * SECOND);
                *turns += usize::from(permit.is_some());
            }
        }
        assert_eq!(turns, [50, 25, 25]);
    }

    #[test]
    fn a_survey_that_stopped_asking_holds_up_no_other() {
        let (limiter, started) = (Arc::new(Limiter::default()), Instant::now());
        let at = |survey: &str, second| {
            let permit = limiter.start(&survey.into(), Rank::Later, &"pve1".into(), started + second * SECOND);
            permit.is_some()
        };
        assert!(at("a", 0));
        assert!(!at("b", 0));
        assert!(!at("a", 1), "it would be b's turn");
        assert!(at("a", 2) && at("a", 3));
    }

    #[test]
    fn where_others_ask_much_surveys_go_on_slowly() {
        let (limiter, started) = (Arc::new(Limiter::new(|| true)), Instant::now());
        let starts = (0..60).filter(|second| {
            let permit = limiter.start(&"a".into(), Rank::Later, &"pve1".into(), started + *second * SECOND);
            permit.is_some()
        });
        assert_eq!(starts.count(), 10);
    }

    #[test]
    fn a_node_has_one_read_in_flight() {
        let (limiter, started) = (Arc::new(Limiter::default()), Instant::now());
        let at = |node: &str, second| limiter.start(&"a".into(), Rank::Later, &node.into(), started + second * SECOND);
        let first = at("pve1", 0);
        assert!(first.is_some() && limiter.is_busy("pve1"));
        assert!(at("pve1", 1).is_none());
        assert!(at("pve2", 1).is_some());
        drop(first);
        assert!(at("pve1", 2).is_some());
    }

    #[test]
    fn ticks_that_come_fast_start_no_more_than_sixty_a_minute() {
        let (limiter, started) = (Arc::new(Limiter::default()), Instant::now());
        let tick = Duration::from_millis(600);
        let starts: Vec<_> = (0..1000)
            .map(|number| started + number * tick)
            .filter(|now| limiter.start(&"a".into(), Rank::Later, &"pve1".into(), *now).is_some())
            .collect();
        for start in &starts {
            let minute = starts.iter().filter(|other| (*start..*start + WINDOW).contains(*other));
            assert!(minute.count() <= STARTS);
        }
        assert!(starts.len() >= 590, "ten minutes: {}", starts.len());
    }
}
