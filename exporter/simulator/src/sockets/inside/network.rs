//! Interfaces, sockets and protocols.

use pve_guest_protocol::areas::{Interface, NetworkCounters, Protocols, Sockets};

use super::Figures;
use crate::random::{walk, whole};

const PACKET: u64 = 700;

impl Figures<'_> {
    pub(super) fn network(&self) -> Vec<NetworkCounters> {
        let counters = self.guest.network_counters(&self.sample);
        let names = (0..).map(|number| format!("eth{number}")).zip(counters);
        let local = self.count(6, 3_000.0);
        let all = names.chain([("lo".to_owned(), [local, local])]);
        let counters = all.map(|(interface, [received, sent])| NetworkCounters {
            interface,
            receive_bytes: received,
            receive_packets: received / PACKET,
            receive_dropped: received / PACKET / 50_000,
            transmit_bytes: sent,
            transmit_packets: sent / PACKET,
            ..NetworkCounters::default()
        });
        counters.collect()
    }

    pub(super) fn interfaces(&self) -> Vec<Interface> {
        let of = |number: usize| Interface {
            interface: format!("eth{number}"),
            operational_state: "up".to_owned(),
            address: Some(self.guest.hardware_address(number).to_lowercase()),
            broadcast: Some("ff:ff:ff:ff:ff:ff".to_owned()),
            carrier: Some(1),
            carrier_changes: Some(2),
            mtu_bytes: Some(1_500),
            speed_megabits: Some(-1),
            transmit_queue_length: Some(1_000),
            index: Some(2 + number as u64),
            ..Interface::default()
        };
        (0..self.guest.networks()).map(of).collect()
    }

    pub(super) fn protocols(&self) -> Protocols {
        let (received, sent) = (self.sample.net_in, self.sample.net_out);
        let [segments_in, segments_out] = [received / PACKET / 10 * 9, sent / PACKET / 10 * 9];
        Protocols {
            ip_forwarding: Some(2),
            ip_in_octets: Some(received),
            ip_out_octets: Some(sent),
            tcp_established: Some(4 + whole(60.0 * self.part(7) * walk(self.guest.stream, self.now, 300.0))),
            tcp_active_opens: Some(self.count(8, 0.4)),
            tcp_passive_opens: Some(self.count(9, 1.5)),
            tcp_in_segments: Some(segments_in),
            tcp_out_segments: Some(segments_out),
            tcp_retransmitted_segments: Some(segments_out / 4_000),
            tcp_in_errors: Some(0),
            tcp_out_resets: Some(self.count(10, 0.05)),
            tcp_listen_overflows: Some(0),
            tcp_listen_drops: Some(0),
            udp_in_datagrams: Some(received / PACKET / 10),
            udp_out_datagrams: Some(sent / PACKET / 10),
            udp_no_ports: Some(self.count(11, 0.01)),
            udp_in_errors: Some(0),
            ..Protocols::default()
        }
    }

    pub(super) fn sockets(&self) -> Sockets {
        Sockets {
            used: Some(self.processes()),
            tcp_in_use: Some(8 + self.processes() / 10),
            tcp_time_wait: Some(whole(9.0 * walk(self.guest.stream, self.now, 120.0))),
            tcp_allocated: Some(12 + self.processes() / 10),
            tcp_memory_pages: Some(4),
            udp_in_use: Some(6),
            page_bytes: Some(4_096),
            ..Sockets::default()
        }
    }
}
