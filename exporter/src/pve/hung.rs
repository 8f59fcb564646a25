//! Storages that hang.
//!
//! A call that looks at one occupies a worker of its node's PVE for as long as the storage hangs, long after we have given the
//! call up. A node has three of them for everything. So what has hung is left alone for long, and while two of a kind are
//! (tools that look at disks, say, or contents of storages) the others of the kind are left alone as well.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::pve::error::ApiError;

/// How long what hangs is left alone, the first time and at most: who repairs it wants to see so within the hour. What has not
/// hung again for as long as that is as good as new.
const REST: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(3600));

/// By how much longer each time.
const LONGER: u32 = 4;

/// So many of a kind rest before all of the kind do.
const MOST: usize = 2;

/// What hangs at the nodes of one cluster.
#[derive(Debug, Default)]
pub struct HungStorages(Mutex<Nodes>);

/// By node and kind, and then by name: those that have hung, and not answered since.
type Nodes = HashMap<(Arc<str>, String), BTreeMap<String, Hung>>;

#[derive(Debug)]
struct Hung {
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
        let names = nodes.get(&(Arc::clone(node), kind))?;
        let rests = |hung: &&Hung| now < hung.until;
        let reason = names
            .get(&name)
            .filter(rests)
            .or_else(|| names.values().filter(rests).nth(MOST - 1))?;
        Some(reason.error.clone())
    }

    /// Notes that a request for `path` hung at `node`.
    pub fn hangs(&self, node: &Arc<str>, path: &str, error: &ApiError, now: Instant) {
        let (kind, name) = kind_and_name(path);
        let mut nodes = self.lock();
        let names = nodes.entry((Arc::clone(node), kind)).or_default();
        names.retain(|_, hung| now < hung.until + REST.1);
        let before = names.get(&name).map(|hung| hung.rest);
        let rest = before.map_or(REST.0, |rest| (rest * LONGER).min(REST.1));
        if before.is_none() {
            let minutes = rest.as_secs() / 60;
            tracing::warn!(node = &**node, problem = %error, "what hangs at the node is left alone for {minutes} minutes");
        }
        let (until, error) = (now + rest, error.clone());
        names.insert(name, Hung { until, rest, error });
    }

    /// Notes that a request for `path` was answered by `node`.
    pub fn answers(&self, node: &Arc<str>, path: &str) {
        let (kind, name) = kind_and_name(path);
        if let Some(names) = self.lock().get_mut(&(Arc::clone(node), kind)) {
            names.remove(&name);
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
    use std::io::Seek as _;

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

        fn minutes(&mut self, minutes: u64) {
            self.now += Duration::from_secs(60 * minutes);
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
    const OTHER: &str = "/nodes/pve1/storage/other/content?content=backup";
    const LOCAL: &str = "/nodes/pve1/storage/local/content?content=backup";

    #[test]
    fn what_hangs_is_left_alone_for_longer_each_time_and_nothing_else() {
        let mut node = Node::new();
        for minutes in [10, 40, 60, 60] {
            node.hangs(ZFS);
            node.now += Duration::from_secs(60 * minutes - 1);
            assert!(node.rests(ZFS) && node.rests(POOL), "{minutes}");
            assert!(!node.rests(LVM) && !node.rests(NAS));
            node.now += Duration::from_secs(1);
            assert!(!node.rests(ZFS), "{minutes}");
        }
        node.answers(POOL);
        node.hangs(ZFS);
        node.minutes(10);
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
        let node = Node::new();
        node.hangs(LIST);
        assert!(!node.rests(LIST_WITHOUT_SMART), "it does not wait for every disk");
        node.hangs(ZFS);
        assert!(node.rests(LVM) && !node.rests(NAS));
        assert!(node.storages.why_resting(&"pve2".into(), ZFS, node.now).is_none());
        node.answers(LIST);
        assert!(node.rests(ZFS) && !node.rests(LVM), "the other one works again");
        node.hangs(NAS);
        assert!(!node.rests(LOCAL));
        node.storages.forget("pve1");
        assert!(!node.rests(ZFS) && !node.rests(NAS));
    }

    #[test]
    fn each_rests_for_as_long_as_it_has_hung_itself_and_the_others_no_longer_than_the_second() {
        let mut node = Node::new();
        node.hangs(LVM);
        node.minutes(10);
        node.hangs(LVM);
        node.minutes(25);
        node.hangs(ZFS);
        assert!(node.rests(LIST));
        node.minutes(10);
        assert!(!node.rests(ZFS) && !node.rests(LIST), "it was its first time");
        assert!(node.rests(LVM), "its second");
        node.minutes(5);
        assert!(!node.rests(LVM));
    }

    #[test]
    fn what_nobody_asks_for_any_more_is_forgotten() {
        let mut node = Node::new();
        node.hangs(NAS);
        node.minutes(10);
        node.hangs(LOCAL);
        assert!(!node.rests(OTHER), "the first one may be gone for good");
        node.minutes(10 + 60);
        node.hangs(LOCAL);
        node.minutes(10);
        assert!(!node.rests(LOCAL), "it was well, or gone, for an hour");
    }

    #[test]
    fn it_is_logged_when_a_rest_begins_and_not_when_it_goes_on() {
        let mut log = tempfile::tempfile().unwrap();
        let subscriber = tracing_subscriber::fmt().with_writer(Arc::new(log.try_clone().unwrap()));
        // While there is one subscriber only, tests in other threads decide whether it hears of this.
        let _other = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
        let _guard = tracing::subscriber::set_default(subscriber.finish());
        let mut node = Node::new();
        for path in [ZFS, POOL, LVM, THIN] {
            node.hangs(path);
            node.minutes(40);
        }
        log.rewind().unwrap();
        let lines = std::io::read_to_string(log).unwrap();
        let told: Vec<_> = lines
            .lines()
            .filter(|line| line.contains("left alone for 10 minutes"))
            .collect();
        assert_eq!(told.len(), 2, "{lines}");
        assert!(told[0].contains(ZFS) && told[1].contains(LVM), "{lines}");
    }
}
