//! Interfaces, and what the kernel holds for the network.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::{ArpEntries, Conntrack, Interface, NetworkCounters, UdpQueues};

use super::{Filter, Row, one, rows, whole};
use crate::metrics::catalog::{Group, group};
use crate::metrics::exposition::Section;
use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit, Value};

/// `IFF_UP`.
const UP: u64 = 1;

const BYTES_OF_A_MEGABIT: u64 = 125_000;

pub(super) fn sections(areas: &Areas, filter: Filter) -> Vec<Box<dyn Section>> {
    vec![
        devices(areas.network.as_ref(), filter, |row| &row.interface),
        devices(areas.interfaces.as_ref(), filter, |row| &row.interface),
        devices(areas.arp.as_ref(), filter, |row| &row.device),
        one(areas.conntrack.as_ref()),
        rows(areas.udp_queues.as_ref().map_or_else(Vec::new, queues)),
    ]
}

pub(super) fn groups() -> Vec<Group> {
    vec![
        group::<Row<NetworkCounters>>(),
        group::<Row<Interface>>(),
        group::<Row<ArpEntries>>(),
        group::<Row<Conntrack>>(),
        group::<Row<Queue>>(),
    ]
}

fn devices<T: Clone>(area: Option<&Vec<T>>, filter: Filter, name: impl Fn(&T) -> &String) -> Box<dyn Section>
where
    Row<T>: Subject,
{
    let shown = area.into_iter().flatten().filter(|row| filter.interface(name(row)));
    let row = |row: &T| Row {
        identity: Identity::new(&[("device", name(row))]),
        value: row.clone(),
    };
    rows(shown.map(row).collect())
}

