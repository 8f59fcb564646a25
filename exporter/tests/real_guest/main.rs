//! Virtual machines under QEMU, without virtualisation by the machine that tests run on: real ports, a real guest agent.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod agent;
mod chain;
mod collector;
mod console;
mod initramfs;
mod machine;
mod port;
mod qmp;
mod site;
#[path = "../support/mod.rs"]
mod support;
mod telemetry;
mod watch;
