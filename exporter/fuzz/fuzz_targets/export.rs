//! Any body as the answer of `/cluster/metrics/export`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pve_exporter::pve::api::cluster_metrics_export::decode;

fuzz_target!(|body: &[u8]| {
    let outcome = decode(body, |row| assert!(row.value.is_none_or(f64::is_finite)));
    drop(outcome);
});
