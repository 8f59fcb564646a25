//! Sockets: `/proc/net/sockstat` and `/proc/net/sockstat6`.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::Sockets;

use super::Roots;
use super::source::{Reading, Shape, Source};
use super::text::{Words, lines, number};

pub(super) struct SocketCounts {
    ipv4: Source,
    ipv6: Source,
}

impl SocketCounts {
    pub(super) fn new(roots: &Roots) -> Self {
        let file = |name| Source::new(roots.proc.join("net").join(name), Shape::Whole);
        Self {
            ipv4: file("sockstat"),
            ipv6: file("sockstat6"),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        let mut sockets = Sockets::default();
        if let Some(contents) = self.ipv4.read(reading) {
            parse(contents, &mut sockets);
        }
        if let Some(contents) = self.ipv6.read(reading) {
            parse(contents, &mut sockets);
        }
        let is_known = sockets != Sockets::default();
        sockets.page_bytes = u64::try_from(rustix::param::page_size()).ok();
        areas.sockets = is_known.then_some(sockets);
    }
}

/// `TCP: inuse 9 orphan 0 tw 2 alloc 12 mem 3`
fn parse(contents: &[u8], sockets: &mut Sockets) {
    for line in lines(contents) {
        let mut words = Words::of(line);
        let Some(kind) = words.next() else { continue };
        while let (Some(key), Some(value)) = (words.next(), words.next()) {
            if let Some(field) = field(sockets, kind, key) {
                *field = number(value);
            }
        }
    }
}

fn field<'a>(sockets: &'a mut Sockets, kind: &[u8], key: &[u8]) -> Option<&'a mut Option<u64>> {
    Some(match (kind, key) {
        (b"sockets:", b"used") => &mut sockets.used,
        (b"TCP:", b"inuse") => &mut sockets.tcp_in_use,
        (b"TCP:", b"orphan") => &mut sockets.tcp_orphaned,
        (b"TCP:", b"tw") => &mut sockets.tcp_time_wait,
        (b"TCP:", b"alloc") => &mut sockets.tcp_allocated,
        (b"TCP:", b"mem") => &mut sockets.tcp_memory_pages,
        (b"UDP:", b"inuse") => &mut sockets.udp_in_use,
        (b"UDP:", b"mem") => &mut sockets.udp_memory_pages,
        (b"UDPLITE:", b"inuse") => &mut sockets.udplite_in_use,
        (b"RAW:", b"inuse") => &mut sockets.raw_in_use,
        (b"FRAG:", b"inuse") => &mut sockets.fragments_in_use,
        (b"FRAG:", b"memory") => &mut sockets.fragments_memory_bytes,
        (b"TCP6:", b"inuse") => &mut sockets.tcp6_in_use,
        (b"UDP6:", b"inuse") => &mut sockets.udp6_in_use,
        (b"UDPLITE6:", b"inuse") => &mut sockets.udplite6_in_use,
        (b"RAW6:", b"inuse") => &mut sockets.raw6_in_use,
        (b"FRAG6:", b"inuse") => &mut sockets.fragments6_in_use,
        (b"FRAG6:", b"memory") => &mut sockets.fragments6_memory_bytes,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_are_cut_or_not_known_are_left_out() {
        let mut sockets = Sockets::default();
        parse(
            b"TCP: inuse 9 future 1 tw x alloc\nSCTP: inuse 1\nUDP: inuse 4 mem 2\nRAW: inuse 3",
            &mut sockets,
        );
        let expected = Sockets {
            tcp_in_use: Some(9),
            udp_in_use: Some(4),
            udp_memory_pages: Some(2),
            ..Sockets::default()
        };
        assert_eq!(sockets, expected);
    }
}
