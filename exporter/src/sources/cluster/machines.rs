//! The machines under the cluster: pressure, clock, services, packages, subscription, certificates, network and PCI devices of each
//! node.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Known, Shown};
use crate::pve::client::Client;
use crate::pve::error::ApiError;
use crate::sources::cached::Cached;
use crate::sources::certificates::{self, NodeCertificates};
use crate::sources::held::Dated;
use crate::sources::interfaces::{self, NodeInterfaces};
use crate::sources::name::SourceName;
use crate::sources::node_rrd::{self, NodeMinute};
use crate::sources::node_time;
use crate::sources::packages::{self, NodePackages};
use crate::sources::pci_devices::{self, NodePciDevices};
use crate::sources::resources::Resources;
use crate::sources::services::{self, NodeServices};
use crate::sources::source::{PerNode, Source, Wiring};
use crate::sources::stalled::Stalled;
use crate::sources::subscriptions;
use crate::sources::unawaited::Unawaited;
use crate::subjects::certificate::Certificate;
use crate::subjects::node;
use crate::subjects::node_clock::NodeClock;
use crate::subjects::node_interface::NodeInterface;
use crate::subjects::node_rrd::NodeRrd;
use crate::subjects::node_sampling::NodeSampling;
use crate::subjects::packages::{NodeUpdates, Package};
use crate::subjects::pci_devices::PciDevices;
use crate::subjects::service::Service;
use crate::subjects::subscription::Subscription;

/// The sources.
pub(super) struct Machines {
    cluster: Arc<str>,
    known: Arc<Known>,
    minutes: Unawaited<PerNode<NodeMinute>>,
    clocks: Unawaited<PerNode<NodeClock>>,
    services: Unawaited<PerNode<NodeServices>>,
    packages: Unawaited<PerNode<NodePackages>>,
    subscriptions: Unawaited<PerNode<Subscription>>,
    certificates: Unawaited<PerNode<NodeCertificates>>,
    interfaces: Unawaited<PerNode<NodeInterfaces>>,
    pci_devices: Unawaited<PerNode<NodePciDevices>>,
    stalled: Mutex<Stalled>,
    joined: JoinedRows,
}

#[derive(Default)]
struct JoinedRows {
    minutes: Joined<NodeRrd>,
    clocks: Joined<NodeClock>,
    services: Joined<Service>,
    updates: Joined<NodeUpdates>,
    packages: Joined<Package>,
    subscriptions: Joined<Subscription>,
    certificates: Joined<Certificate>,
    interfaces: Joined<NodeInterface>,
    pci_devices: Joined<PciDevices>,
}

/// The rows.
#[derive(Default)]
pub struct MachineRows {
    /// Whether the nodes still tell how they are.
    pub samplings: Arc<[NodeSampling]>,
    /// Pressure and ZFS cache.
    pub minutes: Arc<[NodeRrd]>,
    /// Clocks.
    pub clocks: Arc<[NodeClock]>,
    /// Packages that wait, and kernels.
    pub updates: Arc<[NodeUpdates]>,
    /// Versions.
    pub packages: Arc<[Package]>,
    /// Services.
    pub services: Arc<[Service]>,
    /// Subscriptions.
    pub subscriptions: Arc<[Subscription]>,
    /// Certificates.
    pub certificates: Arc<[Certificate]>,
    /// Network interfaces.
    pub interfaces: Arc<[NodeInterface]>,
    /// PCI devices.
    pub pci_devices: Arc<[PciDevices]>,
}

impl Machines {
    /// Nothing is fetched yet.
    pub(super) fn new(wiring: &Wiring<'_>, known: &Arc<Known>) -> Self {
        let cluster: Arc<str> = wiring.cluster.into();
        let (clock, now) = (wiring.clock.clone(), wiring.clock.clone());
        let minutes = per_node(wiring, SourceName::NodeRrd, move |client, cluster, node| {
            let now = now.unix_seconds();
            async move { node_rrd::fetch(&client, &cluster, &node, now).await }
        });
        let clocks = per_node(wiring, SourceName::NodeTime, move |client, cluster, node| {
            let clock = clock.clone();
            async move { node_time::fetch(&client, &cluster, &node, &clock).await }
        });
        let nodes = Arc::clone(known);
        let services = per_node(wiring, SourceName::Services, move |client, cluster, node| {
            let alone = nodes.nodes(false).len() < 2;
            async move { services::fetch(&client, &cluster, &node, alone).await }
        });
        let packages = per_node(wiring, SourceName::Packages, |client, cluster, node| async move {
            packages::fetch(&client, &cluster, &node).await
        });
        let subscriptions = per_node(wiring, SourceName::Subscriptions, |client, cluster, node| async move {
            subscriptions::fetch(&client, &cluster, &node).await
        });
        let certificates = per_node(wiring, SourceName::Certificates, |client, cluster, node| async move {
            certificates::fetch(&client, &cluster, &node).await
        });
        let interfaces = per_node(wiring, SourceName::Interfaces, |client, cluster, node| async move {
            interfaces::fetch(&client, &cluster, &node).await
        });
        let pci_devices = per_node(wiring, SourceName::PciDevices, |client, cluster, node| async move {
            pci_devices::fetch(&client, &cluster, &node).await
        });
        Self {
            cluster,
            known: Arc::clone(known),
            minutes: Unawaited(
                minutes
                    .damaged_by(|value| Some(value.damaged_rows))
                    .absent_by(|value| value.absent),
            ),
            clocks: Unawaited(clocks),
            services: Unawaited(services.damaged_by(|value| Some(value.damaged_rows))),
            packages: Unawaited(packages.damaged_by(|value| Some(value.damaged_rows))),
            subscriptions: Unawaited(subscriptions),
            certificates: Unawaited(certificates.damaged_by(|value| Some(value.damaged_rows))),
            interfaces: Unawaited(interfaces.damaged_by(|value| Some(value.damaged_rows))),
            pci_devices: Unawaited(pci_devices.damaged_by(|value| Some(value.damaged_rows))),
            stalled: Mutex::default(),
            joined: JoinedRows::default(),
        }
    }

