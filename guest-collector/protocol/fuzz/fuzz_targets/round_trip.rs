//! Whatever areas a line brings, encoded again they are the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pve_guest_protocol::{AreaSet, Assembly, Encoder, Header, LineBuffer, MAX_LINE_BYTES, Message, Piece, decode};

fuzz_target!(|areas: &[u8]| {
    let head = br#"{"jsonrpc":"2.0","method":"metrics","params":{"header":{"version":"1.0","boot_id":"0f5b6f1c-6b0a-4c57-9d0e-3f2b8f5f8d11","start_seconds":1,"sequence":2,"monotonic_seconds":3,"time_seconds":4,"interval_seconds":5,"part":0,"parts":1},"areas":"#;
    let Ok(Message::Metrics(report)) = decode(&[head, areas, b"}}"].concat()) else {
        return;
    };
    let mut bytes = Vec::new();
    let encoded = Encoder::default().encode(&Header::default(), &report.areas, AreaSet::ALL, None, &mut bytes);
    let mut assembly = Assembly::default();
    let mut lines = 0;
    LineBuffer::default().push(&bytes, |piece| {
        let Piece::Line(line) = piece else {
            panic!("a line is too long")
        };
        assert!(line.len() < MAX_LINE_BYTES);
        lines += 1;
        let Ok(Message::Metrics(again)) = decode(line) else {
            panic!("a line does not decode")
        };
        if let Some(sample) = assembly.add(*again) {
            assert_eq!(sample.areas.present(), report.areas.present());
            assert!(encoded.omitted > 0 || same(&sample.areas, &report.areas));
        }
    });
    assert_eq!(lines, encoded.lines);
});

/// Load averages may differ in the last bit.
fn same(one: &pve_guest_protocol::Areas, other: &pve_guest_protocol::Areas) -> bool {
    let without = |areas: &pve_guest_protocol::Areas| pve_guest_protocol::Areas {
        load: None,
        ..areas.clone()
    };
    without(one) == without(other)
}
