//! What the loss of each node would mean: worked out for a new list of resources, beside finding that nothing has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use pve_exporter::clock::Clock;
use pve_exporter::config::GuestFilter;
use pve_exporter::metrics::labels::Identity;
use pve_exporter::pve::client::{Client, Request};
use pve_exporter::pve::transport::Observer;
use pve_exporter::sources::cached::{Cached, Same};
use pve_exporter::sources::guest_config::Configuration;
use pve_exporter::sources::ha_rules::Constraints;
use pve_exporter::sources::node_loss::{self, Evidence};
use pve_exporter::sources::resources::{Memory, Resources, convert};
use pve_exporter::sources::survey::Values;
use pve_exporter::subjects::guest_config::GuestConfig;
use pve_exporter::subjects::guest_drive_config::{GuestDriveConfig, Media};
use pve_exporter::subjects::node_loss::NodeLoss;
use pve_simulator::Simulator;

/// Lookups of what has not changed, of which one alone is too short to be timed.
const LOOKUPS: u32 = 1000;

struct Silent;

impl Observer for Silent {
    fn request(&self, _: &url::Url, _: Option<u16>, _: std::time::Duration) {}
}

pub(crate) async fn run(simulator: &Simulator) {
    let config = crate::config(simulator);
    let client = Client::new(&config.clusters["bench"], Clock::default(), Arc::new(Silent)).unwrap();
    let body = client.get(&Request::entry("/cluster/resources")).await.unwrap().body;
    let filter = GuestFilter::default();
    let resources = Arc::new(convert(&body, "bench", &filter, &mut Memory::default(), Instant::now()).unwrap());
    let configurations = Arc::new(configurations(&resources));
    let constraints = constraints(&resources);
    let find = || {
        let evidence = Evidence {
            resources: &resources,
            configurations: &configurations,
            jobs: &[],
            constraints: Some(&constraints),
            groups: None,
            never_synced: &BTreeSet::new(),
            maintenance: &BTreeSet::new(),
        };
        node_loss::rows("bench", evidence)
    };
    let unplaced: u64 = find().iter().map(|loss| loss.unplaced_guests).sum();
    let anew = crate::timed(21, || {
        std::hint::black_box(find());
    });
    let cached: Cached<_, Arc<[NodeLoss]>> = Cached::default();
    let key = || (Same(Arc::clone(&resources)), Same(Arc::clone(&configurations)));
    let unchanged = crate::timed(21, || {
        for _ in 0..LOOKUPS {
            std::hint::black_box(cached.of(key(), find));
        }
    });
    println!(
        "loss of each node    {:9.2} ms for a new list, {unplaced} without a place; {:.0} ns when nothing has changed",
        crate::milliseconds(anew),
        unchanged.as_secs_f64() * 1e9 / f64::from(LOOKUPS)
    );
}

/// Every guest with two disks: of ten guests one has them on a storage of the node.
fn configurations(resources: &Resources) -> Values<Configuration> {
    let storages: BTreeMap<_, _> = resources
        .storages
        .iter()
        .map(|row| (&row.name, row.on_node.shared))
        .collect();
    let of = |shared: bool| -> Vec<&Arc<str>> {
        let rows = storages
            .iter()
            .filter(|(_, is_shared)| (**is_shared == Some(true)) == shared);
        rows.map(|(name, _)| *name).collect()
    };
    let (shared, local) = (of(true), of(false));
    let drive = |storage: &Arc<str>| GuestDriveConfig {
        identity: Identity::new(&[]),
        storage: Arc::clone(storage),
        media: Media::Disk,
        size: None,
        backup_excluded: false,
    };
    let configuration = |index: usize| {
        let storages = if index.is_multiple_of(10) { &local } else { &shared };
        let pick = |offset: usize| drive(storages[(index + offset) % storages.len()]);
        Arc::new(Configuration {
            telemetry_port: false,
            guest: GuestConfig::unset(Identity::new(&[])),
            drives: vec![pick(0), pick(1)],
            damaged_rows: 0,
        })
    };
    let guests = resources.guests.iter().enumerate();
    guests
        .map(|(index, guest)| ((guest.kind, guest.vmid), configuration(index)))
        .collect()
}

/// Each hundredth pair of guests is kept apart, and each next one together.
fn constraints(resources: &Resources) -> Constraints {
    let mut constraints = Constraints::default();
    for (number, guests) in resources.guests.chunks(2).enumerate() {
        for key in guests.iter().map(|guest| (guest.kind, guest.vmid)) {
            match number % 100 {
                0 => {
                    constraints.apart.insert(key, vec![number]);
                }
                1 => {
                    constraints.together.insert(key, number);
                }
                _ => {}
            }
        }
    }
    constraints
}
