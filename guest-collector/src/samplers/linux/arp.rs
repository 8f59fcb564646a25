//! Neighbours by device: `/proc/net/arp`.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::ArpEntries;

use super::Roots;
use super::source::{Reading, Shape, Source};
use super::text::{Words, lines, text};

/// Devices that are told; more are a guest's network that nobody asks for entry by entry.
const MAX_DEVICES: usize = 64;

pub(super) struct Arp {
    file: Source,
}

impl Arp {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: Source::new(roots.proc.join("net/arp"), Shape::Rows),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        areas.arp = self.file.read(reading).map(parse);
    }
}

fn parse(contents: &[u8]) -> Vec<ArpEntries> {
    let mut devices: Vec<ArpEntries> = Vec::new();
    for line in lines(contents).skip(1) {
        let Some(device) = Words::of(line).nth(5) else { continue };
        let has_room = devices.len() < MAX_DEVICES;
        match devices.iter_mut().find(|known| known.device.as_bytes() == device) {
            Some(known) => known.entries += 1,
            None if has_room => devices.push(ArpEntries {
                device: text(device),
                entries: 1,
            }),
            None => {}
        }
    }
    devices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_counted_by_device() {
        let table = b"IP address HW type Flags HW address Mask Device\n192.0.2.1 0x1 0x2 52:54:00:aa:bb:cc * eth0\n192.0.2.2 0x1 0x2 52:54:00:aa:bb:cd * eth1\n192.0.2.3 0x1 0x0 00:00:00:00:00:00 * eth0\n192.0.2.4 0x1\n";
        let entries = |device: &str, entries| ArpEntries {
            device: device.into(),
            entries,
        };
        assert_eq!(parse(table), [entries("eth0", 2), entries("eth1", 1)]);
    }
}
