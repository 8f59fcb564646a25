//! `/nodes/{node}/disks/zfs/{pool}`: the errors of each pool of a node, and its scrubs.

use std::sync::Arc;

use crate::pve::api;
use crate::pve::api::node_zfs_pool::Vdev;
use crate::pve::client::Client;
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::tool::Tool;
use crate::sources::zfs;
use crate::sources::zfs_scan::{self, Scan};
use crate::subjects::zfs_pool::ZfsPoolDetail;

/// The states of a disk that is as it should be: part of the pool, a spare in waiting, and one in use.
const HEALTHY: [&str; 3] = ["ONLINE", "AVAIL", "INUSE"];

/// The pools of one node in detail.
#[derive(Debug, Default)]
pub struct ZfsDetails {
    pools: Vec<Detail>,
    /// Pools that could not be read, and parts of others.
    pub damaged_rows: u64,
}

#[derive(Debug)]
struct Detail {
    row: ZfsPoolDetail,
    /// When it was last scrubbed, in the node's local time.
    scrubbed: Option<i64>,
}

impl ZfsDetails {
    /// The subjects. `utc_offset` is how many seconds the node's local time is ahead of UTC; without it nobody can tell when a
    /// pool was scrubbed.
    pub fn rows(&self, utc_offset: Option<i64>) -> impl Iterator<Item = ZfsPoolDetail> {
        self.pools.iter().map(move |pool| {
            let seconds = pool.scrubbed.zip(utc_offset).map(|(local, offset)| local - offset);
            ZfsPoolDetail {
                scrub_timestamp: seconds.and_then(|seconds| seconds.try_into().ok()),
                ..pool.row.clone()
            }
        })
    }
}

