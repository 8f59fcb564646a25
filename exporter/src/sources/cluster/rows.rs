//! The rows that a scrape of one cluster exposes: what the sources hold and may still be served, brought together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::{
    AgentRows, BackupRows, CensusRows, ClusterSources, DepthRows, DiskRows, GuestDirectRows, HaRows, InventoryRows,
    MachineRows, Placed, ReplicationRows, Selection, Shown, StorageHealthRows, VolumeRows,
};
use crate::config::{GuestFilter, Metrics};
use crate::metrics::labels::Identity;
use crate::pve::endpoints::Endpoint;
use crate::sources::cached::{Cached, Same};
use crate::sources::cluster_status::ClusterStatus;
use crate::sources::guest_config::Configuration;
use crate::sources::ha_rules::HaRules;
use crate::sources::ha_status::HaStatus;
use crate::sources::held::{Dated, Record};
use crate::sources::metrics_export::NodeSamples;
use crate::sources::name::SourceName;
use crate::sources::node_loss::{self, Evidence};
use crate::sources::permissions::TokenPermissions;
use crate::sources::replication_jobs::ReplicationJobs;
use crate::sources::resources::{Resources, StorageRow, TEXT_REMEMBERED};
use crate::sources::survey::Values;
use crate::sources::tasks::TaskRows;
use crate::subjects::api::Api;
use crate::subjects::cluster::Cluster;
use crate::subjects::expected_up::{self, ExpectedUp};
use crate::subjects::guest::{Guest, GuestKey};
use crate::subjects::network::Network;
use crate::subjects::node::Node;
use crate::subjects::node_loss::NodeLoss;
use crate::subjects::permission::Permission;
use crate::subjects::pool::Pool;
use crate::subjects::recovery_point::{RecoveryPoint, RecoverySource};
use crate::subjects::replication::JobId;
use crate::subjects::source::{Source, SourceFailure};
use crate::subjects::storage::Storage;

/// The rows of one cluster.
pub struct Rows {
    /// One row.
    pub cluster: Arc<[Cluster]>,
    /// The endpoints.
    pub apis: Arc<[Api]>,
    /// The sources.
    pub sources: Arc<[Source]>,
    /// Their failures.
    pub failures: Arc<[SourceFailure]>,
    /// The privileges.
    pub permissions: Arc<[Permission]>,
    /// The nodes.
    pub nodes: Arc<[Node]>,
    /// The storages.
    pub storages: Arc<[Storage]>,
    /// The pools.
    pub pools: Arc<[Pool]>,
    /// The networks.
    pub networks: Arc<[Network]>,
    /// The guests.
    pub guests: Arc<[Guest]>,
    /// Tasks.
    pub tasks: Option<TaskRows>,
    /// Backups.
    pub backups: BackupRows,
    /// Backups on storages.
    pub volumes: VolumeRows,
    /// To when guests could be brought back from their replicas.
    pub replicas: Arc<[RecoveryPoint]>,
    /// HA.
    pub ha: HaRows,
    /// Replication.
    pub replication: ReplicationRows,
    /// Guests in depth.
    pub depth: DepthRows,
    /// Configurations and snapshots.
    pub inventory: InventoryRows,
    /// What agents in guests tell.
    pub agents: AgentRows,
    /// What is under the storages.
    pub storage_health: StorageHealthRows,
    /// Disks.
    pub disks: DiskRows,
    /// The machines under the cluster.
    pub machines: MachineRows,
    /// What is set for the cluster as a whole.
    pub census: CensusRows,
    /// What guests on the exporter's own node count themselves.
    pub direct: GuestDirectRows,
    /// The guests that should run.
    pub expected_up: Arc<[ExpectedUp]>,
    /// What would become of the guests of each node without it.
    pub node_losses: Arc<[NodeLoss]>,
}

