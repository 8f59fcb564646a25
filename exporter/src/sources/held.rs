//! The one rule of collection: who waits for whom, and for how long a value is served.
//!
//! A [`Held`] keeps the newest value of one source, its time, and how the last refresh ended. However many ask at once, one
//! refresh runs, and all of them get its outcome, success or failure alike. A refresh runs as a task of its own: a scraper
//! that goes away does not stop it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock::Clock;
use crate::pve::endpoints::doubling;
use crate::pve::error::{ApiError, FailureReason};
use crate::sources::pace::Pace;

/// How long a source that failed is left alone, the first time and at most.
const BACK_OFF: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// The same where a privilege is missing: somebody has to grant it first, and each refusal costs PVE a new connection.
const FORBIDDEN_BACK_OFF: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(300));

/// How long a source that fails is left alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rests {
    /// After any failure, at least.
    pub least: Duration,
    /// At most, where it fails in the same way again and again by itself; a minute in any case.
    pub most: Duration,
    /// At least after one of which PVE may not know: it goes on with a call that nobody waits for any more, in one of three workers.
    pub abandoned: Duration,
}

/// A failure whose retry is overdue by this much is old news, since nobody has scraped for so long.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// A value and when it was read.
#[derive(Debug)]
pub struct Dated<T> {
    /// The value.
    pub value: Arc<T>,
    /// When the request for it was sent.
    pub at: Instant,
    /// The same in Unix seconds.
    pub unix_seconds: f64,
}

impl<T> Clone for Dated<T> {
    fn clone(&self) -> Self {
        Self {
            value: Arc::clone(&self.value),
            at: self.at,
            unix_seconds: self.unix_seconds,
        }
    }
}

/// How the refreshes of a source have gone.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Whether the last one brought a value; absent before the first.
    pub up: Option<bool>,
    /// How long the last one took.
    pub duration: Option<Duration>,
    /// How often they failed, by reason.
    pub failures: BTreeMap<FailureReason, u64>,
    failed_in_a_row: u32,
    fault: Fault,
    /// How often it failed by this fault in a row.
    alike_in_a_row: u32,
    failed_at: Option<Instant>,
    retry_at: Option<Instant>,
    last_reason: Option<FailureReason>,
}

/// Where a failure lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    /// In what other sources need as well, or nobody knows: it may be over at any time.
    #[default]
    Elsewhere,
    /// The call hangs.
    Hangs,
    /// PVE answers, and always will do so until somebody mends it.
    Answers,
}

impl Fault {
    const fn of(error: &ApiError) -> Self {
        match error {
            ApiError::Timeout { .. } | ApiError::Status { status: 596, .. } => Self::Hangs,
            ApiError::Status { status: ..=594, .. }
            | ApiError::NotImplemented { .. }
            | ApiError::Decode { .. }
            | ApiError::TooLarge { .. } => Self::Answers,
            _ => Self::Elsewhere,
        }
    }
}

struct State<T> {
    latest: Option<Dated<T>>,
    record: Record,
    running: bool,
    /// A scrape has waited in vain for the refresh that is under way; no other one waits for it again.
    overdue: bool,
}

/// The newest value of one source.
pub struct Held<T> {
    /// What log lines call it, such as `main/resources` or `main/node_status/pve1`.
    title: String,
    clock: Clock,
    rests: Rests,
    state: Mutex<State<T>>,
    ended: watch::Sender<u64>,
}

/// What a scrape has to do about a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// Start a refresh.
    pub refresh: bool,
    /// Wait for the refresh that is under way or to be started.
    pub wait: bool,
}

