//! Any bytes as what comes from a port, on either side.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pve_guest_protocol::{Assembly, LineBuffer, MAX_LINE_BYTES, Message, Piece, decode, decode_request};

fuzz_target!(|bytes: &[u8]| {
    let mut assembly = Assembly::default();
    LineBuffer::default().push(bytes, |piece| {
        let Piece::Line(line) = piece else { return };
        assert!(!line.is_empty() && line.len() < MAX_LINE_BYTES);
        _ = decode_request(line);
        match decode(line) {
            Ok(Message::Metrics(report)) => {
                assert!(report.header.part < report.header.parts);
                drop(assembly.add(*report));
            }
            Ok(Message::Answer { result, .. }) => drop((result.report(), result.agent_info(), result.subscription())),
            _ => {}
        }
    });
});
