//! What PVE says that is not so, and what must come of it.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod bodies;
mod counters;
mod exposed;
mod guests;
mod names;
mod nodes;
#[path = "../support/mod.rs"]
mod support;
