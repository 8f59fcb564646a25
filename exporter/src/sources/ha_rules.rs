//! `/cluster/ha/rules`, or before PVE 9 `/cluster/ha/groups`: how many there are, and which guests must stay on some nodes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::config::GuestKind;
use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::subjects::guest::GuestKey;
use crate::subjects::ha;

/// The answer, as subject.
#[derive(Debug)]
pub struct HaRules {
    /// Of the cluster: one row.
    pub rows: Arc<[ha::HaRules]>,
    /// The guests that HA starts on no other nodes than these, by rules in force.
    pub bound: Bound,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// The nodes that each guest is bound to.
pub type Bound = HashMap<GuestKey, Arc<[Box<str>]>>;

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
    let mut bound = Bound::new();
    let rules = count(client, "/cluster/ha/rules", |body| rules(body, &mut bound)).await;
    let (rules, groups) = match rules {
        Err(ApiError::NotImplemented { .. }) => match count(client, "/cluster/ha/groups", groups).await {
            // Another endpoint answered, one that has no groups any more.
            Err(ApiError::Status { problem, .. }) if problem.contains("migrated to rules") => (None, None),
            groups => (None, Some(groups?)),
        },
        rules => (Some(rules?), None),
    };
    Ok(HaRules {
        rows: Arc::new([ha::HaRules {
            identity: Identity::new(&[("pve_cluster", cluster)]),
            rules: rules.map(|count| count.rows),
            groups: groups.map(|count| count.rows),
        }]),
        bound,
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

fn rules(body: &[u8], bound: &mut Bound) -> Result<Count, DecodeError> {
    let mut rows = 0;
    let damaged = api::ha_rules::decode(body, |row| {
        rows += u64::from(!row.rule.is_empty());
        if row.kind == "node-affinity" && row.strict == Some(true) && row.disable != Some(true) {
            let nodes = row.nodes.split(',').map(|node| node.split(':').next().unwrap_or(node));
            let nodes: Arc<[Box<str>]> = nodes.map(|node| node.trim().into()).collect();
            bound.extend(
                row.resources
                    .split(',')
                    .filter_map(service)
                    .map(|guest| (guest, Arc::clone(&nodes))),
            );
        }
    })?;
    Ok(Count { rows, damaged })
}

/// The guest that a service such as `vm:100` is.
fn service(service: &str) -> Option<GuestKey> {
    let (kind, vmid) = service.trim().split_once(':')?;
    let kind = match kind {
        "vm" => GuestKind::Qemu,
        "ct" => GuestKind::Lxc,
        _ => return None,
    };
    Some((kind, vmid.parse().ok()?))
}

fn groups(body: &[u8]) -> Result<Count, DecodeError> {
    let mut rows = 0;
    let damaged = api::ha_groups::decode(body, |row| rows += u64::from(!row.group.is_empty()))?;
    Ok(Count { rows, damaged })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_rules_and_constructed_ones() {
        let count = |body: &[u8]| rules(body, &mut Bound::new());
        let none = count(include_bytes!("../../tests/fixtures/pve-9.2/cluster__ha__rules.json"));
        assert_eq!(none.unwrap(), Count::default());
        let one = count(include_bytes!("../../tests/fixtures/pve-9/cluster__ha__rules.json"));
        assert_eq!(one.unwrap(), Count { rows: 1, damaged: 0 });
        let body = br#"{"data":[{"rule":"a","type":"node-affinity"},7,{"rule":"b","disable":1},{}]}"#;
        assert_eq!(count(body).unwrap(), Count { rows: 2, damaged: 1 });
    }

    #[test]
    fn only_strict_rules_in_force_bind_guests() {
        let body = br#"{"data":[
            {"rule":"a","type":"node-affinity","strict":1,"nodes":"pve1:2,pve2","resources":"vm:100, ct:200,sv:1,vm:x"},
            {"rule":"b","type":"node-affinity","strict":0,"nodes":"pve1","resources":"vm:101"},
            {"rule":"c","type":"node-affinity","strict":"1","disable":"1","nodes":"pve1","resources":"vm:102"},
            {"rule":"d","type":"resource-affinity","affinity":"negative","resources":"vm:103"}]}"#;
        let mut bound = Bound::new();
        rules(body, &mut bound).unwrap();
        assert_eq!(bound.len(), 2);
        for guest in [(GuestKind::Qemu, 100), (GuestKind::Lxc, 200)] {
            assert_eq!(*bound[&guest], ["pve1".into(), "pve2".into()]);
        }
    }

    #[test]
    fn constructed_groups() {
        let body = include_bytes!("../../tests/fixtures/pve-8/cluster__ha__groups.json");
        assert_eq!(groups(body).unwrap(), Count { rows: 2, damaged: 0 });
    }
}