impl<T: Send + Sync + 'static> Held<T> {
    /// Holds nothing yet.
    #[must_use]
    pub fn new(title: String, clock: Clock) -> Arc<Self> {
        Self::resting(title, clock, Rests::default())
    }

    /// Holds nothing yet, and leaves alone for longer what has failed.
    #[must_use]
    pub fn resting(title: String, clock: Clock, rests: Rests) -> Arc<Self> {
        let state = State {
            latest: None,
            record: Record::default(),
            running: false,
            overdue: false,
        };
        Arc::new(Self {
            title,
            clock,
            rests,
            state: Mutex::new(state),
            ended: watch::Sender::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest value, however old.
    #[must_use]
    pub fn latest(&self) -> Option<Dated<T>> {
        self.lock().latest.clone()
    }

    /// The newest value if it may still be served.
    #[must_use]
    pub fn servable(&self, pace: Pace, interval: Duration) -> Option<Dated<T>> {
        let now = self.clock.now();
        self.latest()
            .filter(|latest| now.saturating_duration_since(latest.at) < pace.max_stale(interval))
    }

    /// How refreshes have gone. One that a scrape has waited for in vain counts as failed until it ends.
    #[must_use]
    pub fn record(&self) -> Record {
        let state = self.lock();
        let up = state
            .record
            .up
            .filter(|_| !state.overdue)
            .or(state.overdue.then_some(false));
        Record {
            up,
            ..state.record.clone()
        }
    }

    /// What a scrape at this moment has to do.
    #[must_use]
    pub fn need(&self, pace: Pace, interval: Duration) -> Need {
        let now = self.clock.now();
        let state = self.lock();
        let need = |refresh: bool, wait: bool| Need {
            refresh: refresh && !state.running,
            wait: wait && !state.overdue,
        };
        if state.record.up == Some(false) {
            // A failure has been told; whether it is over is found out behind the scrapes, unless nobody has tried for long.
            let late = state.record.retry_at.map(|retry| now.checked_duration_since(retry));
            return match late.flatten() {
                None => need(false, false),
                Some(late) => need(true, late >= FORGOTTEN),
            };
        }
        let Some(latest) = &state.latest else {
            return need(true, true);
        };
        let age = now.saturating_duration_since(latest.at);
        let stale = age >= pace.max_stale(interval);
        let old = age >= pace.period();
        need(old, old && pace.awaited || stale)
    }

    /// Whether the newest value is from before `time` and nothing has failed since.
    #[must_use]
    pub fn is_older(&self, time: Instant) -> bool {
        let state = self.lock();
        state.record.up == Some(true) && state.latest.as_ref().is_some_and(|latest| latest.at < time)
    }

    /// Whether a refresh has failed and may be tried again.
    #[must_use]
    pub fn retry_is_due(&self) -> bool {
        self.may_start() && self.lock().record.up == Some(false)
    }

    /// Whether it is down since a failure from before `time`, and nothing is under way.
    #[must_use]
    pub fn failed_before(&self, time: Instant) -> bool {
        let state = self.lock();
        let failed = state.record.failed_at.is_some_and(|failed| failed < time);
        state.record.up == Some(false) && !state.running && failed
    }

    /// Whether a refresh that is wanted may start: none is under way, and a failure has rested.
    #[must_use]
    pub fn may_start(&self) -> bool {
        let now = self.clock.now();
        let state = self.lock();
        let rested = state.record.retry_at.is_none_or(|retry| retry <= now);
        !state.running && (state.record.up != Some(false) || rested)
    }

    /// Starts a refresh unless one is under way; either way it can be waited for with [`Held::ended`].
    pub fn refresh(self: &Arc<Self>, fetch: impl Future<Output = Result<T, ApiError>> + Send + 'static) {
        {
            let mut state = self.lock();
            if state.running {
                return;
            }
            state.running = true;
        }
        let end = End {
            held: Some(Arc::clone(self)),
            started: self.clock.now(),
            unix_seconds: self.clock.unix_seconds(),
        };
        tokio::spawn(async move {
            let outcome = fetch.await;
            end.with(outcome);
        });
    }

    /// Waits for the refresh that is under way, until `deadline`; not at all if there is none, or one that others have waited for
    /// in vain.
    pub async fn ended(&self, deadline: tokio::time::Instant) {
        let mut ended = self.ended.subscribe();
        let seen = {
            let state = self.lock();
            if !state.running || state.overdue || deadline <= tokio::time::Instant::now() {
                // Nobody has waited whose time was over before.
                return;
            }
            *ended.borrow_and_update()
        };
        // The sender lives as long as the refresh, so the wait ends with it at the latest.
        let wait = ended.wait_for(|count| *count != seen);
        if tokio::time::timeout_at(deadline, wait).await.is_err() {
            let mut state = self.lock();
            if state.running && *self.ended.borrow() == seen && !state.overdue {
                state.overdue = true;
                tracing::warn!(source = self.title, "source takes longer than a scrape waits");
            }
        }
    }

    fn settle(&self, started: Instant, unix_seconds: f64, outcome: Result<T, ApiError>) {
        let mut state = self.lock();
        let now = self.clock.now();
        state.running = false;
        state.overdue = false;
        state.record.duration = Some(now.saturating_duration_since(started));
        match outcome {
            Ok(value) => {
                if state.record.up == Some(false) {
                    tracing::info!(source = self.title, "source works again");
                }
                state.record.up = Some(true);
                state.record.failed_in_a_row = 0;
                state.record.alike_in_a_row = 0;
                state.record.retry_at = None;
                state.record.last_reason = None;
                state.latest = Some(Dated {
                    value: Arc::new(value),
                    at: started,
                    unix_seconds,
                });
            }
            Err(error) => {
                let reason = error.reason();
                let news = state.record.last_reason != Some(reason);
                let (source, named) = (&self.title, reason.as_str());
                match error {
                    _ if !news => {}
                    // Something else has told the cause: the endpoint, the node, or whoever ended the exporter.
                    ApiError::Resting(_) | ApiError::Offline { .. } | ApiError::Interrupted => {
                        tracing::debug!(source, reason = named, problem = %error, "source failed");
                    }
                    _ => tracing::warn!(source, reason = named, problem = %error, "source failed"),
                }
                let fault = Fault::of(&error);
                let times = state.record.failed_in_a_row;
                let alike = if fault == state.record.fault && fault != Fault::Elsewhere {
                    state.record.alike_in_a_row
                } else {
                    0
                };
                let usual = doubling(BACK_OFF, times).max(doubling((BACK_OFF.0, self.rests.most), alike));
                let resting = matches!(error, ApiError::Resting(_));
                let back_off = match error {
                    ApiError::Resting(_) => BACK_OFF.0,
                    ApiError::Forbidden { .. } | ApiError::Socket { .. } => doubling(FORBIDDEN_BACK_OFF, times),
                    ApiError::Offline { .. } => doubling(BACK_OFF, times),
                    ApiError::Timeout { .. } | ApiError::Status { status: 595.., .. } => {
                        usual.max(self.rests.abandoned)
                    }
                    _ => usual.max(self.rests.least),
                };
                // While an endpoint or the token rests nothing is sent: that is one failure, however often it is looked at.
                if news || !resting {
                    *state.record.failures.entry(reason).or_default() += 1;
                }
                if !resting {
                    state.record.failed_in_a_row = times.saturating_add(1);
                }
                (state.record.fault, state.record.alike_in_a_row) = (fault, alike.saturating_add(1));
                state.record.up = Some(false);
                state.record.failed_at = Some(now);
                state.record.last_reason = Some(reason);
                state.record.retry_at = Some(now + back_off);
            }
        }
        // Under the lock: whoever sees the refresh as ended also sees the count of it.
        self.ended.send_modify(|count| *count += 1);
    }
}

/// Settles a refresh however it ends, be it by a panic, so that nobody waits for it for ever.
struct End<T: Send + Sync + 'static> {
    held: Option<Arc<Held<T>>>,
    started: Instant,
    unix_seconds: f64,
}

impl<T: Send + Sync + 'static> End<T> {
    fn with(mut self, outcome: Result<T, ApiError>) {
        if let Some(held) = self.held.take() {
            held.settle(self.started, self.unix_seconds, outcome);
        }
    }
}

