//! `GET /cluster/resources`: every guest, node, storage, pool and network in one list.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One row. Which fields a row has depends on its `type` and on whether PVE holds a sample younger than five minutes.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `id`: `qemu/100`, `lxc/200`, `node/pve1`, `storage/pve1/local`, `/pool/prod`, `network/pve1/zone/localnetwork`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub id: Cow<'a, str>,
    /// `type`: `qemu`, `lxc`, `node`, `storage`, `pool`, `sdn` (to 9.0) or `network` (from 9.1).
    #[serde(rename = "type", borrow, deserialize_with = "perl::text")]
    pub kind: Cow<'a, str>,
    /// `node` that holds it.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub node: Cow<'a, str>,
    /// `status`: of a guest its run state, of a node `online` or `offline`, of a storage `available` or `unknown`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub status: Cow<'a, str>,
    /// `name` of a guest.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub name: Cow<'a, str>,
    /// `template`: the guest is one.
    #[serde(deserialize_with = "perl::truth")]
    pub template: Option<bool>,
    /// `tags` of a guest, separated by `;`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub tags: Cow<'a, str>,
    /// `pool` of a guest, or the name of a pool row.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub pool: Cow<'a, str>,
    /// `lock` of a guest.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub lock: Cow<'a, str>,
    /// `hastate` of a guest or node, where HA is used.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub hastate: Cow<'a, str>,
    /// `level`: the node's subscription level; empty without one.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub level: Cow<'a, str>,
    /// `cgroup-mode` of a node.
    #[serde(rename = "cgroup-mode", deserialize_with = "perl::whole")]
    pub cgroup_mode: Option<u64>,
    /// `uptime` in seconds.
    #[serde(deserialize_with = "perl::whole")]
    pub uptime: Option<u64>,
    /// `cpu`: share of `maxcpu` in use.
    #[serde(deserialize_with = "perl::float")]
    pub cpu: Option<f64>,
    /// `maxcpu`: CPUs.
    #[serde(deserialize_with = "perl::float")]
    pub maxcpu: Option<f64>,
    /// `mem` in bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub mem: Option<u64>,
    /// `maxmem` in bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub maxmem: Option<u64>,
    /// `memhost` in bytes: what the guest takes from its host (9.0 and later).
    #[serde(deserialize_with = "perl::whole")]
    pub memhost: Option<u64>,
    /// `disk` in bytes; always 0 for QEMU.
    #[serde(deserialize_with = "perl::whole")]
    pub disk: Option<u64>,
    /// `maxdisk` in bytes.
    #[serde(deserialize_with = "perl::whole")]
    pub maxdisk: Option<u64>,
    /// `netin` in bytes since the guest started.
    #[serde(deserialize_with = "perl::whole")]
    pub netin: Option<u64>,
    /// `netout` in bytes since the guest started.
    #[serde(deserialize_with = "perl::whole")]
    pub netout: Option<u64>,
    /// `diskread` in bytes since the guest started.
    #[serde(deserialize_with = "perl::whole")]
    pub diskread: Option<u64>,
    /// `diskwrite` in bytes since the guest started.
    #[serde(deserialize_with = "perl::whole")]
    pub diskwrite: Option<u64>,
    /// `storage`: the storage's name.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub storage: Cow<'a, str>,
    /// `plugintype` of a storage.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub plugintype: Cow<'a, str>,
    /// `content` of a storage, separated by commas, in no fixed order.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub content: Cow<'a, str>,
    /// `shared`: the storage is the same one on every node.
    #[serde(deserialize_with = "perl::truth")]
    pub shared: Option<bool>,
    /// `network` (9.1 and later): the zone's or fabric's name.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub network: Cow<'a, str>,
    /// `network-type`: `zone` or `fabric`.
    #[serde(rename = "network-type", borrow, deserialize_with = "perl::text")]
    pub network_type: Cow<'a, str>,
    /// `zone-type` of a zone, such as `vxlan`.
    #[serde(rename = "zone-type", borrow, deserialize_with = "perl::text")]
    pub zone_type: Cow<'a, str>,
    /// `protocol` of a fabric, such as `openfabric`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub protocol: Cow<'a, str>,
    /// `sdn` (to 9.0): the zone's name.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub sdn: Cow<'a, str>,
}

/// Gives each row to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
