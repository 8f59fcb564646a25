//! A network interface inside a guest, as its agent tells.

use std::net::IpAddr;

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// One interface. Its counters start again when the guest boots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestAgentInterface {
    /// `pve_cluster`, `id` and `interface`.
    pub identity: Identity,
    /// Bytes received.
    pub receive_bytes: Option<u64>,
    /// Packets received.
    pub receive_packets: Option<u64>,
    /// Errors while receiving.
    pub receive_errors: Option<u64>,
    /// Received packets that were dropped.
    pub receive_drops: Option<u64>,
    /// Bytes sent.
    pub transmit_bytes: Option<u64>,
    /// Packets sent.
    pub transmit_packets: Option<u64>,
    /// Errors while sending.
    pub transmit_errors: Option<u64>,
    /// Packets that were dropped instead of sent.
    pub transmit_drops: Option<u64>,
}

impl Subject for GuestAgentInterface {
    const NAME: &'static str = "guest agent interface";
    const ROWS: &'static str = "one per network interface inside a virtual machine whose agent tells its counters; at most 16 per guest; without loopback and the interfaces of containers and nested guests, such as veth, cali, docker, lxc and vnet";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "interface"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::counter(
            "pve_guest_agent_network_receive_bytes_total",
            Unit::Bytes,
            "Bytes received by the interface since the guest booted, as the guest counts; /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces statistics rx-bytes.",
            |interface| interface.receive_bytes.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_agent_network_receive_packets_total",
            Unit::None,
            "Packets received by the interface since the guest booted, as the guest counts; /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces statistics rx-packets.",
            |interface| interface.receive_packets.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_agent_network_receive_errors_total",
            Unit::None,
            "Errors of packets received by the interface since the guest booted, as the guest counts; /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces statistics rx-errs.",
            |interface| interface.receive_errors.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_agent_network_receive_drops_total",
            Unit::None,
            "Packets to be received that were dropped by the interface since the guest booted, as the guest counts; /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces statistics rx-dropped.",
            |interface| interface.receive_drops.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_agent_network_transmit_bytes_total",
            Unit::Bytes,
            "Bytes sent by the interface since the guest booted, as the guest counts; /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces statistics tx-bytes.",
            |interface| interface.transmit_bytes.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_agent_network_transmit_packets_total",
            Unit::None,
            "Packets sent by the interface since the guest booted, as the guest counts; /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces statistics tx-packets.",
            |interface| interface.transmit_packets.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_agent_network_transmit_errors_total",
            Unit::None,
            "Errors of packets sent by the interface since the guest booted, as the guest counts; /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces statistics tx-errs.",
            |interface| interface.transmit_errors.map(Into::into),
        ),
        Metric::counter(
            "pve_guest_agent_network_transmit_drops_total",
            Unit::None,
            "Packets to be sent that were dropped by the interface since the guest booted, as the guest counts; /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces statistics tx-dropped.",
            |interface| interface.transmit_drops.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestAgentAddress {
    /// `pve_cluster`, `id`, `interface` and `address`.
    pub identity: Identity,
    /// The address.
    pub address: IpAddr,
    /// The bits of its network.
    pub prefix: Option<u8>,
}

impl Subject for GuestAgentAddress {
    const NAME: &'static str = "guest agent address";
    const ROWS: &'static str = "one per IP address of those interfaces, link-local ones apart";
    const LABELS: &'static [&'static str] = &["pve_cluster", "id", "interface", "address"];
    const TABLE: &'static [Metric<Self>] = &[Metric::info(
        "pve_guest_agent_interface_address_info",
        &["family", "prefix"],
        "An address of the interface, its family (ipv4 or ipv6) and the bits of its network; /nodes/{node}/qemu/{vmid}/agent/network-get-interfaces ip-addresses.",
        |address, labels| {
            labels.label("family", if address.address.is_ipv4() { "ipv4" } else { "ipv6" });
            if let Some(prefix) = address.prefix {
                labels.label("prefix", itoa::Buffer::new().format(prefix));
            }
            true
        },
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
