//! Bytes that wait in UDP sockets: `/proc/net/udp` and `/proc/net/udp6`.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::UdpQueues;

use super::Roots;
use super::source::{Reading, Shape, Source};
use super::text::{Words, hexadecimal, lines};

pub(super) struct Queues {
    ipv4: Source,
    ipv6: Source,
}

impl Queues {
    pub(super) fn new(roots: &Roots) -> Self {
        let file = |name| Source::new(roots.proc.join("net").join(name), Shape::Rows);
        Self {
            ipv4: file("udp"),
            ipv6: file("udp6"),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        let ipv4 = self.ipv4.read(reading).map(parse);
        let ipv6 = self.ipv6.read(reading).map(parse);
        let queues = UdpQueues {
            transmit: ipv4.map(|(transmit, _)| transmit),
            receive: ipv4.map(|(_, receive)| receive),
            transmit6: ipv6.map(|(transmit, _)| transmit),
            receive6: ipv6.map(|(_, receive)| receive),
        };
        areas.udp_queues = (queues != UdpQueues::default()).then_some(queues);
    }
}

/// The sums of `tx_queue` and of `rx_queue`.
fn parse(contents: &[u8]) -> (u64, u64) {
    lines(contents)
        .filter_map(queues)
        .fold((0, 0), |sum, socket| (sum.0 + socket.0, sum.1 + socket.1))
}

/// `12: 0100007F:0035 00000000:0000 07 00000000:00000500 ...`
fn queues(line: &[u8]) -> Option<(u64, u64)> {
    let mut queues = Words::of(line)
        .nth(4)?
        .split(|byte| *byte == b':')
        .map(|word| hexadecimal(word).filter(|bytes| *bytes <= u64::from(u32::MAX)));
    Some((queues.next()??, queues.next()??))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_added_up() {
        let table = b"  sl  local_address rem_address   st tx_queue rx_queue tr\n 1: 0100007F:0035 00000000:0000 07 00000010:00000500 00:0\n 2: 0100007F:0035 00000000:0000 07 00000001:00000002 00:0\n 3: 0100007F:0035 00000000:0000 07 000\n";
        assert_eq!(parse(table), (0x11, 0x502));
        assert_eq!(parse(b""), (0, 0));
    }
}
