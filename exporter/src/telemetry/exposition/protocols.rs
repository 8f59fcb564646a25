//! Sockets, and what the protocols of the Internet count.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::{Protocols, Sockets};

use super::{Row, one, signed, whole};
use crate::metrics::catalog::{Group, group};
use crate::metrics::exposition::Section;
use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit, Value};

pub(super) fn sections(areas: &Areas) -> Vec<Box<dyn Section>> {
    vec![one(areas.sockets.as_ref()), one(areas.protocols.as_ref())]
}

pub(super) fn groups() -> Vec<Group> {
    vec![group::<Row<Sockets>>(), group::<Row<Protocols>>()]
}

const fn gauge(
    name: &'static str,
    help: &'static str,
    value: fn(&Row<Sockets>) -> Option<Value>,
) -> Metric<Row<Sockets>> {
    Metric::gauge(name, Unit::None, help, value)
}

impl Row<Sockets> {
    fn bytes(&self, pages: Option<u64>) -> Option<Value> {
        Some(pages?.saturating_mul(self.page_bytes?).into())
    }
}

impl Subject for Row<Sockets> {
    const NAME: &'static str = "sockets";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[
        gauge("node_sockstat_sockets_used", "Sockets of all kinds.", |sockets| {
            whole(sockets.used)
        }),
        gauge(
            "node_sockstat_TCP_inuse",
            "TCP sockets over IPv4 that are in use.",
            |sockets| whole(sockets.tcp_in_use),
        ),
        gauge(
            "node_sockstat_TCP_orphan",
            "TCP sockets that no process has any more.",
            |sockets| whole(sockets.tcp_orphaned),
        ),
        gauge(
            "node_sockstat_TCP_tw",
            "TCP connections that have ended and wait for stragglers.",
            |sockets| whole(sockets.tcp_time_wait),
        ),
        gauge(
            "node_sockstat_TCP_alloc",
            "TCP sockets that take memory, whatever their state.",
            |sockets| whole(sockets.tcp_allocated),
        ),
        gauge(
            "node_sockstat_TCP_mem",
            "Pages of memory that TCP sockets take.",
            |sockets| whole(sockets.tcp_memory_pages),
        ),
        Metric::gauge(
            "node_sockstat_TCP_mem_bytes",
            Unit::Bytes,
            "Memory that TCP sockets take.",
            |sockets| sockets.bytes(sockets.tcp_memory_pages),
        ),
        gauge(
            "node_sockstat_UDP_inuse",
            "UDP sockets over IPv4 that are in use.",
            |sockets| whole(sockets.udp_in_use),
        ),
        gauge(
            "node_sockstat_UDP_mem",
            "Pages of memory that UDP sockets take.",
            |sockets| whole(sockets.udp_memory_pages),
        ),
        Metric::gauge(
            "node_sockstat_UDP_mem_bytes",
            Unit::Bytes,
            "Memory that UDP sockets take.",
            |sockets| sockets.bytes(sockets.udp_memory_pages),
        ),
        gauge(
            "node_sockstat_UDPLITE_inuse",
            "UDP-Lite sockets over IPv4 that are in use.",
            |sockets| whole(sockets.udplite_in_use),
        ),
        gauge(
            "node_sockstat_RAW_inuse",
            "Raw sockets over IPv4 that are in use.",
            |sockets| whole(sockets.raw_in_use),
        ),
        gauge(
            "node_sockstat_FRAG_inuse",
            "IPv4 packets of which fragments are missing.",
            |sockets| whole(sockets.fragments_in_use),
        ),
        gauge(
            "node_sockstat_FRAG_memory",
            "Bytes that fragments of IPv4 packets take.",
            |sockets| whole(sockets.fragments_memory_bytes),
        ),
        gauge(
            "node_sockstat_TCP6_inuse",
            "TCP sockets over IPv6 that are in use.",
            |sockets| whole(sockets.tcp6_in_use),
        ),
        gauge(
            "node_sockstat_UDP6_inuse",
            "UDP sockets over IPv6 that are in use.",
            |sockets| whole(sockets.udp6_in_use),
        ),
        gauge(
            "node_sockstat_UDPLITE6_inuse",
            "UDP-Lite sockets over IPv6 that are in use.",
            |sockets| whole(sockets.udplite6_in_use),
        ),
        gauge(
            "node_sockstat_RAW6_inuse",
            "Raw sockets over IPv6 that are in use.",
            |sockets| whole(sockets.raw6_in_use),
        ),
        gauge(
            "node_sockstat_FRAG6_inuse",
            "IPv6 packets of which fragments are missing.",
            |sockets| whole(sockets.fragments6_in_use),
        ),
        gauge(
            "node_sockstat_FRAG6_memory",
            "Bytes that fragments of IPv6 packets take.",
            |sockets| whole(sockets.fragments6_memory_bytes),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<Protocols> {
    const NAME: &'static str = "protocols";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::untyped(
            "node_netstat_Ip_Forwarding",
            "Whether IPv4 packets are forwarded: 1 yes, 2 no.",
            |protocols| whole(protocols.ip_forwarding),
        ),
        Metric::untyped(
            "node_netstat_IpExt_InOctets",
            "Bytes received over IPv4.",
            |protocols| whole(protocols.ip_in_octets),
        ),
        Metric::untyped("node_netstat_IpExt_OutOctets", "Bytes sent over IPv4.", |protocols| {
            whole(protocols.ip_out_octets)
        }),
        Metric::untyped("node_netstat_Ip6_InOctets", "Bytes received over IPv6.", |protocols| {
            whole(protocols.ip6_in_octets)
        }),
        Metric::untyped("node_netstat_Ip6_OutOctets", "Bytes sent over IPv6.", |protocols| {
            whole(protocols.ip6_out_octets)
        }),
        Metric::untyped("node_netstat_Icmp_InMsgs", "ICMP messages received.", |protocols| {
            whole(protocols.icmp_in_messages)
        }),
        Metric::untyped(
            "node_netstat_Icmp_InErrors",
            "ICMP messages received that were damaged.",
            |protocols| whole(protocols.icmp_in_errors),
        ),
        Metric::untyped("node_netstat_Icmp_OutMsgs", "ICMP messages sent.", |protocols| {
            whole(protocols.icmp_out_messages)
        }),
        Metric::untyped("node_netstat_Icmp6_InMsgs", "ICMPv6 messages received.", |protocols| {
            whole(protocols.icmp6_in_messages)
        }),
        Metric::untyped(
            "node_netstat_Icmp6_InErrors",
            "ICMPv6 messages received that were damaged.",
            |protocols| whole(protocols.icmp6_in_errors),
        ),
        Metric::untyped("node_netstat_Icmp6_OutMsgs", "ICMPv6 messages sent.", |protocols| {
            whole(protocols.icmp6_out_messages)
        }),
        Metric::untyped(
            "node_netstat_Tcp_MaxConn",
            "How many TCP connections there may be, -1 for no limit.",
            |protocols| signed(protocols.tcp_connection_limit),
        ),
        Metric::untyped(
            "node_netstat_Tcp_ActiveOpens",
            "TCP connections begun from here.",
            |protocols| whole(protocols.tcp_active_opens),
        ),
        Metric::untyped(
            "node_netstat_Tcp_PassiveOpens",
            "TCP connections begun from elsewhere.",
            |protocols| whole(protocols.tcp_passive_opens),
        ),
        Metric::untyped(
            "node_netstat_Tcp_CurrEstab",
            "TCP connections that are open now.",
            |protocols| whole(protocols.tcp_established),
        ),
        Metric::untyped("node_netstat_Tcp_InSegs", "TCP segments received.", |protocols| {
            whole(protocols.tcp_in_segments)
        }),
        Metric::untyped(
            "node_netstat_Tcp_OutSegs",
            "TCP segments sent, without those sent again.",
            |protocols| whole(protocols.tcp_out_segments),
        ),
        Metric::untyped(
            "node_netstat_Tcp_RetransSegs",
            "TCP segments sent again.",
            |protocols| whole(protocols.tcp_retransmitted_segments),
        ),
        Metric::untyped(
            "node_netstat_Tcp_InErrs",
            "TCP segments received that were damaged.",
            |protocols| whole(protocols.tcp_in_errors),
        ),
        Metric::untyped("node_netstat_Tcp_OutRsts", "TCP resets sent.", |protocols| {
            whole(protocols.tcp_out_resets)
        }),
        Metric::untyped("node_netstat_TcpExt_SyncookiesSent", "SYN cookies sent.", |protocols| {
            whole(protocols.tcp_syncookies_sent)
        }),
        Metric::untyped(
            "node_netstat_TcpExt_SyncookiesRecv",
            "SYN cookies that came back.",
            |protocols| whole(protocols.tcp_syncookies_received),
        ),
        Metric::untyped(
            "node_netstat_TcpExt_SyncookiesFailed",
            "SYN cookies that came back and were wrong.",
            |protocols| whole(protocols.tcp_syncookies_failed),
        ),
        Metric::untyped(
            "node_netstat_TcpExt_ListenOverflows",
            "TCP connections refused since a queue of connections to accept was full.",
            |protocols| whole(protocols.tcp_listen_overflows),
        ),
        Metric::untyped(
            "node_netstat_TcpExt_ListenDrops",
            "TCP connections refused for that or any other reason.",
            |protocols| whole(protocols.tcp_listen_drops),
        ),
        Metric::untyped(
            "node_netstat_TcpExt_TCPSynRetrans",
            "First segments of TCP connections that were sent again; since Linux 3.15.",
            |protocols| whole(protocols.tcp_syn_retransmits),
        ),
        Metric::untyped(
            "node_netstat_TcpExt_TCPTimeouts",
            "TCP segments that were not acknowledged in time.",
            |protocols| whole(protocols.tcp_timeouts),
        ),
        Metric::untyped(
            "node_netstat_TcpExt_TCPOFOQueue",
            "TCP segments that came too early and were kept.",
            |protocols| whole(protocols.tcp_out_of_order_queued),
        ),
        Metric::untyped(
            "node_netstat_TcpExt_TCPRcvQDrop",
            "TCP segments dropped since the receiver's queue was full; since Linux 5.0.",
            |protocols| whole(protocols.tcp_receive_queue_drops),
        ),
        Metric::untyped(
            "node_netstat_Udp_InDatagrams",
            "UDP datagrams received over IPv4.",
            |protocols| whole(protocols.udp_in_datagrams),
        ),
        Metric::untyped(
            "node_netstat_Udp_OutDatagrams",
            "UDP datagrams sent over IPv4.",
            |protocols| whole(protocols.udp_out_datagrams),
        ),
        Metric::untyped(
            "node_netstat_Udp_NoPorts",
            "UDP datagrams over IPv4 that nobody waited for.",
            |protocols| whole(protocols.udp_no_ports),
        ),
        Metric::untyped(
            "node_netstat_Udp_InErrors",
            "UDP datagrams over IPv4 that could not be delivered for another reason.",
            |protocols| whole(protocols.udp_in_errors),
        ),
        Metric::untyped(
            "node_netstat_Udp_RcvbufErrors",
            "UDP datagrams over IPv4 lost since a socket's buffer was full.",
            |protocols| whole(protocols.udp_receive_buffer_errors),
        ),
        Metric::untyped(
            "node_netstat_Udp_SndbufErrors",
            "UDP datagrams over IPv4 not sent since a socket's buffer was full.",
            |protocols| whole(protocols.udp_send_buffer_errors),
        ),
        Metric::untyped(
            "node_netstat_Udp6_InDatagrams",
            "UDP datagrams received over IPv6.",
            |protocols| whole(protocols.udp6_in_datagrams),
        ),
        Metric::untyped(
            "node_netstat_Udp6_OutDatagrams",
            "UDP datagrams sent over IPv6.",
            |protocols| whole(protocols.udp6_out_datagrams),
        ),
        Metric::untyped(
            "node_netstat_Udp6_NoPorts",
            "UDP datagrams over IPv6 that nobody waited for.",
            |protocols| whole(protocols.udp6_no_ports),
        ),
        Metric::untyped(
            "node_netstat_Udp6_InErrors",
            "UDP datagrams over IPv6 that could not be delivered for another reason.",
            |protocols| whole(protocols.udp6_in_errors),
        ),
        Metric::untyped(
            "node_netstat_Udp6_RcvbufErrors",
            "UDP datagrams over IPv6 lost since a socket's buffer was full.",
            |protocols| whole(protocols.udp6_receive_buffer_errors),
        ),
        Metric::untyped(
            "node_netstat_Udp6_SndbufErrors",
            "UDP datagrams over IPv6 not sent since a socket's buffer was full.",
            |protocols| whole(protocols.udp6_send_buffer_errors),
        ),
        Metric::untyped(
            "node_netstat_UdpLite_InErrors",
            "UDP-Lite datagrams over IPv4 that could not be delivered.",
            |protocols| whole(protocols.udplite_in_errors),
        ),
        Metric::untyped(
            "node_netstat_UdpLite6_InErrors",
            "UDP-Lite datagrams over IPv6 that could not be delivered.",
            |protocols| whole(protocols.udplite6_in_errors),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
