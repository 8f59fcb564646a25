//! Interfaces, sockets and protocols.

use super::wire;

wire! {
    /// The counters of one interface.
    NetworkCounters {
        required {
            /// Name of the interface.
            interface: String,
            /// Bytes received.
            receive_bytes: u64,
            /// Packets received.
            receive_packets: u64,
            /// Bad packets received.
            receive_errors: u64,
            /// Packets dropped on receipt.
            receive_dropped: u64,
            /// FIFO overruns on receipt.
            receive_fifo: u64,
            /// Framing errors on receipt.
            receive_frame: u64,
            /// Compressed packets received.
            receive_compressed: u64,
            /// Multicast packets received.
            receive_multicast: u64,
            /// Bytes sent.
            transmit_bytes: u64,
            /// Packets sent.
            transmit_packets: u64,
            /// Errors on sending.
            transmit_errors: u64,
            /// Packets dropped on sending.
            transmit_dropped: u64,
            /// FIFO overruns on sending.
            transmit_fifo: u64,
            /// Collisions.
            transmit_collisions: u64,
            /// Losses of the carrier on sending.
            transmit_carrier: u64,
            /// Compressed packets sent.
            transmit_compressed: u64,
        }
        optional {
            /// Packets received that nobody wanted, since 4.6 (`statistics/rx_nohandler`).
            receive_no_handler: u64,
        }
    }
}

wire! {
    /// The state and settings of one interface.
    Interface {
        required {
            /// Name of the interface.
            interface: String,
            /// `operstate`, such as `up` or `down`.
            operational_state: String,
        }
        optional {
            /// `address`: its hardware address.
            address: String,
            /// `broadcast`: its broadcast address.
            broadcast: String,
            /// `duplex`.
            duplex: String,
            /// `ifalias`.
            alias: String,
            /// `carrier`; not told while the interface is down.
            carrier: u64,
            /// `carrier_changes`, since 3.15.
            carrier_changes: u64,
            /// `carrier_up_count`, since 4.16.
            carrier_up_changes: u64,
            /// `carrier_down_count`, since 4.16.
            carrier_down_changes: u64,
            /// `mtu`, in bytes.
            mtu_bytes: u64,
            /// `speed`, in Mbit/s; -1 when the device does not know.
            speed_megabits: i64,
            /// `tx_queue_len`.
            transmit_queue_length: u64,
            /// `flags`, as a decimal number.
            flags: u64,
            /// `dormant`.
            dormant: u64,
            /// `dev_id`, as a decimal number.
            device_id: u64,
            /// `ifindex`.
            index: u64,
            /// `iflink`.
            link: u64,
            /// `link_mode`.
            link_mode: u64,
            /// `addr_assign_type`.
            address_assign_type: u64,
            /// `name_assign_type`, since 3.17.
            name_assign_type: u64,
            /// `netdev_group`.
            group: u64,
            /// `type`: the kind of hardware (`ARPHRD_*`).
            protocol_type: u64,
        }
    }
}

wire! {
    /// Sockets now.
    Sockets {
        optional {
            /// `sockets: used`.
            used: u64,
            /// `TCP: inuse`.
            tcp_in_use: u64,
            /// `TCP: orphan`.
            tcp_orphaned: u64,
            /// `TCP: tw`.
            tcp_time_wait: u64,
            /// `TCP: alloc`.
            tcp_allocated: u64,
            /// `TCP: mem`, in pages.
            tcp_memory_pages: u64,
            /// `UDP: inuse`.
            udp_in_use: u64,
            /// `UDP: mem`, in pages.
            udp_memory_pages: u64,
            /// `UDPLITE: inuse`.
            udplite_in_use: u64,
            /// `RAW: inuse`.
            raw_in_use: u64,
            /// `FRAG: inuse`.
            fragments_in_use: u64,
            /// `FRAG: memory`, in bytes.
            fragments_memory_bytes: u64,
            /// `TCP6: inuse`.
            tcp6_in_use: u64,
            /// `UDP6: inuse`.
            udp6_in_use: u64,
            /// `UDPLITE6: inuse`.
            udplite6_in_use: u64,
            /// `RAW6: inuse`.
            raw6_in_use: u64,
            /// `FRAG6: inuse`.
            fragments6_in_use: u64,
            /// `FRAG6: memory`, in bytes.
            fragments6_memory_bytes: u64,
            /// Bytes of a page.
            page_bytes: u64,
        }
    }
}

