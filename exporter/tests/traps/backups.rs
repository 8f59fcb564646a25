//! What the last backups of guests were like, and whose they are.

use std::time::Duration;

use pve_exporter::config::GuestKind as Kind;
use pve_simulator::{BackupResult, GuestKind, NewBackup, NewGuest, Options};

use crate::support::simulated::{Simulated, options};
use crate::support::strict::Exposition;

/// Four running virtual machines of `pve2` with a guest agent or without.
fn machines(pve: &Simulated) -> [u32; 4] {
    let guests = pve.simulator.guests().into_iter();
    let machines = guests.filter(|guest| {
        guest.kind == GuestKind::Qemu && guest.running && guest.node == "pve2" && !guest.settings.template
    });
    let found: Vec<u32> = machines.map(|guest| guest.vmid).take(4).collect();
    found.try_into().unwrap()
}

fn of(seen: &Exposition, name: &str, vmid: u32) -> Option<f64> {
    seen.value(&format!("pve_backup_last_{name}"), &[("id", &format!("qemu/{vmid}"))])
}

fn result(seen: &Exposition, vmid: u32) -> &str {
    let id = format!("qemu/{vmid}");
    let mut samples = seen.samples("pve_backup_last_result");
    let sample = samples.find(|sample| sample.label("id") == Some(&id) && sample.value == 1.0);
    sample.and_then(|sample| sample.label("result")).unwrap_or_default()
}

#[tokio::test]
async fn a_backup_that_fails_warns_or_is_not_frozen_shows() {
    let pve = Simulated::start().await;
    let [fine, warned, failed, not_frozen] = machines(&pve);
    pve.simulator
        .set_guest(not_frozen, |settings| settings.agent = Some("1".to_owned()));
    let before = pve.settle().await;
    let run = NewBackup {
        node: "pve2".to_owned(),
        storage: "nas".to_owned(),
        guests: vec![
            (fine, BackupResult::Done),
            (warned, BackupResult::Warned("something is odd".to_owned())),
            (failed, BackupResult::Failed("no space left".to_owned())),
            (not_frozen, BackupResult::NotFrozen),
        ],
        each: Duration::from_secs(30),
    };
    pve.advance(200);
    pve.simulator.run_backup(&run).unwrap();
    pve.later(40).await;
    let seen = pve.later(2).await;
    let results = [fine, warned, failed, not_frozen].map(|vmid| result(&seen, vmid));
    assert_eq!(results, ["ok", "warning", "error", "ok"]);
    let success = "success_timestamp_seconds";
    for vmid in [fine, warned, not_frozen] {
        assert!(of(&seen, success, vmid) > of(&before, success, vmid), "{vmid}");
        assert_eq!(of(&seen, "success_duration_seconds", vmid), Some(30.0), "{vmid}");
    }
    assert_eq!(
        of(&seen, success, failed),
        of(&before, success, failed),
        "the last good one stays"
    );
    assert!(of(&seen, "attempt_timestamp_seconds", failed) > of(&seen, success, failed));
    assert_eq!(of(&seen, "success_freeze_skipped", not_frozen), Some(1.0));
    assert_ne!(of(&seen, "success_freeze_skipped", fine), Some(1.0));
    let point = |seen: &Exposition, vmid: u32| {
        let labels = [("id", &*format!("qemu/{vmid}")), ("source", "backup")];
        seen.value("pve_guest_recovery_point_timestamp_seconds", &labels)
    };
    assert_eq!(point(&seen, failed), point(&before, failed));
    assert!(point(&seen, fine) > point(&before, fine));
    assert!(point(&seen, fine) < of(&seen, success, fine), "as of its begin");
}

#[tokio::test]
async fn a_vmid_that_is_used_again_inherits_nothing() {
    let pve = Simulated::start().await;
    let before = pve.settle().await;
    assert!(of(&before, "success_timestamp_seconds", 123).is_some());
    pve.simulator.remove(123);
    pve.simulator
        .run_task("pve1", "qmdestroy", "123", "OK", Duration::from_secs(2))
        .unwrap();
    let new = NewGuest {
        kind: GuestKind::Qemu,
        node: "pve2".to_owned(),
        name: "another".to_owned(),
        running: true,
    };
    assert_eq!(pve.simulator.add_guest(new), Some(123));
    pve.later(40).await;
    let seen = pve.later(15).await;
    assert_eq!(
        seen.value("pve_guest_info", &[("id", "qemu/123"), ("name", "another")]),
        Some(1.0)
    );
    let all = seen.families.iter().flat_map(|family| &family.samples);
    for sample in all.filter(|sample| sample.label("id") == Some("qemu/123")) {
        let inherits = sample.name.starts_with("pve_backup_last_")
            || sample.name == "pve_backup_info"
            || sample.label("source") == Some("backup");
        assert!(!inherits, "{}", sample.name);
    }
}

#[tokio::test]
async fn volumes_are_seen_with_the_privilege_only_and_orphans_are_told() {
    for sees_backups in [false, true] {
        let pve = Simulated::with(
            Options {
                sees_backups,
                ..options()
            },
            |_| {},
        )
        .await;
        let seen = pve.settle().await;
        assert_eq!(seen.samples("pve_backup_volumes").next().is_some(), sees_backups);
        let asked = pve
            .simulator
            .calls()
            .received_for("/nodes/{node}/storage/{storage}/content");
        assert_eq!(asked > 0, sees_backups, "{asked}");
        let orphans = |seen: &Exposition, storage| seen.value("pve_backup_orphaned_volumes", &[("storage", storage)]);
        assert_eq!(orphans(&seen, "backup"), sees_backups.then_some(1.0));
        if sees_backups {
            let volumes = seen.value("pve_backup_volumes", &[("id", "qemu/100"), ("storage", "backup")]);
            pve.simulator.remove(100);
            let seen = pve.later(15).await;
            assert_eq!(orphans(&seen, "backup"), volumes.map(|volumes| volumes + 1.0));
        }
        let id = Kind::Qemu.as_str();
        assert!(
            seen.samples("pve_backup_volumes")
                .all(|sample| sample.label("id") != Some(&format!("{id}/99999")))
        );
    }
}
