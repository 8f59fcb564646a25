//! `/cluster/resources`: every guest, node, storage, pool and network, in one call for any number of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::{GuestFilter, GuestKind};
use crate::metrics::labels::Identity;
use crate::pve::api::cluster_resources::{Row, decode};
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::counters::Counter;
use crate::sources::name::SourceName;
use crate::sources::source::{Whole, Wiring};
use crate::subjects::guest::{Figures, Guest, GuestKey, GuestText, fold_state};
use crate::subjects::network::Network;
use crate::subjects::node;
use crate::subjects::pool::Pool;
use crate::subjects::storage::OnNode;

/// How long the name of a guest that PVE names no more is remembered.
pub const TEXT_REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// From this uptime on a virtual machine has read from its disk, so that counters at 0 mean a silent monitor.
const BOOTED: u64 = 60;

/// One answer, as subjects.
#[derive(Debug, Default)]
pub struct Resources {
    /// The guests that the filter admits, by id.
    pub guests: Arc<[Guest]>,
    /// A number that is another one when guests come, go, move, start or stop.
    pub placement: u64,
    /// Every guest there is, whether the filter admits it or not.
    pub existing: Vec<GuestKey>,
    /// The nodes, by name.
    pub nodes: BTreeMap<Arc<str>, NodeRow>,
    /// The storages, by id.
    pub storages: Vec<StorageRow>,
    /// The pools, by name.
    pub pools: Arc<[Pool]>,
    /// SDN zones and fabrics, by id.
    pub networks: Arc<[Network]>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
    /// The endpoint that answered.
    pub endpoint: usize,
    /// The endpoint that was preferred when it did: another one where that had an error of its own.
    pub preferred: Option<usize>,
}

/// What the answer says of a node.
#[derive(Clone, Debug)]
pub struct NodeRow {
    /// Whether it is online; absent when PVE does not know.
    pub up: Option<bool>,
    /// Subscription level.
    pub level: Arc<str>,
    /// State in HA.
    pub ha_state: Option<Arc<str>>,
    /// Version of the control groups.
    pub cgroup_mode: Option<u64>,
    /// Size and use.
    pub figures: node::Figures,
}

/// What the answer says of a storage on a node.
#[derive(Clone, Debug)]
pub struct StorageRow {
    /// Its labels.
    pub identity: Identity,
    /// Its name.
    pub name: Arc<str>,
    /// The node.
    pub node: Arc<str>,
    /// Type, content and state.
    pub on_node: OnNode,
    /// Bytes it holds.
    pub size: Option<u64>,
    /// Bytes in use.
    pub usage: Option<u64>,
}

/// What is remembered from one answer to the next.
#[derive(Default)]
pub struct Memory {
    guests: HashMap<Box<str>, Remembered>,
    texts: HashSet<Arc<str>>,
}

struct Remembered {
    identity: Identity,
    text: GuestText,
    named_at: Instant,
    seen_at: Instant,
    node: Arc<str>,
    uptime: u64,
    receive: Counter,
    transmit: Counter,
    read: Counter,
    written: Counter,
}

impl Memory {
    /// One copy of each text that many rows share.
    fn share(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }

    /// Forgets guests that are gone and texts that nobody uses.
    fn forget(&mut self, now: Instant) {
        self.guests
            .retain(|_, guest| now.saturating_duration_since(guest.seen_at) < TEXT_REMEMBERED);
        self.texts.retain(|text| Arc::strong_count(text) > 1);
    }
}

/// The source, for the guests that `filter` admits.
pub fn source(wiring: &Wiring<'_>, filter: GuestFilter) -> Whole<Resources> {
    let (cluster, filter): (Arc<str>, _) = (wiring.cluster.into(), Arc::new(filter));
    let (memory, clock) = (Arc::<Mutex<Memory>>::default(), wiring.clock.clone());
    let source = wiring.whole(SourceName::Resources, move |client: Arc<Client>| {
        let (cluster, filter, memory) = (Arc::clone(&cluster), Arc::clone(&filter), Arc::clone(&memory));
        let now = clock.now();
        async move { fetch(&client, &cluster, &filter, &memory, now).await }
    });
    source.damaged_by(|value| Some(value.damaged_rows))
}

