//! Averages of load: `/proc/loadavg`.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::Load;

use super::Roots;
use super::source::{Reading, Shape, Source};
use super::text::{Words, decimal, number, single};

pub(super) struct LoadAverages {
    file: Source,
}

impl LoadAverages {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            file: Source::new(roots.proc.join("loadavg"), Shape::Whole),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        areas.load = self.file.read(reading).and_then(parse);
    }
}

/// `0.08 0.12 0.15 1/187 31336`
pub(super) fn parse(contents: &[u8]) -> Option<Load> {
    let mut words = Words::of(single(contents)?);
    let (load1, load5, load15) = (
        decimal(words.next()?)?,
        decimal(words.next()?)?,
        decimal(words.next()?)?,
    );
    let mut tasks = words.next().unwrap_or_default().split(|byte| *byte == b'/').map(number);
    Some(Load {
        load1,
        load5,
        load15,
        tasks_runnable: tasks.next().flatten(),
        tasks: tasks.next().flatten(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_line_gives_nothing() {
        let load = parse(b"0.08 1.12 20.15 1/187 31336\n").unwrap();
        assert_eq!(
            (load.load15, load.tasks_runnable, load.tasks),
            (20.15, Some(1), Some(187))
        );
        assert_eq!(parse(b"0.08 1.12 20.15\n").unwrap().tasks, None);
        assert_eq!(parse(b"0.08 1.12 20.1"), None);
        assert_eq!(parse(b"0.08 1.12\n"), None);
        assert_eq!(parse(b"0.08 nan 1\n"), None);
    }
}
