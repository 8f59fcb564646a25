//! Guests one by one: their own expositions, and where to scrape them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use thiserror::Error;

use super::{Exporter, Loaded, UnknownCluster, chosen};
use crate::metrics::exposition::{Exposition, Format};
use crate::process;
use crate::sources::cluster::{ClusterSources, Selection, Told};
use crate::sources::name::SourceName;
use crate::subjects::{self, guest::GuestText};
use crate::telemetry::exposition::{self, Filter, GuestRows, guest_rows};
use crate::telemetry::{Guest, GuestSample, GuestSnapshot, State, Telemetry};

/// Why a guest has no exposition.
#[derive(Debug, Error)]
pub enum NoGuest {
    /// It is none of those whose ports are read here.
    #[error("{0}")]
    NotHere(String),
    /// There is no sample that counts.
    #[error("qemu/{vmid} is {}{}: {}", .state.as_str(), in_brackets(.detail), .state.remedy())]
    NoSample {
        /// The guest.
        vmid: u32,
        /// How it stands.
        state: State,
        /// What more is to be said of that.
        detail: Option<String>,
    },
}

fn in_brackets(detail: &Option<String>) -> String {
    detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default()
}

/// Where a guest is scraped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The exporter that reads its port.
    pub address: String,
    /// Its cluster.
    pub cluster: String,
    /// Its number.
    pub vmid: u32,
    /// Where it runs.
    pub node: String,
    /// Its name; this and what follows is empty when PVE has not told.
    pub name: Arc<str>,
    /// Its tags, separated by `;`.
    pub tags: Arc<str>,
    /// Its pool.
    pub pool: Arc<str>,
}

/// Why there are no targets: a list that lacks some would make Prometheus forget them.
#[derive(Debug, Error)]
pub enum NoTargets {
    /// A cluster that is not configured.
    #[error(transparent)]
    Unknown(#[from] UnknownCluster),
    /// Some may be missing.
    #[error("cluster {cluster}: {problem}")]
    Incomplete {
        /// Of this cluster.
        cluster: String,
        /// For this reason.
        problem: String,
    },
}

impl Exporter {
    /// The exposition of one guest, with a sample of now where its collector gives one in time.
    ///
    /// # Errors
    /// When it has no port here, or no sample that counts.
    pub async fn guest(&self, cluster: &str, vmid: u32, format: Format) -> Result<Exposition, NoGuest> {
        let loaded = self.loaded();
        let (cluster, guest) = self.find(&loaded, cluster, vmid)?;
        let sample = match guest.fresh().await {
            Ok(sample) => sample,
            Err(state) => return Err(no_sample(&guest, state)),
        };
        let name = match cluster.told(vmid) {
            Told::Guest(guest) if !guest.text.name.is_empty() => guest.text.name,
            _ => Arc::from(format!("qemu/{vmid}")),
        };
        Ok(exposed(&name, &sample, format))
    }

    /// Whether [`Exporter::guest`] would have something to give, without asking the guest.
    ///
    /// # Errors
    /// The same.
    pub fn has_guest(&self, cluster: &str, vmid: u32) -> Result<(), NoGuest> {
        let loaded = self.loaded();
        let (_, guest) = self.find(&loaded, cluster, vmid)?;
        let snapshot = guest.snapshot();
        match snapshot.sample {
            Some(_) => Ok(()),
            None => Err(no_sample(&guest, snapshot.state)),
        }
    }

    fn find(&self, loaded: &Loaded, cluster: &str, vmid: u32) -> Result<(Arc<ClusterSources>, Arc<Guest>), NoGuest> {
        let nothing = |why: String| Err(NoGuest::NotHere(why));
        let Some((telemetry, own)) = self.own_node(loaded) else {
            return nothing("ports of guests are not read here: [guest_telemetry] is off".to_owned());
        };
        if own.name() != cluster {
            return nothing(format!("this node belongs to the cluster {:?}", own.name()));
        }
        if matches!(own.told(vmid), Told::LeftOut) {
            return nothing(format!("the configuration leaves qemu/{vmid} out"));
        }
        match telemetry.guest(vmid) {
            Some(guest) => Ok((Arc::clone(own), guest)),
            None => nothing(format!("no virtual machine {vmid} with a port runs on this node")),
        }
    }

    /// The ports of guests on this node, and the cluster that it belongs to.
    fn own_node<'a>(&'a self, loaded: &'a Loaded) -> Option<(&'a Arc<Telemetry>, &'a Arc<ClusterSources>)> {
        let cluster = loaded.config.cluster_of_this_node()?;
        Some((self.telemetry.as_ref()?, loaded.clusters.get(cluster)?))
    }

    /// The rows of guests on this node, where a scrape of `clusters` is about guests.
    pub(super) fn guest_rows(
        &self,
        loaded: &Loaded,
        clusters: &[Arc<ClusterSources>],
        selection: &Selection,
    ) -> GuestRows {
        let Some((telemetry, own)) = self.own_node(loaded) else {
            return GuestRows::default();
        };
        let asked_for = clusters.iter().any(|cluster| cluster.name() == own.name());
        if !asked_for || !selection.contains(&SourceName::Resources) {
            return GuestRows::default();
        }
        let mut guests = telemetry.guests();
        guests.retain(|guest| !matches!(own.told(guest.vmid), Told::LeftOut));
        guest_rows(own.name(), &guests, Filter::default())
    }

