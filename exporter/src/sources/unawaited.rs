//! A source that no scrape waits for, since it runs tools that may take long or hang.

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::sources::name::SourceName;
use crate::sources::source::{Outcome, PerNode, Source, Whole};

/// `S`, which is refreshed behind the scrapes and never before one, not even the first.
pub struct Unawaited<S>(pub S);

impl<T: Send + Sync + 'static> Source for Unawaited<Whole<T>> {
    fn name(&self) -> SourceName {
        self.0.name()
    }

    fn refresh(&self, interval: Duration, deadline: tokio::time::Instant) -> Vec<BoxFuture<'_, ()>> {
        // The refresh runs as a task of its own: only the wait for it is let go.
        drop(self.0.refresh(interval, deadline));
        Vec::new()
    }

    fn retry(&self) {
        self.0.retry();
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.0.outcomes()
    }
}

impl<T: Send + Sync + 'static> Source for Unawaited<PerNode<T>> {
    fn name(&self) -> SourceName {
        self.0.name()
    }

    fn refresh(&self, _: Duration, _: tokio::time::Instant) -> Vec<BoxFuture<'_, ()>> {
        self.0.start_in_turn();
        Vec::new()
    }

    /// Turns come between the scrapes as well.
    fn retry(&self) {
        self.0.start_in_turn();
        self.0.retry_failed();
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.0.outcomes()
    }
}
