//! Lines become samples.

use crate::MAX_PARTS;
use crate::areas::Areas;
use crate::report::{Header, Report};

/// All lines of one sample.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// Of the last line that came; `part` and `split` mean nothing here.
    pub header: Header,
    /// The areas, each of them whole.
    pub areas: Areas,
}

/// Puts the lines of one sample together. Holds at most one sample that is not complete.
#[derive(Debug)]
pub struct Assembly {
    most_parts: u16,
    begun: Option<Box<Sample>>,
    /// The part that has to come next.
    next: u16,
    incomplete: u64,
}

impl Default for Assembly {
    fn default() -> Self {
        Self::new(MAX_PARTS)
    }
}

impl Assembly {
    /// Takes samples of at most so many lines; larger ones are skipped.
    pub fn new(most_parts: u16) -> Self {
        Self {
            most_parts,
            begun: None,
            next: 0,
            incomplete: 0,
        }
    }

    /// Whether a line is the next of its sample, or the first of another. A port keeps the order of lines, so one that is not the
    /// next shows that some were lost, and the sample that was begun is given up. A line that is neither need not be looked at.
    pub fn expects(&mut self, header: &Header) -> bool {
        let begun = self.begun.as_deref();
        if begun.is_some_and(|sample| header.part == self.next && same_sample(&sample.header, header)) {
            return true;
        }
        self.incomplete += u64::from(self.begun.take().is_some());
        header.part == 0 && header.parts <= self.most_parts
    }

    /// Takes a line, if it [is expected](Self::expects); gives the sample that it completes.
    pub fn add(&mut self, report: Report) -> Option<Box<Sample>> {
        let Report { header, areas } = report;
        if !self.expects(&header) {
            return None;
        }
        let mut sample = self.begun.take().unwrap_or_default();
        sample.header = header;
        sample.areas.append(areas);
        if header.part + 1 == header.parts {
            return Some(sample);
        }
        self.next = header.part + 1;
        self.begun = Some(sample);
        None
    }

    /// How many samples were begun and given up because a line was missing.
    pub fn incomplete(&self) -> u64 {
        self.incomplete
    }
}

fn same_sample(one: &Header, other: &Header) -> bool {
    one.boot_id == other.boot_id
        && one.start_seconds == other.start_seconds
        && one.sequence == other.sequence
        && one.parts == other.parts
}
