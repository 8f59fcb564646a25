//! Reads what the kernel says about a virtual machine and publishes it to the host over a virtio-serial port:
//! no network, no open port and no credentials in the guest.
//!
//! The messages are those of the crate `pve-guest-protocol`; this crate holds what produces and sends them.

mod audit;
pub mod check;
pub mod config;
mod identity;
pub mod locate;
pub mod once;
mod outbox;
mod own;
pub mod port;
mod rate;
pub mod run;
pub mod samplers;
pub mod session;
