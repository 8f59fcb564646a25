//! What is under the storages: the pools of ZFS, LVM and Ceph.

use super::Node;
use crate::{
    Options,
    calendar::{DAY, Seconds},
    clock::Milliseconds,
    random::{hash, walk, whole},
};

const GIB: u64 = 1 << 30;

/// The volume group that every node has.
pub(crate) const VOLUME_GROUP: &str = "pve";

/// The most nodes that have Ceph, and how many disks each has.
const CEPH_NODES: usize = 3;
const DISKS_PER_NODE: u64 = 2;

/// Which nodes have what, and what is wrong with it.
#[derive(Debug)]
pub(crate) struct StorageHealth {
    seed: u64,
    nodes: usize,
    /// Something is always wrong.
    is_troubled: bool,
    ceph: bool,
    calm: bool,
}

/// A pool of ZFS: a mirror of two disks, and a spare one.
#[derive(Debug)]
pub(crate) struct ZfsPool {
    pub(crate) name: &'static str,
    pub(crate) size: u64,
    pub(crate) allocated: u64,
    /// In percent.
    pub(crate) fragmentation: u64,
    pub(crate) disks: [ZfsDisk; 2],
}

/// A disk of a pool.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ZfsDisk {
    pub(crate) state: &'static str,
    /// Errors when reading, writing and checking.
    pub(crate) errors: [u64; 3],
}

/// A thin pool of LVM.
#[derive(Debug)]
pub(crate) struct ThinPool {
    pub(crate) name: &'static str,
    pub(crate) size: u64,
    pub(crate) used: u64,
    pub(crate) metadata_size: u64,
    pub(crate) metadata_used: u64,
}

/// A disk of Ceph.
#[derive(Debug)]
pub(crate) struct CephDisk {
    pub(crate) id: u64,
    /// The index of its node.
    pub(crate) node: usize,
    pub(crate) up: bool,
    pub(crate) size: u64,
    pub(crate) used: u64,
    pub(crate) latency_ms: u64,
    pub(crate) placement_groups: u64,
}

impl ZfsDisk {
    pub(crate) fn is_healthy(self) -> bool {
        self.state == "ONLINE"
    }
}

impl ZfsPool {
    pub(crate) fn health(&self) -> &'static str {
        if self.disks.iter().all(|disk| disk.is_healthy()) {
            "ONLINE"
        } else {
            "DEGRADED"
        }
    }
}

impl StorageHealth {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            seed: options.seed,
            nodes: options.nodes,
            is_troubled: options.is_troubled(),
            ceph: options.ceph,
            calm: options.calm,
        }
    }

    /// The pools of a node; every third node has no ZFS. The mirror of the second node, or of the only one, has lost a disk when
    /// something is wrong.
    pub(crate) fn zfs_pools(&self, node: &Node, at: Milliseconds) -> Option<Vec<ZfsPool>> {
        if node.number.is_multiple_of(3) {
            return None;
        }
        let pool = |name: &'static str, gibibytes: u64, lost: bool| {
            let size = gibibytes * GIB;
            let (share, healthy) = (
                self.share(&[node.number, gibibytes], at),
                ZfsDisk {
                    state: "ONLINE",
                    errors: [0; 3],
                },
            );
            let second = ZfsDisk {
                state: "FAULTED",
                errors: [3, 217, 0],
            };
            ZfsPool {
                name,
                size,
                allocated: whole(size as f64 * share),
                fragmentation: whole(40.0 * share),
                disks: [healthy, if lost { second } else { healthy }],
            }
        };
        let mut pools = vec![pool(
            "tank",
            7_424,
            self.is_troubled && node.number == 2.min(self.nodes as u64),
        )];
        if node.number == 1 {
            pools.insert(0, pool("fast", 928, false));
        }
        Some(pools)
    }

    /// When the pools were scrubbed last: on Sunday, shortly after midnight.
    pub(crate) fn last_scrub(&self, local: Seconds) -> Seconds {
        let done = 36 * 60 + 35;
        let today = local.saturating_sub(done) / DAY;
        // The epoch was a Thursday.
        (today - (today + 4) % 7) * DAY + done
    }

    /// The thin pools of a node, of which `local-lvm` is on the first. A second one of the first node is nearly full when
    /// something is wrong.
    pub(crate) fn thin_pools(&self, node: &Node, (size, used): (u64, u64)) -> Vec<ThinPool> {
        let pool = |name, size: u64, share: f64, metadata_share: f64| ThinPool {
            name,
            size,
            used: whole(size as f64 * share),
            metadata_size: 16 * GIB,
            metadata_used: whole(16.0 * GIB as f64 * metadata_share),
        };
        let share = used as f64 / size as f64;
        let mut pools = vec![pool("data", size, share, share / 4.0)];
        if self.is_troubled && node.number == 1 {
            pools.push(pool("scratch", 200 * GIB, 0.971, 0.958));
        }
        pools
    }

    /// Whether a node has Ceph.
    pub(crate) fn has_ceph(&self, node: usize) -> bool {
        self.ceph && self.ceph_nodes().contains(&node)
    }

    /// The nodes with Ceph.
    pub(crate) fn ceph_nodes(&self) -> std::ops::Range<usize> {
        self.nodes.saturating_sub(CEPH_NODES)..self.nodes
    }

    /// The disks of Ceph, of which the last one is down, unless all is calm.
    pub(crate) fn ceph_disks(&self, at: Milliseconds) -> Vec<CephDisk> {
        let disks = self
            .ceph_nodes()
            .flat_map(|node| (0..DISKS_PER_NODE).map(move |_| node));
        let mut disks: Vec<CephDisk> = disks
            .zip(0..)
            .map(|(node, id)| {
                let size = 3_576 * GIB;
                let share = self.share(&[0xCE9, id], at);
                CephDisk {
                    id,
                    node,
                    up: true,
                    size,
                    used: whole(size as f64 * share),
                    latency_ms: whole(6.0 * share),
                    placement_groups: 64 + id % 3,
                }
            })
            .collect();
        if let Some(last) = disks.last_mut().filter(|_| !self.calm) {
            *last = CephDisk {
                up: false,
                latency_ms: 0,
                placement_groups: 0,
                ..*last
            };
        }
        disks
    }

    /// How full something is, which changes slowly.
    fn share(&self, what: &[u64], at: Milliseconds) -> f64 {
        let stream = hash(&[self.seed, 0x0D15C, hash(what)]);
        0.25 + 0.35 * walk(stream, at as f64 / 1_000.0, 86_400.0)
    }
}
