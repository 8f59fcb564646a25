//! prometheus-pve-exporter itself and `/pve` in front of the same cluster: what is documented is all that differs.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod dashboard;
mod differences;
mod live;
mod page;
#[path = "../support/mod.rs"]
mod support;
