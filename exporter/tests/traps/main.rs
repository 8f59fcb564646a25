//! What PVE says that is not so, and what must come of it.

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
