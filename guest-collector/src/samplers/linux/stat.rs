//! CPUs and what the kernel counts: `/proc/stat`.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::{Cpu, Kernel, Softirqs};

use super::Roots;
use super::source::{Reading, Shape, Source};
use super::text::{Words, lines, number};

pub(super) struct Stat {
    file: Source,
}

impl Stat {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: Source::new(roots.proc.join("stat"), Shape::Whole),
        }
    }

    /// Fills `kernel` and `cpus`.
    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        let Some(contents) = self.file.read(reading) else {
            areas.cpus = None;
            return;
        };
        let cpus = areas.cpus.get_or_insert_default();
        cpus.clear();
        areas.kernel = Some(parse(contents, cpus));
    }
}

fn parse(contents: &[u8], cpus: &mut Vec<Cpu>) -> Kernel {
    let mut kernel = Kernel {
        ticks_per_second: rustix::param::clock_ticks_per_second(),
        ..Kernel::default()
    };
    for line in lines(contents) {
        let mut words = Words::of(line);
        let Some(key) = words.next() else { continue };
        match key {
            b"cpu" => {}
            b"intr" => kernel.interrupts = words.number(),
            b"ctxt" => kernel.context_switches = words.number(),
            b"btime" => kernel.boot_time_seconds = words.number(),
            b"processes" => kernel.forks = words.number(),
            b"procs_running" => kernel.processes_running = words.number(),
            b"procs_blocked" => kernel.processes_blocked = words.number(),
            b"softirq" => kernel.softirqs = softirqs(words),
            _ => cpus.extend(
                key.strip_prefix(b"cpu")
                    .and_then(number)
                    .and_then(|cpu| row(cpu, words)),
            ),
        }
    }
    kernel
}

fn row(cpu: u64, mut words: Words<'_>) -> Option<Cpu> {
    Some(Cpu {
        cpu: u32::try_from(cpu).ok()?,
        user: words.number()?,
        nice: words.number()?,
        system: words.number()?,
        idle: words.number()?,
        iowait: words.number()?,
        irq: words.number()?,
        softirq: words.number()?,
        steal: words.number()?,
        guest: words.number()?,
        guest_nice: words.number()?,
    })
}

fn softirqs(mut words: Words<'_>) -> Option<Softirqs> {
    // Their sum stands first.
    words.next()?;
    Some(Softirqs {
        high: words.number()?,
        timer: words.number()?,
        network_transmit: words.number()?,
        network_receive: words.number()?,
        block: words.number()?,
        interrupt_poll: words.number()?,
        tasklet: words.number()?,
        scheduler: words.number()?,
        high_resolution_timer: words.number()?,
        rcu: words.number()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_that_are_offline_or_cut_have_no_row() {
        let mut cpus = Vec::new();
        parse(b"cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu2 1 2 3 4 5\ncpu7 1 2 3 4 5 6 7 8 9 10 11 12\ncpu8 1 2 3 4 5 6 7 8 9 1", &mut cpus);
        assert_eq!(
            cpus.iter().map(|cpu| (cpu.cpu, cpu.guest_nice)).collect::<Vec<_>>(),
            [(0, 10), (7, 10)]
        );
    }

    #[test]
    fn what_the_kernel_does_not_say_is_unknown() {
        let kernel = parse(b"intr 12 1 2 3\nsoftirq 5 1 2\nbtime x\nfuture 1\n", &mut Vec::new());
        assert_eq!(
            (kernel.interrupts, kernel.softirqs, kernel.boot_time_seconds),
            (Some(12), None, None)
        );
        assert_eq!(kernel.ticks_per_second, 100);
    }
}
