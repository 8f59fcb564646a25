//! What PVE says that is not so, and what must come of it.

mod bodies;
mod counters;
mod exposed;
mod guests;
mod names;
mod nodes;
#[path = "../support/mod.rs"]
mod support;