/// The guests that should run, kept as long as what tells it is the same.
pub(super) type ExpectedRows =
    Cached<(Same<Resources>, Same<Values<Configuration>>, Option<Same<HaStatus>>), Arc<[ExpectedUp]>>;

/// What would become of guests, kept likewise.
pub(super) type LossRows = Cached<
    (
        Same<Resources>,
        Same<Values<Configuration>>,
        Option<Same<ReplicationJobs>>,
        Option<Same<HaRules>>,
        Option<Same<HaStatus>>,
        BTreeSet<JobId>,
        BTreeSet<Box<str>>,
    ),
    Arc<[NodeLoss]>,
>;

impl ClusterSources {
    /// The rows that may be served at this moment.
    #[must_use]
    pub fn rows(&self, selection: &Selection, metrics: &Metrics) -> Rows {
        let shown = self.shown(selection);
        let resources = shown.whole(&self.resources).map(|latest| latest.value);
        let samples = shown.whole(&self.samples).map(|latest| latest.value);
        let status = shown.whole(&self.status).map(|latest| latest.value);
        let version = shown.whole(&self.version).map(|latest| latest.value);
        let permissions = shown.whole(&self.permissions).map(|latest| latest.value);
        let granted = self.permissions.held().latest().map(|latest| latest.value);
        // What other rows are about is looked up even where the scrape does not ask for the list itself.
        let list = self.resources.servable(shown.interval).map(|latest| latest.value);
        let remembered = if list.is_none() { self.remembered() } else { None };
        let guests = match (&list, &remembered) {
            (Some(list), _) => Arc::clone(&list.guests),
            (None, Some(remembered)) => self.named_only(remembered),
            (None, None) => Arc::default(),
        };
        let with_guests = shown.selection.contains(&SourceName::Resources);
        let parts = Parts {
            resources: resources.as_deref(),
            remembered: remembered
                .as_ref()
                .filter(|_| with_guests)
                .map(|remembered| &*remembered.value),
            samples: samples.as_deref(),
            status: status.as_deref(),
            with_node_status: shown.selection.contains(&SourceName::NodeStatus),
        };
        let nodes = self.node_rows(&parts, shown.interval);
        let members = self.status.servable(shown.interval).map(|latest| latest.value);
        let (sources, failures) = self.source_rows(&shown.selection);
        let utc_offsets = self.machines.utc_offsets(shown.interval);
        let (ha, replication) = (self.ha.rows(&shown), self.replication.rows(&shown));
        let agents = self.agents.rows(&shown, list.as_deref());
        Rows {
            cluster: Arc::from([Cluster {
                identity: Identity::new(&[("pve_cluster", &self.name)]),
                up: self.reachable(),
                membership: status.as_ref().map(|status| status.membership.clone()),
                version: version.as_deref().cloned(),
                tls_verification: !self.settings.config.insecure_skip_verify,
            }]),
            apis: self.api_rows(),
            census: self.census.rows(&shown, members.as_deref(), &nodes),
            nodes,
            storages: parts
                .resources
                .map_or_else(Arc::default, |resources| self.storage_rows(resources, parts.samples)),
            pools: parts
                .resources
                .map_or_else(Arc::default, |resources| Arc::clone(&resources.pools)),
            networks: parts
                .resources
                .map_or_else(Arc::default, |resources| Arc::clone(&resources.networks)),
            backups: self.backups.rows(&shown, &guests),
            guests: if with_guests { guests } else { Arc::default() },
            permissions: permissions.map_or_else(Arc::default, |permissions| self.permission_rows(&permissions)),
            sources,
            failures,
            expected_up: resources
                .as_ref()
                .map_or_else(Arc::default, |resources| self.expected_up(resources, shown.interval)),
            node_losses: resources
                .as_ref()
                .filter(|_| granted.as_ref().is_none_or(|granted| granted.lists_guests()))
                .map_or_else(Arc::default, |resources| self.node_losses(resources, shown.interval)),
            ha,
            tasks: self.tasks.rows(&shown, metrics).filter(|_| self.lists_tasks()),
            volumes: self.volumes.rows(&shown, list.as_deref(), granted.as_deref()),
            replicas: self.replicas(&replication),
            inventory: self.inventory.rows(&shown, metrics),
            storage_health: self
                .storage_health
                .rows(&shown, |node: &str| utc_offsets.get(node).copied()),
            disks: self.disks.rows(&shown),
            direct: self.direct.rows(&shown, &agents),
            agents,
            machines: self
                .machines
                .rows(&shown, self.resources.servable(shown.interval).as_ref()),
            replication,
            depth: self.depth.rows(&shown, metrics),
        }
    }

