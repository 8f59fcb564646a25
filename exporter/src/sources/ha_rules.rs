//! `/cluster/ha/rules`, or before PVE 9 `/cluster/ha/groups`: how many there are, and where they let guests run.

use std::collections::HashMap;
use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::ha_manager::guest;
use crate::subjects::guest::GuestKey;
use crate::subjects::ha;

/// The answer, as subject.
#[derive(Debug)]
pub struct HaRules {
    /// Of the cluster: one row.
    pub rows: Arc<[ha::HaRules]>,
    /// Where they let guests run.
    pub constraints: Constraints,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Where HA lets guests run, by the rules that are in force.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Constraints {
    /// The only nodes for each guest.
    pub bound: HashMap<GuestKey, NodeNames>,
    /// The only nodes for the guests of each group; none from PVE 9 on.
    pub groups: HashMap<Box<str>, NodeNames>,
    /// The number of the set of guests, all of which have to be on one node, that each is in.
    pub together: HashMap<GuestKey, usize>,
    /// The numbers of the sets of guests, no two of which may be on one node, that each is in.
    pub apart: HashMap<GuestKey, Vec<usize>>,
}

/// Names of nodes.
pub type NodeNames = Arc<[Box<str>]>;

/// How many rows there are, and how many more could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    rows: u64,
    damaged: u64,
}

/// Reads the number of rules, and of groups from an endpoint that knows no rules. Nothing of that is remembered: while a
/// cluster is upgraded its endpoints differ.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str) -> Result<HaRules, ApiError> {
    let mut constraints = Constraints::default();
    let rules = count(client, "/cluster/ha/rules", |body| rules(body, &mut constraints)).await;
    let (rules, groups) = match rules {
        Err(ApiError::NotImplemented { .. }) => {
            match count(client, "/cluster/ha/groups", |body| groups(body, &mut constraints)).await {
                // Another endpoint answered, one that has no groups any more.
                Err(ApiError::Status { problem, .. }) if problem.contains("migrated to rules") => (None, None),
                groups => (None, Some(groups?)),
            }
        }
        rules => (Some(rules?), None),
    };
    Ok(HaRules {
        rows: Arc::new([ha::HaRules {
            identity: Identity::new(&[("pve_cluster", cluster)]),
            rules: rules.map(|count| count.rows),
            groups: groups.map(|count| count.rows),
        }]),
        constraints,
        damaged_rows: rules.or(groups).unwrap_or_default().damaged,
    })
}

async fn count(
    client: &Client,
    path: &str,
    decode: impl FnOnce(&[u8]) -> Result<Count, DecodeError>,
) -> Result<Count, ApiError> {
    client.get(&Request::entry(path)).await?.decode(path, decode)
}

fn rules(body: &[u8], constraints: &mut Constraints) -> Result<Count, DecodeError> {
    let mut rows = 0;
    let damaged = api::ha_rules::decode(body, |row| {
        rows += usize::from(!row.rule.is_empty());
        if row.disable != Some(true) {
            constraints.add(&row, rows);
        }
    })?;
    Ok(Count {
        rows: rows as u64,
        damaged,
    })
}

impl Constraints {
    /// Takes a rule that is in force, of this number.
    fn add(&mut self, row: &api::ha_rules::Row<'_>, number: usize) {
        let guests: Vec<GuestKey> = row.resources.split(',').filter_map(|sid| guest(sid.trim())).collect();
        match (&*row.kind, &*row.affinity) {
            ("node-affinity", _) if row.strict == Some(true) => {
                let nodes = names(&row.nodes);
                self.bound
                    .extend(guests.into_iter().map(|guest| (guest, Arc::clone(&nodes))));
            }
            ("resource-affinity", "positive") => {
                // Rules that have a guest in common are as one.
                let known: Vec<usize> = guests
                    .iter()
                    .filter_map(|guest| self.together.get(guest).copied())
                    .collect();
                for set in self.together.values_mut().filter(|set| known.contains(set)) {
                    *set = number;
                }
                self.together.extend(guests.into_iter().map(|guest| (guest, number)));
            }
            ("resource-affinity", "negative") => {
                for guest in guests {
                    self.apart.entry(guest).or_default().push(number);
                }
            }
            _ => {}
        }
    }
}

