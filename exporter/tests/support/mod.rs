//! What several integration tests share.

pub mod agent;
pub mod collector;
pub mod exporters;
pub mod fixture_server;
pub mod http;
pub mod incumbent;
pub mod program;
pub mod prometheus;
pub mod scripted_server;
pub mod simulated;
pub mod strict;
