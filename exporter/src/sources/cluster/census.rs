//! What is set for the cluster as a whole: votes, users and tokens, firewall, metric servers.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Known, Shown};
use crate::clock::Clock;
use crate::metrics::labels::Identity;
use crate::pve::client::Client;
use crate::sources::access_users::{self, AccessUsers};
use crate::sources::cluster_status::ClusterStatus;
use crate::sources::corosync::{self, Corosync};
use crate::sources::firewall::{self, ClusterFirewall};
use crate::sources::metric_servers::{self, MetricServers};
use crate::sources::name::SourceName;
use crate::sources::source::{PerNode, Source, Whole, Wiring};
use crate::sources::unawaited::Unawaited;
use crate::subjects::access::Access;
use crate::subjects::cluster_inventory::ClusterInventory;
use crate::subjects::cluster_votes::ClusterVotes;
use crate::subjects::node::Node;
use crate::subjects::node_firewall::NodeFirewall;

/// The sources.
pub(super) struct Census {
    cluster: Arc<str>,
    clock: Clock,
    known: Arc<Known>,
    corosync: Unawaited<Whole<Corosync>>,
    users: Unawaited<Whole<AccessUsers>>,
    firewall: Unawaited<Whole<ClusterFirewall>>,
    node_firewalls: Unawaited<PerNode<NodeFirewall>>,
    metric_servers: Unawaited<Whole<MetricServers>>,
}

/// The rows.
pub struct CensusRows {
    /// The votes of the cluster.
    pub votes: Arc<[ClusterVotes]>,
    /// Users and tokens.
    pub access: Arc<[Access]>,
    /// Of the cluster.
    pub inventory: Arc<[ClusterInventory]>,
    /// The firewalls of the nodes.
    pub firewalls: Arc<[NodeFirewall]>,
}

impl Census {
    /// Nothing is fetched yet. `token` is the name of the one that asks.
    pub(super) fn new(wiring: &Wiring<'_>, known: &Arc<Known>, token: &str) -> Self {
        let cluster: Arc<str> = wiring.cluster.into();
        let (name, token): (_, Arc<str>) = (Arc::clone(&cluster), token.into());
        let (memory, clock) = (Arc::<corosync::Memory>::default(), wiring.clock.clone());
        let corosync = wiring.whole(SourceName::Corosync, move |client: Arc<Client>| {
            let (memory, now) = (Arc::clone(&memory), clock.now());
            async move { corosync::fetch(&client, &memory, now).await }
        });
        let users = wiring.whole(SourceName::AccessUsers, move |client: Arc<Client>| {
            let token = Arc::clone(&token);
            async move { access_users::fetch(&client, &token).await }
        });
        let node_firewalls = wiring.per_node(SourceName::NodeFirewall, move |client: Arc<Client>, node: Arc<str>| {
            let cluster = Arc::clone(&name);
            async move { firewall::fetch_node(&client, &cluster, &node).await }
        });
        let metric_servers = wiring.whole(SourceName::MetricServers, |client: Arc<Client>| async move {
            metric_servers::fetch(&client).await
        });
        Self {
            cluster,
            clock: wiring.clock.clone(),
            known: Arc::clone(known),
            corosync: Unawaited(corosync.damaged_by(|value| Some(value.damaged_rows))),
            users: Unawaited(users.damaged_by(|value| Some(value.damaged_rows))),
            firewall: Unawaited(wiring.whole(SourceName::Firewall, |client: Arc<Client>| async move {
                firewall::fetch(&client).await
            })),
            node_firewalls: Unawaited(node_firewalls),
            metric_servers: Unawaited(metric_servers.damaged_by(|value| Some(value.damaged_rows))),
        }
    }

    /// Its sources.
    pub(super) fn sources(&self) -> [&dyn Source; 5] {
        [
            &self.corosync,
            &self.users,
            &self.firewall,
            &self.node_firewalls,
            &self.metric_servers,
        ]
    }

    /// Says which nodes there are.
    pub(super) fn find_nodes(&self) {
        self.node_firewalls.0.set_nodes(&self.known.nodes(false));
    }

    /// What they bring. `status` tells which nodes are online, `nodes` which versions they have.
    pub(super) fn rows(&self, shown: &Shown<'_>, status: Option<&ClusterStatus>, nodes: &[Node]) -> CensusRows {
        let cluster = &*self.cluster;
        let votes = shown.whole(&self.corosync.0);
        let votes = votes.and_then(|latest| latest.value.row(cluster, status));
        let access = shown.whole(&self.users.0);
        let access = access.and_then(|latest| latest.value.row(cluster, whole_seconds(&self.clock)));
        let inventory = ClusterInventory {
            identity: Identity::new(&[("pve_cluster", cluster)]),
            firewall_enabled: shown.whole(&self.firewall.0).map(|latest| latest.value.enabled),
            metric_servers: shown.whole(&self.metric_servers.0).map(|latest| latest.value.enabled),
            versions: versions(nodes),
        };
        let firewalls = shown.nodes(&self.node_firewalls.0).into_values();
        CensusRows {
            votes: votes.into_iter().collect(),
            access: access.into_iter().collect(),
            inventory: Arc::new([inventory]),
            firewalls: firewalls.map(|latest| (*latest.value).clone()).collect(),
        }
    }
}

/// How many versions there are among the nodes that tell theirs; none while none does.
fn versions(nodes: &[Node]) -> Option<u64> {
    let told = nodes.iter().filter_map(|node| node.system.as_ref());
    let versions: BTreeSet<&str> = told
        .map(|system| &*system.pve_version)
        .filter(|version| !version.is_empty())
        .collect();
    (!versions.is_empty()).then_some(versions.len() as u64)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "no clock of today is before 1970"
)]
fn whole_seconds(clock: &Clock) -> u64 {
    clock.unix_seconds() as u64
}
