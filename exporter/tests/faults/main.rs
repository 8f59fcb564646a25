//! Faults of PVE cost their own samples only, and what they cost comes back.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod authorization;
mod belongs;
mod collection;
mod cost;
mod each_fault;
mod each_source;
mod minority;
mod one_by_one;
#[path = "../support/mod.rs"]
mod support;
