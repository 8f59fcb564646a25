//! Paging: `/proc/vmstat`.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::Paging;

use super::Roots;
use super::source::{Reading, Shape, Source};
use super::text::{Words, lines};

pub(super) struct PagingCounters {
    file: Source,
}

impl PagingCounters {
    pub(super) fn new(roots: &Roots) -> Self {
        // The kernel sums all of its counters up for each page that is read, and the last that is wanted stands in the first page.
        let is_enough = |contents: &[u8]| lines(contents).any(|line| line.starts_with(b"oom_kill "));
        Self {
            file: Source::new(roots.proc.join("vmstat"), Shape::RowsUntil(is_enough)),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        areas.paging = self.file.read(reading).map(parse);
    }
}

fn parse(contents: &[u8]) -> Paging {
    let mut paging = Paging::default();
    for line in lines(contents) {
        let mut words = Words::of(line);
        let field = match words.next() {
            Some(b"pgpgin") => &mut paging.paged_in,
            Some(b"pgpgout") => &mut paging.paged_out,
            Some(b"pswpin") => &mut paging.swapped_in,
            Some(b"pswpout") => &mut paging.swapped_out,
            Some(b"pgfault") => &mut paging.faults,
            Some(b"pgmajfault") => &mut paging.major_faults,
            Some(b"oom_kill") => &mut paging.oom_kills,
            _ => continue,
        };
        *field = words.number();
    }
    paging
}
