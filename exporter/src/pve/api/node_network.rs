//! `GET /nodes/{node}/network`: the network interfaces of one node, configured or physical.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One interface. Bridges that the token may not see are left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `iface`: its name.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub iface: Cow<'a, str>,
    /// `type`: `eth`, `bridge`, `bond`, `vlan`, `alias`, `OVSBridge` and so on.
    #[serde(rename = "type", borrow, deserialize_with = "perl::text")]
    pub kind: Cow<'a, str>,
    /// `active`: it is up, with a cable or without; left out when it is not.
    #[serde(default = "left_out", deserialize_with = "perl::truth")]
    pub active: Option<bool>,
    /// `altnames`: a list of its other names. PVE looks for what is up by the kernel's name alone, which may be one of these.
    pub altnames: Value,
    /// `autostart`: it is brought up at boot.
    #[serde(default = "left_out", deserialize_with = "perl::truth")]
    pub autostart: Option<bool>,
    /// `bridge_ports` of a bridge, separated by spaces.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub bridge_ports: Cow<'a, str>,
    /// `ovs_ports` of an OVS bridge, likewise.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub ovs_ports: Cow<'a, str>,
    /// `slaves` of a bond, likewise.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub slaves: Cow<'a, str>,
    /// `ovs_bonds` of an OVS bond, likewise.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub ovs_bonds: Cow<'a, str>,
    /// `bond_mode` of a bond, such as `802.3ad`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub bond_mode: Cow<'a, str>,
    /// `vlan-raw-device` of a VLAN.
    #[serde(rename = "vlan-raw-device", borrow, deserialize_with = "perl::text")]
    pub vlan_raw_device: Cow<'a, str>,
}

fn left_out() -> Option<bool> {
    Some(false)
}

/// Gives each interface to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