    fn permission_rows(&self, permissions: &TokenPermissions) -> Arc<[Permission]> {
        let version = self.version.held().latest().map(|latest| latest.value);
        let major = version.and_then(|version| version.release.split('.').next()?.parse().ok());
        permissions.rows(major, self.asks_with_monitor())
    }

    /// Whether the list of tasks is that of all tasks: without the privilege its zeros mean nothing.
    fn lists_tasks(&self) -> bool {
        let permissions = self.permissions.held().latest();
        permissions.is_none_or(|permissions| permissions.value.lists_tasks())
    }

    fn expected_up(&self, resources: &Arc<Resources>, interval: Duration) -> Arc<[ExpectedUp]> {
        let (ha, configurations) = (self.ha.status(interval), self.inventory.configurations());
        let key = (
            Same(Arc::clone(resources)),
            Same(Arc::clone(&configurations)),
            ha.clone().map(Same),
        );
        self.expected_up
            .of(key, || self.find_expected_up(resources, &configurations, ha.as_deref()))
    }

    fn node_losses(&self, resources: &Arc<Resources>, interval: Duration) -> Arc<[NodeLoss]> {
        let (configurations, rules) = (self.inventory.configurations(), self.ha.rules(interval));
        let jobs = self.replication.jobs(interval);
        let groups = self.ha.status(interval).filter(|ha| !ha.groups.is_empty());
        let (never_synced, maintenance) = (self.replication.never_synced(interval), self.ha.maintenance(interval));
        let key = (
            Same(Arc::clone(resources)),
            Same(Arc::clone(&configurations)),
            jobs.clone().map(Same),
            rules.clone().map(Same),
            groups.clone().map(Same),
            never_synced.clone(),
            maintenance.clone(),
        );
        self.node_losses.of(key, || {
            let evidence = Evidence {
                resources,
                configurations: &configurations,
                jobs: jobs.as_deref().map_or(&[], |jobs| &jobs.jobs),
                constraints: rules.as_deref().map(|rules| &rules.constraints),
                groups: groups.as_deref().map(|ha| &ha.groups),
                never_synced: &never_synced,
                maintenance: &maintenance,
            };
            node_loss::rows(&self.name, evidence)
        })
    }

    fn find_expected_up(
        &self,
        resources: &Resources,
        configurations: &Values<Configuration>,
        ha: Option<&HaStatus>,
    ) -> Arc<[ExpectedUp]> {
        let requested: Option<HashMap<GuestKey, &str>> = ha.map(|ha| {
            let requests = ha.requests.iter();
            requests
                .map(|request| ((request.kind, request.vmid), request.state))
                .collect()
        });
        let tag = self.settings.config.expected_up_tag.as_deref();
        let expected = resources.guests.iter().filter_map(|guest| {
            let key = (guest.kind, guest.vmid);
            let requested = requested.as_ref().and_then(|requested| requested.get(&key).copied());
            let config = configurations.get(&key).map(|configuration| &configuration.guest);
            let node = resources.nodes.get(&guest.node);
            let uptime = node
                .filter(|node| node.up == Some(true))
                .and_then(|node| node.figures.uptime);
            let reason = expected_up::expected(guest, requested, config, uptime, tag)?;
            Some(ExpectedUp {
                identity: guest.identity.clone(),
                reason,
            })
        });
        expected.collect()
    }

