//! What is under the storages: ZFS and LVM at each node, Ceph, and which storages are switched on.

use std::sync::Arc;

use super::{Known, Shown};
use crate::pve::client::Client;
use crate::sources::ceph::Ceph;
use crate::sources::ceph_osds::{self, CephOsds};
use crate::sources::ceph_pools::{self, CephPools};
use crate::sources::ceph_status::{self, CephStatus};
use crate::sources::lvm::{self, VolumeGroups};
use crate::sources::lvmthin::{self, ThinPools};
use crate::sources::name::SourceName;
use crate::sources::source::{PerNode, Source, Whole, Wiring};
use crate::sources::storage_config::{self, StorageConfig};
use crate::sources::tool::Tool;
use crate::sources::unawaited::Unawaited;
use crate::sources::zfs::{self, ZfsPools};
use crate::sources::zfs_detail::{self, ZfsDetails};
use crate::subjects;
use crate::subjects::ceph::{CephCheck, CephFlag, CephPlacementGroups};
use crate::subjects::ceph_osd::CephOsd;
use crate::subjects::ceph_pool::CephPool;
use crate::subjects::lvm::{ThinPool, VolumeGroup};
use crate::subjects::zfs_pool::{ZfsPool, ZfsPoolDetail};

/// The sources of what is under the storages.
pub(super) struct StorageHealth {
    known: Arc<Known>,
    zfs: Unawaited<PerNode<ZfsPools>>,
    zfs_details: Unawaited<PerNode<ZfsDetails>>,
    lvm: Unawaited<PerNode<VolumeGroups>>,
    lvmthin: Unawaited<PerNode<ThinPools>>,
    config: Unawaited<Whole<StorageConfig>>,
    ceph: Unawaited<Whole<CephStatus>>,
    ceph_osds: Unawaited<Whole<CephOsds>>,
    ceph_pools: Unawaited<Whole<CephPools>>,
}

/// The rows.
pub struct StorageHealthRows {
    /// The storages as they are configured.
    pub configs: Arc<[subjects::storage_config::StorageConfig]>,
    /// ZFS pools.
    pub zfs_pools: Arc<[ZfsPool]>,
    /// ZFS pools in detail.
    pub zfs_details: Arc<[ZfsPoolDetail]>,
    /// LVM's thin pools.
    pub thin_pools: Arc<[ThinPool]>,
    /// LVM's volume groups.
    pub volume_groups: Arc<[VolumeGroup]>,
    /// Ceph as a whole.
    pub ceph: Arc<[subjects::ceph::Ceph]>,
    /// Its checks that fail.
    pub ceph_checks: Arc<[CephCheck]>,
    /// Its placement groups.
    pub ceph_placement_groups: Arc<[CephPlacementGroups]>,
    /// Its flags.
    pub ceph_flags: Arc<[CephFlag]>,
    /// Its OSDs.
    pub ceph_osds: Arc<[CephOsd]>,
    /// Its pools.
    pub ceph_pools: Arc<[CephPool]>,
}

impl StorageHealth {
    /// Nothing is fetched yet.
    pub(super) fn new(wiring: &Wiring<'_>, known: &Arc<Known>) -> Self {
        let cluster: Arc<str> = wiring.cluster.into();
        let zpool = Arc::new(Tool::new(wiring.clock, zfs::is_absent));
        let lvm = Arc::new(Tool::new(wiring.clock, |_| false));
        let (name, tool) = (Arc::clone(&cluster), Arc::clone(&zpool));
        let zfs = wiring.per_node(SourceName::Zfs, move |client: Arc<Client>, node: Arc<str>| {
            let (cluster, zpool) = (Arc::clone(&name), Arc::clone(&tool));
            async move { zfs::fetch(&client, &cluster, &node, &zpool).await }
        });
        let name = Arc::clone(&cluster);
        let zfs_details = wiring.per_node(SourceName::ZfsDetail, move |client: Arc<Client>, node: Arc<str>| {
            let (cluster, zpool) = (Arc::clone(&name), Arc::clone(&zpool));
            async move { zfs_detail::fetch(&client, &cluster, &node, &zpool).await }
        });
        let (name, tool) = (Arc::clone(&cluster), Arc::clone(&lvm));
        let groups = wiring.per_node(SourceName::Lvm, move |client: Arc<Client>, node: Arc<str>| {
            let (cluster, lvm) = (Arc::clone(&name), Arc::clone(&tool));
            async move { lvm::fetch(&client, &cluster, &node, &lvm).await }
        });
        let name = Arc::clone(&cluster);
        let lvmthin = wiring.per_node(SourceName::Lvmthin, move |client: Arc<Client>, node: Arc<str>| {
            let (cluster, lvm) = (Arc::clone(&name), Arc::clone(&lvm));
            async move { lvmthin::fetch(&client, &cluster, &node, &lvm).await }
        });
        let config = wiring.whole(SourceName::StorageConfig, move |client: Arc<Client>| {
            let cluster = Arc::clone(&cluster);
            async move { storage_config::fetch(&client, &cluster).await }
        });
        let ceph = Arc::new(CephAt {
            cluster: wiring.cluster.into(),
            known: Arc::clone(known),
            ceph: Ceph::new(wiring.clock),
        });
        let at = Arc::clone(&ceph);
        let status = wiring.whole(SourceName::CephStatus, move |client: Arc<Client>| {
            let at = Arc::clone(&at);
            async move { ceph_status::fetch(&client, &at.cluster, &at.known.nodes(true), &at.ceph).await }
        });
        let at = Arc::clone(&ceph);
        let osds = wiring.whole(SourceName::CephOsds, move |client: Arc<Client>| {
            let at = Arc::clone(&at);
            async move { ceph_osds::fetch(&client, &at.cluster, &at.known.nodes(true), &at.ceph).await }
        });
        let pools = wiring.whole(SourceName::CephPools, move |client: Arc<Client>| {
            let at = Arc::clone(&ceph);
            async move { ceph_pools::fetch(&client, &at.cluster, &at.known.nodes(true), &at.ceph).await }
        });
        Self {
            known: Arc::clone(known),
            zfs: Unawaited(zfs.damaged_by(|value| Some(value.damaged_rows))),
            zfs_details: Unawaited(zfs_details.damaged_by(|value| Some(value.damaged_rows))),
            lvm: Unawaited(groups.damaged_by(|value| Some(value.damaged_rows))),
            lvmthin: Unawaited(lvmthin.damaged_by(|value| Some(value.damaged_rows))),
            config: Unawaited(config.damaged_by(|value| Some(value.damaged_rows))),
            ceph: Unawaited(status.damaged_by(|value| Some(value.damaged_rows))),
            ceph_osds: Unawaited(osds.damaged_by(|value| Some(value.damaged_rows))),
            ceph_pools: Unawaited(pools.damaged_by(|value| Some(value.damaged_rows))),
        }
    }