/// The nodes of a list such as `pve1:2,pve2`.
fn names(nodes: &str) -> NodeNames {
    let nodes = nodes.split(',').map(|node| node.split(':').next().unwrap_or(node));
    nodes.map(|node| node.trim().into()).collect()
}

fn groups(body: &[u8], constraints: &mut Constraints) -> Result<Count, DecodeError> {
    let mut rows = 0;
    let damaged = api::ha_groups::decode(body, |row| {
        rows += u64::from(!row.group.is_empty());
        if row.restricted == Some(true) {
            constraints.groups.insert(row.group.into(), names(&row.nodes));
        }
    })?;
    Ok(Count { rows, damaged })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GuestKind;

    fn read(body: &[u8]) -> Constraints {
        let mut constraints = Constraints::default();
        rules(body, &mut constraints).unwrap();
        constraints
    }

    fn machine(vmid: u32) -> GuestKey {
        (GuestKind::Qemu, vmid)
    }

    #[test]
    fn recorded_rules_and_constructed_ones() {
        let count = |body: &[u8]| rules(body, &mut Constraints::default());
        let none = count(include_bytes!("../../tests/fixtures/pve-9.2/cluster__ha__rules.json"));
        assert_eq!(none.unwrap(), Count::default());
        let one = count(include_bytes!("../../tests/fixtures/pve-9/cluster__ha__rules.json"));
        assert_eq!(one.unwrap(), Count { rows: 1, damaged: 0 });
        let body = br#"{"data":[{"rule":"a","type":"node-affinity"},7,{"rule":"b","disable":1},{}]}"#;
        assert_eq!(count(body).unwrap(), Count { rows: 2, damaged: 1 });
    }

    #[test]
    fn only_strict_rules_in_force_bind_guests() {
        let bound = read(
            br#"{"data":[
            {"rule":"a","type":"node-affinity","strict":1,"nodes":"pve1:2,pve2","resources":"vm:100, ct:200,sv:1,vm:x"},
            {"rule":"b","type":"node-affinity","strict":0,"nodes":"pve1","resources":"vm:101"},
            {"rule":"c","type":"node-affinity","strict":"1","disable":"1","nodes":"pve1","resources":"vm:102"}]}"#,
        )
        .bound;
        assert_eq!(bound.len(), 2);
        for guest in [machine(100), (GuestKind::Lxc, 200)] {
            assert_eq!(*bound[&guest], ["pve1".into(), "pve2".into()]);
        }
    }

    #[test]
    fn guests_are_kept_together_and_apart() {
        let fixture = include_bytes!("../../tests/fixtures/pve-9/cluster__ha__rules.json");
        assert_eq!(
            read(fixture).apart,
            [(machine(100), vec![1]), (machine(103), vec![1])].into()
        );
        let constraints = read(
            br#"{"data":[
            {"rule":"a","type":"resource-affinity","affinity":"positive","resources":"vm:100,vm:101"},
            {"rule":"b","type":"resource-affinity","affinity":"positive","resources":"vm:102,vm:103"},
            {"rule":"c","type":"resource-affinity","affinity":"positive","resources":"vm:103,vm:104"},
            {"rule":"d","type":"resource-affinity","affinity":"negative","resources":"vm:100,vm:102"},
            {"rule":"e","type":"resource-affinity","affinity":"negative","resources":"vm:100,vm:105"},
            {"rule":"f","type":"resource-affinity","affinity":"negative","resources":"vm:106,vm:107","disable":1},
            {"rule":"g","type":"resource-affinity","affinity":"odd","resources":"vm:108,vm:109"}]}"#,
        );
        let together = [(100, 1), (101, 1), (102, 3), (103, 3), (104, 3)].map(|(vmid, set)| (machine(vmid), set));
        assert_eq!(constraints.together, together.into());
        let apart = [(100, vec![4, 5]), (102, vec![4]), (105, vec![5])].map(|(vmid, sets)| (machine(vmid), sets));
        assert_eq!(constraints.apart, apart.into());
    }

    #[test]
    fn constructed_groups() {
        let body = include_bytes!("../../tests/fixtures/pve-8/cluster__ha__groups.json");
        let mut constraints = Constraints::default();
        assert_eq!(groups(body, &mut constraints).unwrap(), Count { rows: 2, damaged: 0 });
        let only: NodeNames = Arc::new(["pve2".into()]);
        assert_eq!(
            constraints.groups,
            [("only-pve2".into(), only)].into(),
            "the other one is a preference"
        );
    }
}
