//! One answer of PVE, held for all scrapes of a target.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::clock::Clock;
use crate::pve::error::ApiError;
use crate::sources::held::Held;
use crate::sources::pace::Pace;

/// What is read whatever it is, how often, and its newest value.
pub(super) struct Part<T> {
    held: Arc<Held<T>>,
    pace: Pace,
    fetch: Box<dyn Fn() -> BoxFuture<'static, Result<T, ApiError>> + Send + Sync>,
}

impl<T: Send + Sync + 'static> Part<T> {
    /// One that `fetch` reads.
    pub(super) fn new<F>(
        title: String,
        clock: &Clock,
        pace: Pace,
        fetch: impl Fn() -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<T, ApiError>> + Send + 'static,
    {
        Self {
            held: Held::new(title, clock.clone()),
            pace,
            fetch: Box::new(move || Box::pin(fetch())),
        }
    }

    /// Starts a refresh where one is due, and waits where a scrape must not do without, until `deadline`.
    pub(super) async fn refresh(&self, interval: Duration, deadline: tokio::time::Instant) {
        self.read(interval, deadline).await;
    }

    /// What a scrape may show, once it is refreshed as far as it has to be: nothing where the last attempt failed, and nothing from
    /// before a refresh that the scrape has to wait for.
    pub(super) async fn read(&self, interval: Duration, deadline: tokio::time::Instant) -> Option<Arc<T>> {
        self.read_at(self.pace, interval, deadline).await
    }

    /// The same at another pace than its own.
    pub(super) async fn read_at(
        &self,
        pace: Pace,
        interval: Duration,
        deadline: tokio::time::Instant,
    ) -> Option<Arc<T>> {
        let before = self.held.latest().map(|dated| dated.at);
        let need = self.held.need(pace, interval);
        if need.refresh {
            self.held.refresh((self.fetch)());
        }
        if need.wait {
            self.held.ended(deadline).await;
        }
        let latest = self.held.latest().filter(|_| self.is_up())?;
        (!need.wait || Some(latest.at) != before).then_some(latest.value)
    }

    /// Refreshes and waits, whatever its age, unless it rests after a failure.
    pub(super) async fn refresh_now(&self, deadline: tokio::time::Instant) {
        if self.held.may_start() {
            self.held.refresh((self.fetch)());
        }
        self.held.ended(deadline).await;
    }

    /// Tries again what has failed, when it has rested.
    pub(super) fn retry(&self) {
        if self.held.retry_is_due() {
            self.held.refresh((self.fetch)());
        }
    }

    /// The newest value if it may still be served.
    pub(super) fn servable(&self, interval: Duration) -> Option<Arc<T>> {
        self.held.servable(self.pace, interval).map(|dated| dated.value)
    }

    /// The newest value, however old.
    pub(super) fn latest(&self) -> Option<Arc<T>> {
        self.held.latest().map(|dated| dated.value)
    }

    /// Whether the last attempt brought a value.
    pub(super) fn is_up(&self) -> bool {
        self.held.record().up == Some(true)
    }
}
