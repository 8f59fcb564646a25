//! Counters of interfaces: `/proc/net/dev`, and one counter that stands in /sys only.

use std::path::PathBuf;

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::NetworkCounters;

use super::Roots;
use super::rows::Refill;
use super::source::{Reading, Shape, Source};
use super::text::{Words, lines, number, single};

/// Interfaces whose files in /sys stay open, the first of the list; a guest with more is a router or a host of containers.
const MAX_OPEN: usize = 16;

pub(super) struct InterfaceCounters {
    file: Source,
    class: PathBuf,
    /// `statistics/rx_nohandler` of the interfaces, by their place in the list.
    unhandled: Vec<(Box<[u8]>, Source)>,
}

impl InterfaceCounters {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: Source::new(roots.proc.join("net/dev"), Shape::Rows),
            class: roots.sys.join("class/net"),
            unhandled: Vec::new(),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        let Some(contents) = self.file.read(reading) else {
            areas.network = None;
            return;
        };
        let rows = areas.network.get_or_insert_default();
        {
            let mut interfaces = Refill::new(rows, |row: &mut NetworkCounters| &mut row.interface);
            for line in lines(contents).skip(2) {
                if let Some(row) = row(line, &mut interfaces) {
                    interfaces.push(row);
                }
            }
        }
        self.unhandled.truncate(rows.len());
        for (place, row) in rows.iter_mut().take(MAX_OPEN).enumerate() {
            row.receive_no_handler = self.unhandled(place, &row.interface, reading);
        }
    }

    fn unhandled(&mut self, place: usize, interface: &str, reading: &mut Reading) -> Option<u64> {
        if self
            .unhandled
            .get(place)
            .is_none_or(|(name, _)| **name != *interface.as_bytes())
        {
            self.unhandled.truncate(place);
            let path = self.class.join(interface).join("statistics/rx_nohandler");
            self.unhandled
                .push((interface.as_bytes().into(), Source::new(path, Shape::Whole)));
        }
        let (_, file) = self.unhandled.get_mut(place)?;
        file.read(reading).and_then(single).and_then(number)
    }
}

/// `eth0: 1234 5 ...`; long numbers leave no blank behind the colon.
fn row(line: &[u8], interfaces: &mut Refill<'_, NetworkCounters>) -> Option<NetworkCounters> {
    // An alias of old kernels has a colon in its name.
    let colon = line.iter().rposition(|byte| *byte == b':')?;
    let (name, counters) = line.split_at_checked(colon)?;
    let name = name.trim_ascii();
    if is_left_out(name) {
        return None;
    }
    let mut words = Words::of(counters.get(1..)?);
    let mut columns = [0; 16];
    for column in &mut columns {
        *column = words.number()?;
    }
    let [
        receive_bytes,
        receive_packets,
        receive_errors,
        receive_dropped,
        receive_fifo,
        receive_frame,
        receive_compressed,
        receive_multicast,
        transmit_bytes,
        transmit_packets,
        transmit_errors,
        transmit_dropped,
        transmit_fifo,
        transmit_collisions,
        transmit_carrier,
        transmit_compressed,
    ] = columns;
    Some(NetworkCounters {
        interface: interfaces.name(name),
        receive_bytes,
        receive_packets,
        receive_errors,
        receive_dropped,
        receive_fifo,
        receive_frame,
        receive_compressed,
        receive_multicast,
        transmit_bytes,
        transmit_packets,
        transmit_errors,
        transmit_dropped,
        transmit_fifo,
        transmit_collisions,
        transmit_carrier,
        transmit_compressed,
        receive_no_handler: None,
    })
}

/// Starts of the names of what containers and nested guests bring by the hundred. Their traffic passes an interface that is told.
const OF_CONTAINERS: [&[u8]; 4] = [b"cali", b"cni", b"veth", b"virbr"];

/// Whether this is one of very many, or the bridge that leads to them: such rows are not worth their bytes. What else is not worth
/// being seen is for the exporter to say.
pub(super) fn is_left_out(name: &[u8]) -> bool {
    let digits = |start: &[u8]| {
        let rest = name.strip_prefix(start)?;
        rest.iter().all(u8::is_ascii_hexdigit).then_some(rest.len())
    };
    // The networks of Docker, and Cilium's ends of containers; `br-lan` and `lxcbr0` have a name that somebody gave them.
    let numbered = digits(b"br-") == Some(12) || digits(b"lxc") >= Some(8);
    let named = matches!(name, b"" | b"docker0");
    named || numbered || OF_CONTAINERS.iter().any(|start| name.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<NetworkCounters> {
        row(
            line.as_bytes(),
            &mut Refill::new(&mut Vec::new(), |row: &mut NetworkCounters| &mut row.interface),
        )
    }

    #[test]
    fn names_and_numbers_may_touch() {
        let row = parse("  eth0:18446744073709551615 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16").unwrap();
        assert_eq!(
            (row.interface.as_str(), row.receive_bytes, row.transmit_compressed),
            ("eth0", u64::MAX, 16)
        );
        assert_eq!(
            parse("eth0:1: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17")
                .unwrap()
                .interface,
            "eth0:1"
        );
    }

    #[test]
    fn cut_lines_and_containers_have_no_row() {
        assert_eq!(parse("eth0: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15"), None);
        assert_eq!(parse("eth0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"), None);
        for name in [
            "",
            "veth0a1b",
            "docker0",
            "br-0123456789ab",
            "cali12",
            "cni0",
            "virbr0",
            "lxc0a1b2c3d4e5f",
        ] {
            assert!(is_left_out(name.as_bytes()), "{name}");
        }
        for name in [
            "br-lan",
            "br-0123456789abc",
            "br-0123456789xy",
            "br0",
            "lxcbr0",
            "lxc1",
            "docker1",
            "wg0",
            "cilium_host",
            "flannel.1",
        ] {
            assert!(!is_left_out(name.as_bytes()), "{name}");
        }
        assert_eq!(parse("veth0a1b: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16"), None);
    }
}
