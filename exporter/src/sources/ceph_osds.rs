//! `/nodes/{node}/ceph/osd`: the OSDs of Ceph and the flags that are set.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::api::ceph_osds::Item;
use crate::pve::client::Client;
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::ceph::Ceph;
use crate::sources::plain_name::is_plain;
use crate::subjects::ceph::CephFlag;
use crate::subjects::ceph_osd::CephOsd;

/// The most OSDs, and the most flags, that are reported on.
const MOST_OSDS: usize = 4096;
const MOST_FLAGS: usize = 64;

/// What PVE sends as the size of an OSD that has not told its own.
const NO_SIZE: u64 = 1024;

const PATH: &str = "ceph/osd";

/// The OSDs, as subjects; nothing where there is no Ceph.
#[derive(Debug, Default)]
pub struct CephOsds {
    /// By number.
    pub osds: Arc<[CephOsd]>,
    /// The flags that are set, by name.
    pub flags: Arc<[CephFlag]>,
    /// Parts that could not be read.
    pub damaged_rows: u64,
}

/// Reads them at one of `nodes`.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, nodes: &[Arc<str>], ceph: &Ceph) -> Result<CephOsds, ApiError> {
    let Some(answer) = ceph.get(client, nodes, PATH).await? else {
        return Ok(CephOsds::default());
    };
    answer.decode(PATH, |body| convert(body, cluster))
}

fn convert(body: &[u8], cluster: &str) -> Result<CephOsds, DecodeError> {
    let wire = api::ceph_osds::decode(body)?;
    let mut found = Found {
        cluster,
        osds: BTreeMap::new(),
        damaged: 0,
    };
    found.walk(&wire.root);
    let flags: BTreeSet<&str> = wire
        .flags
        .split(',')
        .map(str::trim)
        .filter(|flag| is_plain(flag))
        .collect();
    let flag = |flag: &str| CephFlag {
        identity: Identity::new(&[("pve_cluster", cluster), ("flag", flag)]),
    };
    Ok(CephOsds {
        osds: found.osds.into_values().collect(),
        flags: flags.into_iter().take(MOST_FLAGS).map(flag).collect(),
        damaged_rows: found.damaged,
    })
}

/// The leaves of the tree; one that stands in several trees counts once.
struct Found<'c> {
    cluster: &'c str,
    osds: BTreeMap<u64, CephOsd>,
    damaged: u64,
}

impl Found<'_> {
    fn walk(&mut self, item: &Item<'_>) {
        for child in &item.children {
            match child {
                Some(child) if child.kind == "osd" => self.add(child),
                Some(child) => self.walk(child),
                None => self.damaged += 1,
            }
        }
    }

    fn add(&mut self, item: &Item<'_>) {
        let Some(id) = item.id else {
            self.damaged += 1;
            return;
        };
        if self.osds.len() < MOST_OSDS || self.osds.contains_key(&id) {
            self.osds.insert(id, osd(item, id, self.cluster));
        }
    }
}

fn osd(item: &Item<'_>, id: u64, cluster: &str) -> CephOsd {
    let node = if is_plain(&item.host) { &*item.host } else { "" };
    let up = match &*item.status {
        "up" => Some(true),
        "" => None,
        _ => Some(false),
    };
    let size = item.total_space.filter(|size| *size > NO_SIZE);
    // What an OSD that is down told last is not its latency any more.
    let seconds = |milliseconds: Option<f64>| {
        let known = milliseconds.filter(|milliseconds| up == Some(true) && *milliseconds >= 0.0);
        known.map(|milliseconds| milliseconds / 1000.0)
    };
    CephOsd {
        identity: Identity::new(&[("pve_cluster", cluster), ("osd", &format!("osd.{id}")), ("node", node)]),
        up,
        is_in: item.is_in,
        size,
        usage: item.bytes_used.filter(|_| size.is_some()),
        commit_latency: seconds(item.commit_latency_ms),
        apply_latency: seconds(item.apply_latency_ms),
        placement_groups: item.pgs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> CephOsds {
        convert(body, "main").unwrap()
    }

    fn labels(identity: &Identity) -> &str {
        str::from_utf8(identity.pairs()).unwrap()
    }

    #[test]
    fn constructed_osds() {
        let osds = read(include_bytes!("../../tests/fixtures/pve-9/nodes__pve1__ceph__osd.json"));
        let [first, down, third] = &*osds.osds else {
            panic!("{osds:?}")
        };
        assert_eq!(labels(&first.identity), r#"pve_cluster="main",osd="osd.0",node="pve1""#);
        assert_eq!((first.up, first.is_in), (Some(true), Some(true)));
        assert_eq!(
            (first.size, first.usage),
            (Some(1_000_203_091_968), Some(255_761_315_020))
        );
        assert_eq!((first.commit_latency, first.apply_latency), (Some(0.002), Some(0.002)));
        assert_eq!(first.placement_groups, Some(65));
        assert_eq!((down.up, down.is_in), (Some(false), Some(false)));
        assert_eq!(
            (down.size, down.usage),
            (None, None),
            "it has told nothing: PVE makes 1024 of that"
        );
        assert_eq!((down.commit_latency, down.placement_groups), (None, Some(0)));
        assert_eq!(labels(&third.identity), r#"pve_cluster="main",osd="osd.2",node="pve2""#);
        let flags: Vec<_> = osds.flags.iter().map(|flag| labels(&flag.identity)).collect();
        assert_eq!(
            flags,
            ["noout", "purged_snapdirs", "recovery_deletes", "sortbitwise"]
                .map(|flag| format!(r#"pve_cluster="main",flag="{flag}""#))
        );
        assert_eq!(osds.damaged_rows, 0);
    }

    #[test]
    fn what_is_damaged_costs_only_itself() {
        let osds = read(
            br#"{"data":{"flags":"noout,a b,,pausewr","root":{"children":[7,{"type":"root","id":-1,"children":[
                {"type":"osd","id":"10","host":"a\"b","status":"up","in":"1","commit_latency_ms":-1},{"type":"osd","id":{}},
                {"type":"osd","id":9,"status":"destroyed","in":{},"total_space":{},"bytes_used":7}]},
                {"type":"root","id":-9,"children":[{"type":"osd","id":9,"status":"up"}]}]}}}"#,
        );
        let known: Vec<_> = osds
            .osds
            .iter()
            .map(|osd| (labels(&osd.identity), osd.up, osd.is_in))
            .collect();
        assert_eq!(
            known,
            [
                (r#"pve_cluster="main",osd="osd.9""#, Some(true), None),
                (r#"pve_cluster="main",osd="osd.10""#, Some(true), Some(true))
            ]
        );
        assert_eq!((osds.osds[0].usage, osds.osds[1].commit_latency), (None, None));
        assert_eq!((osds.flags.len(), osds.damaged_rows), (2, 2));
        let none = read(br#"{"data":{"root":[]}}"#);
        assert_eq!((none.osds.len(), none.flags.len()), (0, 0));
    }
}