    /// Where the guests of `clusters`, or of all, are scraped, by cluster and number. Those of this node are scraped at
    /// `own_address`, where their ports are read here; of other clusters PVE tells who has a port.
    ///
    /// # Errors
    /// When some may be missing.
    pub async fn guest_targets(
        &self,
        clusters: &[String],
        own_address: &str,
        wait: Duration,
    ) -> Result<Vec<Target>, NoTargets> {
        let loaded = self.loaded();
        let clusters = chosen(&loaded, clusters)?;
        let deadline = tokio::time::Instant::now() + wait;
        let own = self.own_node(&loaded);
        let is_own = |cluster: &ClusterSources| own.is_some_and(|(_, own)| own.name() == cluster.name());
        let others = clusters.iter().filter(|cluster| !is_own(cluster));
        join_all(others.map(|cluster| cluster.refresh_ports(deadline))).await;
        let mut targets = BTreeMap::new();
        for cluster in &clusters {
            let found = match own.filter(|_| is_own(cluster)) {
                Some((telemetry, own)) => here(&loaded, telemetry, own, own_address, deadline).await,
                None => elsewhere(&loaded, cluster),
            };
            let found = found.map_err(|problem| NoTargets::Incomplete {
                cluster: cluster.name().to_owned(),
                problem,
            })?;
            targets.extend(found.into_iter().map(|target| ((cluster.name(), target.vmid), target)));
        }
        Ok(targets.into_values().collect())
    }
}

fn no_sample(guest: &Guest, state: State) -> NoGuest {
    let snapshot = guest.snapshot();
    NoGuest::NoSample {
        vmid: guest.vmid(),
        state,
        // It may have become another one meanwhile.
        detail: snapshot.detail.filter(|_| snapshot.state == state),
    }
}

fn exposed(name: &str, sample: &GuestSample, format: Format) -> Exposition {
    let guest = exposition::Guest {
        name,
        time: sample.header.time_seconds,
        areas: &sample.areas,
    };
    exposition::exposition(guest, Filter::default(), format)
}

/// The guests whose ports are read here. A guest that PVE has not listed yet has a port as well.
async fn here(
    loaded: &Loaded,
    telemetry: &Telemetry,
    cluster: &ClusterSources,
    address: &str,
    deadline: tokio::time::Instant,
) -> Result<Vec<Target>, String> {
    telemetry.complete()?;
    if !cluster.tells_names() {
        return Err("PVE has not told yet how guests are called".to_owned());
    }
    let own_node = loaded.config.guest_telemetry.node.clone();
    let own_node = own_node.or_else(|| process::host_name().ok()).unwrap_or_default();
    let target = |guest: GuestSnapshot| {
        let text = match cluster.told(guest.vmid) {
            Told::Guest(guest) => guest.text,
            Told::Nothing => GuestText::default(),
            Told::LeftOut => return None,
        };
        Some(Target {
            address: address.to_owned(),
            cluster: cluster.name().to_owned(),
            vmid: guest.vmid,
            node: own_node.clone(),
            name: text.name,
            tags: text.tags,
            pool: text.pool,
        })
    };
    let mut guests = telemetry.guests();
    guests.retain(|guest| guest.state != State::Absent);
    if guests.iter().any(|guest| guest.state != State::Healthy) {
        cluster.refresh_guests(deadline).await;
        let machines = cluster.machines(&own_node).map_err(|problem| problem.to_string())?;
        guests.retain(|guest| is_of(&own_node, guest, machines.get(&guest.vmid)));
    }
    Ok(guests.into_iter().filter_map(target).collect())
}

/// Whether a guest with a socket on this node is a target of it, and not of another: a machine that migrates has a process here
/// before it runs here, and a clone may listen on the socket of an original that is elsewhere, or off. Who tells something is here.
fn is_of(node: &str, guest: &GuestSnapshot, told: Option<&subjects::guest::Guest>) -> bool {
    let runs_here = match told {
        Some(told) => *told.node == *node && (guest.state != State::Misattributed || told.state != "stopped"),
        // PVE has not listed it yet, or never will since only its number is left, in the name of a socket.
        None => guest.state != State::Misattributed,
    };
    guest.state == State::Healthy || runs_here
}

/// The guests of which PVE tells that they have a port.
fn elsewhere(loaded: &Loaded, cluster: &ClusterSources) -> Result<Vec<Target>, String> {
    let machines = cluster.machines_with_port().map_err(|problem| problem.to_string())?;
    let target = |guest: subjects::guest::Guest| Target {
        address: loaded.config.guest_telemetry.target_on(&guest.node),
        cluster: cluster.name().to_owned(),
        vmid: guest.vmid,
        node: guest.node.to_string(),
        name: guest.text.name,
        tags: guest.text.tags,
        pool: guest.text.pool,
    };
    Ok(machines.into_iter().map(target).collect())
}