wire! {
    /// What the protocols count since boot.
    Protocols {
        optional {
            /// `Ip: Forwarding`: 1 forwards, 2 does not.
            ip_forwarding: u64,
            /// `IpExt: InOctets`.
            ip_in_octets: u64,
            /// `IpExt: OutOctets`.
            ip_out_octets: u64,
            /// `Ip6InOctets`.
            ip6_in_octets: u64,
            /// `Ip6OutOctets`.
            ip6_out_octets: u64,
            /// `Icmp: InMsgs`.
            icmp_in_messages: u64,
            /// `Icmp: InErrors`.
            icmp_in_errors: u64,
            /// `Icmp: OutMsgs`.
            icmp_out_messages: u64,
            /// `Icmp6InMsgs`.
            icmp6_in_messages: u64,
            /// `Icmp6InErrors`.
            icmp6_in_errors: u64,
            /// `Icmp6OutMsgs`.
            icmp6_out_messages: u64,
            /// `Tcp: MaxConn`; -1 without a limit.
            tcp_connection_limit: i64,
            /// `Tcp: ActiveOpens`.
            tcp_active_opens: u64,
            /// `Tcp: PassiveOpens`.
            tcp_passive_opens: u64,
            /// `Tcp: CurrEstab`: connections now.
            tcp_established: u64,
            /// `Tcp: InSegs`.
            tcp_in_segments: u64,
            /// `Tcp: OutSegs`.
            tcp_out_segments: u64,
            /// `Tcp: RetransSegs`.
            tcp_retransmitted_segments: u64,
            /// `Tcp: InErrs`.
            tcp_in_errors: u64,
            /// `Tcp: OutRsts`.
            tcp_out_resets: u64,
            /// `TcpExt: SyncookiesSent`.
            tcp_syncookies_sent: u64,
            /// `TcpExt: SyncookiesRecv`.
            tcp_syncookies_received: u64,
            /// `TcpExt: SyncookiesFailed`.
            tcp_syncookies_failed: u64,
            /// `TcpExt: ListenOverflows`.
            tcp_listen_overflows: u64,
            /// `TcpExt: ListenDrops`.
            tcp_listen_drops: u64,
            /// `TcpExt: TCPSynRetrans`, since 3.15.
            tcp_syn_retransmits: u64,
            /// `TcpExt: TCPTimeouts`.
            tcp_timeouts: u64,
            /// `TcpExt: TCPOFOQueue`.
            tcp_out_of_order_queued: u64,
            /// `TcpExt: TCPRcvQDrop`
            tcp_receive_queue_drops: u64,
            /// `Udp: InDatagrams`.
            udp_in_datagrams: u64,
            /// `Udp: OutDatagrams`.
            udp_out_datagrams: u64,
            /// `Udp: NoPorts`.
            udp_no_ports: u64,
            /// `Udp: InErrors`.
            udp_in_errors: u64,
            /// `Udp: RcvbufErrors`.
            udp_receive_buffer_errors: u64,
            /// `Udp: SndbufErrors`.
            udp_send_buffer_errors: u64,
            /// `Udp6InDatagrams`.
            udp6_in_datagrams: u64,
            /// `Udp6OutDatagrams`.
            udp6_out_datagrams: u64,
            /// `Udp6NoPorts`.
            udp6_no_ports: u64,
            /// `Udp6InErrors`.
            udp6_in_errors: u64,
            /// `Udp6RcvbufErrors`.
            udp6_receive_buffer_errors: u64,
            /// `Udp6SndbufErrors`.
            udp6_send_buffer_errors: u64,
            /// `UdpLite: InErrors`.
            udplite_in_errors: u64,
            /// `UdpLite6InErrors`.
            udplite6_in_errors: u64,
        }
    }
}

wire! {
    /// Connections that netfilter tracks; the counters are sums over all CPUs (`/proc/net/stat/nf_conntrack`).
    Conntrack {
        optional {
            /// `nf_conntrack_count`: connections now.
            entries: u64,
            /// `nf_conntrack_max`.
            entry_limit: u64,
            /// `found`.
            found: u64,
            /// `invalid`.
            invalid: u64,
            /// `ignore`.
            ignored: u64,
            /// `insert`.
            inserted: u64,
            /// `insert_failed`.
            insert_failed: u64,
            /// `drop`.
            dropped: u64,
            /// `early_drop`.
            early_dropped: u64,
            /// `search_restart`.
            search_restarted: u64,
        }
    }
}

wire! {
    /// Bytes that wait in UDP sockets now.
    UdpQueues {
        optional {
            /// Received, not yet read, IPv4.
            receive: u64,
            /// Not yet sent, IPv4.
            transmit: u64,
            /// Received, not yet read, IPv6.
            receive6: u64,
            /// Not yet sent, IPv6.
            transmit6: u64,
        }
    }
}

wire! {
    /// Neighbours known by one device.
    ArpEntries {
        required {
            /// Name of the interface.
            device: String,
            /// How many.
            entries: u64,
        }
    }
}