impl<T: Send + Sync + 'static> Drop for End<T> {
    fn drop(&mut self) {
        if let Some(held) = self.held.take() {
            held.settle(self.started, self.unix_seconds, Err(ApiError::Interrupted));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const FAST: Pace = Pace {
        max_age: Duration::from_secs(10),
        awaited: true,
        live: true,
    };
    const SLOW: Pace = Pace {
        max_age: Duration::from_secs(100),
        awaited: false,
        live: true,
    };
    const REFRESH_AND_WAIT: Need = Need {
        refresh: true,
        wait: true,
    };
    const NOTHING: Need = Need {
        refresh: false,
        wait: false,
    };
    const BEHIND: Need = Need {
        refresh: true,
        wait: false,
    };

    fn far() -> tokio::time::Instant {
        tokio::time::Instant::now() + 60 * SECOND
    }

    fn offline() -> ApiError {
        ApiError::Offline {
            node: "pve1".to_owned(),
        }
    }

    async fn refreshed(held: &Arc<Held<u32>>, outcome: Result<u32, ApiError>) {
        held.refresh(async move { outcome });
        held.ended(far()).await;
    }

    #[tokio::test]
    async fn a_fast_source_is_awaited_when_old_and_a_slow_one_refreshed_behind() {
        let clock = Clock::default();
        let held = Held::new("t".to_owned(), clock.clone());
        assert_eq!(held.need(FAST, 15 * SECOND), REFRESH_AND_WAIT);
        refreshed(&held, Ok(1)).await;
        assert_eq!(held.need(FAST, 15 * SECOND), NOTHING);
        clock.advance(11 * SECOND);
        assert_eq!(held.need(FAST, 15 * SECOND), REFRESH_AND_WAIT);
        assert_eq!(held.need(SLOW, 15 * SECOND), NOTHING);
        clock.advance(70 * SECOND);
        assert_eq!(held.need(SLOW, 15 * SECOND), BEHIND);
        clock.advance(220 * SECOND);
        assert_eq!(held.need(SLOW, 15 * SECOND), REFRESH_AND_WAIT, "too old to be served");
        assert!(held.servable(SLOW, 15 * SECOND).is_none());
        assert!(
            held.servable(SLOW, 300 * SECOND).is_some(),
            "a slow scraper gets the value longer"
        );
        clock.advance(700 * SECOND);
        assert!(
            held.servable(SLOW, 3600 * SECOND).is_none(),
            "live state is never served beyond 15 minutes"
        );
    }

    #[tokio::test]
    async fn nobody_waits_for_a_failed_source_and_it_rests_longer_each_time() {
        let clock = Clock::default();
        let held = Held::new("t".to_owned(), clock.clone());
        for rest in [5, 10, 20, 40, 60, 60] {
            refreshed(&held, Err(offline())).await;
            clock.advance((rest - 1) * SECOND);
            assert_eq!(held.need(FAST, 15 * SECOND), NOTHING);
            assert!(!held.retry_is_due());
            clock.advance(SECOND);
            assert_eq!(held.need(FAST, 15 * SECOND), BEHIND);
            assert!(held.retry_is_due());
        }
        assert_eq!(held.record().failures[&FailureReason::Offline], 6);
        refreshed(&held, Ok(1)).await;
        refreshed(&held, Err(offline())).await;
        clock.advance(5 * SECOND);
        assert!(held.retry_is_due(), "a success resets the back-off");
        assert_eq!(
            held.servable(FAST, 15 * SECOND).map(|latest| *latest.value),
            Some(1),
            "what it brought before is served on"
        );
    }

    #[tokio::test]
    async fn all_callers_share_one_refresh_even_when_the_first_goes_away() {
        let held = Held::<u32>::new("t".to_owned(), Clock::default());
        let (runs, gate) = (Arc::new(AtomicUsize::new(0)), Arc::new(tokio::sync::Notify::new()));
        let mut waiters = Vec::new();
        for _ in 0..10 {
            let (runs, gate) = (Arc::clone(&runs), Arc::clone(&gate));
            held.refresh(async move {
                runs.fetch_add(1, Ordering::SeqCst);
                gate.notified().await;
                Err(offline())
            });
            let held = Arc::clone(&held);
            waiters.push(tokio::spawn(async move { held.ended(far()).await }));
        }
        waiters.remove(0).abort();
        gate.notify_one();
        futures_util::future::join_all(waiters).await;
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert_eq!(held.record().up, Some(false));
    }

    #[tokio::test]
    async fn a_call_that_pve_may_still_work_on_is_not_repeated_soon() {
        let clock = Clock::default();
        let rests = Rests {
            least: 30 * SECOND,
            abandoned: 120 * SECOND,
            ..Rests::default()
        };
        let held = Held::resting("t".to_owned(), clock.clone(), rests);
        let timeout = || ApiError::Timeout {
            endpoint: "e".to_owned(),
            path: "/p".to_owned(),
            limit: SECOND,
        };
        for (error, rest) in [(timeout(), 120), (ApiError::Interrupted, 30), (offline(), 20)] {
            refreshed(&held, Err(error)).await;
            clock.advance((rest - 1) * SECOND);
            assert!(!held.retry_is_due(), "{rest}");
            clock.advance(SECOND);
            assert!(held.retry_is_due(), "{rest}");
        }
    }

    #[tokio::test]
    async fn what_always_fails_alike_rests_in_proportion_to_its_age() {
        let clock = Clock::default();
        let rests = Rests {
            most: 1800 * SECOND,
            ..Rests::default()
        };
        let held = Held::resting("t".to_owned(), clock.clone(), rests);
        let status = |status| ApiError::Status {
            path: "/p".to_owned(),
            status,
            problem: String::new(),
        };
        let broken = [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1800, 1800].map(|rest| (status(500), rest));
        let hung = [60, 60, 60, 60, 80].map(|rest| (status(596), rest));
        let elsewhere = [(offline(), 60), (status(595), 60), (status(500), 60)];
        for (error, rest) in broken.into_iter().chain(hung).chain(elsewhere) {
            let told = error.to_string();
            refreshed(&held, Err(error)).await;
            clock.advance((rest - 1) * SECOND);
            assert!(!held.retry_is_due(), "{told} {rest}");
            clock.advance(SECOND);
            assert!(held.retry_is_due(), "{told} {rest}");
        }
        refreshed(&held, Ok(1)).await;
        refreshed(&held, Err(status(500))).await;
        clock.advance(5 * SECOND);
        assert!(held.retry_is_due(), "a success resets the back-off");
    }

    #[tokio::test]
    async fn nobody_waits_twice_for_a_refresh_that_takes_too_long() {
        let held: Arc<Held<u32>> = Held::new("t".to_owned(), Clock::default());
        let gate = Arc::new(tokio::sync::Notify::new());
        let open = Arc::clone(&gate);
        held.refresh(async move {
            open.notified().await;
            Ok(1)
        });
        assert_eq!(
            held.need(FAST, SECOND),
            Need {
                refresh: false,
                wait: true
            }
        );
        held.ended(tokio::time::Instant::now()).await;
        assert_eq!(
            held.need(FAST, SECOND),
            Need {
                refresh: false,
                wait: true
            },
            "who comes too late has not waited"
        );
        held.ended(tokio::time::Instant::now() + Duration::from_millis(1)).await;
        assert_eq!(held.need(FAST, SECOND), NOTHING);
        held.ended(far()).await;
        gate.notify_one();
        while held.latest().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(held.latest().map(|latest| *latest.value), Some(1));
    }

    #[tokio::test]
    async fn a_value_is_read_again_before_it_may_be_served_no_more() {
        let clock = Clock::default();
        let held = Held::new("t".to_owned(), clock.clone());
        let hourly = Pace {
            max_age: 3600 * SECOND,
            awaited: false,
            live: true,
        };
        refreshed(&held, Ok(1)).await;
        clock.advance(479 * SECOND);
        assert_eq!(held.need(hourly, SECOND), NOTHING);
        clock.advance(SECOND);
        assert_eq!(held.need(hourly, SECOND), BEHIND);
        clock.advance(420 * SECOND);
        assert_eq!(held.need(hourly, SECOND), REFRESH_AND_WAIT);
    }

    #[tokio::test]
    async fn a_failure_that_nobody_has_retried_is_not_believed_for_ever() {
        let clock = Clock::default();
        let held = Held::new("t".to_owned(), clock.clone());
        refreshed(&held, Err(offline())).await;
        clock.advance(3600 * SECOND);
        assert_eq!(held.need(FAST, SECOND), REFRESH_AND_WAIT);
    }

    #[tokio::test]
    async fn a_refresh_that_panics_is_a_failure() {
        let held: Arc<Held<u32>> = Held::new("t".to_owned(), Clock::default());
        held.refresh(async { panic!("on purpose") });
        held.ended(far()).await;
        assert_eq!(held.record().failures[&FailureReason::Decode], 1);
        assert_eq!(held.need(FAST, SECOND), NOTHING);
    }
}
