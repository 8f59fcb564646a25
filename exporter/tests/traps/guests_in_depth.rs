//! Drives, interfaces and pressure, which come node by node.

use crate::support::simulated::Simulated;
use crate::support::strict::{Exposition, Sample};

const ID: (&str, &str) = ("id", "qemu/100");

fn is_of(sample: &Sample) -> bool {
    sample.label(ID.0) == Some(ID.1)
}

fn samples<'a>(seen: &'a Exposition, prefix: &str) -> Vec<(&'a str, f64)> {
    let all = seen.families.iter().flat_map(|family| &family.samples);
    let own = all.filter(|sample| sample.name.starts_with(prefix) && is_of(sample));
    own.map(|sample| (sample.name.as_str(), sample.value)).collect()
}

fn counters(seen: &Exposition) -> Vec<f64> {
    let read = seen.samples("pve_guest_drive_read_bytes_total");
    let received = seen.samples("pve_guest_interface_receive_bytes_total");
    let own = read.chain(received).filter(|sample| is_of(sample));
    own.map(|sample| sample.value).collect()
}

#[tokio::test]
async fn a_guest_that_migrates_again_and_again_is_never_there_twice() {
    let pve = Simulated::start().await;
    let before = pve.settle().await;
    let there = counters(&before).len();
    assert!(there > 1);
    // The strict reading of each scrape finds a series that is there twice.
    for step in 0..12_usize {
        let node = ["pve2", "pve3", "pve1"][step % 3];
        assert!(pve.simulator.migrate(100, node));
        for seconds in [3, 10, 20] {
            pve.advance(seconds);
            let seen = pve.scrape().await;
            assert!(counters(&seen).len() <= there, "{node}");
            assert_eq!(seen.value("pve_guest_info", &[ID]), Some(1.0));
            pve.idle().await;
        }
    }
    let seen = pve.later(60).await;
    let (before, after) = (counters(&before), counters(&seen));
    assert_eq!(after.len(), there);
    assert!(
        before.iter().zip(&after).all(|(before, after)| after < before),
        "they count from the migration on"
    );
    let later = counters(&pve.later(120).await);
    assert!(
        after.iter().zip(&later).all(|(after, later)| after <= later) && after != later,
        "and go on"
    );
}

#[tokio::test]
async fn a_silent_monitor_leaves_no_drives_and_no_zeros() {
    let pve = Simulated::start().await;
    let before = pve.settle().await;
    let told = ["pve_guest_drive_", "pve_guest_qemu_", "pve_guest_balloon_"];
    let counted = |seen: &Exposition| {
        let all = samples(seen, "pve_guest_drive_");
        all.into_iter()
            .filter(|(name, _)| name.ends_with("_total"))
            .map(|(_, value)| value)
            .collect::<Vec<_>>()
    };
    assert!(counted(&before).len() > 5);
    pve.inject("qmp-timeout=100").await;
    for _ in 0..3 {
        let seen = pve.later(60).await;
        assert_eq!(counted(&seen), [0.0; 0]);
        assert_eq!(samples(&seen, told[1]), []);
        let balloon = samples(&seen, told[2]);
        assert!(balloon.iter().all(|(_, value)| *value > 0.0), "{balloon:?}");
        assert!(
            !samples(&seen, "pve_guest_interface_").is_empty(),
            "the node counts these"
        );
        assert_eq!(seen.value("pve_guest_up", &[ID]), Some(1.0));
    }
    pve.clear().await;
    let after = counted(&pve.later(60).await);
    let before = counted(&before);
    assert_eq!(before.len(), after.len());
    assert!(
        before.iter().zip(&after).all(|(before, after)| before <= after),
        "nothing has been reset"
    );
}

#[tokio::test]
async fn a_guest_that_stops_has_no_live_figures_and_starts_from_zero() {
    let pve = Simulated::start().await;
    let before = pve.settle().await;
    pve.simulator.stop(100);
    let seen = pve.later(60).await;
    for prefix in [
        "pve_guest_interface_",
        "pve_guest_pressure_",
        "pve_guest_qemu_",
        "pve_guest_balloon_",
    ] {
        assert!(!samples(&before, prefix).is_empty());
        assert_eq!(samples(&seen, prefix), [], "{prefix}");
    }
    assert_eq!(
        seen.samples("pve_guest_drive_reads_total")
            .filter(|sample| is_of(sample))
            .count(),
        0
    );
    assert!(
        !samples(&seen, "pve_guest_drive_info").is_empty(),
        "it is still configured"
    );
    pve.simulator.start_guest(100);
    let after = pve.later(60).await;
    let (before, after) = (counters(&before), counters(&after));
    assert_eq!(before.len(), after.len());
    assert!(before.iter().zip(&after).all(|(before, after)| after < before));
}
