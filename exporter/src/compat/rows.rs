//! What PVE's answers tell, as far as prometheus-pve-exporter shows it.
//!
//! Unlike the sources of `/metrics` nothing is left out or interpreted here: a value is the one that stands in the answer.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::config::{GuestFilter, GuestKind};
use crate::pve::api;
use crate::pve::error::DecodeError;

/// What `/cluster/status` tells.
#[derive(Debug, Default)]
pub struct Status {
    /// The cluster; absent where a node stands alone.
    pub cluster: Option<Cluster>,
    /// Its nodes.
    pub nodes: Vec<Member>,
    /// The name in the first row, which may be a node's.
    pub first: Box<str>,
}

/// A cluster.
#[derive(Debug)]
pub struct Cluster {
    /// `cluster/NAME`.
    pub id: Box<str>,
    /// How many nodes are configured.
    pub nodes: Option<u64>,
    /// Whether the side of the node that answered has quorum.
    pub quorate: Option<bool>,
    /// The version of corosync's configuration.
    pub version: Option<u64>,
}

/// A node of a cluster.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: Arc<str>,
    /// Its number; 0 where it stands alone.
    pub nodeid: Option<u64>,
    /// Its subscription level.
    pub level: Box<str>,
    /// Whether it answered.
    pub local: bool,
    /// Whether it is online.
    pub online: Option<bool>,
}

impl Status {
    /// Reads a body.
    ///
    /// # Errors
    /// When the body is not what the endpoint promises.
    pub fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let mut status = Self::default();
        api::cluster_status::decode(body, |row| {
            if status.first.is_empty() {
                status.first = row.name.as_ref().into();
            }
            match &*row.kind {
                "cluster" => {
                    status.cluster = Some(Cluster {
                        id: format!("cluster/{}", row.name).into(),
                        nodes: row.nodes,
                        quorate: row.quorate,
                        version: row.version,
                    });
                }
                "node" if !row.name.is_empty() => status.nodes.push(Member {
                    name: row.name.as_ref().into(),
                    nodeid: row.nodeid,
                    level: row.level.into(),
                    local: row.local == Some(true),
                    online: row.online,
                }),
                _ => {}
            }
        })?;
        Ok(status)
    }

    /// The node that answered.
    #[must_use]
    pub fn local(&self) -> Option<&Arc<str>> {
        self.nodes.iter().find(|node| node.local).map(|node| &node.name)
    }
}

/// What a row of `/cluster/resources` is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A guest: `qemu` or `lxc`.
    Guest(&'static str),
    /// A node.
    Node,
    /// A storage at one node.
    Storage,
    /// A pool, a network.
    Other,
}

/// A row of `/cluster/resources`.
#[derive(Debug)]
pub struct Resource {
    /// `id`.
    pub id: Box<str>,
    /// `type`.
    pub kind: Kind,
    /// `node`.
    pub node: Arc<str>,
    /// Whether a guest runs or a storage is available.
    pub up: Option<bool>,
    /// `name` of a guest; of a storage `storage`.
    pub name: Box<str>,
    /// `tags` of a guest; of a storage `plugintype`.
    pub tags: Box<str>,
    /// `template` as PVE writes it; empty where it does not say.
    pub template: &'static str,
    /// `content` of a storage, sorted.
    pub content: Box<str>,
    /// `hastate`.
    pub ha_state: Box<str>,
    /// `lock`.
    pub lock: Box<str>,
    /// The figures.
    pub figures: Figures,
}

/// The figures of a row, whatever it is about.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are PVE's own")]
pub struct Figures {
    pub maxdisk: Option<f64>,
    pub disk: Option<f64>,
    pub maxmem: Option<f64>,
    pub mem: Option<f64>,
    pub netout: Option<f64>,
    pub netin: Option<f64>,
    pub diskwrite: Option<f64>,
    pub diskread: Option<f64>,
    pub cpu: Option<f64>,
    pub maxcpu: Option<f64>,
    pub uptime: Option<f64>,
    pub shared: Option<f64>,
}

