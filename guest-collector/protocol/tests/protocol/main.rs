//! What the specification promises.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod hostile;
mod large;
mod properties;
mod specification;
mod support;
