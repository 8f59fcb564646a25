//! Counters never step because PVE hiccuped.

use serde_json::json;

use crate::bodies::{Bodies, but, machine, node};
use crate::support::simulated::Simulated;
use crate::support::strict::Exposition;

const ID: [(&str, &str); 1] = [("id", "qemu/100")];

fn received(seen: &Exposition) -> Option<f64> {
    seen.value("pve_guest_network_receive_bytes_total", &ID)
}

fn disks(seen: &Exposition) -> [Option<f64>; 2] {
    ["read", "written"].map(|what| seen.value(&format!("pve_guest_disk_{what}_bytes_total"), &ID))
}

fn responding(seen: &Exposition) -> Option<f64> {
    seen.value("pve_guest_monitor_responding", &ID)
}

#[tokio::test]
async fn a_lower_value_is_no_sample_until_it_stood_for_three_refreshes() {
    let pve = Bodies::new().await;
    let with = |netin: u64, uptime: u64| {
        [
            node("pve1", "online"),
            but(&machine(100), json!({"netin": netin, "uptime": uptime})),
        ]
    };
    assert_eq!(received(&pve.resources(&with(500, 1000)).await), Some(500.0));
    assert_eq!(received(&pve.resources(&with(20, 1015)).await), None);
    assert_eq!(
        received(&pve.resources(&with(540, 1030)).await),
        Some(540.0),
        "a hiccup leaves no trace"
    );
    assert_eq!(received(&pve.resources(&with(20, 1045)).await), None);
    let seen = pve.resources(&with(21, 1060)).await;
    assert_eq!(received(&seen), None);
    assert_eq!(
        seen.value("pve_guest_uptime_seconds", &ID),
        Some(1060.0),
        "the others go on"
    );
    assert_eq!(received(&pve.resources(&with(22, 1075)).await), Some(22.0));
    assert_eq!(
        received(&pve.resources(&with(5, 10)).await),
        Some(5.0),
        "a restart counts from 0"
    );
}

#[tokio::test]
async fn disk_counters_of_zero_are_a_silent_monitor() {
    let pve = Bodies::new().await;
    let with = |read: u64, written: u64, uptime: u64| {
        [but(
            &machine(100),
            json!({"diskread": read, "diskwrite": written, "uptime": uptime}),
        )]
    };
    let seen = pve.resources(&with(700, 800, 1000)).await;
    assert_eq!(
        (responding(&seen), disks(&seen)),
        (Some(1.0), [Some(700.0), Some(800.0)])
    );
    for uptime in [1015, 1030, 1045, 1060] {
        let seen = pve.resources(&with(0, 0, uptime)).await;
        assert_eq!((responding(&seen), disks(&seen)), (Some(0.0), [None, None]));
        assert!(received(&seen).is_some() && seen.value("pve_guest_up", &ID) == Some(1.0));
    }
    let seen = pve.resources(&with(710, 810, 1075)).await;
    assert_eq!(
        (responding(&seen), disks(&seen)),
        (Some(1.0), [Some(710.0), Some(810.0)])
    );
}

#[tokio::test]
async fn zeros_are_no_silent_monitor_where_there_is_nothing_to_read() {
    let pve = Bodies::new().await;
    let zeros = but(&machine(100), json!({"diskread": 0, "diskwrite": 0}));
    for (change, expected) in [
        (json!({"uptime": 30}), [Some(0.0), Some(0.0)]),
        (json!({"maxdisk": 0}), [Some(0.0), Some(0.0)]),
        (json!({"status": "stopped", "uptime": 0}), [None, None]),
    ] {
        let seen = pve.resources(&[but(&zeros, change.clone())]).await;
        assert_ne!(responding(&seen), Some(0.0), "{change}");
        assert_eq!(disks(&seen), expected, "{change}");
    }
    let container = but(&zeros, json!({"id": "lxc/100", "type": "lxc"}));
    let seen = pve.resources(&[container]).await;
    assert_eq!(
        seen.samples("pve_guest_monitor_responding").count(),
        0,
        "a container has no monitor"
    );
}

#[tokio::test]
async fn a_migration_resets_counters_and_keeps_the_series() {
    let pve = Simulated::start().await;
    let guest = pve.simulator.guest(100).unwrap();
    let before = pve.scrape().await;
    assert!(pve.simulator.migrate(100, "pve3") && guest.node == "pve1");
    let after = pve.scrape_after(30).await;
    for name in [
        "pve_guest_uptime_seconds",
        "pve_guest_network_receive_bytes_total",
        "pve_guest_disk_read_bytes_total",
    ] {
        assert!(after.value(name, &ID) < before.value(name, &ID), "{name}");
        assert!(after.value(name, &ID).is_some(), "{name} is believed at once");
    }
    assert_eq!(
        after.value("pve_guest_info", &[("id", "qemu/100"), ("node", "pve3")]),
        Some(1.0)
    );
    assert_eq!(
        after.value("pve_guest_info", &ID),
        Some(1.0),
        "and the old node is gone"
    );
    let labels = |seen: &Exposition| {
        let sample = seen
            .samples("pve_guest_up")
            .find(|sample| sample.label("id") == Some("qemu/100"));
        sample.unwrap().labels.clone()
    };
    assert_eq!(labels(&before), labels(&after));
}

#[tokio::test]
async fn a_restart_resets_counters_at_once() {
    let pve = Simulated::start().await;
    let before = pve.scrape().await;
    pve.simulator.restart(100);
    let after = pve.scrape_after(20).await;
    assert!(received(&after).is_some() && received(&after) < received(&before));
}
