//! What several integration tests share.

pub mod prometheus;
pub mod strict;
