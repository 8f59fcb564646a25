use std::collections::BTreeMap;
use std::time::SystemTime;

use pve_simulator::{CallCounts, Fault, Options, Simulator, Version};
use url::Url;

use super::*;
use crate::clock::Clock;
use crate::config::{Cluster, GuestFilter, Secret, SecretSource};
use crate::metrics::labels::Identity;
use crate::metrics::table::Subject;
use crate::pve::transport::Observer;
use crate::sources::cluster::{Placed, Selection};
use crate::sources::resources;
use crate::sources::source::Whole;

struct Uncounted;

impl Observer for Uncounted {
    fn request(&self, _: &Url, _: Option<u16>, _: Duration) {}
}

/// The room over a simulated cluster, with the two clocks in one hand.
struct Simulated {
    simulator: Simulator,
    clock: Clock,
    client: Arc<Client>,
    resources: Whole<Resources>,
    machines: Machines,
}

const INTERVAL: Duration = Duration::from_secs(15);

impl Simulated {
    async fn start(events: bool, version: Version) -> Self {
        let options = Options {
            events,
            versions: vec![version],
            clock: if events {
                pve_simulator::Clock::Real
            } else {
                pve_simulator::Clock::Manual
            },
            starts_at: Some(SystemTime::now()),
            ..Options::default()
        };
        let simulator = Simulator::start(options).await.unwrap();
        let endpoints = simulator.endpoints().iter().map(|url| url.parse().unwrap()).collect();
        let token = SecretSource::Environment {
            variable: "TEST".to_owned(),
            secret: Secret::new(simulator.token_secret()),
        };
        let mut cluster = Cluster::new(endpoints, simulator.token_id().parse().unwrap(), token);
        let nodes = simulator.nodes();
        let fingerprints = nodes.iter().map(|node| simulator.fingerprint(node).unwrap());
        cluster.fingerprints = fingerprints.map(|fingerprint| fingerprint.parse().unwrap()).collect();
        let clock = Clock::default();
        let client = Arc::new(Client::new(&cluster, clock.clone(), Arc::new(Uncounted)).unwrap());
        let wiring = Wiring {
            cluster: "main",
            client: &client,
            clock: &clock,
            refresh_timeout: Duration::from_secs(30),
            policies: &BTreeMap::new(),
        };
        let resources = resources::source(&wiring, GuestFilter::default());
        let status = wiring.whole(SourceName::ClusterStatus, |_| async { Err(ApiError::Interrupted) });
        let known = Arc::new(Known::new(resources.held(), status.held()));
        let machines = Machines::new(&wiring, &known);
        Self {
            simulator,
            client,
            resources,
            machines,
            clock,
        }
    }

    fn advance(&self, seconds: u64) {
        self.simulator.advance(Duration::from_secs(seconds));
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Reads all that is due, however long that takes.
    async fn read(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        self.resources.start();
        self.resources.held().ended(deadline).await;
        self.machines.find_nodes();
        for source in self.machines.sources() {
            let waits = source.refresh(INTERVAL, deadline);
            assert!(waits.is_empty(), "no scrape waits for {}", source.name().as_str());
        }
        let machines = &self.machines;
        ended(&machines.minutes, deadline).await;
        ended(&machines.clocks, deadline).await;
        ended(&machines.services, deadline).await;
        ended(&machines.packages, deadline).await;
        ended(&machines.subscriptions, deadline).await;
        ended(&machines.certificates, deadline).await;
        ended(&machines.interfaces, deadline).await;
        ended(&machines.pci_devices, deadline).await;
    }

    fn rows(&self) -> MachineRows {
        let mut selection = Selection::from([SourceName::Resources]);
        selection.extend(self.machines.sources().map(|source| source.name()));
        let shown = Shown {
            selection,
            interval: INTERVAL,
            offline: self.client.offline(),
            placed: Placed::default(),
        };
        self.machines.rows(&shown, self.resources.servable(INTERVAL).as_ref())
    }

    fn calls(&self) -> CallCounts {
        let calls = self.simulator.calls();
        self.simulator.reset_calls();
        calls
    }
}

async fn ended<T: Send + Sync + 'static>(source: &Unawaited<PerNode<T>>, deadline: tokio::time::Instant) {
    for held in source.0.nodes().into_values() {
        held.ended(deadline).await;
        assert!(held.latest().is_some() || held.record().up == Some(false));
    }
}

fn labels(identity: &Identity) -> &str {
    str::from_utf8(identity.pairs()).unwrap()
}

fn of<'a, S: Subject>(rows: &'a [S], words: &str) -> &'a S {
    let mut rows = rows.iter();
    rows.find(|row| labels(row.identity()).contains(words)).unwrap()
}

