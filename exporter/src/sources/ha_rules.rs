//! `/cluster/ha/rules`, or before PVE 9 `/cluster/ha/groups`: how many there are.

use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::subjects::ha;

/// The answer, as subject.
#[derive(Debug)]
pub struct HaRules {
    /// Of the cluster: one row.
    pub rows: Arc<[ha::HaRules]>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

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
    let (rules, groups) = match count(client, "/cluster/ha/rules", rules).await {
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
        damaged_rows: rules.or(groups).unwrap_or_default().damaged,
    })
}

async fn count(
    client: &Client,
    path: &str,
    decode: fn(&[u8]) -> Result<Count, DecodeError>,
) -> Result<Count, ApiError> {
    client.get(&Request::entry(path)).await?.decode(path, decode)
}

fn rules(body: &[u8]) -> Result<Count, DecodeError> {
    let mut rows = 0;
    let damaged = api::ha_rules::decode(body, |row| rows += u64::from(!row.rule.is_empty()))?;
    Ok(Count { rows, damaged })
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
        let none = rules(include_bytes!("../../tests/fixtures/pve-9.2/cluster__ha__rules.json"));
        assert_eq!(none.unwrap(), Count::default());
        let one = rules(include_bytes!("../../tests/fixtures/pve-9/cluster__ha__rules.json"));
        assert_eq!(one.unwrap(), Count { rows: 1, damaged: 0 });
        let body = br#"{"data":[{"rule":"a","type":"node-affinity"},7,{"rule":"b","disable":1},{}]}"#;
        assert_eq!(rules(body).unwrap(), Count { rows: 2, damaged: 1 });
    }

    #[test]
    fn constructed_groups() {
        let body = include_bytes!("../../tests/fixtures/pve-8/cluster__ha__groups.json");
        assert_eq!(groups(body).unwrap(), Count { rows: 2, damaged: 0 });
    }
}
