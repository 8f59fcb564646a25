//! Packets that each CPU took from the devices: `/proc/net/softnet_stat`.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::SoftnetCpu;

use super::Roots;
use super::source::{Reading, Shape, Source};
use super::text::{Words, hexadecimal, lines};

pub(super) struct Softnet {
    file: Source,
}

impl Softnet {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: Source::new(roots.proc.join("net/softnet_stat"), Shape::Rows),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        let Some(contents) = self.file.read(reading) else {
            areas.softnet = None;
            return;
        };
        let rows = areas.softnet.get_or_insert_default();
        rows.clear();
        rows.extend(lines(contents).zip(0..).filter_map(|(line, index)| row(line, index)));
    }
}

/// Thirteen or more numbers since 5.10, which names the CPU in the last of these; ten or eleven before.
fn row(line: &[u8], index: u32) -> Option<SoftnetCpu> {
    let mut columns = Words::of(line).map(hexadecimal);
    let mut required = || columns.next().flatten();
    let (processed, dropped, times_squeezed) = (required()?, required()?, required()?);
    let mut columns = columns.skip(5);
    let mut optional = || columns.next().flatten();
    let (collisions, received_steering, flow_limited) = (optional(), optional(), optional());
    let (backlog_length, cpu) = (optional(), optional());
    let cpu = cpu.and_then(|cpu| u32::try_from(cpu).ok()).unwrap_or(index);
    Some(SoftnetCpu {
        cpu,
        processed,
        dropped,
        times_squeezed,
        collisions,
        received_steering,
        flow_limited,
        backlog_length,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_several_kernels() {
        let old = row(b"0023cace 00000001 00000003 0 0 0 0 0 00000004 00000005", 3).unwrap();
        assert_eq!(
            (old.cpu, old.processed, old.collisions, old.received_steering),
            (3, 0x23_cace, Some(4), Some(5))
        );
        assert_eq!((old.flow_limited, old.backlog_length), (None, None));
        let new = row(b"1 2 3 0 0 0 0 0 4 5 6 7 0000000a 0 0", 3).unwrap();
        assert_eq!((new.cpu, new.flow_limited, new.backlog_length), (10, Some(6), Some(7)));
        assert_eq!(row(b"1 2", 0), None);
    }
}
