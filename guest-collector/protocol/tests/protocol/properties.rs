//! Whatever a guest has, the exporter reads what the collector wrote; whatever bytes come, nothing panics.

use crate::support::{area_set, areas, header, repeated, samples};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use pve_guest_protocol::{
    Area, AreaSet, Areas, Call, Encoder, LineBuffer, MAX_LINE_BYTES, Message, Piece, Request, decode, decode_request,
    write_request,
};

fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split_inclusive(|byte| *byte == b'\n')
}

/// The areas that are also in the set.
fn chosen(areas: &Areas, only: AreaSet) -> AreaSet {
    areas.present().intersection(only)
}

proptest! {
    #![proptest_config(Config::with_cases(32))]

    #[test]
    fn what_is_encoded_is_decoded(header in header(), areas in areas(), only in area_set(), times in prop_oneof![Just(1_usize), 1_usize..200], id in any::<Option<u64>>()) {
        let areas = repeated(&areas, times);
        let mut bytes = b"kept\n".to_vec();
        let mut encoder = Encoder::default();
        let encoded = encoder.encode(&header, &areas, only, id, &mut bytes);
        let bytes = bytes.strip_prefix(b"kept\n").unwrap();
        prop_assert_eq!(lines(bytes).count(), usize::from(encoded.lines));
        prop_assert!(lines(bytes).all(|line| line.len() <= MAX_LINE_BYTES && line.ends_with(b"\n")));
        prop_assert_eq!(encoded.omitted, 0);

        let samples = samples(bytes);
        let [sample] = samples.as_slice() else { panic!("{} samples", samples.len()) };
        prop_assert_eq!(sample.header.sequence, header.sequence);
        prop_assert_eq!(sample.header.boot_id, header.boot_id);
        prop_assert_eq!(sample.header.time_seconds, header.time_seconds);
        prop_assert_eq!(sample.areas.present(), chosen(&areas, only));
        let mut whole = areas.clone();
        whole.update(sample.areas.clone());
        prop_assert!(whole == areas, "an area changed");

        let mut again = Vec::new();
        encoder.encode(&header, &areas, only, id, &mut again);
        prop_assert!(again == bytes, "the same sample, the same bytes");
    }

    #[test]
    fn an_area_that_is_not_split_is_whole_in_its_line(header in header(), areas in areas(), times in 50_usize..200) {
        let areas = repeated(&areas, times);
        let mut bytes = Vec::new();
        Encoder::default().encode(&header, &areas, AreaSet::ALL, None, &mut bytes);
        let mut seen = AreaSet::NONE;
        for (part, line) in lines(&bytes).enumerate() {
            let Message::Metrics(report) = decode(line).unwrap() else { panic!("another message") };
            prop_assert_eq!(usize::from(report.header.part), part);
            let whole: AreaSet = report.areas.present().iter().filter(|area| !report.header.split.contains(*area)).collect();
            prop_assert!(seen.intersection(whole).is_empty(), "an area in two lines, and not said to be split");
            seen = seen.union(report.areas.present());
            let mut updated = areas.clone();
            let mut only_whole = report.areas.clone();
            forget(&mut only_whole, report.header.split);
            updated.update(only_whole);
            prop_assert!(updated == areas, "an area changed");
        }
    }

    #[test]
    fn requests_are_read_as_they_were_written(id in any::<u64>(), interval_seconds in crate::support::finite().prop_map(|seconds| seconds.abs().max(1e-6))) {
        for call in [Call::Ping, Call::GetAgentInfo, Call::GetSystemInfo, Call::GetNetworkInfo, Call::GetDiskUsage, Call::GetUsers, Call::GetMetrics, Call::Subscribe { interval_seconds }] {
            let request = Request { id, call };
            let mut line = Vec::new();
            write_request(&request, &mut line);
            prop_assert_eq!(decode_request(&line).unwrap(), Some(request));
        }
    }

    #[test]
    fn the_portions_in_which_bytes_come_do_not_matter(bytes in stream(), cuts in prop::collection::vec(1_usize..5_000, 1..20)) {
        let mut whole = Vec::new();
        LineBuffer::default().push(&bytes, |piece| whole.push(owned(piece)));
        let mut portions = Vec::new();
        let mut buffer = LineBuffer::default();
        let mut rest = bytes.as_slice();
        for cut in cuts.iter().cycle() {
            let (portion, tail) = rest.split_at((*cut).min(rest.len()));
            buffer.push(portion, |piece| portions.push(owned(piece)));
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert!(whole == portions);
        prop_assert!(whole.iter().flatten().all(|line| !line.is_empty() && line.len() < MAX_LINE_BYTES && !line.contains(&b'\n')));
    }
}

fn forget(areas: &mut Areas, split: AreaSet) {
    for area in split.iter() {
        match area {
            Area::Cpus => areas.cpus = None,
            Area::Scheduler => areas.scheduler = None,
            Area::Softnet => areas.softnet = None,
            Area::Disks => areas.disks = None,
            Area::FileSystems => areas.file_systems = None,
            Area::Network => areas.network = None,
            Area::Interfaces => areas.interfaces = None,
            Area::Arp => areas.arp = None,
            other => panic!("{other:?} is one object"),
        }
    }
}

/// Lines of any length about the limit, and empty ones.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![Just(0), 0_usize..50, 32_700_usize..32_800, Just(100_000)];
    prop::collection::vec(length, 1..8).prop_map(|lengths| {
        let line = |length| [vec![b'x'; length], b"\n".to_vec()].concat();
        lengths.into_iter().flat_map(line).collect()
    })
}

/// `None` is a line that was too long.
fn owned(piece: Piece<'_>) -> Option<Vec<u8>> {
    match piece {
        Piece::Line(line) => Some(line.to_vec()),
        Piece::TooLong => None,
    }
}

/// Lines that nearly are messages: a good one with some bytes changed, cut out, doubled or put in.
#[test]
fn damaged_lines_never_panic() {
    let mut runner = TestRunner::new(Config::with_cases(400));
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 1..6);
    let strategy = (header(), areas(), edits, any::<bool>());
    runner
        .run(&strategy, |(header, areas, edits, answer)| {
            let mut bytes = Vec::new();
            Encoder::default().encode(&header, &areas, AreaSet::ALL, answer.then_some(1), &mut bytes);
            for (index, byte, edit) in edits {
                let at = index.index(bytes.len());
                match edit {
                    0 => bytes[at] = byte,
                    1 => bytes.truncate(at.max(1)),
                    2 => bytes.extend_from_within(at..),
                    _ => bytes.insert(at, b"\"{}[]:,0-e."[usize::from(byte) % 11]),
                }
            }
            swallow(&bytes);
            Ok(())
        })
        .unwrap();
}

#[test]
fn arbitrary_bytes_never_panic() {
    let mut runner = TestRunner::new(Config::with_cases(400));
    let json = "[\\[\\]{}:,\"0-9a-z.\\-]{0,200}";
    let bytes = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..2_000),
        json.prop_map(String::into_bytes)
    ];
    runner
        .run(&bytes, |bytes| {
            swallow(&bytes);
            Ok(())
        })
        .unwrap();
}

/// Reads bytes as either side does.
fn swallow(bytes: &[u8]) {
    LineBuffer::default().push(bytes, |piece| {
        let Piece::Line(line) = piece else { return };
        if let Ok(Message::Answer { result, .. }) = decode(line) {
            drop((result.report(), result.agent_info(), result.subscription()));
        }
        _ = decode_request(line);
    });
}