/// Reads the list, and tells the client which nodes are offline.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(
    client: &Client,
    cluster: &str,
    filter: &GuestFilter,
    memory: &Mutex<Memory>,
    now: Instant,
) -> Result<Resources, ApiError> {
    let request = Request::entry("/cluster/resources");
    let preferred = client.active_endpoint();
    let answer = client.get(&request).await?;
    let mut resources = {
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        answer.decode(&request.path, |body| convert(body, cluster, filter, &mut memory, now))?
    };
    (resources.endpoint, resources.preferred) = (answer.endpoint, preferred);
    client.offline().replace(offline(&resources.nodes));
    Ok(resources)
}

fn offline(nodes: &BTreeMap<Arc<str>, NodeRow>) -> BTreeSet<Arc<str>> {
    nodes
        .iter()
        .filter(|(_, node)| node.up == Some(false))
        .map(|(name, _)| Arc::clone(name))
        .collect()
}

/// Turns a body into subjects.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(
    body: &[u8],
    cluster: &str,
    filter: &GuestFilter,
    memory: &mut Memory,
    now: Instant,
) -> Result<Resources, DecodeError> {
    let mut resources = Resources::default();
    let (mut guests, mut pools, mut networks) = (Vec::new(), Vec::new(), Vec::new());
    // A second row of one id would be a second series of one name.
    let mut seen = HashSet::new();
    let mut unusable = 0;
    let damaged = decode(body, |row| match &*row.kind {
        _ if row.id.is_empty() || !seen.insert(row.id.clone()) => unusable += 1,
        "pool" if row.pool.is_empty() => unusable += 1,
        "qemu" | "lxc" | "node" | "storage" if row.node.is_empty() => unusable += 1,
        kind @ ("qemu" | "lxc") => {
            let kind = if kind == "qemu" {
                GuestKind::Qemu
            } else {
                GuestKind::Lxc
            };
            if let Some(guest) = guest(&row, kind, cluster, memory, now) {
                resources.existing.push((guest.kind, guest.vmid));
                guests.extend(admits(filter, &guest).then_some(guest));
            }
        }
        "node" => {
            let name = memory.share(&row.node);
            resources.nodes.insert(name, node_row(&row, memory));
        }
        "storage" => resources.storages.push(storage(&row, cluster, memory)),
        "pool" => pools.push((row.pool.to_string(), pool(&row, cluster))),
        "sdn" | "network" => networks.push((row.id.to_string(), network(&row, cluster, memory))),
        // A kind of row that a later PVE brings.
        _ => {}
    })?;
    let offline = offline(&resources.nodes);
    for guest in &mut guests {
        // For up to five minutes the guests of a node that died still say running, with their last figures.
        if offline.contains(&guest.node) {
            *guest = Guest {
                lock: guest.lock.clone(),
                ha_state: guest.ha_state.clone(),
                ..guest.without_figures()
            };
        }
    }
    for storage in &mut resources.storages {
        if offline.contains(&storage.node) {
            storage.on_node.up = None;
            (storage.size, storage.usage) = (None, None);
        }
    }
    for (_, network) in &mut networks {
        network.node_online = !offline.contains(&network.node);
    }
    guests.sort_unstable_by_key(|guest| (guest.kind, guest.vmid));
    pools.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    networks.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
    resources
        .storages
        .sort_unstable_by(|left, right| (&left.name, &left.node).cmp(&(&right.name, &right.node)));
    resources.placement = placement(&guests);
    resources.guests = guests.into();
    resources.pools = pools.into_iter().map(|(_, pool)| pool).collect();
    resources.networks = networks.into_iter().map(|(_, network)| network).collect();
    resources.damaged_rows = damaged + unusable;
    memory.forget(now);
    Ok(resources)
}

