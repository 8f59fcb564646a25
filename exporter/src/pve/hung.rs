//! Storages that hang.
//!
//! A call that looks at one occupies a worker of its node's PVE for as long as the storage hangs, long after we have given the
//! call up. A node has three of them for everything. So what has hung is left alone for long, and where two of a kind hang
//! (tools that look at disks, say, or contents of storages) the others of the kind are left alone as well.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::pve::error::ApiError;

/// How long what hangs is left alone, the first time and at most.
const REST: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(4 * 3600));

/// By how much longer each time.
const LONGER: u32 = 4;

/// So many of a kind hang before all of the kind are left alone.
const MOST: usize = 2;

/// What hangs at the nodes of one cluster.
#[derive(Debug, Default)]
pub struct HungStorages(Mutex<Nodes>);

/// By node and kind.
type Nodes = HashMap<(Arc<str>, String), Hung>;

#[derive(Debug)]
struct Hung {
    /// Those of the kind that have hung, and not answered since.
    names: BTreeSet<String>,
    until: Instant,
    rest: Duration,
    error: ApiError,
}

impl HungStorages {
    fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why `path` is not asked for at `node` now; none if it may be.
    #[must_use]
    pub fn why_resting(&self, node: &Arc<str>, path: &str, now: Instant) -> Option<ApiError> {
        let (kind, name) = kind_and_name(path);
        let nodes = self.lock();
        let hung = nodes.get(&(Arc::clone(node), kind)).filter(|hung| now < hung.until)?;
        let concerned = hung.names.len() >= MOST || hung.names.contains(&name);
        concerned.then(|| hung.error.clone())
    }

    /// Notes that a request for `path` hung at `node`.
    pub fn hangs(&self, node: &Arc<str>, path: &str, error: &ApiError, now: Instant) {
        let (kind, name) = kind_and_name(path);
        let mut nodes = self.lock();
        let hung = nodes.entry((Arc::clone(node), kind)).or_insert_with(|| Hung {
            names: BTreeSet::new(),
            until: now,
            rest: REST.0 / LONGER,
            error: error.clone(),
        });
        hung.names.insert(name);
        hung.rest = (hung.rest * LONGER).min(REST.1);
        hung.until = now + hung.rest;
        hung.error = error.clone();
    }

    /// Notes that a request for `path` was answered by `node`.
    pub fn answers(&self, node: &Arc<str>, path: &str) {
        let (kind, name) = kind_and_name(path);
        let key = (Arc::clone(node), kind);
        let mut nodes = self.lock();
        if let Some(hung) = nodes.get_mut(&key) {
            hung.names.remove(&name);
            if hung.names.is_empty() {
                nodes.remove(&key);
            }
        }
    }

    /// Forgets `node`, which is offline: what hung there does so no more when it is back.
    pub fn forget(&self, node: &str) {
        self.lock().retain(|(known, _), _| **known != *node);
    }
}

/// The first two parts of a path below its node, such as `disks` and `zfs`: what is below them hangs as they do. Thin pools are
/// in volume groups, and the tools for both look at the same devices.
fn kind_and_name(path: &str) -> (String, String) {
    let mut parts = path.split('/').skip(3);
    let (kind, name) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let name = if name == "lvmthin" { "lvm" } else { name };
    (kind.to_owned(), name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Node {
        storages: HungStorages,
        name: Arc<str>,
        now: Instant,
    }

    impl Node {
        fn new() -> Self {
            Self {
                storages: HungStorages::default(),
                name: "pve1".into(),
                now: Instant::now(),
            }
        }

        fn hangs(&self, path: &str) {
            let error = ApiError::Timeout {
                endpoint: "e".to_owned(),
                path: path.to_owned(),
                limit: Duration::ZERO,
            };
            self.storages.hangs(&self.name, path, &error, self.now);
        }

        fn answers(&self, path: &str) {
            self.storages.answers(&self.name, path);
        }

        fn rests(&self, path: &str) -> bool {
            self.storages.why_resting(&self.name, path, self.now).is_some()
        }
    }

    const ZFS: &str = "/nodes/pve1/disks/zfs";
    const POOL: &str = "/nodes/pve1/disks/zfs/rpool";
    const LVM: &str = "/nodes/pve1/disks/lvm";
    const THIN: &str = "/nodes/pve1/disks/lvmthin";
    const LIST: &str = "/nodes/pve1/disks/list";
    const LIST_WITHOUT_SMART: &str = "/nodes/pve1/disks/list?skipsmart=1";
    const NAS: &str = "/nodes/pve1/storage/nas/content?content=backup";
    const LOCAL: &str = "/nodes/pve1/storage/local/content?content=backup";

    #[test]
    fn what_hangs_is_left_alone_for_longer_each_time_and_nothing_else() {
        let mut node = Node::new();
        for minutes in [10, 40, 160, 240, 240] {
            node.hangs(ZFS);
            node.now += Duration::from_secs(60 * minutes - 1);
            assert!(node.rests(ZFS) && node.rests(POOL), "{minutes}");
            assert!(!node.rests(LVM) && !node.rests(NAS));
            node.now += Duration::from_secs(1);
            assert!(!node.rests(ZFS), "{minutes}");
        }
        node.answers(POOL);
        node.hangs(ZFS);
        node.now += Duration::from_secs(600);
        assert!(!node.rests(ZFS), "an answer in between makes it good");
    }

    #[test]
    fn volume_groups_and_their_thin_pools_are_one() {
        let node = Node::new();
        node.hangs(LVM);
        assert!(node.rests(THIN));
        node.hangs(THIN);
        assert!(!node.rests(ZFS) && !node.rests(LIST));
        node.answers(THIN);
        assert!(!node.rests(LVM));
    }

    #[test]
    fn where_two_of_a_kind_hang_the_others_are_left_alone() {
        let mut node = Node::new();
        node.hangs(LIST);
        assert!(!node.rests(LIST_WITHOUT_SMART), "it does not wait for every disk");
        node.hangs(ZFS);
        assert!(node.rests(LVM) && !node.rests(NAS));
        assert!(node.storages.why_resting(&"pve2".into(), ZFS, node.now).is_none());
        node.now += Duration::from_secs(40 * 60);
        assert!(!node.rests(LVM) && !node.rests(ZFS));
        node.answers(LIST);
        node.hangs(ZFS);
        assert!(node.rests(ZFS) && !node.rests(LVM), "the other one works again");
        node.hangs(NAS);
        assert!(!node.rests(LOCAL));
        node.storages.forget("pve1");
        assert!(!node.rests(ZFS) && !node.rests(NAS));
    }
}
