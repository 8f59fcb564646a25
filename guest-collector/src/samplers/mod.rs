//! One sampler for each area that is reported on: what the kernel says, as it says it.
//!
//! A sampler parses bytes that others may have written, such as the names of mounts: what is cut or malformed costs its own value or
//! row, what the kernel does not tell is absent.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod portable;

#[cfg(target_os = "linux")]
pub use linux::{Ask, Roots, Sampler, Usage};
#[cfg(not(target_os = "linux"))]
pub use portable::{Roots, Sampler};