    /// Its sources.
    pub(super) fn sources(&self) -> [&dyn Source; 8] {
        [
            &self.minutes,
            &self.clocks,
            &self.services,
            &self.packages,
            &self.subscriptions,
            &self.certificates,
            &self.interfaces,
            &self.pci_devices,
        ]
    }

    /// Says which nodes there are. Those of which PVE does not know whether they are online are asked as well: there pvestatd
    /// may be what does not run.
    pub(super) fn find_nodes(&self) {
        let nodes = self.known.nodes(false);
        self.minutes.0.set_nodes(&nodes);
        self.clocks.0.set_nodes(&nodes);
        self.services.0.set_nodes(&nodes);
        self.packages.0.set_nodes(&nodes);
        self.subscriptions.0.set_nodes(&nodes);
        self.certificates.0.set_nodes(&nodes);
        self.interfaces.0.set_nodes(&nodes);
        self.pci_devices.0.set_nodes(&nodes);
    }

    /// What they bring. `resources` are those that may be served.
    pub(super) fn rows(&self, shown: &Shown<'_>, resources: Option<&Dated<Resources>>) -> MachineRows {
        let joined = &self.joined;
        let packages = shown.nodes(&self.packages.0);
        MachineRows {
            samplings: resources.map_or_else(Arc::default, |resources| self.samplings(shown, resources)),
            minutes: joined.minutes.of(&shown.nodes(&self.minutes.0), |node| &node.rows),
            clocks: joined.clocks.of(&shown.nodes(&self.clocks.0), std::slice::from_ref),
            updates: joined.updates.of(&packages, |node| std::slice::from_ref(&node.updates)),
            packages: joined.packages.of(&packages, |node| &node.packages),
            services: joined
                .services
                .of(&shown.nodes(&self.services.0), |node| &node.services),
            subscriptions: joined
                .subscriptions
                .of(&shown.nodes(&self.subscriptions.0), std::slice::from_ref),
            certificates: joined
                .certificates
                .of(&shown.nodes(&self.certificates.0), |node| &node.certificates),
            interfaces: joined
                .interfaces
                .of(&shown.nodes(&self.interfaces.0), |node| &node.interfaces),
            pci_devices: joined
                .pci_devices
                .of(&shown.nodes(&self.pci_devices.0), |node| &node.classes),
        }
    }

    /// Seconds that local time at each node is ahead of UTC, as far as it is known.
    pub(super) fn utc_offsets(&self, interval: Duration) -> BTreeMap<Arc<str>, i64> {
        let clocks = self.clocks.0.servable(interval).into_iter();
        let offset = |(node, clock): (Arc<str>, Dated<NodeClock>)| Some((node, whole_seconds(clock.value.utc_offset?)));
        clocks.filter_map(offset).collect()
    }

    fn samplings(&self, shown: &Shown<'_>, resources: &Dated<Resources>) -> Arc<[NodeSampling]> {
        let there = |name: &Arc<str>, up: Option<bool>| up != Some(false) && !shown.offline.contains(name);
        let nodes = resources.value.nodes.iter();
        let nodes = nodes.filter(|(name, node)| there(name, node.up));
        let mut stalled = self.stalled.lock().unwrap_or_else(PoisonError::into_inner);
        let told = stalled.see(nodes.map(|(name, node)| (name, node.figures.uptime)), resources.at);
        if !shown.selection.contains(&SourceName::Resources) {
            return Arc::default();
        }
        let row = |(node, stalled): (Arc<str>, bool)| NodeSampling {
            identity: node::identity(&self.cluster, &node),
            stalled,
        };
        told.into_iter().map(row).collect()
    }
}

fn per_node<T, F>(
    wiring: &Wiring<'_>,
    name: SourceName,
    fetch: impl Fn(Arc<Client>, Arc<str>, Arc<str>) -> F + Send + Sync + 'static,
) -> PerNode<T>
where
    T: Send + Sync + 'static,
    F: Future<Output = Result<T, ApiError>> + Send + 'static,
{
    let cluster: Arc<str> = wiring.cluster.into();
    wiring.per_node(name, move |client, node| fetch(client, Arc::clone(&cluster), node))
}

/// The rows of all nodes, put together only when one of them has told something new.
struct Joined<S>(Cached<Read, Arc<[S]>>);

/// When each node was read.
type Read = Vec<(Arc<str>, Instant)>;

impl<S> Default for Joined<S> {
    fn default() -> Self {
        Self(Cached::default())
    }
}

impl<S: Clone> Joined<S> {
    fn of<T>(&self, nodes: &BTreeMap<Arc<str>, Dated<T>>, rows: impl Fn(&T) -> &[S]) -> Arc<[S]> {
        let key = nodes.iter().map(|(node, part)| (Arc::clone(node), part.at)).collect();
        self.0.of(key, || {
            let rows = nodes.values().flat_map(|part| rows(&part.value));
            rows.cloned().collect()
        })
    }
}

#[cfg(test)]
mod tests;

#[expect(clippy::cast_possible_truncation, reason = "no zone is further away than a day")]
fn whole_seconds(offset: f64) -> i64 {
    offset.round() as i64
}
