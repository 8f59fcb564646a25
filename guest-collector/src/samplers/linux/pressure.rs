//! Stalls for want of CPU, memory and I/O: `/proc/pressure`, since 4.20 and where the kernel was not told to leave it off.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::Pressure;

use super::Roots;
use super::source::{Reading, Shape, Source};
use super::text::{Words, lines, number};

pub(super) struct Stalls {
    cpu: Source,
    memory: Source,
    io: Source,
    irq: Source,
}

impl Stalls {
    pub(super) fn new(roots: &Roots) -> Self {
        let file = |name| Source::new(roots.proc.join("pressure").join(name), Shape::Whole);
        Self {
            cpu: file("cpu"),
            memory: file("memory"),
            io: file("io"),
            irq: file("irq"),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        let mut totals = |file: &mut Source| file.read(reading).map(parse).unwrap_or_default();
        let (cpu_some, cpu_full) = totals(&mut self.cpu);
        let (memory_some, memory_full) = totals(&mut self.memory);
        let (io_some, io_full) = totals(&mut self.io);
        let (_, irq_full) = totals(&mut self.irq);
        let pressure = Pressure {
            cpu_some,
            cpu_full,
            memory_some,
            memory_full,
            io_some,
            io_full,
            irq_full,
        };
        areas.pressure = (pressure != Pressure::default()).then_some(pressure);
    }
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=14529928` and the same for `full`.
fn parse(contents: &[u8]) -> (Option<u64>, Option<u64>) {
    let (mut some, mut full) = (None, None);
    for line in lines(contents) {
        let mut words = Words::of(line);
        let total = match words.next() {
            Some(b"some") => &mut some,
            Some(b"full") => &mut full,
            _ => continue,
        };
        *total = words.find_map(|word| number(word.strip_prefix(b"total=")?));
    }
    (some, full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_before_5_13_have_no_full_for_cpus() {
        assert_eq!(
            parse(b"some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n"),
            (Some(7), None)
        );
        assert_eq!(
            parse(b"some avg10=0.00 total=7\nfull avg10=0.00 total=12345\n"),
            (Some(7), Some(12345))
        );
        assert_eq!(parse(b"some avg10=0.00 total=7\nfull avg10=0.00 tot"), (Some(7), None));
        assert_eq!(parse(b""), (None, None));
    }
}