#[tokio::test]
async fn a_lively_cluster_shows_what_is_wrong_with_each_node() {
    let simulated = Simulated::start(true, Version::new(9, 2, 11)).await;
    simulated.advance(120);
    simulated.read().await;
    let rows = simulated.rows();

    for (clock, ahead) in rows.clocks.iter().zip([0.0, 0.0, 7.0]) {
        // An answer may have taken up to 2 s, or too long.
        let right = clock.offset.is_none_or(|offset| (offset - ahead).abs() <= 1.5);
        assert!(right, "{clock:?} and not {ahead}");
    }
    assert_eq!(rows.clocks.len(), 3);
    assert!(rows.clocks.iter().all(|clock| clock.utc_offset == Some(7200.0)));
    let reboots: Vec<_> = rows
        .updates
        .iter()
        .map(|node| (node.reboot_needed, node.pending))
        .collect();
    assert_eq!(
        reboots,
        [(Some(false), Some(0)), (Some(true), Some(5)), (Some(false), Some(0))]
    );
    let statuses: Vec<_> = rows.subscriptions.iter().map(|row| row.status.unwrap()).collect();
    assert_eq!(statuses, ["notfound", "active", "expired"]);
    let stopped = of(&rows.services, r#"node="pve3",service="chrony""#);
    assert_eq!(
        (stopped.running, stopped.enabled, stopped.failed),
        (Some(false), Some(true), Some(false))
    );
    assert_eq!(rows.services.len(), 3 * 20);
    assert_eq!(rows.certificates.len(), 7);
    let soon = of(&rows.certificates, r#"node="pve1",file="pveproxy-ssl.pem""#);
    let left = soon.not_after.unwrap()
        - simulated
            .simulator
            .now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap()
            .as_secs();
    assert_eq!(left.div_ceil(86_400), 9);
    assert_eq!(rows.interfaces.len(), 3 * 5);
    assert_eq!(rows.pci_devices.len(), 3 * 8);
    assert_eq!(of(&rows.pci_devices, r#"node="pve2",class="network""#).devices, 3);
    assert_eq!(
        of(&rows.packages, r#"node="pve2",package="pve-manager""#).version,
        "9.2.11".into()
    );
    assert_eq!(rows.minutes.len(), 3);
    assert!(of(&rows.minutes, "pve2").arc_size.is_some() && of(&rows.minutes, "pve3").arc_size.is_none());
    for source in simulated.machines.sources() {
        let outcomes = source.outcomes();
        assert!(outcomes.iter().all(|outcome| outcome.damaged_rows.unwrap_or(0) == 0));
        assert_eq!(outcomes.len(), 3);
    }
}

#[tokio::test]
async fn pve_8_is_seldom_asked_for_the_pressure_that_it_does_not_record() {
    let simulated = Simulated::start(false, Version::new(8, 4, 1)).await;
    simulated.read().await;
    assert!(simulated.rows().minutes.is_empty());
    let minutes = |calls: &CallCounts| calls.executed_for("/nodes/{copied}/rrddata");
    let services = |calls: &CallCounts| calls.executed_for("/nodes/{node}/services");
    let calls = simulated.calls();
    assert_eq!((minutes(&calls), services(&calls)), (3, 3));
    simulated.advance(1200);
    simulated.read().await;
    let calls = simulated.calls();
    assert_eq!((minutes(&calls), services(&calls)), (0, 3));
    simulated.advance(3600);
    simulated.read().await;
    assert_eq!(minutes(&simulated.calls()), 3);
}

#[tokio::test]
async fn an_offline_node_is_not_asked_and_tells_nothing_more() {
    let simulated = Simulated::start(false, Version::new(9, 2, 11)).await;
    simulated.read().await;
    assert_eq!(simulated.rows().updates.len(), 3);
    simulated.simulator.inject("offline:pve3".parse::<Fault>().unwrap());
    simulated.calls();
    simulated.advance(450);
    simulated.read().await;
    let rows = simulated.rows();
    assert_eq!((rows.updates.len(), rows.minutes.len(), rows.clocks.len()), (2, 2, 2));
    assert_eq!(simulated.calls().executed_for("/nodes/{copied}/rrddata"), 2);
}

#[tokio::test]
async fn a_pvestatd_that_hangs_is_told_from_one_that_works() {
    let simulated = Simulated::start(false, Version::new(8, 1, 4)).await;
    let stalled = async || {
        simulated.read().await;
        let rows = simulated.rows();
        rows.samplings.iter().map(|row| row.stalled).collect::<Vec<_>>()
    };
    assert!(stalled().await.is_empty());
    simulated.advance(20);
    assert_eq!(stalled().await, [false, false, false]);
    simulated
        .simulator
        .inject("frozen-pvestatd:pve2".parse::<Fault>().unwrap());
    simulated.advance(50);
    assert_eq!(stalled().await, [false, false, false]);
    simulated.advance(20);
    assert_eq!(stalled().await, [false, true, false]);
    simulated.simulator.clear_all();
    simulated.advance(10);
    assert_eq!(stalled().await, [false, false, false]);
}
