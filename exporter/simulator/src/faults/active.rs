//! The faults that are switched on, and what each part of the simulator asks about them.

use std::time::Duration;

use super::{Fault, FaultId, FaultKind, pattern::covers};
use crate::{clock::Milliseconds, json::Numbers};

/// The faults that are switched on.
#[derive(Debug, Default)]
pub(crate) struct ActiveFaults {
    faults: Vec<(FaultId, Fault, Milliseconds)>,
    last: u64,
}

/// How a node is out of the reach of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Gone {
    pub(crate) since: Milliseconds,
    /// Its last numbers are still shown until they are too old.
    pub(crate) shows_last_numbers: bool,
}

impl ActiveFaults {
    pub(crate) fn add(&mut self, fault: Fault, now: Milliseconds) -> FaultId {
        self.last += 1;
        let id = FaultId(self.last);
        self.faults.push((id, fault, now));
        id
    }

    pub(crate) fn remove(&mut self, id: FaultId) -> bool {
        let before = self.faults.len();
        self.faults.retain(|(other, ..)| *other != id);
        self.faults.len() != before
    }

    pub(crate) fn clear(&mut self) {
        self.faults.clear();
    }

    fn on<'a>(&'a self, node: &'a str) -> impl Iterator<Item = (&'a Fault, Milliseconds)> {
        let here =
            move |fault: &&(FaultId, Fault, Milliseconds)| fault.1.node.as_deref().is_none_or(|name| name == node);
        self.faults.iter().filter(here).map(|(_, fault, since)| (fault, *since))
    }

    fn at<'a>(&'a self, node: &'a str, path: &'a str) -> impl Iterator<Item = &'a FaultKind> {
        self.on(node)
            .filter(|(fault, _)| fault.path.as_deref().is_none_or(|pattern| covers(pattern, path)))
            .map(|(fault, _)| &fault.kind)
    }

    fn since(&self, node: &str, kind: &FaultKind) -> Option<Milliseconds> {
        self.on(node)
            .filter(|(fault, _)| fault.kind == *kind)
            .map(|(_, since)| since)
            .min()
    }

    /// Whether the node is dead.
    pub(crate) fn dead(&self, node: &str) -> Option<Gone> {
        let offline = self.since(node, &FaultKind::Offline);
        let stale = self.since(node, &FaultKind::DeadButRunning);
        match (offline, stale) {
            (None, None) => None,
            (_, Some(since)) => Some(Gone {
                since,
                shows_last_numbers: true,
            }),
            (Some(since), None) => Some(Gone {
                since,
                shows_last_numbers: false,
            }),
        }
    }

    /// Whether the node is cut off from all others.
    pub(crate) fn partitioned(&self, node: &str) -> Option<Milliseconds> {
        self.since(node, &FaultKind::Partition)
    }

    pub(crate) fn standalone(&self, node: &str) -> bool {
        self.since(node, &FaultKind::Standalone).is_some()
    }

    pub(crate) fn frozen(&self, node: &str) -> Option<Milliseconds> {
        self.since(node, &FaultKind::FrozenPvestatd)
    }

    pub(crate) fn zero_timestamp(&self, node: &str) -> bool {
        self.since(node, &FaultKind::ZeroTimestamp).is_some()
    }

    pub(crate) fn proxy_down(&self, node: &str) -> bool {
        self.since(node, &FaultKind::ProxyDown).is_some()
    }

    pub(crate) fn black_hole(&self, node: &str) -> bool {
        self.since(node, &FaultKind::BlackHole).is_some()
    }

    /// Whether connections to the node are refused.
    pub(crate) fn refuses(&self, node: &str) -> bool {
        self.dead(node).is_some() || self.proxy_down(node)
    }

    pub(crate) fn qmp_times_out(&self, node: &str, vmid: u32) -> bool {
        self.on(node).any(|(fault, _)| match fault.kind {
            FaultKind::QmpTimeout(None) => true,
            FaultKind::QmpTimeout(Some(id)) => id == vmid,
            _ => false,
        })
    }

    pub(crate) fn vanished(&self, vmid: u32) -> bool {
        self.faults
            .iter()
            .any(|(_, fault, _)| fault.kind == FaultKind::Vanished(vmid))
    }

    pub(crate) fn storage_unavailable(&self, node: &str, storage: &str) -> bool {
        self.on(node)
            .any(|(fault, _)| matches!(&fault.kind, FaultKind::StorageUnavailable(name) if name == storage))
    }

    pub(crate) fn hangs(&self, node: &str, path: &str) -> bool {
        self.at(node, path).any(|kind| *kind == FaultKind::Hang)
    }

    pub(crate) fn slowness(&self, node: &str, path: &str) -> Duration {
        let slow = |kind: &FaultKind| match kind {
            FaultKind::Slow(duration) => *duration,
            _ => Duration::ZERO,
        };
        self.at(node, path).map(slow).sum()
    }

    pub(crate) fn status(&self, node: &str, path: &str) -> Option<(u16, String)> {
        self.at(node, path).find_map(|kind| match kind {
            FaultKind::Status { code, reason } => Some((*code, reason.clone())),
            _ => None,
        })
    }

    pub(crate) fn no_permission(&self, node: &str, path: &str) -> bool {
        self.at(node, path).any(|kind| *kind == FaultKind::NoPermission)
    }

    pub(crate) fn revoked(&self, node: &str, path: &str) -> bool {
        self.at(node, path).any(|kind| *kind == FaultKind::Revoked)
    }

    pub(crate) fn truncated(&self, node: &str, path: &str) -> bool {
        self.at(node, path).any(|kind| *kind == FaultKind::Truncated)
    }

    pub(crate) fn garbage(&self, node: &str, path: &str) -> bool {
        self.at(node, path).any(|kind| *kind == FaultKind::Garbage)
    }

    pub(crate) fn huge(&self, node: &str, path: &str) -> Option<u64> {
        self.at(node, path).find_map(|kind| match kind {
            FaultKind::Huge(bytes) => Some(*bytes),
            _ => None,
        })
    }

    pub(crate) fn closes_idle(&self, node: &str, path: &str) -> bool {
        self.at(node, path).any(|kind| *kind == FaultKind::CloseIdle)
    }

    pub(crate) fn numbers(&self, node: &str, path: &str) -> Numbers {
        self.at(node, path).fold(Numbers::Plain, |numbers, kind| match kind {
            FaultKind::StringNumbers => Numbers::Strings,
            FaultKind::WrongTypes => Numbers::Objects,
            _ => numbers,
        })
    }

    pub(crate) fn garbage_rows(&self, node: &str, path: &str) -> bool {
        self.at(node, path).any(|kind| *kind == FaultKind::GarbageRows)
    }
}
