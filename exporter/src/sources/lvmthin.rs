//! `/nodes/{node}/disks/lvmthin`: the thin pools of a node.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::api::node_lvmthin::Row;
use crate::pve::client::Client;
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::plain_name::is_plain;
use crate::sources::tool::Tool;
use crate::subjects::lvm::ThinPool;

/// The most thin pools of one node that are reported on.
const MOST_POOLS: usize = 256;

const PATH: &str = "disks/lvmthin";

/// The thin pools of one node, as subjects.
#[derive(Debug, Default)]
pub struct ThinPools {
    /// By volume group and name.
    pub pools: Vec<ThinPool>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads them.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, node: &Arc<str>, lvm: &Tool) -> Result<ThinPools, ApiError> {
    let Some(answer) = lvm.get(client, node, PATH).await? else {
        return Ok(ThinPools::default());
    };
    answer.decode(&format!("/nodes/{node}/{PATH}"), |body| convert(body, cluster, node))
}

fn convert(body: &[u8], cluster: &str, node: &str) -> Result<ThinPools, DecodeError> {
    let mut pools = BTreeMap::new();
    let mut unusable = 0;
    let damaged = api::node_lvmthin::decode(body, |row| {
        if !is_plain(&row.vg) || !is_plain(&row.lv) {
            unusable += 1;
        } else if pools.len() < MOST_POOLS {
            let name = (row.vg.clone().into_owned(), row.lv.clone().into_owned());
            pools.insert(name, pool(&row, cluster, node));
        }
    })?;
    Ok(ThinPools {
        pools: pools.into_values().collect(),
        damaged_rows: damaged + unusable,
    })
}

fn pool(row: &Row<'_>, cluster: &str, node: &str) -> ThinPool {
    // Of a pool that is not active the kernel knows nothing, and PVE makes 0 of that.
    let is_active = row.lv_state != "-";
    let metadata_size = row.metadata_size.filter(|size| *size > 0);
    ThinPool {
        identity: Identity::new(&[
            ("pve_cluster", cluster),
            ("node", node),
            ("vg", &row.vg),
            ("lv", &row.lv),
        ]),
        size: row.lv_size,
        usage: row.used.filter(|_| is_active),
        metadata_size,
        metadata_usage: row.metadata_used.filter(|_| is_active && metadata_size.is_some()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> ThinPools {
        convert(body, "main", "pve1").unwrap()
    }

    fn figures(pool: &ThinPool) -> [Option<u64>; 4] {
        [pool.size, pool.usage, pool.metadata_size, pool.metadata_usage]
    }

    #[test]
    fn recorded_nodes_have_none() {
        let pools = read(include_bytes!(
            "../../tests/fixtures/pve-9.2/nodes__pve1__disks__lvmthin.json"
        ));
        assert_eq!((pools.pools.len(), pools.damaged_rows), (0, 0));
    }

    #[test]
    fn constructed_pools() {
        let pools = read(include_bytes!(
            "../../tests/fixtures/pve-9/nodes__pve1__disks__lvmthin.json"
        ));
        let [pool] = &*pools.pools else { panic!("{pools:?}") };
        assert_eq!(
            str::from_utf8(pool.identity.pairs()),
            Ok(r#"pve_cluster="main",node="pve1",vg="pve",lv="data""#)
        );
        let known = [374_538_764_288, 123_456_789_012, 3_825_205_248, 112_345_678];
        assert_eq!(figures(pool), known.map(Some));
    }

    #[test]
    fn a_pool_that_is_not_active_is_not_an_empty_one() {
        let pools = read(
            br#"{"data":[{"vg":"a","lv":"idle","lv_state":"-","lv_size":9,"used":0,"metadata_size":4,"metadata_used":0},
                {"vg":"a","lv":"new","lv_state":"a","lv_size":"9","used":"0","metadata_size":0,"metadata_used":0}]}"#,
        );
        let known: Vec<_> = pools.pools.iter().map(figures).collect();
        assert_eq!(known, [[Some(9), None, Some(4), None], [Some(9), Some(0), None, None]]);
    }

    #[test]
    fn a_damaged_row_costs_only_itself() {
        let pools = read(
            br#"{"data":[{"vg":"a","lv":"b","used":{}},[],{"vg":"a"},{"lv":"x y","vg":"a"},{"vg":"a","lv":123}]}"#,
        );
        let names: Vec<_> = pools
            .pools
            .iter()
            .map(|pool| str::from_utf8(pool.identity.pairs()).unwrap())
            .collect();
        assert_eq!(
            names,
            [
                r#"pve_cluster="main",node="pve1",vg="a",lv="123""#,
                r#"pve_cluster="main",node="pve1",vg="a",lv="b""#
            ]
        );
        assert_eq!(pools.damaged_rows, 3);
    }
}