/// What `/cluster/resources` tells.
#[derive(Debug, Default)]
pub struct Resources {
    /// The rows, in their order.
    pub rows: Vec<Resource>,
    /// The ids of guests that are not reported on.
    pub hidden: BTreeSet<Box<str>>,
}

impl Resources {
    /// Reads a body; of guests those that `filter` admits.
    ///
    /// # Errors
    /// When the body is not what the endpoint promises.
    pub fn read(body: &[u8], filter: &GuestFilter) -> Result<Self, DecodeError> {
        let mut resources = Self::default();
        api::cluster_resources::decode(body, |row| {
            if row.id.is_empty() {
                return;
            }
            if admits(filter, &row) {
                resources.rows.push(Resource::from(row));
            } else {
                resources.hidden.insert(row.id.into());
            }
        })?;
        resources.rows.shrink_to_fit();
        Ok(resources)
    }
}

fn admits(filter: &GuestFilter, row: &api::cluster_resources::Row<'_>) -> bool {
    let kind = match &*row.kind {
        "qemu" => GuestKind::Qemu,
        "lxc" => GuestKind::Lxc,
        _ => return true,
    };
    let vmid = row.id.split_once('/').and_then(|(_, vmid)| vmid.parse().ok());
    let tags = row.tags.split(';').filter(|tag| !tag.is_empty());
    vmid.is_none_or(|vmid| filter.admits(kind, vmid, tags, Some(&*row.pool).filter(|pool| !pool.is_empty())))
}

impl From<api::cluster_resources::Row<'_>> for Resource {
    fn from(row: api::cluster_resources::Row<'_>) -> Self {
        let kind = match &*row.kind {
            "qemu" => Kind::Guest("qemu"),
            "lxc" => Kind::Guest("lxc"),
            "node" => Kind::Node,
            "storage" => Kind::Storage,
            _ => Kind::Other,
        };
        let is = |status: &str| (!row.status.is_empty()).then_some(row.status == status);
        let (up, name, tags) = match kind {
            Kind::Storage => (is("available"), row.storage, row.plugintype),
            _ => (is("running"), row.name, row.tags),
        };
        let mut content: Vec<&str> = row.content.split(',').collect();
        // PVE writes them in a different order each time.
        content.sort_unstable();
        Self {
            kind,
            up,
            name: name.into(),
            tags: tags.into(),
            template: row.template.map_or("", |template| if template { "1" } else { "0" }),
            content: content.join(",").into(),
            figures: Figures {
                maxdisk: row.maxdisk.map(float),
                disk: row.disk.map(float),
                maxmem: row.maxmem.map(float),
                mem: row.mem.map(float),
                netout: row.netout.map(float),
                netin: row.netin.map(float),
                diskwrite: row.diskwrite.map(float),
                diskread: row.diskread.map(float),
                cpu: row.cpu,
                maxcpu: row.maxcpu,
                uptime: row.uptime.map(float),
                shared: row.shared.map(|shared| f64::from(u8::from(shared))),
            },
            id: row.id.into(),
            node: row.node.as_ref().into(),
            ha_state: row.hastate.into(),
            lock: row.lock.into(),
        }
    }
}

/// The nearest number with a fraction, which is what classic text has: whole ones are exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "what PVE counts stays right to 16 digits")]
pub(super) fn float(whole: u64) -> f64 {
    whole as f64
}

/// What `/version` tells.
#[derive(Debug)]
#[expect(missing_docs, reason = "the fields are PVE's own")]
pub struct Version {
    pub release: Box<str>,
    pub repoid: Box<str>,
    pub version: Box<str>,
}

impl Version {
    /// Reads a body.
    ///
    /// # Errors
    /// When the body is not what the endpoint promises.
    pub fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let version = api::version::decode(body)?;
        Ok(Self {
            release: version.release.into(),
            repoid: version.repoid.into(),
            version: version.version.into(),
        })
    }
}

/// Reads the ids of the guests that `/cluster/backup-info/not-backed-up` lists.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn not_backed_up(body: &[u8]) -> Result<Vec<Box<str>>, DecodeError> {
    let mut guests = Vec::new();
    api::not_backed_up::decode(body, |row| {
        if let Some(vmid) = row.vmid {
            guests.push(format!("{}/{vmid}", row.kind).into());
        }
    })?;
    Ok(guests)
}

