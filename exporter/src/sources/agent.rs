//! What the agents inside virtual machines tell.

pub mod answers;
pub(crate) mod choice;
pub mod labels;
pub(crate) mod schedule;
pub(crate) mod state;
