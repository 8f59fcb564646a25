//! The QEMU guest agent of a virtual machine on this very node, spoken to over the socket that its QEMU listens on.
//!
//! It tells what the API of PVE does not pass on. The socket serves one client at a time, and PVE is one: sessions are short.

pub mod commands;
pub mod session;
