//! Guests: who is up, who is unknown, and whose name is remembered.

use pve_exporter::config::GuestKind;
use pve_simulator::{GuestSummary, NewGuest};
use serde_json::json;

use crate::bodies::{Bodies, but, machine, node};
use crate::support::simulated::Simulated;
use crate::support::strict::Exposition;

const HOUR: u64 = 3600;

/// What is known of a guest of a dead node: what others tell of it, and what was found out before.
const STAYS: [&str; 12] = [
    "pve_guest_info",
    "pve_guest_state",
    "pve_guest_lock",
    "pve_guest_expected_up",
    "pve_guest_recovery_point_",
    "pve_guest_config_",
    "pve_guest_created_",
    "pve_guest_snapshot",
    "pve_backup_",
    "pve_ha_guest_",
    "pve_replication_job_info",
    "pve_replication_job_enabled",
];

fn id(guest: &GuestSummary) -> String {
    format!("{}/{}", guest.kind.as_str(), guest.vmid)
}

/// The families with a sample of this guest.
fn families<'a>(seen: &'a Exposition, id: &str) -> Vec<&'a str> {
    let all = seen.families.iter().flat_map(|family| &family.samples);
    all.filter(|sample| sample.label("id") == Some(id))
        .map(|sample| sample.name.as_str())
        .collect()
}

#[tokio::test]
async fn guests_of_a_dead_node_are_unknown_at_once_and_keep_their_names_for_a_day() {
    let pve = Simulated::start().await;
    let on_pve2: Vec<_> = pve
        .simulator
        .guests()
        .into_iter()
        .filter(|guest| guest.node == "pve2")
        .collect();
    assert!(on_pve2.len() > 2);
    pve.scrape().await;
    pve.inject("dead-but-running:pve2").await;
    // First PVE still says running, after five minutes unknown and no names.
    for seconds in [11, 301, 23 * HOUR] {
        let seen = pve.scrape_after(seconds).await;
        for guest in &on_pve2 {
            let (id, name) = (id(guest), guest.settings.name.as_str());
            assert!(
                seen.value("pve_guest_info", &[("id", &id), ("name", name), ("node", "pve2")])
                    .is_some(),
                "{id}"
            );
            assert_eq!(
                seen.value("pve_guest_state", &[("id", &id), ("state", "unknown")]),
                Some(1.0),
                "{id}"
            );
            let others: Vec<_> = families(&seen, &id)
                .into_iter()
                .filter(|name| !STAYS.iter().any(|stays| name.starts_with(stays)))
                .collect();
            assert!(others.is_empty(), "{id}: {others:?}");
        }
        let elsewhere = pve.simulator.guests().len() - on_pve2.len();
        assert_eq!(seen.samples("pve_guest_uptime_seconds").count(), elsewhere);
    }
    let seen = pve.scrape_after(HOUR).await;
    assert_eq!(
        seen.value("pve_guest_info", &[("id", &id(&on_pve2[0])), ("node", "pve2")]),
        Some(1.0)
    );
    assert!(
        seen.value(
            "pve_guest_info",
            &[("id", &id(&on_pve2[0])), ("name", &on_pve2[0].settings.name)]
        )
        .is_none()
    );
}

#[tokio::test]
async fn a_guest_of_unknown_status_has_no_figures() {
    let pve = Bodies::new().await;
    let online = node("pve1", "online");
    pve.resources(&[online.clone(), machine(100)]).await;
    let unknown = json!({"id": "qemu/100", "type": "qemu", "vmid": 100, "node": "pve1", "status": "unknown",
        "pool": "prod", "hastate": "started"});
    let seen = pve.resources(&[online, unknown]).await;
    assert_eq!(families(&seen, "qemu/100"), ["pve_guest_info", "pve_guest_state"]);
    assert_eq!(
        seen.value("pve_guest_info", &[("name", "vm-100")]),
        Some(1.0),
        "the name is remembered"
    );
}

