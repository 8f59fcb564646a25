//! What IP, ICMP, TCP and UDP count: `/proc/net/{netstat,snmp,snmp6}`.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::Protocols;

use super::Roots;
use super::source::{Reading, Shape, Source};
use super::text::{Words, lines, number, signed};

pub(super) struct ProtocolCounters {
    snmp: Source,
    netstat: Source,
    snmp6: Source,
}

impl ProtocolCounters {
    pub(super) fn new(roots: &Roots) -> Self {
        let file = |name| Source::new(roots.proc.join("net").join(name), Shape::Whole);
        Self {
            snmp: file("snmp"),
            netstat: file("netstat"),
            snmp6: file("snmp6"),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        let mut protocols = Protocols::default();
        for table in [&mut self.snmp, &mut self.netstat] {
            if let Some(contents) = table.read(reading) {
                parse_table(contents, &mut protocols);
            }
        }
        if let Some(contents) = self.snmp6.read(reading) {
            parse_list(contents, &mut protocols);
        }
        areas.protocols = (protocols != Protocols::default()).then_some(protocols);
    }
}

/// A line of names and one of values for each protocol, both beginning with the protocol's name.
fn parse_table(contents: &[u8], protocols: &mut Protocols) {
    let mut lines = lines(contents);
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let (mut names, mut values) = (Words::of(names), Words::of(values));
        let (Some(protocol), Some(repeated)) = (names.next(), values.next()) else {
            continue;
        };
        if protocol != repeated || !has_wanted(protocol) {
            continue;
        }
        for (name, value) in names.zip(values) {
            if (protocol, name) == (b"Tcp:", b"MaxConn") {
                protocols.tcp_connection_limit = signed(value);
            } else if let Some(field) = table_field(protocols, protocol, name) {
                *field = number(value);
            }
        }
    }
}

fn has_wanted(protocol: &[u8]) -> bool {
    matches!(
        protocol,
        b"Ip:" | b"Icmp:" | b"Tcp:" | b"Udp:" | b"UdpLite:" | b"TcpExt:" | b"IpExt:"
    )
}

fn table_field<'a>(protocols: &'a mut Protocols, protocol: &[u8], name: &[u8]) -> Option<&'a mut Option<u64>> {
    Some(match (protocol, name) {
        (b"Ip:", b"Forwarding") => &mut protocols.ip_forwarding,
        (b"IpExt:", b"InOctets") => &mut protocols.ip_in_octets,
        (b"IpExt:", b"OutOctets") => &mut protocols.ip_out_octets,
        (b"Icmp:", b"InMsgs") => &mut protocols.icmp_in_messages,
        (b"Icmp:", b"InErrors") => &mut protocols.icmp_in_errors,
        (b"Icmp:", b"OutMsgs") => &mut protocols.icmp_out_messages,
        (b"Tcp:", b"ActiveOpens") => &mut protocols.tcp_active_opens,
        (b"Tcp:", b"PassiveOpens") => &mut protocols.tcp_passive_opens,
        (b"Tcp:", b"CurrEstab") => &mut protocols.tcp_established,
        (b"Tcp:", b"InSegs") => &mut protocols.tcp_in_segments,
        (b"Tcp:", b"OutSegs") => &mut protocols.tcp_out_segments,
        (b"Tcp:", b"RetransSegs") => &mut protocols.tcp_retransmitted_segments,
        (b"Tcp:", b"InErrs") => &mut protocols.tcp_in_errors,
        (b"Tcp:", b"OutRsts") => &mut protocols.tcp_out_resets,
        (b"TcpExt:", b"SyncookiesSent") => &mut protocols.tcp_syncookies_sent,
        (b"TcpExt:", b"SyncookiesRecv") => &mut protocols.tcp_syncookies_received,
        (b"TcpExt:", b"SyncookiesFailed") => &mut protocols.tcp_syncookies_failed,
        (b"TcpExt:", b"ListenOverflows") => &mut protocols.tcp_listen_overflows,
        (b"TcpExt:", b"ListenDrops") => &mut protocols.tcp_listen_drops,
        (b"TcpExt:", b"TCPSynRetrans") => &mut protocols.tcp_syn_retransmits,
        (b"TcpExt:", b"TCPTimeouts") => &mut protocols.tcp_timeouts,
        (b"TcpExt:", b"TCPOFOQueue") => &mut protocols.tcp_out_of_order_queued,
        (b"TcpExt:", b"TCPRcvQDrop") => &mut protocols.tcp_receive_queue_drops,
        (b"Udp:", b"InDatagrams") => &mut protocols.udp_in_datagrams,
        (b"Udp:", b"OutDatagrams") => &mut protocols.udp_out_datagrams,
        (b"Udp:", b"NoPorts") => &mut protocols.udp_no_ports,
        (b"Udp:", b"InErrors") => &mut protocols.udp_in_errors,
        (b"Udp:", b"RcvbufErrors") => &mut protocols.udp_receive_buffer_errors,
        (b"Udp:", b"SndbufErrors") => &mut protocols.udp_send_buffer_errors,
        (b"UdpLite:", b"InErrors") => &mut protocols.udplite_in_errors,
        _ => return None,
    })
}

/// A name and a value on each line.
fn parse_list(contents: &[u8], protocols: &mut Protocols) {
    for line in lines(contents) {
        let mut words = Words::of(line);
        let field = match words.next() {
            Some(b"Ip6InOctets") => &mut protocols.ip6_in_octets,
            Some(b"Ip6OutOctets") => &mut protocols.ip6_out_octets,
            Some(b"Icmp6InMsgs") => &mut protocols.icmp6_in_messages,
            Some(b"Icmp6InErrors") => &mut protocols.icmp6_in_errors,
            Some(b"Icmp6OutMsgs") => &mut protocols.icmp6_out_messages,
            Some(b"Udp6InDatagrams") => &mut protocols.udp6_in_datagrams,
            Some(b"Udp6OutDatagrams") => &mut protocols.udp6_out_datagrams,
            Some(b"Udp6NoPorts") => &mut protocols.udp6_no_ports,
            Some(b"Udp6InErrors") => &mut protocols.udp6_in_errors,
            Some(b"Udp6RcvbufErrors") => &mut protocols.udp6_receive_buffer_errors,
            Some(b"Udp6SndbufErrors") => &mut protocols.udp6_send_buffer_errors,
            Some(b"UdpLite6InErrors") => &mut protocols.udplite6_in_errors,
            _ => continue,
        };
        *field = words.number();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_belongs_to_the_name_above_it() {
        let mut protocols = Protocols::default();
        parse_table(
            b"Tcp: MaxConn InSegs OutRsts\nTcp: -1 7 8\nUdp: InDatagrams\nTcp: 9\nUdp: NoPorts InErrors\nUdp: 4",
            &mut protocols,
        );
        let expected = Protocols {
            tcp_connection_limit: Some(-1),
            tcp_in_segments: Some(7),
            tcp_out_resets: Some(8),
            ..Protocols::default()
        };
        assert_eq!(protocols, expected);
    }

    #[test]
    fn values_that_are_cut_are_unknown() {
        let mut protocols = Protocols::default();
        parse_table(b"Udp: InDatagrams NoPorts InErrors\nUdp: 1 -2\n", &mut protocols);
        assert_eq!(
            protocols,
            Protocols {
                udp_in_datagrams: Some(1),
                ..Protocols::default()
            }
        );
    }
}
