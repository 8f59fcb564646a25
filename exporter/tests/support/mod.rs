//! What several integration tests share.

pub mod exporters;
pub mod fixture_server;
pub mod prometheus;
pub mod simulated;
pub mod strict;
