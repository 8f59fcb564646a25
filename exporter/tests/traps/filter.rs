//! Guests that the configuration leaves out are nowhere.

use std::collections::BTreeSet;
use std::time::Duration;

use pve_exporter::config::{GuestFilter, GuestKind, GuestSelector};
use pve_simulator::Options;

use crate::support::simulated::{Simulated, options};
use crate::support::strict::Exposition;

async fn with(filter: GuestFilter) -> Simulated {
    let seeing = Options {
        sees_backups: true,
        ..options()
    };
    Simulated::with(seeing, |config| {
        (config.metrics.snapshot_names, config.metrics.guest_balloon) = (true, true);
        config.clusters.get_mut("main").unwrap().guests = filter;
    })
    .await
}

/// The names of the families with guests, and the guests.
fn guests(seen: &Exposition) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let all = seen.families.iter().flat_map(|family| &family.samples);
    let guest = |id: &&str| id.starts_with("qemu/") || id.starts_with("lxc/");
    let rows = all.filter_map(|sample| Some((sample.name.as_str(), sample.label("id").filter(guest)?)));
    rows.unzip()
}

#[tokio::test]
async fn a_guest_that_is_left_out_has_no_row_in_any_family() {
    let everything = with(GuestFilter::default()).await.settle().await;
    let (families, everybody) = guests(&everything);
    assert!(families.len() > 60 && everybody.len() == 24, "{}", families.len());
    let only_pool = |name: &str| GuestSelector {
        pools: vec![name.to_owned()],
        ..GuestSelector::default()
    };
    let only_containers = GuestSelector {
        types: vec![GuestKind::Lxc],
        ..GuestSelector::default()
    };
    let filters = [
        (only_pool("prod"), GuestSelector::default()),
        (GuestSelector::default(), only_pool("prod")),
        (only_containers.clone(), GuestSelector::default()),
        (GuestSelector::default(), only_containers),
    ];
    for (include, exclude) in filters {
        let filter = GuestFilter { include, exclude };
        let pve = with(filter.clone()).await;
        let admitted = |guest: &pve_simulator::GuestSummary| {
            let settings = &guest.settings;
            let prod = settings.pool.as_deref() == Some("prod");
            let container = guest.kind == pve_simulator::GuestKind::Lxc;
            let matches = |selector: &GuestSelector| {
                (selector.pools.is_empty() || prod) && (selector.types.is_empty() || container)
            };
            let excludes = filter.exclude != GuestSelector::default() && matches(&filter.exclude);
            matches(&filter.include) && !excludes
        };
        let expected = pve.simulator.guests().into_iter().filter(admitted);
        let expected: BTreeSet<String> = expected
            .map(|guest| format!("{}/{}", guest.kind.as_str(), guest.vmid))
            .collect();
        // A failed task of a guest that is left out, and one that migrates, change nothing.
        pve.settle().await;
        pve.simulator.migrate(100, "pve3");
        pve.simulator
            .run_task("pve1", "vzdump", "100", "failed", Duration::from_secs(5))
            .unwrap();
        pve.later(60).await;
        let seen = pve.later(60).await;
        let (_, there) = guests(&seen);
        let there: BTreeSet<String> = there.into_iter().map(str::to_owned).collect();
        assert_eq!(there, expected, "{filter:?}");
        // Every family that has rows of these guests without a filter has the same ones with it.
        let rows = |seen: &Exposition, name: &str| {
            let ids = seen.samples(name).filter_map(|sample| sample.label("id"));
            ids.filter(|id| expected.contains(*id) && *id != "qemu/100").count()
        };
        for family in &families {
            assert_eq!(rows(&seen, family), rows(&everything, family), "{filter:?}: {family}");
        }
        let orphans = |seen: &Exposition| {
            seen.samples("pve_backup_orphaned_volumes")
                .map(|sample| sample.value)
                .sum::<f64>()
        };
        assert_eq!(
            orphans(&seen),
            orphans(&everything),
            "{filter:?}: who is left out exists"
        );
    }
}