fn placement(guests: &[Guest]) -> u64 {
    let mut hasher = DefaultHasher::new();
    for guest in guests {
        (guest.kind, guest.vmid, &guest.node, guest.state == "stopped").hash(&mut hasher);
    }
    hasher.finish()
}

fn admits(filter: &GuestFilter, guest: &Guest) -> bool {
    filter.admits(
        guest.kind,
        guest.vmid,
        guest.text.tags.split(';').filter(|tag| !tag.is_empty()),
        Some(&*guest.text.pool).filter(|pool| !pool.is_empty()),
    )
}

fn guest(row: &Row<'_>, kind: GuestKind, cluster: &str, memory: &mut Memory, now: Instant) -> Option<Guest> {
    // The id holds it as well, and is what tells one guest from another.
    let vmid = row.id.rsplit_once('/').and_then(|(_, vmid)| vmid.parse().ok())?;
    let state = fold_state(&row.status);
    // Without a sample younger than five minutes PVE tells neither name nor figures.
    let sampled = row.maxmem.is_some();
    let node = memory.share(&row.node);
    let told = GuestText {
        name: memory.share(&row.name),
        tags: memory.share(&row.tags),
        pool: memory.share(&row.pool),
        template: row.template,
    };
    let lock = (!row.lock.is_empty()).then(|| memory.share(&row.lock));
    let ha_state = (!row.hastate.is_empty()).then(|| memory.share(&row.hastate));
    if !memory.guests.contains_key(&*row.id) {
        let remembered = Remembered::new(Identity::new(&[("pve_cluster", cluster), ("id", &row.id)]), &node, now);
        memory.guests.insert(row.id.as_ref().into(), remembered);
    }
    let remembered = memory.guests.get_mut(&*row.id)?;
    remembered.seen_at = now;
    if sampled {
        remembered.text = told;
        remembered.named_at = now;
    } else {
        if now.saturating_duration_since(remembered.named_at) >= TEXT_REMEMBERED {
            remembered.text = GuestText::default();
        }
        // Tags and pool come from the guest's configuration, which PVE has without a sample.
        for (known, told) in [
            (&mut remembered.text.tags, told.tags),
            (&mut remembered.text.pool, told.pool),
        ] {
            if !told.is_empty() {
                *known = told;
            }
        }
    }
    let text = remembered.text.clone();
    let figures = if sampled && state != "unknown" {
        remembered.figures(row, kind, state, &node)
    } else {
        Figures::default()
    };
    let identity = remembered.identity.clone();
    Some(Guest {
        identity,
        kind,
        vmid,
        node,
        text,
        state,
        lock,
        ha_state,
        figures,
    })
}

impl Remembered {
    fn new(identity: Identity, node: &Arc<str>, now: Instant) -> Self {
        Self {
            identity,
            text: GuestText::default(),
            named_at: now,
            seen_at: now,
            node: Arc::clone(node),
            uptime: 0,
            receive: Counter::default(),
            transmit: Counter::default(),
            read: Counter::default(),
            written: Counter::default(),
        }
    }