#[tokio::test]
async fn a_guest_that_is_gone_has_no_series() {
    let pve = Simulated::start().await;
    pve.settle().await;
    pve.inject("vanished=100").await;
    pve.simulator.remove(101);
    pve.scrape_after(15).await;
    pve.tick().await;
    let seen = pve.scrape().await;
    // What the nodes and HA tell of it goes with their next lists, once a minute; a replication job is there until it is removed.
    let told_elsewhere = [
        "pve_guest_drive_",
        "pve_guest_interface_",
        "pve_guest_pressure_",
        "pve_guest_qemu_",
        "pve_guest_balloon_",
        "pve_ha_guest_",
    ];
    let of_jobs =
        |name: &str| name.starts_with("pve_replication_job_") || name.starts_with("pve_guest_recovery_point_");
    let left = |seen: &Exposition| {
        let all = ["qemu/100", "qemu/101"].map(|id| families(seen, id)).concat();
        all.into_iter()
            .filter(|name| !of_jobs(name))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for name in left(&seen) {
        assert!(told_elsewhere.iter().any(|start| name.starts_with(start)), "{name}");
    }
    pve.advance(60);
    pve.until("all is gone", |seen| left(seen).is_empty()).await;
    pve.clear().await;
    assert!(families(&pve.scrape_after(15).await, "qemu/100").len() > 10);
}

#[tokio::test]
async fn run_states_are_told_apart() {
    let pve = Simulated::start().await;
    for (run_state, state, up) in [
        ("running", "running", 1.0),
        ("paused", "paused", 0.0),
        ("prelaunch", "prelaunch", 0.0),
        ("io-error", "io-error", 0.0),
        ("internal-error", "internal-error", 0.0),
        ("guest-panicked", "panicked", 0.0),
        ("suspended", "suspended", 0.0),
        ("save-vm", "saving", 0.0),
        ("inmigrate", "migrating", 0.0),
        ("brand-new-state", "other", 0.0),
    ] {
        pve.simulator
            .set_guest(100, |guest| guest.run_state = Some(run_state.to_owned()));
        let seen = pve.scrape_after(15).await;
        let id = ("id", "qemu/100");
        assert_eq!(seen.value("pve_guest_state", &[id]), Some(1.0), "one state at a time");
        assert_eq!(
            seen.value("pve_guest_state", &[id, ("state", state)]),
            Some(1.0),
            "{run_state}"
        );
        assert_eq!(seen.value("pve_guest_up", &[id]), Some(up), "{run_state}");
        assert_eq!(
            seen.value("pve_guest_monitor_responding", &[id]),
            Some(1.0),
            "{run_state}"
        );
    }
    pve.simulator.stop(100);
    let seen = pve.scrape_after(15).await;
    assert_eq!(
        seen.value("pve_guest_state", &[("id", "qemu/100"), ("state", "stopped")]),
        Some(1.0)
    );
    assert_eq!(
        seen.value("pve_guest_network_receive_bytes_total", &[("id", "qemu/100")]),
        None
    );
}

#[tokio::test]
async fn a_lock_shows_only_while_it_is_held() {
    let pve = Simulated::start().await;
    assert_eq!(pve.scrape().await.samples("pve_guest_lock").count(), 0);
    pve.simulator
        .set_guest(100, |guest| guest.lock = Some("backup".to_owned()));
    let seen = pve.scrape_after(15).await;
    assert_eq!(
        seen.value("pve_guest_lock", &[("id", "qemu/100"), ("lock", "backup")]),
        Some(1.0)
    );
    pve.simulator.set_guest(100, |guest| guest.lock = None);
    assert_eq!(pve.scrape_after(15).await.samples("pve_guest_lock").count(), 0);
}

#[tokio::test]
async fn a_new_guest_shows_with_the_next_sample() {
    let pve = Simulated::start().await;
    pve.scrape().await;
    let new = NewGuest {
        kind: pve_simulator::GuestKind::Lxc,
        node: "pve2".to_owned(),
        name: "fresh".to_owned(),
        running: true,
    };
    let id = format!("lxc/{}", pve.simulator.add_guest(new).unwrap());
    let seen = pve.scrape_after(15).await;
    assert_eq!(seen.value("pve_guest_up", &[("id", &id)]), Some(1.0));
    assert_eq!(
        seen.value("pve_guest_info", &[("id", &id), ("name", "fresh"), ("type", "lxc")]),
        Some(1.0)
    );
}

#[tokio::test]
async fn filters_leave_guests_out() {
    let rows = [
        but(&machine(100), json!({"tags": "prod;web", "pool": "a"})),
        but(&machine(101), json!({"tags": "prod", "template": 1})),
        but(&machine(200), json!({"pool": "b"})),
        but(&machine(300), json!({"id": "lxc/300", "type": "lxc", "tags": "web"})),
    ];
    type Change = fn(&mut pve_exporter::config::GuestFilter);
    let cases: [(Change, &[&str]); 6] = [
        (
            |filter| filter.include.tags = vec!["web".to_owned()],
            &["qemu/100", "lxc/300"],
        ),
        (
            |filter| filter.exclude.tags = vec!["web".to_owned()],
            &["qemu/101", "qemu/200"],
        ),
        (|filter| filter.include.pools = vec!["b".to_owned()], &["qemu/200"]),
        (
            |filter| filter.exclude.types = vec![GuestKind::Lxc],
            &["qemu/100", "qemu/101", "qemu/200"],
        ),
        (
            |filter| filter.include.vmids = vec!["100-199".parse().unwrap()],
            &["qemu/100", "qemu/101"],
        ),
        (
            |filter| {
                filter.include.tags = vec!["prod".to_owned()];
                filter.exclude.vmids = vec!["101".parse().unwrap()];
            },
            &["qemu/100"],
        ),
    ];
    for (change, expected) in cases {
        let pve = Bodies::with(|config| change(&mut config.clusters.get_mut("main").unwrap().guests)).await;
        let seen = pve.resources(&rows).await;
        let ids: Vec<_> = seen
            .samples("pve_guest_info")
            .filter_map(|sample| sample.label("id"))
            .collect();
        assert_eq!(ids, expected);
        assert_eq!(seen.samples("pve_guest_state").count(), expected.len());
    }
}

#[tokio::test]
async fn a_filter_by_tag_holds_for_a_guest_whose_tags_are_remembered() {
    let pve = Bodies::with(|config| {
        config.clusters.get_mut("main").unwrap().guests.include.tags = vec!["web".to_owned()];
    })
    .await;
    pve.resources(&[node("pve1", "online"), but(&machine(100), json!({"tags": "web"}))])
        .await;
    let unknown = json!({"id": "qemu/100", "type": "qemu", "vmid": 100, "node": "pve1", "status": "unknown"});
    let seen = pve.resources(&[node("pve1", "offline"), unknown]).await;
    assert_eq!(
        seen.value("pve_guest_info", &[("name", "vm-100"), ("tags", "web")]),
        Some(1.0)
    );
}
