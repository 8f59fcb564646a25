//! What can only be asked guest by guest, such as configurations, is read slowly: one guest a second at most.
//!
//! A [`Survey`] keeps a value for every guest that is listed. [`Survey::tick`], called about once a second as long as somebody
//! scrapes, starts the read that is due most, if the [`Limiter`] lets it. A guest is read when it is first seen, when its value
//! is old, and when it has moved or started; after a failure later each time. One that is elsewhere than listed is no failure.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::config::GuestKind;
use crate::pve::error::ApiError;
use crate::sources::held::Record;
use crate::subjects::guest::{Guest, GuestKey};

mod limiter;
mod schedule;

pub use limiter::Limiter;
pub(crate) use limiter::{Permit, Rank};
pub(crate) use schedule::is_of_the_node;

use schedule::{Ended, News, Schedule};

/// The values of the guests, in the order of the guests' own rows.
pub type Values<T> = BTreeMap<GuestKey, Arc<T>>;

/// A guest, and where it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurveyGuest {
    /// The kind.
    pub kind: GuestKind,
    /// The number.
    pub vmid: u32,
    /// The node that holds it.
    pub node: Arc<str>,
}

impl SurveyGuest {
    /// PVE's id, which is also its path below the node: `qemu/100`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.kind.as_str(), self.vmid)
    }

    fn key(&self) -> GuestKey {
        (self.kind, self.vmid)
    }
}

/// How the reads at one node have gone.
#[derive(Clone, Debug, Default)]
pub struct NodeRecord {
    /// Its `up` says whether each guest of the node could be read the last time it was tried, its `duration` how long the last
    /// read took.
    pub record: Record,
    /// When a read last brought a value, in Unix seconds.
    pub last_success: Option<f64>,
    /// Rows that could not be read in the values of the node's guests.
    pub damaged_rows: Option<u64>,
}

/// A value for every guest of a cluster.
pub struct Survey<T> {
    /// What log lines call it, such as `main/guest_config`.
    title: Arc<str>,
    clock: Clock,
    schedule: Mutex<Schedule<T>>,
}

impl<T: Send + Sync + 'static> Survey<T> {
    /// A survey that has read nothing yet. Values are renewed one by one so that none gets older than `max_age`, as far as one
    /// read a second is enough for that, and served until they are three times
    /// as old, and for a day at least.
    #[must_use]
    pub fn new(title: &str, clock: Clock, max_age: Duration) -> Arc<Self> {
        Arc::new(Self {
            title: title.into(),
            clock,
            schedule: Mutex::new(Schedule::new(max_age)),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Schedule<T>> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the next read, if one is due. `guests` are all guests of the newest list there is; without a list there is no tick.
    /// Guests of nodes that are `offline` wait. `fetch` has to end by itself, by a time-out say.
    pub fn tick<F>(
        self: &Arc<Self>,
        guests: &Arc<[Guest]>,
        offline: &BTreeSet<Arc<str>>,
        limiter: &Arc<Limiter>,
        fetch: impl FnOnce(SurveyGuest) -> F,
    ) where
        F: Future<Output = Result<T, ApiError>> + Send + 'static,
    {
        let now = self.clock.now();
        let started = {
            let mut schedule = self.lock();
            schedule.list(guests, now);
            let next = schedule.next(now, |node| offline.contains(node) || limiter.is_busy(node));
            next.cloned().and_then(|guest| {
                let permit = limiter.start(&self.title, Rank::Later, &guest.node, now)?;
                schedule.started(&guest, now);
                Some((guest, permit))
            })
        };
        let Some((guest, permit)) = started else { return };
        let fetch = fetch(guest.clone());
        let read = Read {
            survey: Some(Arc::clone(self)),
            guest,
            started: now,
            unix_seconds: self.clock.unix_seconds(),
            _permit: permit,
        };
        tokio::spawn(async move {
            let outcome = fetch.await;
            read.end(outcome);
        });
    }

    fn settle(&self, ended: Ended<T>) {
        let node = Arc::clone(&ended.guest.node);
        let news = self.lock().ended(ended, self.clock.now());
        let source = format!("{}/{node}", self.title);
        match news {
            News::None => {}
            News::Works => tracing::info!(source, "source works again"),
            News::Failed(error) => {
                let reason = error.reason().as_str();
                match error {
                    // Something else has told the cause: the endpoint, the node, or whoever ended the exporter.
                    ApiError::Resting(_) | ApiError::Offline { .. } | ApiError::Interrupted => {
                        tracing::debug!(source, reason, problem = %error, "source failed");
                    }
                    _ => tracing::warn!(source, reason, problem = %error, "source failed"),
                }
            }
        }
    }

    /// The values that may be served, of guests that are listed: the very same [`Arc`] as long as nothing has changed.
    #[must_use]
    pub fn values(&self) -> Arc<Values<T>> {
        self.lock().values(self.clock.now())
    }

    /// How the reads have gone at each node that holds a guest. Nodes that are `offline` are not up.
    #[must_use]
    pub fn records(
        &self,
        offline: &BTreeSet<Arc<str>>,
        damaged_rows: impl Fn(&T) -> u64,
    ) -> BTreeMap<Arc<str>, NodeRecord> {
        self.lock().records(offline, damaged_rows)
    }
}

/// A read in flight. It ends however its task does, be it by a panic.
struct Read<T: Send + Sync + 'static> {
    survey: Option<Arc<Survey<T>>>,
    guest: SurveyGuest,
    started: Instant,
    unix_seconds: f64,
    _permit: Permit,
}

impl<T: Send + Sync + 'static> Read<T> {
    fn end(mut self, outcome: Result<T, ApiError>) {
        self.settle(outcome);
    }

    fn settle(&mut self, outcome: Result<T, ApiError>) {
        if let Some(survey) = self.survey.take() {
            survey.settle(Ended {
                guest: self.guest.clone(),
                started: self.started,
                unix_seconds: self.unix_seconds,
                outcome,
            });
        }
    }
}