    fn figures(&mut self, row: &Row<'_>, kind: GuestKind, state: &str, node: &Arc<str>) -> Figures {
        let live = state != "stopped";
        let uptime = row.uptime.unwrap_or(0);
        let continues = self.node == *node && uptime >= self.uptime;
        self.node = Arc::clone(node);
        self.uptime = uptime;
        // Only a state other than running or stopped is QEMU's own word; those two may be guessed from its process.
        let told_by_monitor = kind == GuestKind::Qemu && live && state != "running";
        let disks_silent = row.diskread.unwrap_or(0) == 0 && row.diskwrite.unwrap_or(0) == 0;
        let has_disk = row.maxdisk.is_some_and(|size| size > 0);
        let monitor_responding = match kind {
            GuestKind::Qemu if told_by_monitor => Some(true),
            GuestKind::Qemu if live && !disks_silent => Some(true),
            GuestKind::Qemu if live && has_disk && uptime > BOOTED => Some(false),
            _ => None,
        };
        let disks_known = live && monitor_responding != Some(false);
        Figures {
            uptime: row.uptime,
            cpu_usage: row.cpu,
            cpus: row.maxcpu,
            memory_size: row.maxmem,
            memory_usage: row.mem,
            memory_host_usage: row.memhost.filter(|_| kind == GuestKind::Qemu),
            disk_size: row.maxdisk.filter(|size| *size > 0),
            disk_usage: row.disk.filter(|_| kind == GuestKind::Lxc && live),
            network_receive: self.receive.read(row.netin.filter(|_| live), continues),
            network_transmit: self.transmit.read(row.netout.filter(|_| live), continues),
            disk_read: self.read.read(row.diskread.filter(|_| disks_known), continues),
            disk_written: self.written.read(row.diskwrite.filter(|_| disks_known), continues),
            monitor_responding,
        }
    }
}

fn node_row(row: &Row<'_>, memory: &mut Memory) -> NodeRow {
    NodeRow {
        up: match &*row.status {
            "online" => Some(true),
            "offline" => Some(false),
            _ => None,
        },
        level: memory.share(&row.level),
        ha_state: (!row.hastate.is_empty()).then(|| memory.share(&row.hastate)),
        cgroup_mode: row.cgroup_mode,
        figures: node::Figures {
            uptime: row.uptime,
            cpu_usage: row.cpu,
            cpus: row.maxcpu,
            memory_size: row.maxmem,
            memory_usage: row.mem,
            root_size: row.maxdisk,
            root_usage: row.disk,
        },
    }
}

fn storage(row: &Row<'_>, cluster: &str, memory: &mut Memory) -> StorageRow {
    // PVE gives the contents in the order of a hash; sorted they do not start new series.
    let mut content: Vec<&str> = row.content.split(',').filter(|kind| !kind.is_empty()).collect();
    content.sort_unstable();
    let available = row.status == "available";
    StorageRow {
        identity: Identity::new(&[
            ("pve_cluster", cluster),
            ("id", &row.id),
            ("node", &row.node),
            ("storage", &row.storage),
        ]),
        name: memory.share(&row.storage),
        node: memory.share(&row.node),
        on_node: OnNode {
            plugin: memory.share(&row.plugintype),
            content: memory.share(&content.join(",")),
            shared: row.shared,
            up: (available || row.status == "unknown").then_some(available),
        },
        size: row.maxdisk.filter(|_| available),
        usage: row.disk.filter(|_| available),
    }
}

fn pool(row: &Row<'_>, cluster: &str) -> Pool {
    Pool {
        identity: Identity::new(&[("pve_cluster", cluster), ("pool", &row.pool)]),
        cpu_usage: row.cpu,
        cpus: row.maxcpu,
        memory_size: row.maxmem,
        memory_usage: row.mem,
    }
}

fn network(row: &Row<'_>, cluster: &str, memory: &mut Memory) -> Network {
    let name = if row.network.is_empty() { &row.sdn } else { &row.network };
    let protocol = if row.zone_type.is_empty() {
        &row.protocol
    } else {
        &row.zone_type
    };
    Network {
        identity: Identity::new(&[
            ("pve_cluster", cluster),
            ("id", &row.id),
            ("node", &row.node),
            ("network", name),
        ]),
        kind: if row.network_type == "fabric" { "fabric" } else { "zone" },
        node: memory.share(&row.node),
        protocol: memory.share(protocol),
        status: memory.share(&row.status),
        node_online: true,
    }
}
