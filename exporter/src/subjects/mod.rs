//! The things reported on, one file each: its struct, the labels that identify a row, and its table of metrics.
//!
//! A field that is `None` is not known and gives no sample. Subjects do no I/O and know nothing of JSON.

pub mod api;
pub mod cluster;
pub mod exporter;
pub mod guest;
pub mod network;
pub mod node;
pub mod permission;
pub mod pool;
pub mod process;
pub mod source;
pub mod storage;
pub mod task;
