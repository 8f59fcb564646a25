//! A PVE cluster in memory, behind the shapes and the errors of the real API.
//!
//! Every node listens on its own port of 127.0.0.1, with a certificate of the cluster's own authority. What a cluster
//! contains follows from a seed, with two weeks of tasks and backups behind it; its state moves with a clock, and
//! [faults](FaultKind) can be switched on and off while it runs:
//!
//! ```
//! use pve_simulator::{Clock, Fault, FaultKind, Options, Simulator};
//!
//! # fn main() -> std::io::Result<()> {
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let simulator = Simulator::start(Options { nodes: 2, clock: Clock::Manual, ..Options::default() }).await?;
//! let offline: Fault = "offline:pve2".parse().expect("a fault");
//! simulator.inject(offline);
//! simulator.inject(FaultKind::Vanished(101));
//! simulator.clear_all();
//! # Ok(())
//! # })
//! # }
//! ```

mod agent;
mod api;
mod authentication;
mod calendar;
mod calls;
mod clock;
mod cluster;
mod dispatch;
mod fan_out;
mod faults;
mod ha;
mod json;
mod model;
mod options;
mod random;
mod reply;
mod simulator;
mod sockets;
mod task_log;
mod tickets;
mod tls;
mod transport;
mod version;
mod view;

pub use calls::{AgentCall, BackupBeside, CallCounts, LastRequest};
pub use clock::{Clock, SAMPLE_PERIOD};
pub use faults::{FAULT_NAMES, Fault, FaultId, FaultKind, InvalidFault};
pub use model::{Agent, AgentMix, BackupResult, GuestKind, GuestSettings, GuestSnapshot};
pub use options::Options;
pub use simulator::{GuestSummary, NewBackup, NewGuest, Simulator};
pub use sockets::{Heard, PlayedMachine, Sockets};
pub use version::{InvalidVersion, Version};
