use std::collections::BTreeSet;

use pve_simulator::{Options, Simulator};

use super::*;
use crate::config::{Cluster, GuestFilter, Secret, SecretSource};
use crate::pve::transport::Observer;
use crate::sources::cluster::Placed;
use crate::sources::cluster_status;
use crate::sources::resources;

const INTERVAL: Duration = Duration::from_secs(15);

struct Uncounted;

impl Observer for Uncounted {
    fn request(&self, _: &url::Url, _: Option<u16>, _: Duration) {}
}

struct Room {
    simulator: Simulator,
    client: Arc<Client>,
    clock: Clock,
    disks: Disks,
}

impl Room {
    async fn new(with_smart: bool) -> Self {
        let options = Options {
            clock: pve_simulator::Clock::Manual,
            events: true,
            ..Options::default()
        };
        let simulator = Simulator::start(options).await.unwrap();
        let token = SecretSource::Environment {
            variable: "TEST".to_owned(),
            secret: Secret::new(simulator.token_secret()),
        };
        let endpoints = simulator.endpoints().iter().map(|url| url.parse().unwrap()).collect();
        let mut config = Cluster::new(endpoints, simulator.token_id().parse().unwrap(), token);
        let fingerprint = |node: &String| simulator.fingerprint(node).unwrap().parse().unwrap();
        config.fingerprints = simulator.nodes().iter().map(fingerprint).collect();
        let clock = Clock::default();
        let client = Arc::new(Client::new(&config, clock.clone(), Arc::new(Uncounted)).unwrap());
        let wiring = Wiring {
            cluster: "main",
            client: &client,
            clock: &clock,
            refresh_timeout: config.refresh_timeout,
            policies: &BTreeMap::new(),
        };
        let all = resources::source(&wiring, GuestFilter::default());
        let status = wiring.whole(SourceName::ClusterStatus, |client: Arc<Client>| async move {
            cluster_status::fetch(&client).await
        });
        let known = Arc::new(Known::new(all.held(), status.held()));
        let disks = Disks::new(&wiring, &known, with_smart);
        all.start();
        all.held().ended(far()).await;
        disks.find_nodes();
        let room = Self {
            simulator,
            client,
            clock,
            disks,
        };
        room.scrape().await;
        room
    }

    /// Refreshes, and waits for what a scrape does not wait for.
    async fn scrape(&self) {
        for source in self.disks.sources() {
            assert!(source.refresh(INTERVAL, far()).is_empty(), "no scrape waits for it");
            for held in self.disks.lists.0.nodes().values() {
                held.ended(far()).await;
            }
            for held in self.disks.smart.nodes.nodes().values() {
                held.ended(far()).await;
            }
        }
    }

    fn rows(&self) -> DiskRows {
        self.disks.rows(&Shown {
            selection: BTreeSet::from([SourceName::Disks, SourceName::DiskSmart]),
            interval: INTERVAL,
            offline: self.client.offline(),
            placed: Placed::default(),
        })
    }

    fn runs(&self) -> Vec<u64> {
        let nodes = self.simulator.nodes();
        nodes.iter().map(|node| self.simulator.smartctl_runs(node)).collect()
    }
}

fn far() -> tokio::time::Instant {
    tokio::time::Instant::now() + Duration::from_secs(60)
}

#[tokio::test]
async fn no_disk_is_woken_unless_that_is_asked_for() {
    let room = Room::new(false).await;
    for _ in 0..3 {
        room.clock.advance(Duration::from_secs(8 * 3600));
        room.scrape().await;
    }
    assert_eq!(room.runs(), [0, 0, 0]);
    assert_eq!(room.simulator.calls().executed_for("/nodes/{node}/disks/list"), 12);
    let rows = room.rows();
    assert_eq!((rows.disks.len(), rows.smart.len()), (10, 0));
    assert!(
        rows.disks
            .iter()
            .all(|disk| disk.size.is_some() && !disk.text.model.is_empty())
    );
}

#[tokio::test]
async fn a_list_that_is_refused_for_ever_is_seldom_asked_for() {
    let room = Room::new(false).await;
    let fault = "status=500:/nodes/*/disks/list"
        .parse::<pve_simulator::Fault>()
        .unwrap();
    room.simulator.inject(fault);
    let asked = || room.simulator.calls().executed_for("/nodes/{node}/disks/list");
    for _ in 0..2 * 24 * 12 {
        room.clock.advance(Duration::from_secs(300));
        for source in room.disks.sources() {
            source.retry();
        }
        room.scrape().await;
    }
    // Two days at three nodes, every half an hour.
    let most = 3 * (2 * 48 + 10);
    assert!((most / 2..most).contains(&asked()), "{}", asked());
}

#[tokio::test]
async fn each_scrape_asks_one_disk_of_a_node_until_all_have_been() {
    let room = Room::new(true).await;
    for (asked, runs) in [
        (3, [1, 1, 1]),
        (6, [2, 2, 2]),
        (9, [3, 3, 3]),
        (10, [3, 3, 4]),
        (10, [3, 3, 4]),
    ] {
        assert_eq!((room.rows().smart.len(), room.runs()), (asked, runs.to_vec()));
        room.scrape().await;
    }
    let rows = room.rows();
    let reading = |find: fn(&DiskSmart) -> bool| rows.smart.iter().filter(|disk| find(disk)).count();
    assert_eq!(reading(|disk| disk.readings.health == Some("ok")), 9);
    assert_eq!(reading(|disk| disk.readings.health == Some("failing")), 1);
    assert_eq!(reading(|disk| disk.readings.life_used == Some(0.96)), 1);
    assert_eq!(reading(|disk| disk.readings.temperature.is_some()), 10);
    assert_eq!(reading(|disk| disk.readings.reallocated > Some(0)), 1);
    let identities = rows.smart.iter().map(|disk| disk.identity.pairs());
    assert!(identities.eq(rows.disks.iter().map(|disk| disk.identity.pairs())));

    room.clock.advance(Duration::from_secs(8 * 3600));
    room.scrape().await;
    assert_eq!(room.runs(), [4, 4, 5], "old ones are asked again");
    assert_eq!(room.rows().smart.len(), 10, "and served until then");
}
