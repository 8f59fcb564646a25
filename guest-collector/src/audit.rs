//! What the log tells of a host: when it came and left, and what it asked for.

use std::time::{Duration, Instant};

use pve_guest_protocol::{Refusal, Request};

use crate::rate::Rate;

/// Writes one line for each of the first events, and then one now and then, with the number of those before it that got none.
#[derive(Debug)]
pub(crate) struct Audit {
    rate: Rate,
    unlogged: u64,
}

impl Audit {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            rate: Rate::new(20, Duration::from_secs(60), now),
            unlogged: 0,
        }
    }

    /// A host has attached or left.
    pub(crate) fn host(&mut self, attached: bool, now: Instant) {
        let message = if attached { "host attached" } else { "host left" };
        if let Some(unlogged) = self.next(now) {
            tracing::info!(unlogged, "{message}");
        }
    }

    /// A line of the host was answered with so many bytes, or with an error.
    pub(crate) fn answered(
        &mut self,
        asked: Result<Request, Refusal>,
        refusal: Option<Refusal>,
        bytes: usize,
        now: Instant,
    ) {
        let Some(unlogged) = self.next(now) else { return };
        let method = asked.map_or("none", |request| request.call.method());
        match refusal {
            None => tracing::info!(method, bytes, unlogged, "request answered"),
            Some(refusal) => tracing::warn!(method, error = %refusal, unlogged, "request refused"),
        }
    }

    /// Whether there is a line to write now: how many were left out before it.
    fn next(&mut self, now: Instant) -> Option<u64> {
        if self.rate.allows(now) {
            return Some(std::mem::take(&mut self.unlogged));
        }
        self.unlogged += 1;
        None
    }
}