/// What `/cluster/config/qdevice` tells.
#[derive(Debug)]
pub struct QDevice {
    /// `Model`.
    pub model: Box<str>,
    /// `Algorithm`.
    pub algorithm: Box<str>,
    /// `QNetd host`.
    pub host: Box<str>,
    /// `Tie-breaker`.
    pub tie_breaker: Box<str>,
    /// `State`.
    pub state: Box<str>,
}

impl QDevice {
    /// Reads a body; nothing where there is no device.
    ///
    /// # Errors
    /// When the body is not what the endpoint promises.
    pub fn read(body: &[u8]) -> Result<Option<Self>, DecodeError> {
        let device = api::cluster_config::qdevice(body)?;
        let fields = [
            &device.model,
            &device.algorithm,
            &device.host,
            &device.tie_breaker,
            &device.state,
        ];
        let there = fields.iter().any(|field| !field.is_empty());
        Ok(there.then(|| Self {
            model: device.model.into(),
            algorithm: device.algorithm.into(),
            host: device.host.into(),
            tie_breaker: device.tie_breaker.into(),
            state: device.state.into(),
        }))
    }
}

/// What `/nodes/{node}/subscription` tells.
#[derive(Debug)]
pub struct Subscription {
    /// `level`; `unknown` where there is none.
    pub level: Box<str>,
    /// `status`; `unknown` where PVE does not say.
    pub status: Box<str>,
    /// `nextduedate`: when that day begins, in Unix seconds.
    pub next_due: Option<f64>,
}

impl Subscription {
    /// Reads a body.
    ///
    /// # Errors
    /// When the body is not what the endpoint promises.
    pub fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let subscription = api::node_subscription::decode(body)?;
        let or_unknown = |text: &str| if text.is_empty() { "unknown" } else { text }.into();
        Ok(Self {
            level: or_unknown(&subscription.level),
            status: or_unknown(&subscription.status),
            next_due: crate::sources::subscriptions::midnight(&subscription.nextduedate).map(float),
        })
    }
}

/// A row of `/nodes/{node}/replication`.
#[derive(Debug)]
pub struct Job {
    /// `id`.
    pub id: Box<str>,
    /// `type`.
    pub kind: Box<str>,
    /// `source` as `node/NAME`.
    pub source: Box<str>,
    /// `target` as `node/NAME`.
    pub target: Box<str>,
    /// `qemu/100` or `lxc/200`.
    pub guest: Box<str>,
    /// `duration`.
    pub duration: Option<f64>,
    /// `last_sync`.
    pub last_sync: Option<f64>,
    /// `last_try`.
    pub last_try: Option<f64>,
    /// `next_sync`.
    pub next_sync: Option<f64>,
    /// `fail_count`.
    pub failed: Option<f64>,
}

/// Reads the replication jobs of a node. The list holds all that `/nodes/{node}/replication/{id}/status` tells of each.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn jobs(body: &[u8]) -> Result<Vec<Job>, DecodeError> {
    let mut jobs = Vec::new();
    api::replication::decode(body, |row| {
        let guest = row.guest.map(|guest| guest.to_string()).unwrap_or_default();
        jobs.push(Job {
            guest: format!("{}/{guest}", row.vmtype).into(),
            id: row.id.into(),
            kind: row.kind.into(),
            source: format!("node/{}", row.source).into(),
            target: format!("node/{}", row.target).into(),
            duration: row.duration,
            last_sync: row.last_sync.map(float),
            last_try: row.last_try.map(float),
            next_sync: row.next_sync.map(float),
            failed: row.fail_count.map(float),
        });
    })?;
    Ok(jobs)
}

/// Reads `onboot` in the configuration of a guest, if it is set there.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn onboot(body: &[u8]) -> Result<Option<f64>, DecodeError> {
    let mut onboot = None;
    api::guest_pending::decode(body, |row| {
        if row.key == "onboot" {
            onboot = crate::pve::property_string::truth(&row.value).map(|onboot| f64::from(u8::from(onboot)));
        }
    })?;
    Ok(onboot)
}
