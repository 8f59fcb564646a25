//! `network-get-interfaces`.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;

use super::{MOST_ROWS, rows};
use crate::pve::api::agent::text::clean;
use crate::pve::error::DecodeError;
use crate::pve::perl;

/// A network interface of the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// `name`, such as `eth0` or `Ethernet 2`.
    pub name: Box<str>,
    /// `ip-addresses`; those that are none are left out.
    pub addresses: Vec<Address>,
    /// `statistics`; all absent where the agent has none, as on BSD.
    pub counters: Counters,
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// `ip-address`, without a zone.
    pub address: IpAddr,
    /// `prefix`: the bits of its network.
    pub prefix: Option<u8>,
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.address)?;
        self.prefix.map_or(Ok(()), |prefix| write!(formatter, "/{prefix}"))
    }
}

/// The counters of an interface since the guest booted, as large as 64 bits let them be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// `rx-bytes`.
    #[serde(rename = "rx-bytes", deserialize_with = "perl::whole")]
    pub receive_bytes: Option<u64>,
    /// `rx-packets`.
    #[serde(rename = "rx-packets", deserialize_with = "perl::whole")]
    pub receive_packets: Option<u64>,
    /// `rx-errs`.
    #[serde(rename = "rx-errs", deserialize_with = "perl::whole")]
    pub receive_errors: Option<u64>,
    /// `rx-dropped`.
    #[serde(rename = "rx-dropped", deserialize_with = "perl::whole")]
    pub receive_drops: Option<u64>,
    /// `tx-bytes`.
    #[serde(rename = "tx-bytes", deserialize_with = "perl::whole")]
    pub transmit_bytes: Option<u64>,
    /// `tx-packets`.
    #[serde(rename = "tx-packets", deserialize_with = "perl::whole")]
    pub transmit_packets: Option<u64>,
    /// `tx-errs`.
    #[serde(rename = "tx-errs", deserialize_with = "perl::whole")]
    pub transmit_errors: Option<u64>,
    /// `tx-dropped`.
    #[serde(rename = "tx-dropped", deserialize_with = "perl::whole")]
    pub transmit_drops: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct Row<'a> {
    #[serde(borrow, deserialize_with = "perl::text")]
    name: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "perl::rows")]
    ip_addresses: Vec<Option<AddressRow<'a>>>,
    #[serde(deserialize_with = "perl::object")]
    statistics: Counters,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct AddressRow<'a> {
    #[serde(borrow, deserialize_with = "perl::text")]
    ip_address: Cow<'a, str>,
    #[serde(deserialize_with = "perl::whole")]
    prefix: Option<u64>,
}

impl AddressRow<'_> {
    fn address(&self) -> Option<Address> {
        let address: IpAddr = self.ip_address.split('%').next()?.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = self.prefix.and_then(|prefix| u8::try_from(prefix).ok());
        Some(Address {
            address,
            prefix: prefix.filter(|prefix| *prefix <= longest),
        })
    }
}

pub(super) fn read(result: &str) -> Result<Vec<Interface>, DecodeError> {
    let mut interfaces = Vec::new();
    rows(result, |row: Row<'_>| {
        if interfaces.len() < MOST_ROWS {
            let addresses = row.ip_addresses.iter().flatten();
            interfaces.push(Interface {
                name: clean(&row.name),
                addresses: addresses.filter_map(AddressRow::address).collect(),
                counters: row.statistics,
            });
        }
    })?;
    Ok(interfaces)
}
