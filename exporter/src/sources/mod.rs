//! Sources.
pub mod name;
