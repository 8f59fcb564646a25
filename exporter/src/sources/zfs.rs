//! `/nodes/{node}/disks/zfs`: the pools of a node, their health and how full they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::api::node_zfs::Row;
use crate::pve::client::Client;
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::plain_name::is_plain;
use crate::sources::tool::Tool;
use crate::subjects::ha::fold;
use crate::subjects::zfs_pool::{HEALTH, ZfsPool};

/// The most pools of one node that are reported on.
const MOST_POOLS: usize = 64;

const PATH: &str = "disks/zfs";

/// The pools of one node, as subjects.
#[derive(Debug, Default)]
pub struct ZfsPools {
    /// By name; none where ZFS is not installed.
    pub pools: Vec<ZfsPool>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Whether PVE says that a node has no ZFS.
#[must_use]
pub fn is_absent(problem: &str) -> bool {
    problem.contains("zfsutils-linux not installed")
}

/// Reads them.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, node: &Arc<str>, zpool: &Tool) -> Result<ZfsPools, ApiError> {
    let Some(answer) = zpool.get(client, node, PATH).await? else {
        return Ok(ZfsPools::default());
    };
    answer.decode(&format!("/nodes/{node}/{PATH}"), |body| convert(body, cluster, node))
}

/// The names of the pools of a node; none where ZFS is not installed.
pub(super) async fn names(client: &Client, node: &Arc<str>, zpool: &Tool) -> Result<Vec<Arc<str>>, ApiError> {
    let pools = fetch(client, "", node, zpool).await?.pools;
    Ok(pools.into_iter().map(|pool| pool.name).collect())
}

pub(super) fn identity(cluster: &str, node: &str, pool: &str) -> Identity {
    Identity::new(&[("pve_cluster", cluster), ("node", node), ("pool", pool)])
}

fn convert(body: &[u8], cluster: &str, node: &str) -> Result<ZfsPools, DecodeError> {
    let mut pools = BTreeMap::new();
    let mut unusable = 0;
    let damaged = api::node_zfs::decode(body, |row| {
        // PVE cuts the line at each blank: in that of a pool whose name has one, every column is the one before.
        let is_shifted = !row.health.bytes().all(|byte| byte.is_ascii_alphabetic());
        if is_shifted || !is_plain(&row.name) {
            unusable += 1;
        } else if pools.len() < MOST_POOLS {
            pools.insert(row.name.clone().into_owned(), pool(&row, cluster, node));
        }
    })?;
    Ok(ZfsPools {
        pools: pools.into_values().collect(),
        damaged_rows: damaged + unusable,
    })
}

fn pool(row: &Row<'_>, cluster: &str, node: &str) -> ZfsPool {
    // A pool that cannot be opened has no figures, of which PVE makes zeros.
    let size = row.size.filter(|size| *size > 0);
    let known = size.is_some();
    ZfsPool {
        identity: identity(cluster, node, &row.name),
        name: row.name.as_ref().into(),
        health: fold(&row.health.to_ascii_lowercase(), HEALTH),
        size,
        allocated: row.alloc.filter(|_| known),
        free: row.free.filter(|_| known),
        fragmentation: row
            .frag
            .filter(|percent| known && (0.0..=100.0).contains(percent))
            .map(|percent| percent / 100.0),
        deduplication: row.dedup.filter(|ratio| known && *ratio >= 1.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> ZfsPools {
        convert(body, "main", "pve1").unwrap()
    }

    #[test]
    fn constructed_pools() {
        let pools = read(include_bytes!(
            "../../tests/fixtures/pve-9/nodes__pve1__disks__zfs.json"
        ));
        let [pool] = &*pools.pools else { panic!("{pools:?}") };
        assert_eq!(
            str::from_utf8(pool.identity.pairs()),
            Ok(r#"pve_cluster="main",node="pve1",pool="rpool""#)
        );
        assert_eq!(pool.health, Some("degraded"));
        assert_eq!(
            (pool.size, pool.allocated, pool.free),
            (Some(996_432_412_672), Some(312_345_678_848), Some(684_086_733_824))
        );
        assert_eq!((pool.fragmentation, pool.deduplication), (Some(0.12), Some(1.0)));
        assert_eq!(pools.damaged_rows, 0);
    }

    #[test]
    fn a_pool_that_cannot_be_opened_has_a_health_and_nothing_else() {
        let pools = read(
            br#"{"data":[{"name":"tank","size":0,"alloc":0,"free":0,"frag":0,"dedup":0,"health":"UNAVAIL"},
                {"name":"old","size":"10","alloc":"0","free":"10","frag":"250","dedup":"0.5","health":"SUSPENDED"}]}"#,
        );
        let [old, tank] = &*pools.pools else {
            panic!("{pools:?}")
        };
        assert_eq!(tank.health, Some("unavail"));
        assert_eq!((tank.size, tank.allocated, tank.free), (None, None, None));
        assert_eq!((tank.fragmentation, tank.deduplication), (None, None));
        assert_eq!((old.health, old.allocated), (Some("suspended"), Some(0)));
        assert_eq!((old.fragmentation, old.deduplication), (None, None));
    }

    #[test]
    fn a_damaged_row_costs_only_itself() {
        let pools = read(
            br#"{"data":["x",{"name":"my","size":0,"alloc":10,"health":"1.00"},{"name":"a\"b","health":"ONLINE"},
                {"name":"b","size":{},"alloc":5,"health":"HEALING"},{"name":"a","health":[1]}]}"#,
        );
        let known: Vec<_> = pools.pools.iter().map(|pool| (&*pool.name, pool.health)).collect();
        assert_eq!(known, [("a", None), ("b", Some("other"))]);
        assert_eq!(pools.damaged_rows, 3);
    }

    #[test]
    fn there_are_only_so_many_pools() {
        let rows: Vec<_> = (0..100)
            .map(|n| format!(r#"{{"name":"p{n}","health":"ONLINE"}}"#))
            .collect();
        let pools = read(format!(r#"{{"data":[{}]}}"#, rows.join(",")).as_bytes());
        assert_eq!(pools.pools.len(), MOST_POOLS);
    }

    #[test]
    fn the_recorded_refusal_means_that_there_is_no_zfs() {
        assert!(is_absent("zfsutils-linux not installed\n"));
        assert!(!is_absent("command '/sbin/zpool list' failed: exit code 1"));
    }
}
