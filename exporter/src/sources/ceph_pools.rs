//! `/nodes/{node}/ceph/pool`: the pools of Ceph.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::client::Client;
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::ceph::Ceph;
use crate::sources::plain_name::is_plain;
use crate::subjects::ceph_pool::CephPool;

/// The most pools that are reported on.
const MOST_POOLS: usize = 512;

const PATH: &str = "ceph/pool";

/// The pools, as subjects; none where there is no Ceph.
#[derive(Debug, Default)]
pub struct CephPools {
    /// By name.
    pub pools: Arc<[CephPool]>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads them at one of `nodes`.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, nodes: &[Arc<str>], ceph: &Ceph) -> Result<CephPools, ApiError> {
    let Some(answer) = ceph.get(client, nodes, PATH).await? else {
        return Ok(CephPools::default());
    };
    answer.decode(PATH, |body| convert(body, cluster))
}

fn convert(body: &[u8], cluster: &str) -> Result<CephPools, DecodeError> {
    let mut pools = BTreeMap::new();
    let mut unusable = 0;
    let damaged = api::ceph_pools::decode(body, |row| {
        if !is_plain(&row.pool_name) {
            unusable += 1;
        } else if pools.len() < MOST_POOLS {
            let pool = CephPool {
                identity: Identity::new(&[("pve_cluster", cluster), ("pool", &row.pool_name)]),
                usage: row.bytes_used,
                usage_ratio: row.percent_used.filter(|ratio| (0.0..=1.0).contains(ratio)),
                size: row.size,
                min_size: row.min_size,
                placement_groups: row.pg_num,
            };
            pools.insert(row.pool_name.into_owned(), pool);
        }
    })?;
    Ok(CephPools {
        pools: pools.into_values().collect(),
        damaged_rows: damaged + unusable,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> CephPools {
        convert(body, "main").unwrap()
    }

    #[test]
    fn constructed_pools() {
        let pools = read(include_bytes!(
            "../../tests/fixtures/pve-9/nodes__pve1__ceph__pool.json"
        ));
        let [manager, vms] = &*pools.pools else {
            panic!("{pools:?}")
        };
        assert_eq!(
            str::from_utf8(manager.identity.pairs()),
            Ok(r#"pve_cluster="main",pool=".mgr""#)
        );
        assert_eq!((vms.usage, vms.usage_ratio), (Some(1_534_000_000_000), Some(0.266_2)));
        assert_eq!(
            (vms.size, vms.min_size, vms.placement_groups),
            (Some(3), Some(2), Some(128))
        );
    }

    #[test]
    fn a_damaged_row_costs_only_itself() {
        let pools = read(
            br#"{"data":[{"pool_name":"b","size":"3","percent_used":26.6},"x",{"size":3},{"pool_name":"a","bytes_used":{},"pg_num":1},
                {"pool_name":"a b"}]}"#,
        );
        let known: Vec<_> = pools
            .pools
            .iter()
            .map(|pool| (pool.size, pool.usage_ratio, pool.usage, pool.placement_groups))
            .collect();
        assert_eq!(known, [(None, None, None, Some(1)), (Some(3), None, None, None)]);
        assert_eq!(pools.damaged_rows, 3);
    }
}