impl Subject for Row<NetworkCounters> {
    const NAME: &'static str = "interface";
    const ROWS: &'static str = "one per interface, without those of containers and of guests of the guest";
    const LABELS: &'static [&'static str] = &["device"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::counter(
            "node_network_receive_bytes_total",
            Unit::Bytes,
            "Bytes received.",
            |row| whole(Some(row.receive_bytes)),
        ),
        Metric::counter(
            "node_network_receive_packets_total",
            Unit::None,
            "Packets received.",
            |row| whole(Some(row.receive_packets)),
        ),
        Metric::counter(
            "node_network_receive_errs_total",
            Unit::None,
            "Packets received that were damaged.",
            |row| whole(Some(row.receive_errors)),
        ),
        Metric::counter(
            "node_network_receive_drop_total",
            Unit::None,
            "Packets received that were dropped, those that the device had no room for included.",
            |row| whole(Some(row.receive_dropped)),
        ),
        Metric::counter(
            "node_network_receive_fifo_total",
            Unit::None,
            "Packets lost to a full queue of the device.",
            |row| whole(Some(row.receive_fifo)),
        ),
        Metric::counter(
            "node_network_receive_frame_total",
            Unit::None,
            "Packets received with a wrong length, check sum or framing.",
            |row| whole(Some(row.receive_frame)),
        ),
        Metric::counter(
            "node_network_receive_compressed_total",
            Unit::None,
            "Compressed packets received.",
            |row| whole(Some(row.receive_compressed)),
        ),
        Metric::counter(
            "node_network_receive_multicast_total",
            Unit::None,
            "Packets received for groups.",
            |row| whole(Some(row.receive_multicast)),
        ),
        Metric::counter(
            "node_network_receive_nohandler_total",
            Unit::None,
            "Packets received that nothing wanted; since Linux 4.6.",
            |row| whole(row.receive_no_handler),
        ),
        Metric::counter("node_network_transmit_bytes_total", Unit::Bytes, "Bytes sent.", |row| {
            whole(Some(row.transmit_bytes))
        }),
        Metric::counter(
            "node_network_transmit_packets_total",
            Unit::None,
            "Packets sent.",
            |row| whole(Some(row.transmit_packets)),
        ),
        Metric::counter(
            "node_network_transmit_errs_total",
            Unit::None,
            "Packets that could not be sent.",
            |row| whole(Some(row.transmit_errors)),
        ),
        Metric::counter(
            "node_network_transmit_drop_total",
            Unit::None,
            "Packets dropped before they were sent.",
            |row| whole(Some(row.transmit_dropped)),
        ),
        Metric::counter(
            "node_network_transmit_fifo_total",
            Unit::None,
            "Packets lost on their way to the device.",
            |row| whole(Some(row.transmit_fifo)),
        ),
        Metric::counter("node_network_transmit_colls_total", Unit::None, "Collisions.", |row| {
            whole(Some(row.transmit_collisions))
        }),
        Metric::counter(
            "node_network_transmit_carrier_total",
            Unit::None,
            "Packets not sent for a fault of the line.",
            |row| whole(Some(row.transmit_carrier)),
        ),
        Metric::counter(
            "node_network_transmit_compressed_total",
            Unit::None,
            "Compressed packets sent.",
            |row| whole(Some(row.transmit_compressed)),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<Interface> {
    const NAME: &'static str = "interface's settings";
    const ROWS: &'static str = "one per interface, without those of containers and of guests of the guest";
    const LABELS: &'static [&'static str] = &["device"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge_info(
            "node_network_info",
            &["address", "adminstate", "broadcast", "duplex", "ifalias", "operstate"],
            "What the kernel says of the interface in words.",
            |row, labels| {
                let admin = row
                    .flags
                    .map_or("unknown", |flags| if flags & UP == 0 { "down" } else { "up" });
                labels.label("address", row.address.as_deref().unwrap_or_default());
                labels.label("adminstate", admin);
                labels.label("broadcast", row.broadcast.as_deref().unwrap_or_default());
                labels.label("duplex", row.duplex.as_deref().unwrap_or_default());
                labels.label("ifalias", row.alias.as_deref().unwrap_or_default());
                labels.label("operstate", &row.operational_state);
                true
            },
        ),
        Metric::gauge(
            "node_network_up",
            Unit::None,
            "Whether it is up, by its operational state.",
            |row| Some((row.operational_state == "up").into()),
        ),
        Metric::gauge("node_network_carrier", Unit::None, "Whether it has a line.", |row| {
            whole(row.carrier)
        }),
        Metric::counter(
            "node_network_carrier_changes_total",
            Unit::None,
            "How often the line came or went; since Linux 3.15.",
            |row| whole(row.carrier_changes),
        ),
        Metric::counter(
            "node_network_carrier_up_changes_total",
            Unit::None,
            "How often the line came; since Linux 4.16.",
            |row| whole(row.carrier_up_changes),
        ),
        Metric::counter(
            "node_network_carrier_down_changes_total",
            Unit::None,
            "How often the line went; since Linux 4.16.",
            |row| whole(row.carrier_down_changes),
        ),
        Metric::gauge(
            "node_network_mtu_bytes",
            Unit::Bytes,
            "The largest packet that it takes.",
            |row| whole(row.mtu_bytes),
        ),
        Metric::gauge(
            "node_network_speed_bytes",
            Unit::Bytes,
            "Bytes a second that its line takes, where the device knows.",
            |row| {
                let megabits = u64::try_from(row.speed_megabits?).ok()?;
                Some(Value::Whole(megabits.saturating_mul(BYTES_OF_A_MEGABIT)))
            },
        ),
        Metric::gauge(
            "node_network_transmit_queue_length",
            Unit::None,
            "How many packets may wait to be sent.",
            |row| whole(row.transmit_queue_length),
        ),
        Metric::gauge(
            "node_network_flags",
            Unit::None,
            "The kernel's flags, IFF_UP and so on, as one number.",
            |row| whole(row.flags),
        ),
        Metric::gauge(
            "node_network_dormant",
            Unit::None,
            "Whether it waits for something, such as to be let into a network.",
            |row| whole(row.dormant),
        ),
        Metric::gauge(
            "node_network_device_id",
            Unit::None,
            "What tells it from others of the same address.",
            |row| whole(row.device_id),
        ),
        Metric::gauge("node_network_iface_id", Unit::None, "Its number.", |row| {
            whole(row.index)
        }),
        Metric::gauge(
            "node_network_iface_link",
            Unit::None,
            "The number of the interface under it, or its own.",
            |row| whole(row.link),
        ),
        Metric::gauge(
            "node_network_iface_link_mode",
            Unit::None,
            "0 where a line is enough to be up, 1 where more is needed.",
            |row| whole(row.link_mode),
        ),
        Metric::gauge(
            "node_network_address_assign_type",
            Unit::None,
            "Where its address is from: 0 its own, 1 random, 2 taken from another, 3 set.",
            |row| whole(row.address_assign_type),
        ),
        Metric::gauge(
            "node_network_name_assign_type",
            Unit::None,
            "Where its name is from: 1 counted by the kernel, 2 from where it is plugged in, 3 given, 4 changed; since Linux 3.17.",
            |row| whole(row.name_assign_type),
        ),
        Metric::gauge(
            "node_network_net_dev_group",
            Unit::None,
            "The group that it was put in.",
            |row| whole(row.group),
        ),
        Metric::gauge(
            "node_network_protocol_type",
            Unit::None,
            "The kind of hardware, ARPHRD_ETHER and so on, as a number.",
            |row| whole(row.protocol_type),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<ArpEntries> {
    const NAME: &'static str = "ARP entries";
    const ROWS: &'static str = "one per interface that has any";
    const LABELS: &'static [&'static str] = &["device"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "node_arp_entries",
        Unit::None,
        "Neighbours whose addresses are known.",
        |row| whole(Some(row.entries)),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<Conntrack> {
    const NAME: &'static str = "connection tracking";
    const ROWS: &'static str = "one, where connections are tracked";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "node_nf_conntrack_entries",
            Unit::None,
            "Connections that are tracked.",
            |row| whole(row.entries),
        ),
        Metric::gauge(
            "node_nf_conntrack_entries_limit",
            Unit::None,
            "How many can be.",
            |row| whole(row.entry_limit),
        ),
        Metric::gauge(
            "node_nf_conntrack_stat_found",
            Unit::None,
            "Packets of connections that were known.",
            |row| whole(row.found),
        ),
        Metric::gauge(
            "node_nf_conntrack_stat_invalid",
            Unit::None,
            "Packets that cannot be tracked.",
            |row| whole(row.invalid),
        ),
        Metric::gauge(
            "node_nf_conntrack_stat_ignore",
            Unit::None,
            "Packets that need not be tracked.",
            |row| whole(row.ignored),
        ),
        Metric::gauge(
            "node_nf_conntrack_stat_insert",
            Unit::None,
            "Connections entered.",
            |row| whole(row.inserted),
        ),
        Metric::gauge(
            "node_nf_conntrack_stat_insert_failed",
            Unit::None,
            "Connections that could not be entered.",
            |row| whole(row.insert_failed),
        ),
        Metric::gauge(
            "node_nf_conntrack_stat_drop",
            Unit::None,
            "Packets dropped for a failure of the tracking.",
            |row| whole(row.dropped),
        ),
        Metric::gauge(
            "node_nf_conntrack_stat_early_drop",
            Unit::None,
            "Connections forgotten to make room for new ones.",
            |row| whole(row.early_dropped),
        ),
        Metric::gauge(
            "node_nf_conntrack_stat_search_restart",
            Unit::None,
            "Look-ups begun again since the table changed its size.",
            |row| whole(row.search_restarted),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// The bytes that wait in one direction of one protocol.
pub(super) struct Queue(u64);

fn queues(queues: &UdpQueues) -> Vec<Row<Queue>> {
    let each = [
        ("v4", "rx", queues.receive),
        ("v4", "tx", queues.transmit),
        ("v6", "rx", queues.receive6),
        ("v6", "tx", queues.transmit6),
    ];
    let row = |(ip, queue, bytes): (&str, &str, Option<u64>)| {
        Some(Row {
            identity: Identity::new(&[("ip", ip), ("queue", queue)]),
            value: Queue(bytes?),
        })
    };
    each.into_iter().filter_map(row).collect()
}

impl Subject for Row<Queue> {
    const NAME: &'static str = "UDP queue";
    const ROWS: &'static str = "one per direction of IPv4 and IPv6";
    const LABELS: &'static [&'static str] = &["ip", "queue"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "node_udp_queues",
        Unit::None,
        "Bytes that wait in UDP sockets.",
        |queue| whole(Some(queue.0)),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
