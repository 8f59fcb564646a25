//! The entropy pool: `/proc/sys/kernel/random`.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::Entropy;

use super::Roots;
use super::source::{Reading, Shape, Source};
use super::text::{number, single};

pub(super) struct Pool {
    available: Source,
    size: Source,
}

impl Pool {
    pub(super) fn new(roots: &Roots) -> Self {
        let file = |name| Source::new(roots.proc.join("sys/kernel/random").join(name), Shape::Whole);
        Self {
            available: file("entropy_avail"),
            size: file("poolsize"),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        let mut bits = |file: &mut Source| file.read(reading).and_then(single).and_then(number);
        let entropy = Entropy {
            available_bits: bits(&mut self.available),
            pool_bits: bits(&mut self.size),
        };
        areas.entropy = (entropy != Entropy::default()).then_some(entropy);
    }
}
