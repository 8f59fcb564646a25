//! Where the running guests are that HA keeps on one node, or on different ones.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use crate::sources::ha_rules::Constraints;
use crate::sources::placement::Taken;
use crate::subjects::guest::GuestKey;

/// The running guests of sets, by the numbers of set and node.
pub(super) struct Affinity<'a> {
    constraints: Option<&'a Constraints>,
    apart: Taken,
    together: HashMap<usize, BTreeMap<usize, u64>>,
}

impl<'a> Affinity<'a> {
    /// Nobody runs yet.
    pub(super) fn new(constraints: Option<&'a Constraints>) -> Self {
        Self {
            constraints,
            apart: Taken::new(),
            together: HashMap::new(),
        }
    }

    /// The sets of which no other guest may be where `guest` is, which runs on `node`.
    pub(super) fn apart(&mut self, guest: GuestKey, node: usize) -> Vec<usize> {
        let sets = self.constraints.and_then(|constraints| constraints.apart.get(&guest));
        let sets = sets.cloned().unwrap_or_default();
        self.apart.extend(sets.iter().map(|set| (*set, node)));
        sets
    }

    /// The set of which all guests have to be where `guest` is, which runs on `node`.
    pub(super) fn together(&mut self, guest: GuestKey, node: usize) -> Option<usize> {
        let set = *self.constraints?.together.get(&guest)?;
        *self.together.entry(set).or_default().entry(node).or_default() += 1;
        Some(set)
    }

    /// The sets that have to be apart, where they are without the node `lost`.
    pub(super) fn taken(&self, lost: usize) -> Taken {
        self.apart.iter().copied().filter(|(_, node)| *node != lost).collect()
    }

    /// The node, other than `lost`, that has most of a set that has to be together, as HA chooses it.
    pub(super) fn others(&self, set: usize, lost: usize) -> Option<usize> {
        let nodes = self.together.get(&set)?.iter().filter(|(node, _)| **node != lost);
        nodes
            .max_by_key(|(node, guests)| (**guests, Reverse(**node)))
            .map(|(node, _)| *node)
    }
}
