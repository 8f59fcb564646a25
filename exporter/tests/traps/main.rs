//! What PVE says that is not so, and what must come of it.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod backups;
mod bodies;
mod counters;
mod exposed;
mod filter;
mod guests;
mod guests_in_depth;
mod ha;
mod names;
mod nodes;
mod replication;
#[path = "../support/mod.rs"]
mod support;
mod tasks;
