//! A guest that does its worst: it costs its budget and nothing else.

use std::time::{Duration, Instant};

use pve_exporter::telemetry::exposition::{Filter, guest_rows};
use pve_exporter::telemetry::{Reason, State, Timing};
use pve_guest_protocol::areas::{FileSystem, NetworkCounters, System};
use pve_guest_protocol::{BootId, MAX_LINE_BYTES, VERSION};

use crate::port::{Attached, Collector, Node, disks, loaded, timing};

/// Another guest that behaves, in the sense that what it says is taken.
async fn is_well(attached: &mut Attached, collector: &mut Collector, node: &Node, load: f64) {
    attached.send(&collector.sample(load)).await;
    node.until_load(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_throttled_and_the_newest_still_gets_through() {
    let node = Node::with(timing(), |settings| settings.bytes_per_second = 32 * 1024);
    let port = node.guest();
    let mut attached = port.accept().await;
    let mut collector = Collector::new();
    is_well(&mut attached, &mut collector, &node, 1.0).await;
    let flood = collector.sample(2.0).repeat(300);
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < Duration::from_secs(3) {
        attached.stream.writable().await.unwrap();
        sent += attached.stream.try_write(&flood).unwrap_or(0);
    }
    let seconds = start.elapsed().as_secs_f64();
    let guest = node.known().await;
    let counts = guest.snapshot().counts;
    // What is kept at first, what is read and thrown away, and what lies in the socket.
    let most = 32.0 * 1024.0 * 16.0 * (16.0 + seconds + 2.0) + 1e6;
    assert!((sent as f64) < most, "{sent} of {most}");
    assert!(counts.dropped.of(Reason::Lines) + counts.dropped.of(Reason::Bytes) > 10_000);
    // The guest comes to its senses: its connection is still there.
    let deadline = Instant::now() + Duration::from_secs(120);
    let mut load = 10.0;
    loop {
        assert!(Instant::now() < deadline);
        load += 1.0;
        attached
            .send(&[b"\n".as_slice(), &collector.sample(load)].concat())
            .await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        if let Some(sample) = guest.snapshot().sample
            && sample.areas == loaded(load)
        {
            break;
        }
    }
    assert_eq!(guest.snapshot().connections, 1);
}

#[tokio::test]
async fn a_line_without_an_end_is_never_held() {
    let node = Node::with(timing(), |settings| settings.bytes_per_second = 1 << 20);
    let mut attached = node.guest().accept().await;
    let mut collector = Collector::new();
    for _ in 0..320 {
        attached.send(&[b'{'; MAX_LINE_BYTES]).await;
    }
    let snapshot = node.until_dropped(Reason::TooLong, 1).await;
    assert_eq!(snapshot.state, State::ProtocolError);
    attached.send(b"\n").await;
    is_well(&mut attached, &mut collector, &node, 1.0).await;
    assert_eq!(node.known().await.snapshot().counts.dropped.of(Reason::TooLong), 1);
}

#[tokio::test]
async fn nonsense_is_an_error_and_heals() {
    let nonsense: [&[u8]; 12] = [
        b"nonsense\n",
        b"{}\n",
        b"[]\n",
        b"\xFF\xFE\xFD\n",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"metrics\",\"params\":{}}\n",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"metrics\",\"params\":{\"header\":{\"version\":\"1.0\",\"sequence\":1e400}}}\n",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"metrics\",\"method\":\"metrics\",\"params\":{}}\n",
        b"{\"jsonrpc\":\"2.0\",\"method\":\"metrics\",\"params\":{\"header\":NaN}}\n",
        b"{\"jsonrpc\":\"1.0\",\"method\":\"metrics\"}\n",
        b"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"result\":{}}\n",
        b"\0\0\0\0\n",
        b"null\n",
    ];
    let node = Node::new();
    let mut attached = node.guest().accept().await;
    for nonsense in nonsense {
        attached.send(nonsense).await;
    }
    attached.send(format!("{}\n", "[".repeat(30_000)).as_bytes()).await;
    let snapshot = node.until_dropped(Reason::Damaged, 13).await;
    assert_eq!((snapshot.state, snapshot.counts.lines), (State::ProtocolError, 13));
    is_well(&mut attached, &mut Collector::new(), &node, 1.0).await;
}

/// The text of a sample's line with one number made giant.
fn with_number(line: &[u8], key: &str, number: &str) -> Vec<u8> {
    let text = std::str::from_utf8(line).unwrap();
    let (before, rest) = text.split_once(&format!("\"{key}\":")).unwrap();
    let value = rest.split([',', '}']).next().unwrap();
    let after = rest.strip_prefix(value).unwrap();
    format!("{before}\"{key}\":{number}{after}").into_bytes()
}

#[tokio::test]
async fn giant_numbers_break_nothing() {
    let node = Node::new();
    let mut attached = node.guest().accept().await;
    let mut collector = Collector::new();
    let mut load = 0.0;
    for (key, number) in [
        ("sequence", "18446744073709551616"),
        ("sequence", "-1"),
        ("monotonic_seconds", "1e999"),
        ("time_seconds", "NaN"),
        ("interval_seconds", "-1e308"),
        ("interval_seconds", "1e308"),
        ("interval_seconds", "0"),
        ("monotonic_seconds", "-1e308"),
        ("monotonic_seconds", "1e308"),
        ("time_seconds", "-1e308"),
        ("part", "65535"),
        ("parts", "0"),
        ("parts", "65"),
    ] {
        let line = collector.sample(1.0);
        attached.send(&with_number(&line, key, number)).await;
        load += 1.0;
        is_well(&mut attached, &mut collector, &node, load).await;
    }
    // A claimed interval of ages keeps a sample for fifteen minutes at most.
    let line = collector.sample(77.0);
    attached.send(&with_number(&line, "interval_seconds", "1e308")).await;
    node.until_load(77.0).await;
    node.clock.advance(Duration::from_secs(901));
    assert_eq!(node.known().await.snapshot().state, State::Silent);
    // The last number is the last.
    attached
        .send(&with_number(&line, "sequence", "18446744073709551615"))
        .await;
    node.until_dropped(Reason::Stale, 1).await;
    attached
        .send(&with_number(&line, "sequence", "18446744073709551615"))
        .await;
    node.until_load(77.0).await;
    attached
        .send(&with_number(&line, "sequence", "18446744073709551615"))
        .await;
    node.until_dropped(Reason::Order, 1).await;
}

#[tokio::test]
async fn a_sequence_that_jumps_back_and_boots_that_return_are_dropped() {
    let node = Node::new();
    let mut attached = node.guest().accept().await;
    let mut collector = Collector::new();
    collector.header.sequence = 1000;
    is_well(&mut attached, &mut collector, &node, 1.0).await;
    for (sequence, dropped) in [(998, 1), (1000, 2), (0, 3)] {
        collector.header.sequence = sequence;
        attached.send(&collector.sample(2.0)).await;
        node.until_dropped(Reason::Order, dropped).await;
    }
    // A collector that was started earlier.
    collector.header.sequence = 5000;
    collector.header.start_seconds = 3.0;
    attached.send(&collector.sample(2.0)).await;
    node.until_dropped(Reason::Order, 4).await;
    // And one that was started later.
    (collector.header.sequence, collector.header.start_seconds) = (0, 90.0);
    is_well(&mut attached, &mut collector, &node, 3.0).await;
    // The guest boots.
    collector.header.boot_id = BootId([2; 16]);
    (collector.header.sequence, collector.header.start_seconds) = (0, 2.0);
    is_well(&mut attached, &mut collector, &node, 4.0).await;
    collector.header.boot_id = BootId([1; 16]);
    collector.header.sequence = 9000;
    collector.header.start_seconds = 95.0;
    attached.send(&collector.sample(5.0)).await;
    let snapshot = node.until_dropped(Reason::Order, 5).await;
    assert_eq!(snapshot.sample.unwrap().areas, loaded(4.0));
    // It pretends to boot all the time.
    for boot in 3..100 {
        collector.header.boot_id = BootId([boot; 16]);
        collector.header.sequence = 0;
        is_well(&mut attached, &mut collector, &node, f64::from(boot) * 10.0).await;
    }
}

#[tokio::test]
async fn answers_to_nothing_are_dropped() {
    let node = Node::new();
    let mut attached = node.guest().accept().await;
    let mut collector = Collector::new();
    is_well(&mut attached, &mut collector, &node, 1.0).await;
    for id in [0, 1, u64::MAX] {
        let lines = collector.lines(&loaded(2.0), Some(id));
        attached.send(&lines).await;
    }
    let snapshot = node.until_dropped(Reason::Unasked, 3).await;
    assert_eq!(snapshot.sample.unwrap().areas, loaded(1.0));
}

#[tokio::test]
async fn a_later_version_is_told_from_nonsense() {
    let node = Node::new();
    let mut attached = node.guest().accept().await;
    let mut collector = Collector::new();
    let line = collector.sample(1.0);
    attached.send(&with_number(&line, "version", "\"99.0\"")).await;
    let snapshot = node.until_state(State::VersionTooNew).await;
    assert!(snapshot.detail.unwrap().contains("version 99.0"));
    assert!(snapshot.sample.is_none() && snapshot.counts.dropped.of(Reason::Version) == 1);
    // An older one again, or a later minor one.
    let line = collector.sample(2.0);
    attached.send(&with_number(&line, "version", "\"1.99\"")).await;
    let snapshot = node.until_load(2.0).await;
    // Its number is no label.
    let rows = guest_rows("main", &[snapshot], Filter::default());
    assert_eq!(rows.collectors[0].protocol, Some(VERSION));
    attached.send(&with_number(&line, "version", "\"0.1\"")).await;
    node.until_dropped(Reason::Version, 2).await;
}

#[tokio::test]
async fn labels_are_text_of_some_length_and_never_the_same() {
    let node = Node::new();
    let mut attached = node.guest().accept().await;
    let mut collector = Collector::new();
    let names = ["sda", "sda", "a\nb", "\u{1b}[2J", "sdb"];
    let mut areas = disks(
        names
            .map(str::to_owned)
            .into_iter()
            .chain([String::new(), "x".repeat(257)]),
    );
    areas.network = Some(vec![
        NetworkCounters {
            interface: "eth0".to_owned(),
            ..NetworkCounters::default()
        };
        2
    ]);
    areas.file_systems = Some(vec![FileSystem {
        mount_point: "/".repeat(300),
        ..FileSystem::default()
    }]);
    areas.system = Some(System {
        pretty_name: Some(format!("Debian\n\u{202e}{}", "x".repeat(1000))),
        ..System::default()
    });
    attached.send(&collector.lines(&areas, None)).await;
    let snapshot = node.until_state(State::Healthy).await;
    let areas = &snapshot.sample.unwrap().areas;
    let devices: Vec<_> = areas.disks.iter().flatten().map(|disk| &*disk.device).collect();
    assert_eq!(devices, ["sda", "sdb"]);
    assert_eq!(areas.network.as_ref().unwrap().len(), 1);
    assert_eq!(areas.file_systems.as_deref(), Some([].as_slice()));
    let name = areas.system.as_ref().unwrap().pretty_name.as_deref().unwrap();
    assert!(name.starts_with("Debianx") && name.len() == 128, "{name}");
    let dropped = snapshot.counts.dropped;
    assert_eq!((dropped.of(Reason::Duplicate), dropped.of(Reason::Label)), (2, 5));
}

#[tokio::test]
async fn a_guest_has_so_many_series() {
    let node = Node::with(timing(), |settings| {
        (settings.series_per_guest, settings.new_label_sets_per_day) = (100, 1000);
    });
    let mut attached = node.guest().accept().await;
    let mut collector = Collector::new();
    let areas = disks((0..250).map(|number| format!("d{number}")));
    attached.send(&collector.lines(&areas, None)).await;
    let snapshot = node.until_state(State::Healthy).await;
    let rows = snapshot.sample.unwrap().areas.disks.as_ref().unwrap().len();
    assert_eq!((rows, snapshot.counts.dropped.of(Reason::Series)), (5, 245));
}

#[tokio::test]
async fn a_sample_of_too_many_lines_is_told() {
    let node = Node::with(timing(), |settings| {
        (settings.bytes_per_second, settings.lines_per_second) = (1 << 30, 1000);
    });
    let mut attached = node.guest().accept().await;
    let mut collector = Collector::new();
    let sample = collector.lines(&disks((0..5000).map(|number| format!("disk{number}"))), None);
    let lines = sample.iter().filter(|byte| **byte == b'\n').count();
    assert!((33..64).contains(&lines), "{lines}");
    attached.send(&sample).await;
    let snapshot = node.until_dropped(Reason::TooLong, lines as u64).await;
    assert_eq!(snapshot.state, State::ProtocolError);
    assert_eq!(snapshot.detail.unwrap(), "it sends more than it may");
    is_well(&mut attached, &mut collector, &node, 1.0).await;
}

#[tokio::test]
async fn samples_that_never_end_are_given_up() {
    let node = Node::with(timing(), |settings| {
        (settings.bytes_per_second, settings.lines_per_second) = (1 << 30, 1000);
    });
    let mut attached = node.guest().accept().await;
    let mut collector = Collector::new();
    let sample = collector.lines(&disks((0..1000).map(|number| format!("disk{number}"))), None);
    let lines: Vec<&[u8]> = sample.split_inclusive(|byte| *byte == b'\n').collect();
    let (_, all_but_last) = lines.split_last().unwrap();
    for line in all_but_last.repeat(4) {
        attached.send(line).await;
    }
    let snapshot = node.until_dropped(Reason::Incomplete, 3).await;
    assert!(snapshot.sample.is_none() && snapshot.state != State::Healthy);
    is_well(&mut attached, &mut collector, &node, 1.0).await;
}

#[tokio::test]
async fn who_sends_much_and_nothing_of_use_is_given_up_and_told() {
    let silence = Duration::from_millis(300);
    let node = Node::with(Timing { silence, ..timing() }, |_| {});
    let port = node.guest();
    for _ in 0..2 {
        let mut attached = port.accept().await;
        let useless = async {
            loop {
                attached.send(b"nonsense\n").await;
                tokio::time::sleep(Duration::from_millis(20)).await;
                if !attached.read().is_ok_and(|open| open) {
                    break;
                }
            }
        };
        let left = tokio::time::timeout(Duration::from_secs(60), useless).await;
        assert!(left.is_ok());
        assert_eq!(node.known().await.snapshot().state, State::ProtocolError);
    }
}
