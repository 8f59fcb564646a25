//! Who should run, and what HA does.

use pve_simulator::{GuestKind, GuestSummary};

use crate::support::simulated::{Simulated, options};
use crate::support::strict::Exposition;

fn id(guest: &GuestSummary) -> String {
    format!("{}/{}", guest.kind.as_str(), guest.vmid)
}

fn expected(seen: &Exposition, id: &str) -> Option<String> {
    let mut samples = seen.samples("pve_guest_expected_up");
    let sample = samples.find(|sample| sample.label("id") == Some(id));
    sample.map(|sample| sample.label("reason").unwrap().to_owned())
}

fn moves(seen: &Exposition, id: &str) -> Option<f64> {
    seen.value("pve_ha_guest_moves_total", &[("id", id)])
}

#[tokio::test]
async fn who_should_run_is_what_somebody_wants() {
    let pve = Simulated::with(options(), |config| {
        config.clusters.get_mut("main").unwrap().expected_up_tag = Some("wanted".to_owned());
    })
    .await;
    let guests = pve.simulator.guests();
    let plain: Vec<_> = guests
        .iter()
        .filter(|guest| guest.settings.hastate.is_none() && !guest.settings.template)
        .collect();
    let [by_boot, on_purpose, tagged] = [plain[0], plain[1], plain[2]];
    let set = |guest: &GuestSummary, onboot: bool, tags: Option<&str>| {
        let tags = tags.map(str::to_owned);
        assert!(
            pve.simulator
                .set_guest(guest.vmid, |settings| (settings.onboot, settings.tags) = (onboot, tags))
        );
        pve.simulator.stop(guest.vmid);
    };
    set(by_boot, true, None);
    set(on_purpose, false, Some("unwanted"));
    set(tagged, false, Some("wanted;web"));
    let managed: Vec<_> = guests.iter().filter(|guest| guest.settings.hastate.is_some()).collect();
    let [down, asked_to_stop] = [managed[0], managed[1]];
    pve.simulator.stop(down.vmid);
    pve.simulator.stop(asked_to_stop.vmid);
    pve.simulator.set_guest(asked_to_stop.vmid, |settings| {
        (settings.hastate, settings.ha_requested) = (Some("stopped".to_owned()), Some("stopped".to_owned()));
        (settings.onboot, settings.tags) = (true, Some("wanted".to_owned()));
    });
    let template = guests.iter().find(|guest| guest.settings.template).unwrap();
    pve.simulator.set_guest(template.vmid, |settings| {
        (settings.onboot, settings.tags) = (true, Some("wanted".to_owned()));
    });
    let seen = pve.settle().await;
    for (guest, reason) in [
        (by_boot, Some("onboot")),
        (on_purpose, None),
        (tagged, Some("tag")),
        (down, Some("ha")),
        (asked_to_stop, None),
        (template, None),
    ] {
        assert_eq!(expected(&seen, &id(guest)).as_deref(), reason, "{}", id(guest));
        if guest.vmid != template.vmid {
            assert_eq!(seen.value("pve_guest_up", &[("id", &id(guest))]), Some(0.0));
        }
    }

    // What HA is asked for is not guessed when nobody tells it.
    pve.inject("status=500:/cluster/ha/status/current").await;
    for _ in 0..15 {
        pve.scrape_after(15).await;
        pve.idle().await;
    }
    let seen = pve.scrape().await;
    for guest in [down, asked_to_stop] {
        assert_eq!(expected(&seen, &id(guest)), None, "{}", id(guest));
    }
    assert_eq!(expected(&seen, &id(by_boot)).as_deref(), Some("onboot"));
}

#[tokio::test]
async fn a_guest_that_ha_moves_is_one_move() {
    let pve = Simulated::start().await;
    let seen = pve.settle().await;
    let managed = pve
        .simulator
        .guests()
        .into_iter()
        .filter(|guest| guest.settings.hastate.is_some());
    let managed: Vec<_> = managed.collect();
    assert!(managed.len() > 2 && managed.iter().all(|guest| guest.kind == GuestKind::Qemu));
    assert!(managed.iter().all(|guest| moves(&seen, &id(guest)) == Some(0.0)));
    let moved = &managed[0];
    let target = if moved.node == "pve3" { "pve1" } else { "pve3" };
    assert!(pve.simulator.migrate(moved.vmid, target));
    for _ in 0..4 {
        let seen = pve.later(40).await;
        assert_eq!(moves(&seen, &id(moved)), Some(1.0));
        assert_eq!(moves(&seen, &id(&managed[1])), Some(0.0));
    }
    assert!(pve.simulator.migrate(moved.vmid, &moved.node));
    assert_eq!(moves(&pve.later(40).await, &id(moved)), Some(2.0));
}

#[tokio::test]
async fn a_node_that_is_fenced_shows() {
    let pve = Simulated::start().await;
    pve.settle().await;
    let managed = pve
        .simulator
        .guests()
        .into_iter()
        .find(|guest| guest.settings.hastate.is_some())
        .unwrap();
    pve.inject(&format!("offline:{}", managed.node)).await;
    pve.later(60).await;
    let seen = pve.later(60).await;
    let (node, id) = (managed.node.as_str(), id(&managed));
    assert_eq!(
        seen.value("pve_ha_node_state", &[("node", node), ("state", "fence")]),
        Some(1.0)
    );
    assert_eq!(
        seen.value("pve_ha_guest_state", &[("id", &id), ("state", "fence")]),
        Some(1.0)
    );
    assert_eq!(expected(&seen, &id).as_deref(), Some("ha"), "it should run somewhere");
    assert_eq!(
        seen.value("pve_guest_up", &[("id", &id)]),
        None,
        "nobody knows whether it does"
    );
}
