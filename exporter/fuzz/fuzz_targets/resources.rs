//! Any body as the answer of `/cluster/resources`, to the guests that come of it.
#![no_main]

use std::time::Instant;

use libfuzzer_sys::fuzz_target;
use pve_exporter::config::GuestFilter;
use pve_exporter::sources::resources::{Memory, convert};

fuzz_target!(|body: &[u8]| {
    let mut memory = Memory::default();
    let now = Instant::now();
    let first =
        convert(body, "main", &GuestFilter::default(), &mut memory, now).map(|resources| resources.guests.len());
    let second =
        convert(body, "main", &GuestFilter::default(), &mut memory, now).map(|resources| resources.guests.len());
    assert_eq!(first.ok(), second.ok(), "the same answer gives the same guests");
});
