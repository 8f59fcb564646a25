//! The worst that a guest, or what a dead peer left behind, can do to a reader.

use allocation_counter::measure;
use pve_guest_protocol::areas::{Disk, FileSystemError};
use pve_guest_protocol::{
    AgentInfo, Area, AreaSet, Areas, Assembly, Damage, EMPTY_LINE, Encoder, ErrorCode, Header, LineBuffer,
    MAX_LINE_BYTES, MAX_PARTS, MAX_ROWS_PER_LINE, Message, Piece, Refusal, Report, Version, decode, decode_request,
    write_result,
};

const HEADER: &str = r#"{"version":"1.0","boot_id":"0f5b6f1c-6b0a-4c57-9d0e-3f2b8f5f8d11","start_seconds":1,"sequence":2,"monotonic_seconds":3,"time_seconds":4,"interval_seconds":5,"part":0,"parts":1}"#;

fn line(header: &str, areas: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","method":"metrics","params":{{"header":{header},"areas":{areas}}}}}"#)
}

fn with_areas(areas: &str) -> Result<Report, Damage> {
    report(line(HEADER, areas).as_bytes())
}

fn with_header(from: &str, to: &str) -> Result<Report, Damage> {
    assert!(HEADER.contains(from), "{from}");
    report(line(&HEADER.replace(from, to), "{}").as_bytes())
}

fn report(line: &[u8]) -> Result<Report, Damage> {
    decode(line).map(|message| match message {
        Message::Metrics(report) => *report,
        other => panic!("{other:?}"),
    })
}

/// What a reader makes of bytes: lines that are good, damaged, too long.
#[derive(Debug, Default, PartialEq)]
struct Count {
    good: u32,
    damaged: u32,
    too_long: u32,
}

fn count(buffer: &mut LineBuffer, bytes: &[u8]) -> Count {
    let mut count = Count::default();
    buffer.push(bytes, |piece| match piece {
        Piece::Line(line) if decode(line).is_ok() => count.good += 1,
        Piece::Line(_) => count.damaged += 1,
        Piece::TooLong => count.too_long += 1,
    });
    count
}

#[test]
fn the_line_that_the_others_are_made_of_is_good() {
    assert_eq!(with_areas("{}").unwrap().header.sequence, 2);
}