    /// Its sources.
    pub(super) fn sources(&self) -> [&dyn Source; 8] {
        [
            &self.zfs,
            &self.zfs_details,
            &self.lvm,
            &self.lvmthin,
            &self.config,
            &self.ceph,
            &self.ceph_osds,
            &self.ceph_pools,
        ]
    }

    /// Says which nodes there are.
    pub(super) fn find_nodes(&self) {
        let nodes = self.known.nodes(false);
        self.zfs.0.set_nodes(&nodes);
        self.zfs_details.0.set_nodes(&nodes);
        self.lvm.0.set_nodes(&nodes);
        self.lvmthin.0.set_nodes(&nodes);
    }

    /// What they bring. `utc_offset` says how many seconds the local time of a node is ahead of UTC: without it nobody can tell
    /// when the pools there were scrubbed.
    pub(super) fn rows(&self, shown: &Shown<'_>, utc_offset: impl Fn(&str) -> Option<i64>) -> StorageHealthRows {
        let ceph = shown.whole(&self.ceph.0).map(|latest| latest.value);
        let osds = shown.whole(&self.ceph_osds.0).map(|latest| latest.value);
        let pools = shown.whole(&self.ceph_pools.0).map(|latest| latest.value);
        let config = shown.whole(&self.config.0).map(|latest| latest.value);
        StorageHealthRows {
            configs: part(config.as_deref(), |config| &config.storages),
            zfs_pools: of_nodes(shown, &self.zfs.0, |_, node| node.pools.clone()),
            zfs_details: of_nodes(shown, &self.zfs_details.0, |name, node| {
                node.rows(utc_offset(name)).collect()
            }),
            thin_pools: of_nodes(shown, &self.lvmthin.0, |_, node| node.pools.clone()),
            volume_groups: of_nodes(shown, &self.lvm.0, |_, node| node.groups.clone()),
            ceph_checks: part(ceph.as_deref(), |ceph| &ceph.checks),
            ceph_placement_groups: part(ceph.as_deref(), |ceph| &ceph.placement_groups),
            ceph: part(ceph.as_deref(), |ceph| &ceph.ceph),
            ceph_flags: part(osds.as_deref(), |osds| &osds.flags),
            ceph_osds: part(osds.as_deref(), |osds| &osds.osds),
            ceph_pools: part(pools.as_deref(), |pools| &pools.pools),
        }
    }
}

/// What is needed to ask for Ceph.
struct CephAt {
    cluster: Arc<str>,
    known: Arc<Known>,
    ceph: Ceph,
}

fn of_nodes<T: Send + Sync + 'static, S>(
    shown: &Shown<'_>,
    source: &PerNode<T>,
    rows: impl Fn(&str, &T) -> Vec<S>,
) -> Arc<[S]> {
    let nodes = shown.nodes(source);
    nodes.iter().flat_map(|(name, node)| rows(name, &node.value)).collect()
}

fn part<T, S>(value: Option<&T>, part: impl Fn(&T) -> &Arc<[S]>) -> Arc<[S]> {
    value.map_or_else(Arc::default, |value| Arc::clone(part(value)))
}