impl<T: Send + Sync + 'static> Drop for Read<T> {
    fn drop(&mut self) {
        self.settle(Err(ApiError::Interrupted));
    }
}

#[cfg(test)]
mod tests {

    use super::*;
    use crate::metrics::labels::Identity;
    use crate::pve::error::FailureReason;
    use crate::subjects::guest::{Figures, GuestText};

    const SECOND: Duration = Duration::from_secs(1);

    /// Guests numbered from 1, each at one of `nodes`.
    fn guests(nodes: &[&str]) -> Arc<[Guest]> {
        let guest = |(vmid, node): (u32, &&str)| Guest {
            identity: Identity::new(&[]),
            kind: GuestKind::Lxc,
            vmid,
            node: (*node).into(),
            text: GuestText::default(),
            state: "running",
            lock: None,
            ha_state: None,
            figures: Figures::default(),
        };
        (1..).zip(nodes).map(guest).collect()
    }

    async fn free(limiter: &Limiter, node: &str) {
        while limiter.is_busy(node) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn each_tick_reads_one_guest() {
        let (clock, limiter, offline) = (Clock::default(), Arc::default(), BTreeSet::new());
        let survey = Survey::new("main/t", clock.clone(), 3600 * SECOND);
        let guests = guests(&["a"; 3]);
        for count in 1..=3 {
            let tick = || survey.tick(&guests, &offline, &limiter, |guest| async move { Ok(guest.id()) });
            tick();
            free(&limiter, "a").await;
            tick();
            free(&limiter, "a").await;
            assert_eq!(survey.values().len(), count);
            clock.advance(SECOND);
        }
        assert_eq!(*survey.values()[&(GuestKind::Lxc, 2)], "lxc/2");
        let records = survey.records(&offline, |id| id.len() as u64);
        let record = &records["a"];
        assert_eq!((record.record.up, record.damaged_rows), (Some(true), Some(15)));
        assert!(record.last_success.is_some() && record.record.duration.is_some());
    }

    #[tokio::test]
    async fn a_read_that_hangs_holds_up_no_other_node() {
        let (clock, limiter, offline) = (Clock::default(), Arc::default(), BTreeSet::new());
        let survey = Survey::new("main/t", clock.clone(), 3600 * SECOND);
        let guests = guests(&["a", "a", "b", "b"]);
        for _ in 0..3 {
            survey.tick(&guests, &offline, &limiter, |guest| async move {
                if &*guest.node == "a" {
                    std::future::pending::<()>().await;
                }
                Ok(guest.vmid)
            });
            free(&limiter, "b").await;
            clock.advance(SECOND);
        }
        let read: Vec<_> = survey.values().keys().map(|key| key.1).collect();
        assert_eq!(read, [3, 4]);
    }

    #[tokio::test]
    async fn a_read_that_panics_is_a_failure_and_frees_its_node() {
        let (limiter, offline) = (Arc::default(), BTreeSet::new());
        let survey = Survey::<u32>::new("main/t", Clock::default(), 3600 * SECOND);
        survey.tick(&guests(&["a"]), &offline, &limiter, |_| async { panic!("on purpose") });
        free(&limiter, "a").await;
        let record = &survey.records(&offline, |_| 0)["a"].record;
        assert_eq!((record.up, record.failures[&FailureReason::Decode]), (Some(false), 1));
    }
}