#[test]
fn a_line_that_is_cut_anywhere_costs_only_itself() {
    let whole = line(HEADER, r#"{"load":{"load1":1,"load5":2.5,"load15":3e1}}"#);
    for cut in 1..whole.len() {
        let (head, tail) = whole.split_at(cut);
        assert_eq!(report(head.as_bytes()), Err(Damage::Syntax), "cut at {cut}");
        assert!(decode(tail.as_bytes()).is_err(), "begun at {cut}");
        let bytes = format!("{head}\n{whole}\n");
        assert_eq!(
            count(&mut LineBuffer::default(), bytes.as_bytes()),
            Count {
                good: 1,
                damaged: 1,
                too_long: 0
            }
        );
    }
}

#[test]
fn what_a_dead_peer_left_is_glued_to_the_next_line_unless_an_empty_one_comes_between() {
    let whole = line(HEADER, "{}");
    let (left, _) = whole.split_at(whole.len() / 2);
    let mut buffer = LineBuffer::default();
    assert_eq!(count(&mut buffer, left.as_bytes()), Count::default());
    assert_eq!(
        count(&mut buffer, format!("{whole}\n").as_bytes()),
        Count {
            damaged: 1,
            ..Count::default()
        }
    );
    assert_eq!(count(&mut buffer, left.as_bytes()), Count::default());
    assert_eq!(
        count(&mut buffer, EMPTY_LINE),
        Count {
            damaged: 1,
            ..Count::default()
        }
    );
    assert_eq!(
        count(&mut buffer, format!("{whole}\n").as_bytes()),
        Count {
            good: 1,
            ..Count::default()
        }
    );
    assert_eq!(
        count(&mut buffer, format!("{whole}{whole}\n").as_bytes()),
        Count {
            damaged: 1,
            ..Count::default()
        }
    );
    buffer.push(left.as_bytes(), |_| panic!("a line without an end"));
    buffer.reset();
    assert_eq!(
        count(&mut buffer, format!("{whole}\n").as_bytes()),
        Count {
            good: 1,
            ..Count::default()
        }
    );
}

#[test]
fn megabytes_without_a_newline_are_one_line_and_no_memory() {
    let mut buffer = LineBuffer::default();
    let chunk = vec![b'{'; 10_000];
    let mut total = Count::default();
    let memory = measure(|| {
        for _ in 0..1_000 {
            total.too_long += count(&mut buffer, &chunk).too_long;
        }
    });
    assert_eq!(total.too_long, 1);
    assert!(
        memory.bytes_max <= 2 * MAX_LINE_BYTES as u64,
        "{} bytes",
        memory.bytes_max
    );
    let next = format!("{{\n{}\n", line(HEADER, "{}"));
    assert_eq!(
        count(&mut buffer, next.as_bytes()),
        Count {
            good: 1,
            ..Count::default()
        }
    );
}

#[test]
fn the_longest_line_that_is_allowed_is_read_and_one_more_byte_is_too_much() {
    let whole = line(HEADER, "{}");
    let padded = |length: usize| format!("{whole}{}\n", " ".repeat(length - whole.len() - 1));
    for split in [1, 100, MAX_LINE_BYTES - 1, MAX_LINE_BYTES] {
        let line = padded(MAX_LINE_BYTES);
        let mut buffer = LineBuffer::default();
        let (head, tail) = line.as_bytes().split_at(split);
        let (first, second) = (count(&mut buffer, head), count(&mut buffer, tail));
        assert_eq!(first.good + second.good, 1, "split at {split}");
        let line = padded(MAX_LINE_BYTES + 1);
        let (head, tail) = line.as_bytes().split_at(split);
        let (first, second) = (count(&mut buffer, head), count(&mut buffer, tail));
        assert_eq!(
            (first.too_long + second.too_long, first.good + second.good),
            (1, 0),
            "split at {split}"
        );
    }
}

#[test]
fn nesting_is_skipped_in_what_is_unknown_and_refused_in_what_is_known() {
    let deep = |open: &str, close: &str| format!("{}{}", open.repeat(6_000), close.repeat(6_000));
    let decoding = std::thread::Builder::new().stack_size(512 * 1024).spawn(move || {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let nested = if open == "[" {
                deep(open, close)
            } else {
                format!("{}1{}", open.repeat(5_000), close.repeat(5_000))
            };
            assert!(with_areas(&format!(r#"{{"later":{nested}}}"#)).is_ok());
            assert_eq!(with_areas(&format!(r#"{{"load":{nested}}}"#)), Err(Damage::Shape));
            assert_eq!(with_areas(&format!(r#"{{"cpus":{nested}}}"#)), Err(Damage::Shape));
            assert!(decode(nested.as_bytes()).is_err());
            assert!(decode_request(nested.as_bytes()).is_err());
        }
        assert_eq!(report(&[b'['; MAX_LINE_BYTES - 1]), Err(Damage::Shape));
    });
    decoding.unwrap().join().unwrap();
}

#[test]
fn a_key_that_comes_twice_damages_the_line() {
    let load = r#""load":{"load1":1,"load5":2,"load15":3}"#;
    assert!(with_areas(&format!("{{{load}}}")).is_ok());
    assert_eq!(with_areas(&format!("{{{load},{load}}}")), Err(Damage::Shape));
    assert_eq!(
        with_areas(r#"{"load":{"load1":1,"load1":1,"load5":2,"load15":3}}"#),
        Err(Damage::Shape)
    );
    assert_eq!(with_areas(r#"{"memory":{"free":1,"free":1}}"#), Err(Damage::Shape));
    assert_eq!(
        with_areas(r#"{"arp":[{"device":"a","entries":1,"entries":2}]}"#),
        Err(Damage::Shape)
    );
    assert_eq!(
        with_header(r#""sequence":2"#, r#""sequence":2,"sequence":2"#),
        Err(Damage::Shape)
    );
    assert_eq!(
        with_header(r#""version":"1.0""#, r#""version":"1.0","version":"2.0""#),
        Err(Damage::Shape)
    );
    let twice = line(HEADER, "{}").replace(r#""jsonrpc":"2.0""#, r#""jsonrpc":"2.0","jsonrpc":"2.0""#);
    assert_eq!(report(twice.as_bytes()), Err(Damage::Shape));
    assert!(with_areas(r#"{"later":1,"later":2,"load":{"load1":1,"load5":2,"load15":3,"x":1,"x":1}}"#).is_ok());
}

#[test]
fn numbers_are_what_the_field_takes_or_the_line_is_damaged() {
    for number in [
        "1180591620717411303424",
        "18446744073709551616",
        "-1",
        "1.5",
        "1.0",
        "1e3",
        "\"1\"",
        "null",
        "[]",
        "true",
    ] {
        assert_eq!(
            with_header(r#""sequence":2"#, &format!(r#""sequence":{number}"#)),
            Err(Damage::Shape),
            "{number}"
        );
        assert_eq!(
            with_areas(&format!(r#"{{"arp":[{{"device":"a","entries":{number}}}]}}"#)),
            Err(Damage::Shape),
            "{number}"
        );
    }
    for number in [
        "NaN",
        "Infinity",
        "-Infinity",
        "nan",
        "0x10",
        "01",
        "+1",
        "1e999",
        "1.",
        ".5",
        "",
    ] {
        assert_eq!(
            with_header(r#""time_seconds":4"#, &format!(r#""time_seconds":{number}"#)),
            Err(Damage::Syntax),
            "{number}"
        );
        assert_eq!(
            with_areas(&format!(r#"{{"memory":{{"free":{number}}}}}"#)),
            Err(Damage::Syntax),
            "{number}"
        );
    }
    assert_eq!(
        with_header(r#""time_seconds":4"#, r#""time_seconds":null"#),
        Err(Damage::Shape)
    );
    assert_eq!(with_areas(r#"{"memory":null}"#), Err(Damage::Shape));
    let memory = with_areas(r#"{"memory":{"free":18446744073709551615,"total":null}}"#)
        .unwrap()
        .areas
        .memory
        .unwrap();
    assert_eq!((memory.free, memory.total), (Some(u64::MAX), None));
    let time = with_header(r#""time_seconds":4"#, r#""time_seconds":1180591620717411303424"#)
        .unwrap()
        .header
        .time_seconds;
    assert!(time.is_finite());
}

#[test]
fn invalid_utf8_damages_the_line_wherever_it_stands() {
    let whole = line(HEADER, r#"{"arp":[{"device":"@","entries":1}],"later":"@","@":1}"#);
    for (at, _) in whole.match_indices('@') {
        for byte in [0xff, 0xc0, 0x80] {
            let mut line = whole.clone().into_bytes();
            line[at] = byte;
            assert_eq!(report(&line), Err(Damage::Syntax));
            assert_eq!(
                decode_request(&line),
                Err(Refusal {
                    id: None,
                    code: ErrorCode::ParseError
                })
            );
        }
    }
    assert!(report(whole.as_bytes()).is_ok());
    assert_eq!(
        with_areas(r#"{"arp":[{"device":"\ud800","entries":1}]}"#),
        Err(Damage::Syntax)
    );
}

#[test]
fn envelopes_of_the_wrong_shape_are_damaged() {
    for line in [
        "null",
        "[]",
        "{}",
        r#""metrics""#,
        r#"["2.0",1,"metrics"]"#,
        r#"[{"jsonrpc":"2.0","method":"metrics","params":{}}]"#,
        r#"{"jsonrpc":"1.0","id":1,"result":{}}"#,
        r#"{"jsonrpc":"2.0"}"#,
        r#"{"jsonrpc":"2.0","id":1}"#,
        r#"{"jsonrpc":"2.0","id":"1","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1180591620717411303424,"result":{}}"#,
        r#"{"jsonrpc":"2.0","result":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"later"}"#,
        r#"{"jsonrpc":"2.0","method":"metrics"}"#,
        r#"{"jsonrpc":"2.0","method":"metrics","params":[]}"#,
        r#"{"jsonrpc":"2.0","method":"metrics","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"error":{"code":"x","message":""}}"#,
    ] {
        assert_eq!(decode(line.as_bytes()).err(), Some(Damage::Shape), "{line}");
    }
    for (from, to) in [
        (r#""part":0"#, r#""part":1"#),
        (r#""parts":1"#, r#""parts":0"#),
        (r#""parts":1"#, r#""parts":65"#),
        (r#""parts":1"#, r#""parts":65536"#),
        ("0f5b6f1c-", "0f5b6f1c"),
        ("8d11", "8d1"),
        ("8d11", "8d111"),
        ("8d11", "8d1\u{e9}"),
        (r#""version":"1.0""#, r#""version":"1""#),
        (r#""version":"1.0""#, r#""version":"+1.0""#),
        (r#""version":"1.0""#, r#""version":"99999.0""#),
        (r#""version":"1.0","#, ""),
        (r#""parts":1"#, r#""parts":1,"split":"cpus""#),
    ] {
        assert_eq!(with_header(from, to), Err(Damage::Shape), "{to}");
    }
}

#[test]
fn what_a_later_minor_version_adds_is_skipped() {
    let split = with_header(r#""parts":1"#, r#""parts":1,"split":["later","arp"],"later":{}"#)
        .unwrap()
        .header
        .split;
    assert_eq!(split, AreaSet::NONE.with(Area::Arp));
    assert_eq!(
        with_header(r#""version":"1.0""#, r#""version":"1.7""#)
            .unwrap()
            .header
            .version,
        Version { major: 1, minor: 7 }
    );
    let areas =
        r#"{"file_systems":[{"device":"a","mount_point":"b","kind":"c","read_only":true,"error":"later","later":1}]}"#;
    let areas = with_areas(areas).unwrap().areas;
    assert_eq!(areas.file_systems.unwrap()[0].error, Some(FileSystemError::Other));
    assert!(matches!(
        decode(br#"{"jsonrpc":"2.0","method":"later"}"#),
        Ok(Message::Unknown)
    ));
    assert!(matches!(
        decode(br#"{"jsonrpc":"2.0","method":"later","params":[1]}"#),
        Ok(Message::Unknown)
    ));
}

#[test]
fn of_another_major_version_nothing_is_read_but_the_version() {
    let version = Version { major: 2, minor: 3 };
    let later = r#"{"jsonrpc":"2.0","method":"metrics","params":{"header":{"version":"2.3","part":"x"},"areas":[]}}"#;
    assert_eq!(report(later.as_bytes()), Err(Damage::Version(version)));
    let mut line = Vec::new();
    write_result(
        1,
        &AgentInfo {
            version,
            ..AgentInfo::default()
        },
        &mut line,
    );
    let Ok(Message::Answer { result, .. }) = decode(&line) else {
        panic!("no answer")
    };
    assert_eq!(result.agent_info(), Err(Damage::Version(version)));
}

#[test]
fn requests_of_the_wrong_shape_are_refused_with_their_id_where_it_can_be_read() {
    use ErrorCode::{InvalidParams, InvalidRequest, MethodNotFound, ParseError};
    for (line, id, code) in [
        ("{", None, ParseError),
        ("pig", None, ParseError),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping"}}"#, None, ParseError),
        ("[]", None, InvalidRequest),
        ("1", None, InvalidRequest),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, None, InvalidRequest),
        (r#"["2.0",1,"ping",null]"#, None, InvalidRequest),
        (
            r#"{"jsonrpc":"2.0","id":1,"id":1,"method":"ping"}"#,
            None,
            InvalidRequest,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, None, InvalidRequest),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, None, InvalidRequest),
        (r#"{"jsonrpc":"2.0","id":"a","method":"ping"}"#, None, InvalidRequest),
        (
            r#"{"jsonrpc":"2.0","id":1180591620717411303424,"method":"ping"}"#,
            None,
            InvalidRequest,
        ),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, Some(1), InvalidRequest),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"guest-exec"}"#,
            Some(1),
            MethodNotFound,
        ),
        (r#"{"jsonrpc":"2.0","id":1,"method":"Ping"}"#, Some(1), MethodNotFound),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"subscribe"}"#,
            Some(1),
            InvalidParams,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{}}"#,
            Some(1),
            InvalidParams,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"subscribe","params":[5]}"#,
            Some(1),
            InvalidParams,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"interval_seconds":0}}"#,
            Some(1),
            InvalidParams,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"interval_seconds":-5}}"#,
            Some(1),
            InvalidParams,
        ),
        (
            r#"{"jsonrpc":"2.0","id":1,"method":"subscribe","params":{"interval_seconds":"5"}}"#,
            Some(1),
            InvalidParams,
        ),
    ] {
        assert_eq!(decode_request(line.as_bytes()), Err(Refusal { id, code }), "{line}");
    }
    assert_eq!(decode_request(br#"{"jsonrpc":"2.0","method":"ping"}"#), Ok(None));
    assert!(
        decode_request(br#"{"method":"\u0070ing","jsonrpc":"2.0","later":{},"id":1,"params":[1]}"#)
            .unwrap()
            .is_some()
    );
}

/// Lines that are as long as allowed and make as much of themselves as they can.
fn greedy() -> Vec<String> {
    let fill = |head: &str, item: &str, tail: &str, most: usize| {
        let room = MAX_LINE_BYTES - 1 - line(HEADER, "").len() - head.len() - tail.len();
        let items = vec![item; (room / (item.len() + 1)).min(most)];
        line(HEADER, &format!("{head}{}{tail}", items.join(",")))
    };
    let rows = [
        ("arp", r#"{"device":"","entries":0}"#),
        ("interfaces", r#"{"interface":"","operational_state":""}"#),
        (
            "interfaces",
            r#"{"interface":"a","operational_state":"b","address":"c","broadcast":"d","duplex":"e","alias":"f"}"#,
        ),
        (
            "file_systems",
            r#"{"device":"","mount_point":"","kind":"","read_only":true}"#,
        ),
        ("disks", r#"{"device":"a"}"#),
    ];
    let mut lines = Vec::new();
    for (area, row) in rows {
        lines.push(fill(&format!(r#"{{"{area}":["#), row, "]}", MAX_ROWS_PER_LINE));
        lines.push(fill(&format!(r#"{{"{area}":["#), row, "]}", usize::MAX));
    }
    lines.push(fill(r#"{"later":["#, "0", "]}", usize::MAX));
    lines.push(fill(r#"{"later":["#, r#"{"\u0061":"\u0061"}"#, "]}", usize::MAX));
    lines.push(fill(r#"{"collector":{"failed":["#, r#""cpu""#, "]}}", usize::MAX));
    lines.push(fill(r#"{"collector":{"failed":["#, r#""\u0061""#, "]}}", usize::MAX));
    lines.push(fill(r#"{"system":{"name":""#, "\\u0061", r#""}}"#, usize::MAX));
    let room = MAX_LINE_BYTES - 1 - line(HEADER, r#"{"system":{"name":""}}"#).len();
    lines.push(line(
        HEADER,
        &format!(r#"{{"system":{{"name":"{}"}}}}"#, "\\n".repeat(room / 2)),
    ));
    lines.push(line(HEADER, &format!(r#"{{"{}":1}}"#, "\\n".repeat(room / 2))));
    lines.push(line(HEADER, &format!(r#"{{"later":{}"#, "[".repeat(room - 20))));
    lines.push(format!(r#"{{"jsonrpc":"2.0","method":"{}"}}"#, "\\n".repeat(16_000)));
    lines.push(format!(
        r#"{{"jsonrpc":"2.0","id":1,"error":{{"code":1,"message":"{}"}}}}"#,
        "\\n".repeat(16_000)
    ));
    lines
}

#[test]
fn a_line_makes_a_reader_allocate_no_more_than_a_small_multiple_of_the_longest_line() {
    let mut good = 0;
    for line in greedy() {
        assert!(line.len() < MAX_LINE_BYTES, "{}", line.len());
        let memory = measure(|| good += u32::from(decode(line.as_bytes()).is_ok()));
        let multiple = memory.bytes_max / MAX_LINE_BYTES as u64;
        assert!(multiple < 8, "{multiple} times for {line:.400}");
        let memory = measure(|| _ = decode_request(line.as_bytes()));
        assert!(
            memory.bytes_max < 3 * MAX_LINE_BYTES as u64,
            "{} bytes for {line:.400}",
            memory.bytes_max
        );
    }
    assert!(good >= 10, "{good}");
}

#[test]
fn a_sample_that_never_ends_is_bounded() {
    let interfaces = r#"{"interface":"","operational_state":""},"#.repeat(MAX_ROWS_PER_LINE);
    let areas = format!(r#"{{"interfaces":[{}]}}"#, interfaces.trim_end_matches(','));
    for (most, bound) in [(4, 1 << 20), (MAX_PARTS, 32 << 20)] {
        let mut assembly = Assembly::new(most);
        let memory = measure(|| {
            for number in 0..3 * MAX_PARTS {
                let part = number % most;
                let header = HEADER.replace(r#""part":0,"parts":1"#, &format!(r#""part":{part},"parts":{most}"#));
                drop(assembly.add(report(line(&header, &areas).as_bytes()).unwrap()));
            }
        });
        assert!(memory.bytes_max < bound, "{} bytes for {most} lines", memory.bytes_max);
    }
    let header = HEADER.replace(r#""parts":1"#, r#""parts":5"#);
    let mut assembly = Assembly::new(4);
    assert!(
        assembly
            .add(report(line(&header, &areas).as_bytes()).unwrap())
            .is_none()
    );
    assert_eq!(assembly.incomplete(), 0, "none was begun");
}

#[test]
fn a_line_that_is_missing_costs_its_sample_and_no_other() {
    let header = |sequence: u64, part: u16, parts: u16| Header {
        sequence,
        part,
        parts,
        ..Header::default()
    };
    let lines = |headers: &[(u64, u16, u16)]| {
        let mut assembly = Assembly::default();
        let mut complete = Vec::new();
        for (sequence, part, parts) in headers {
            let report = Report {
                header: header(*sequence, *part, *parts),
                areas: Areas::default(),
            };
            complete.extend(assembly.add(report).map(|sample| sample.header.sequence));
        }
        (complete, assembly.incomplete())
    };
    assert_eq!(lines(&[(1, 0, 1), (2, 0, 2), (2, 1, 2)]), (vec![1, 2], 0));
    assert_eq!(
        lines(&[(1, 1, 2), (2, 0, 1)]),
        (vec![2], 0),
        "begun before this reader came"
    );
    assert_eq!(lines(&[(1, 0, 2), (2, 0, 2), (2, 1, 2)]), (vec![2], 1));
    assert_eq!(lines(&[(1, 0, 3), (1, 2, 3), (2, 0, 1)]), (vec![2], 1));
    assert_eq!(lines(&[(1, 0, 2), (2, 1, 2), (3, 0, 1)]), (vec![3], 1));
    assert_eq!(lines(&[(1, 0, 2), (1, 0, 2), (1, 1, 2)]), (vec![1], 1), "doubled");
    assert_eq!(
        lines(&[(1, 0, 2), (1, 1, 3), (2, 0, 1)]),
        (vec![2], 1),
        "of another number of lines"
    );
}

#[test]
fn a_line_is_known_to_be_the_next_before_it_is_looked_at() {
    let header = |sequence: u64, part: u16| Header {
        sequence,
        part,
        parts: 3,
        ..Header::default()
    };
    let mut assembly = Assembly::new(3);
    let add = |assembly: &mut Assembly, sequence, part| {
        let areas = Areas::default();
        let header = header(sequence, part);
        assembly.add(Report { header, areas }).is_some()
    };
    assert!(!assembly.expects(&header(1, 1)), "nothing was begun");
    assert!(assembly.expects(&header(1, 0)) && !add(&mut assembly, 1, 0));
    assert!(
        assembly.expects(&header(1, 1)) && assembly.expects(&header(1, 1)),
        "asked twice"
    );
    assert!(!add(&mut assembly, 1, 1) && add(&mut assembly, 1, 2));
    assert!(!add(&mut assembly, 2, 0) && !assembly.expects(&header(3, 1)));
    assert_eq!(assembly.incomplete(), 1);
    assert!(!assembly.expects(&header(2, 1)), "it was given up");
    assert!(!Assembly::new(2).expects(&header(1, 0)), "too large");
}

#[test]
fn a_row_too_large_for_a_line_is_left_out_and_counted() {
    let disk = |length: usize| Disk {
        device: "\u{1}".repeat(length),
        ..Disk::default()
    };
    let areas = Areas {
        disks: Some(vec![disk(1), disk(6_000), disk(1)]),
        ..Areas::default()
    };
    let mut bytes = Vec::new();
    let encoded = Encoder::default().encode(&Header::default(), &areas, AreaSet::ALL, None, &mut bytes);
    assert_eq!(encoded.omitted, 1);
    let report = report(&bytes).unwrap();
    assert_eq!(report.header.omitted, 1);
    assert_eq!(report.areas.disks.unwrap().len(), 2);
}
