//! The storages, and how full they are.

use super::Node;
use crate::{
    clock::Milliseconds,
    random::{hash, text, unit, walk, whole},
};

const GIB: u64 = 1 << 30;

/// A storage of the datacenter; one that is not shared is another one on each node.
#[derive(Debug)]
pub(crate) struct Storage {
    pub(crate) name: String,
    pub(crate) plugin: &'static str,
    pub(crate) content: &'static str,
    pub(crate) shared: bool,
    /// Cannot be reached from anywhere until this number of samples was taken.
    pub(crate) failing_until: u64,
    size: u64,
    stream: u64,
}

/// What every cluster has: two local storages per node, a file server and a backup server.
pub(super) fn storages(seed: u64) -> Vec<Storage> {
    let storage = |name: &str, plugin, content, shared, size| Storage {
        name: name.to_owned(),
        plugin,
        content,
        shared,
        failing_until: 0,
        size,
        stream: hash(&[seed, text(name)]),
    };
    vec![
        storage("local", "dir", "iso,vztmpl,backup,snippets", false, 94 * GIB),
        storage("local-lvm", "lvmthin", "images,rootdir", false, 1_800 * GIB),
        storage("nas", "nfs", "images,iso,backup", true, 20_480 * GIB),
        storage("backup", "pbs", "backup", true, 61_440 * GIB),
    ]
}

impl Storage {
    /// Whether it is a Proxmox Backup Server, which stores only what changed.
    pub(crate) fn is_backup_server(&self) -> bool {
        self.plugin == "pbs"
    }

    /// The size of the storage as seen from a node, and what is used of it.
    pub(crate) fn usage(&self, node: &Node, at: Milliseconds) -> (u64, u64) {
        let stream = if self.shared {
            self.stream
        } else {
            hash(&[self.stream, node.number])
        };
        let time = at as f64 / 1_000.0;
        let share = 0.2 + 0.5 * unit(&[stream]) + 0.08 * walk(hash(&[stream, 1]), time, 43_200.0);
        (self.size, whole(self.size as f64 * share) & !0xFFF)
    }
}
