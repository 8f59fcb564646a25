//! This machine as a guest's page: sampled, sent, received and written out as between collector and exporter.

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use pve_exporter::metrics::exposition::Format;
use pve_exporter::telemetry::exposition::{Filter, Guest, exposition};
use pve_guest_collector::samplers::{Roots, Sampler};
use pve_guest_protocol::{Area, AreaSet, Areas, Assembly, Encoder, Header, LineBuffer, Message, Piece, decode};

pub(crate) struct Ours {
    sampler: Sampler,
    areas: AreaSet,
    /// What PVE would call the guest: here its own name.
    name: String,
}

impl Ours {
    /// Of this machine.
    pub(crate) fn new() -> Self {
        Self::of(&Roots::default(), AreaSet::ALL)
    }

    /// Of a recorded one, whose file systems are not here.
    pub(crate) fn of_record(tree: &Path) -> Self {
        let mut areas = AreaSet::ALL;
        areas.remove(Area::FileSystems);
        Self::of(&Roots::below(tree), areas)
    }

    fn of(roots: &Roots, areas: AreaSet) -> Self {
        let name = std::fs::read_to_string(roots.proc.join("sys/kernel/hostname")).unwrap();
        let name = name.trim_end().to_owned();
        Self {
            sampler: Sampler::new(roots, areas),
            areas,
            name,
        }
    }

    /// The page in the classic text format, with what is left out by default: which that is, is no matter of node_exporter's.
    pub(crate) fn text(&mut self) -> String {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        let areas = sent(self.sampler.sample(self.areas, Instant::now()));
        let guest = Guest {
            name: &self.name,
            time,
            areas: &areas,
        };
        exposition(guest, Filter { inner: true }, Format::Classic).into_text()
    }
}

/// The sample as it comes out at the other end of the port.
fn sent(areas: &Areas) -> Areas {
    let mut lines = Vec::new();
    let encoded = Encoder::default().encode(&Header::default(), areas, AreaSet::ALL, None, &mut lines);
    assert_eq!(encoded.omitted, 0);
    let (mut assembly, mut complete) = (Assembly::default(), None);
    LineBuffer::default().push(&lines, |piece| {
        let Piece::Line(line) = piece else { panic!("{piece:?}") };
        let Message::Metrics(report) = decode(line).unwrap() else {
            panic!("no report")
        };
        complete = assembly.add(*report);
    });
    complete.unwrap().areas
}