    fn replicas(&self, replication: &ReplicationRows) -> Arc<[RecoveryPoint]> {
        let row = |((kind, vmid), timestamp): (&GuestKey, &u64)| {
            let id = format!("{}/{vmid}", kind.as_str());
            RecoveryPoint::new(&self.name, &id, RecoverySource::Replication, *timestamp)
        };
        replication.points.iter().map(row).collect()
    }

    fn shown(&self, selection: &Selection) -> Shown<'_> {
        let interval = self.interval();
        let list = self.resources.servable(interval).map(|latest| latest.value);
        Shown {
            selection: selection
                .iter()
                .copied()
                .filter(|source| self.enabled(*source))
                .collect(),
            interval,
            offline: self.client.offline(),
            placed: Placed::new(list.as_deref(), self.settings.config.guests != GuestFilter::default()),
        }
    }

    fn reachable(&self) -> Option<bool> {
        let endpoints = self.client.endpoints().all();
        if endpoints.iter().any(|endpoint| endpoint.reachable == Some(true)) {
            return Some(true);
        }
        endpoints
            .iter()
            .any(|endpoint| endpoint.reachable == Some(false))
            .then_some(false)
    }

    /// Resources too old to be served, whose names are still good.
    pub(super) fn remembered(&self) -> Option<Dated<Resources>> {
        let now = self.clock.now();
        self.resources
            .held()
            .latest()
            .filter(|latest| now.saturating_duration_since(latest.at) < TEXT_REMEMBERED)
    }

    fn named_only(&self, resources: &Dated<Resources>) -> Arc<[Guest]> {
        let mut named_only = self.named_only.lock().unwrap_or_else(PoisonError::into_inner);
        match &*named_only {
            Some((at, guests)) if *at == resources.at => Arc::clone(guests),
            _ => {
                let guests: Arc<[Guest]> = resources.value.guests.iter().map(Guest::without_figures).collect();
                *named_only = Some((resources.at, Arc::clone(&guests)));
                guests
            }
        }
    }

    fn api_rows(&self) -> Arc<[Api]> {
        let active = self.client.active_endpoint();
        let row = |(index, endpoint): (usize, Endpoint)| Api {
            identity: Identity::new(&[
                ("pve_cluster", &self.name),
                ("endpoint", endpoint.url.as_str().trim_end_matches('/')),
            ]),
            up: endpoint.reachable,
            active: active == Some(index),
        };
        self.client.endpoints().all().into_iter().enumerate().map(row).collect()
    }

    fn node_rows(&self, parts: &Parts<'_>, interval: Duration) -> Arc<[Node]> {
        let statuses = self.node_status.nodes();
        let named = parts.resources.or(parts.remembered);
        let mut names: BTreeSet<Arc<str>> = BTreeSet::new();
        names.extend(named.into_iter().flat_map(|resources| resources.nodes.keys().cloned()));
        names.extend(parts.status.into_iter().flat_map(|status| status.nodes.keys().cloned()));
        names.extend(
            parts
                .samples
                .into_iter()
                .flat_map(|samples| samples.nodes.keys().cloned()),
        );
        if parts.with_node_status {
            names.extend(statuses.keys().cloned());
        }
        let row = |name: Arc<str>| {
            let row = parts.resources.and_then(|resources| resources.nodes.get(&name));
            let text = named.and_then(|resources| resources.nodes.get(&name));
            let member = parts.status.and_then(|status| status.nodes.get(&name));
            let up = row.map_or_else(|| member.and_then(|member| member.online), |row| row.up);
            // An offline node's last sample stays in its file; it is not the node's state any more.
            let online = up != Some(false) && !self.client.offline().contains(&name);
            let own = |pace| {
                let held = statuses.get(&name).filter(|_| parts.with_node_status && online)?;
                held.servable(pace, interval).map(|latest| latest.value)
            };
            let sampled = parts
                .samples
                .and_then(|samples| samples.nodes.get(&name))
                .copied()
                .filter(|_| online);
            let activity = sampled.or_else(|| own(self.stand_in_pace()).map(|own| own.activity));
            Node {
                identity: Identity::new(&[
                    ("pve_cluster", &self.name),
                    ("id", &format!("node/{name}")),
                    ("node", &name),
                ]),
                described: text.is_some() || member.is_some(),
                up,
                level: text.map_or_else(Arc::default, |row| Arc::clone(&row.level)),
                ha_state: row.and_then(|row| row.ha_state.clone()),
                nodeid: member.and_then(|member| member.nodeid),
                ip: member.map_or_else(Arc::default, |member| Arc::clone(&member.ip)),
                cgroup_mode: text.and_then(|row| row.cgroup_mode),
                figures: row.map(|row| row.figures).unwrap_or_default(),
                activity: activity.unwrap_or_default(),
                system: own(self.node_status.pace()).map(|own| Arc::clone(&own.system)),
                name,
            }
        };
        names.into_iter().map(row).collect()
    }

    fn storage_rows(&self, resources: &Resources, samples: Option<&NodeSamples>) -> Arc<[Storage]> {
        let sampled_at = |node: &str| samples.and_then(|samples| samples.nodes.get(node)?.sample_time);
        let mut rows = Vec::with_capacity(resources.storages.len());
        let mut shared: BTreeMap<&Arc<str>, &StorageRow> = BTreeMap::new();
        for row in &resources.storages {
            let is_shared = row.on_node.shared == Some(true);
            if is_shared && row.size.is_some() {
                let freshest = shared.entry(&row.name).or_insert(row);
                if sampled_at(&row.node) > sampled_at(&freshest.node) {
                    *freshest = row;
                }
            }
            rows.push(Storage {
                identity: row.identity.clone(),
                on_node: Some(row.on_node.clone()),
                size: row.size.filter(|_| !is_shared),
                usage: row.usage.filter(|_| !is_shared),
            });
        }
        rows.extend(shared.into_iter().map(|(name, row)| Storage {
            identity: Identity::new(&[("pve_cluster", &self.name), ("storage", name)]),
            on_node: None,
            size: row.size,
            usage: row.usage,
        }));
        rows.into()
    }

    fn source_rows(&self, selection: &Selection) -> (Arc<[Source]>, Arc<[SourceFailure]>) {
        let (mut rows, mut failed) = (Vec::new(), Vec::new());
        let sources = self.sources().into_iter();
        for source in sources.filter(|source| selection.contains(&source.name())) {
            for outcome in source.outcomes() {
                let labels = [
                    ("pve_cluster", &*self.name),
                    ("source", source.name().as_str()),
                    ("node", &*outcome.node),
                    ("storage", &*outcome.storage),
                ];
                let Record {
                    up, duration, failures, ..
                } = outcome.record;
                rows.push(Source {
                    identity: Identity::new(&labels),
                    up,
                    duration: duration.map(|duration| duration.as_secs_f64()),
                    last_success: outcome.last_success,
                    damaged_rows: outcome.damaged_rows,
                });
                let [cluster, source, node, storage] = labels;
                failed.extend(failures.into_iter().map(|(reason, failures)| SourceFailure {
                    identity: Identity::new(&[cluster, source, node, storage, ("reason", reason.as_str())]),
                    failures,
                }));
            }
        }
        (rows.into(), failed.into())
    }
}

/// What the rows of nodes are put together from.
struct Parts<'a> {
    resources: Option<&'a Resources>,
    /// Resources too old to be served, for the names in them.
    remembered: Option<&'a Resources>,
    samples: Option<&'a NodeSamples>,
    status: Option<&'a ClusterStatus>,
    with_node_status: bool,
}

#[cfg(test)]
mod tests;