/// Reads the pools of `node` one after the other. One that PVE cannot tell about costs only itself, unless no
/// other is left.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, node: &Arc<str>, zpool: &Tool) -> Result<ZfsDetails, ApiError> {
    let mut details = ZfsDetails::default();
    let mut failure = None;
    for pool in zfs::names(client, node, zpool).await? {
        if !is_admitted(&pool) {
            continue;
        }
        let path = format!("disks/zfs/{pool}");
        let answer = match zpool.get(client, node, &path).await {
            Ok(Some(answer)) => answer,
            Ok(None) => break,
            Err(error @ ApiError::Status { status: ..=500, .. }) => {
                details.damaged_rows += 1;
                failure = Some(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let (detail, damaged) = answer.decode(&format!("/nodes/{node}/{path}"), |body| {
            convert(body, cluster, node, &pool)
        })?;
        details.pools.push(detail);
        details.damaged_rows += damaged;
    }
    match failure {
        Some(error) if details.pools.is_empty() => Err(error),
        _ => Ok(details),
    }
}

/// Whether PVE takes the name as the last part of the path: it wants one that could be a storage's.
fn is_admitted(pool: &str) -> bool {
    let bytes = pool.as_bytes();
    bytes.len() >= 2
        && bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && !pool.contains([':', '+'])
}

fn convert(body: &[u8], cluster: &str, node: &str, pool: &str) -> Result<(Detail, u64), DecodeError> {
    let wire = api::node_zfs_pool::decode(body)?;
    let mut sums = Sums::default();
    for vdev in &wire.children {
        sums.add(vdev.as_ref());
    }
    let scan = zfs_scan::parse(&wire.scan);
    let row = ZfsPoolDetail {
        identity: zfs::identity(cluster, node, pool),
        read_errors: sums.read,
        write_errors: sums.write,
        checksum_errors: sums.checksum,
        data_errors: data_errors(&wire.errors),
        // Without any disk the tree could not be read.
        unhealthy_vdevs: (sums.disks > 0).then_some(sums.unhealthy),
        scrub_timestamp: None,
        scrub_errors: scan.and_then(|scan| scan.scrub_errors),
        is_scrubbing: scan.map(|scan: Scan| scan.is_scrubbing),
        is_resilvering: scan.map(|scan: Scan| scan.is_resilvering),
    };
    let scrubbed = scan.and_then(|scan| scan.scrubbed);
    Ok((Detail { row, scrubbed }, sums.damaged))
}

/// What the disks of a pool sum up to.
#[derive(Default)]
struct Sums {
    read: Option<f64>,
    write: Option<f64>,
    checksum: Option<f64>,
    disks: u64,
    unhealthy: u64,
    damaged: u64,
}

impl Sums {
    fn add(&mut self, vdev: Option<&Vdev<'_>>) {
        let Some(vdev) = vdev else {
            self.damaged += 1;
            return;
        };
        for child in &vdev.children {
            self.add(child.as_ref());
        }
        // A section without devices has no state.
        if !vdev.children.is_empty() || vdev.state.is_empty() {
            return;
        }
        self.disks += 1;
        self.unhealthy += u64::from(!HEALTHY.contains(&&*vdev.state));
        for (sum, errors) in [
            (&mut self.read, vdev.read),
            (&mut self.write, vdev.write),
            (&mut self.checksum, vdev.cksum),
        ] {
            if let Some(errors) = errors.filter(|errors| *errors >= 0.0) {
                *sum = Some(sum.unwrap_or_default() + errors);
            }
        }
    }
}

/// The damaged files and other data: `No known data errors`, or `3 data errors, use '-v' for a list`.
fn data_errors(sentence: &str) -> Option<u64> {
    if sentence.starts_with("No known data errors") {
        return Some(0);
    }
    let (number, rest) = sentence.split_once(' ')?;
    number.parse().ok().filter(|_| rest.starts_with("data error"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> ZfsDetails {
        let (detail, damaged_rows) = convert(body, "main", "pve1", "rpool").unwrap();
        ZfsDetails {
            pools: vec![detail],
            damaged_rows,
        }
    }

    fn only(details: &ZfsDetails, utc_offset: Option<i64>) -> ZfsPoolDetail {
        details.rows(utc_offset).next().unwrap()
    }

    #[test]
    fn constructed_detail() {
        let details = read(include_bytes!(
            "../../tests/fixtures/pve-9/nodes__pve1__disks__zfs__rpool.json"
        ));
        let pool = only(&details, Some(7200));
        assert_eq!(
            str::from_utf8(pool.identity.pairs()),
            Ok(r#"pve_cluster="main",node="pve1",pool="rpool""#)
        );
        assert_eq!(
            (pool.read_errors, pool.write_errors, pool.checksum_errors),
            (Some(3.0), Some(1.0), Some(0.0))
        );
        assert_eq!((pool.data_errors, pool.unhealthy_vdevs), (Some(0), Some(1)));
        assert_eq!(
            (pool.scrub_errors, pool.is_scrubbing, pool.is_resilvering),
            (Some(0), Some(false), Some(false))
        );
        assert_eq!(pool.scrub_timestamp, Some(1_786_235_795 - 7200));
        assert_eq!(only(&details, None).scrub_timestamp, None, "nobody knows which zone");
        assert_eq!(only(&details, Some(-3600)).scrub_timestamp, Some(1_786_235_795 + 3600));
        assert_eq!(details.damaged_rows, 0);
    }

    #[test]
    fn logs_caches_and_spares_are_not_mistaken() {
        let details = read(
            br#"{"data":{"scan":"none requested","errors":"3 data errors, use '-v' for a list","children":[
                {"name":"rpool","state":"DEGRADED","read":9,"write":9,"cksum":9,"children":[
                    {"name":"raidz1-0","state":"DEGRADED","read":5,"write":5,"cksum":5,"children":[
                        {"name":"sda","state":"ONLINE","read":1.2,"write":0,"cksum":"4"},
                        {"name":"spare-1","state":"DEGRADED","read":7,"children":[
                            {"name":"sdb","state":"FAULTED","read":2,"write":-1,"cksum":{}},
                            {"name":"sdx","state":"ONLINE","read":0,"write":0,"cksum":0}]}]}]},
                {"name":"logs","msg":"","children":[{"name":"nvme","state":"OFFLINE","read":0,"write":0,"cksum":0}]},
                {"name":"cache","msg":""},
                {"name":"spares","children":[{"name":"sdx","state":"INUSE"},{"name":"sdy","state":"AVAIL"},{"name":"sdz","state":"UNAVAIL"}]}]}}"#,
        );
        let pool = only(&details, Some(0));
        assert_eq!(
            (pool.read_errors, pool.write_errors, pool.checksum_errors),
            (Some(3.2), Some(0.0), Some(4.0))
        );
        assert_eq!((pool.unhealthy_vdevs, pool.data_errors), (Some(3), Some(3)));
        assert_eq!((pool.scrub_timestamp, pool.is_scrubbing), (None, Some(false)));
    }

    #[test]
    fn what_is_damaged_costs_only_itself() {
        let details = read(
            br#"{"data":{"scan":[1],"errors":"Undeterminable","children":[7,{"state":"ONLINE","children":[null,
                {"state":"ONLINE","read":1},{"state":{},"read":5}]}]}}"#,
        );
        let pool = only(&details, Some(0));
        assert_eq!(
            (pool.read_errors, pool.write_errors, pool.unhealthy_vdevs),
            (Some(1.0), None, Some(0))
        );
        assert_eq!(
            (pool.data_errors, pool.is_scrubbing, pool.scrub_errors),
            (None, None, None)
        );
        assert_eq!(details.damaged_rows, 2);
        let pool = only(&read(br#"{"data":{}}"#), Some(0));
        assert_eq!((pool.read_errors, pool.unhealthy_vdevs), (None, None));
        assert!(convert(br#"{"data":null}"#, "main", "pve1", "rpool").is_err());
    }

    #[test]
    fn only_names_that_pve_admits_are_asked_for() {
        assert!(is_admitted("rpool") && is_admitted("a-b_c.d2"));
        for name in ["t", "9a", "a:b", "a-", "_ab", ""] {
            assert!(!is_admitted(name), "{name}");
        }
    }
}
