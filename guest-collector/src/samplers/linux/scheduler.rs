//! Run queues: `/proc/schedstat`, where the kernel keeps it.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::SchedulerCpu;

use super::Roots;
use super::source::{Reading, Shape, Source};
use super::text::{Words, lines, number};

pub(super) struct RunQueues {
    file: Source,
}

impl RunQueues {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: Source::new(roots.proc.join("schedstat"), Shape::LongRows),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        let Some(contents) = self.file.read(reading) else {
            areas.scheduler = None;
            return;
        };
        let rows = areas.scheduler.get_or_insert_default();
        rows.clear();
        rows.extend(lines(contents).filter_map(row));
    }
}

/// `cpu0 0 0 0 0 0 0 RUNNING WAITING SLICES`; lines of other names are scheduling domains.
fn row(line: &[u8]) -> Option<SchedulerCpu> {
    let mut words = Words::of(line);
    let cpu = number(words.next()?.strip_prefix(b"cpu")?)?;
    Some(SchedulerCpu {
        cpu: u32::try_from(cpu).ok()?,
        running_nanoseconds: number(words.nth(6)?)?,
        waiting_nanoseconds: words.number()?,
        timeslices: words.number()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_of_cpus_are_rows() {
        let cut: [&[u8]; 5] = [
            b"cpu0 0 0 0 0 0 0 1 2",
            b"domain0 3 0 0 0 0 0 1 2 3",
            b"version 15",
            b"",
            b"cpu 0 0 0 0 0 0 1 2 3",
        ];
        assert!(cut.iter().all(|line| row(line).is_none()));
        let expected = SchedulerCpu {
            cpu: 12,
            running_nanoseconds: 1,
            waiting_nanoseconds: 2,
            timeslices: 3,
        };
        assert_eq!(row(b"cpu12 0 0 0 0 0 0 1 2 3 4"), Some(expected));
    }
}
