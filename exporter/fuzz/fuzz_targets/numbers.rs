//! Any bytes as one JSON value, read as each of the loose types.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pve_exporter::pve::perl;
use serde_json::Deserializer;

fuzz_target!(|value: &[u8]| {
    drop(perl::whole(&mut Deserializer::from_slice(value)));
    drop(perl::truth(&mut Deserializer::from_slice(value)));
    drop(perl::text(&mut Deserializer::from_slice(value)));
    let float = perl::float(&mut Deserializer::from_slice(value));
    assert!(!matches!(float, Ok(Some(float)) if !float.is_finite()));
    if let Ok(floats) = perl::floats(&mut Deserializer::from_slice(value)) {
        assert!(floats.iter().all(|float| float.is_finite()));
    }
});
