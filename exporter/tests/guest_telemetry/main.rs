//! Ports of guests: the sessions with their collectors, and the opener. Collectors are played over plain sockets.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

#[path = "../support/http.rs"]
mod http;
mod identity;
mod logged;
mod malicious;
mod memory;
mod opener;
mod port;
#[path = "../support/program.rs"]
mod program;
mod programs;
mod rows;
mod session;
