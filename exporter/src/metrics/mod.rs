//! Metrics as tables: what is exposed, under which name, and how it is written down.
//!
//! Rows come from [`crate::subjects`]; this module knows nothing of PVE, of HTTP or of where a row came from.

pub mod catalog;
pub mod exposition;
pub mod labels;
pub mod own;
pub mod table;
