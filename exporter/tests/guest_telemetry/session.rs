//! The one connection to a guest: what is read, asked, given up and made anew.

use std::sync::Arc;
use std::time::Duration;

use pve_exporter::telemetry::{Reason, State, Timing};
use pve_guest_protocol::{Call, ErrorCode, Refusal, write_failure};

use crate::port::{Collector, Node, VMID, another_client, loaded, timing, until};

#[tokio::test]
async fn what_is_published_is_known() {
    let node = Node::new();
    let mut attached = node.guest().accept().await;
    assert_eq!(node.known().await.snapshot().state, State::Connecting);
    let mut collector = Collector::new();
    collector.header.time_seconds += 100.0;
    attached.send(&collector.sample(0.5)).await;
    let snapshot = node.until_state(State::Healthy).await;
    let sample = snapshot.sample.unwrap();
    assert_eq!(sample.areas, loaded(0.5));
    assert_eq!(snapshot.last_sample, Some(sample.received));
    let offset = snapshot.clock_offset.unwrap();
    assert!((offset - 100.0).abs() < 60.0, "{offset}");
    let counts = snapshot.counts;
    assert_eq!((counts.lines, counts.samples, snapshot.connections), (1, 1, 1));
    assert_eq!(counts.bytes, collector.sample(0.5).len() as u64);
    assert_eq!(counts.dropped.iter().count(), 0);
    assert!(snapshot.detail.is_none());
    assert_eq!(node.telemetry.guests().len(), 1);
    assert_eq!(node.telemetry.complete(), Ok(()));
}

#[tokio::test]
async fn it_greets_and_asks_at_once() {
    let node = Node::new();
    let mut attached = node.guest().accept().await;
    let request = attached.request().await;
    assert_eq!(request.call, Call::GetMetrics);
    let mut collector = Collector::new();
    attached.send(&collector.answer(1.0, &request)).await;
    node.until_load(1.0).await;
}

#[tokio::test]
async fn it_is_read_all_the_time_by_one_connection() {
    let node = Node::with(timing(), |settings| {
        (settings.bytes_per_second, settings.lines_per_second) = (1 << 30, 1000);
    });
    let port = node.guest();
    let mut attached = port.accept().await;
    let mut collector = Collector::new();
    for number in 0..300 {
        // Far more than fits into any buffer.
        let mut lines = collector.sample(f64::from(number));
        lines.resize(lines.len() + 20_000, b' ');
        lines.push(b'\n');
        attached.send(&lines).await;
    }
    let snapshot = node.until_load(299.0).await;
    assert_eq!(snapshot.connections, 1);
    assert!(snapshot.counts.bytes > 6_000_000);
    // The collector was told again and again that it is read.
    attached.read().unwrap();
    until("signs", || {
        attached.read().unwrap();
        (attached.empty_lines >= 90).then_some(())
    })
    .await;
}

#[tokio::test]
async fn ten_scrapes_at_once_share_one_request() {
    let node = Node::new();
    let mut attached = node.guest().accept().await;
    let mut collector = Collector::new();
    let greeting = attached.request().await;
    attached.send(&collector.answer(1.0, &greeting)).await;
    node.until_load(1.0).await;

    let guest = node.known().await;
    let scrapes: Vec<_> = (0..10)
        .map(|_| {
            let guest = Arc::clone(&guest);
            tokio::spawn(async move { guest.fresh().await.unwrap() })
        })
        .collect();
    let request = attached.request().await;
    // All of them wait by then: this is one thread, and they were there first.
    attached.send(&collector.answer(2.0, &request)).await;
    for scrape in scrapes {
        let sample = scrape.await.unwrap();
        assert_eq!(sample.areas.load.as_ref().unwrap().load1, 2.0);
    }
    assert_eq!(attached.pending(), 0);
}

#[tokio::test]
async fn a_sample_of_this_moment_is_not_asked_for() {
    let recent = Duration::from_secs(300);
    let node = Node::with(Timing { recent, ..timing() }, |_| {});
    let mut attached = node.guest().accept().await;
    let mut collector = Collector::new();
    attached.request().await;
    attached.send(&collector.sample(1.0)).await;
    node.until_load(1.0).await;
    node.known().await.fresh().await.unwrap();
    assert_eq!(attached.pending(), 0);
}

#[tokio::test]
async fn without_an_answer_there_is_what_was_published() {
    let answer = Duration::from_millis(50);
    let node = Node::with(Timing { answer, ..timing() }, |_| {});
    let mut attached = node.guest().accept().await;
    let mut collector = Collector::new();
    let greeting = attached.request().await;
    attached.send(&collector.sample(1.0)).await;
    node.until_load(1.0).await;
    let guest = node.known().await;
    for _ in 0..5 {
        let sample = guest.fresh().await.unwrap();
        assert_eq!(sample.areas.load.as_ref().unwrap().load1, 1.0);
        tokio::time::sleep(answer).await;
    }
    // Then nobody waits for it any more, nor asks.
    let asked = attached.pending();
    assert!((1..=2).contains(&asked), "{asked}");
    // An answer that comes late is a sample like others, and one to what was asked long ago is none.
    let mut last = attached.request().await;
    while attached.pending() > 0 {
        last = attached.request().await;
    }
    attached.send(&collector.answer(2.0, &last)).await;
    node.until_load(2.0).await;
    attached.send(&collector.answer(3.0, &greeting)).await;
    attached.send(&collector.answer(4.0, &last)).await;
    let snapshot = node.until_dropped(Reason::Unasked, 2).await;
    assert_eq!(snapshot.sample.unwrap().areas, loaded(2.0));
}

#[tokio::test]
async fn who_does_not_know_the_method_is_not_asked_again() {
    let node = Node::new();
    let mut attached = node.guest().accept().await;
    let mut collector = Collector::new();
    let request = attached.request().await;
    let mut refusal = Vec::new();
    let code = ErrorCode::MethodNotFound;
    write_failure(
        Refusal {
            id: Some(request.id),
            code,
        },
        &mut refusal,
    );
    attached.send(&refusal).await;
    attached.send(&collector.sample(1.0)).await;
    node.until_load(1.0).await;
    let guest = node.known().await;
    for _ in 0..3 {
        guest.fresh().await.unwrap();
    }
    assert_eq!(attached.pending(), 0);
}

#[tokio::test]
async fn a_cut_line_costs_itself() {
    let node = Node::new();
    let mut attached = node.guest().accept().await;
    let mut collector = Collector::new();
    let cut = collector.sample(1.0);
    attached.send(&cut[cut.len() / 2..]).await;
    attached.send(&collector.sample(2.0)).await;
    node.until_load(2.0).await;
    // The guest was reset in the middle of a line.
    attached.send(&cut[..cut.len() / 2]).await;
    attached.send(&collector.sample(3.0)).await;
    attached.send(&collector.sample(4.0)).await;
    let snapshot = node.until_load(4.0).await;
    assert_eq!(snapshot.counts.dropped.of(Reason::Damaged), 2);
    assert_eq!(snapshot.connections, 1);
}

#[tokio::test]
async fn what_a_connection_brought_ends_with_it() {
    let node = Node::new();
    let port = node.guest();
    let mut attached = port.accept().await;
    let mut collector = Collector::new();
    attached.send(&collector.sample(1.0)).await;
    node.until_load(1.0).await;
    drop(attached);
    let mut attached = port.accept().await;
    let snapshot = node.known().await.snapshot();
    assert!(snapshot.sample.is_none() && snapshot.state != State::Healthy);
    // Half a line on the connection before is none of this one.
    attached.send(&collector.sample(2.0)).await;
    assert_eq!(node.until_load(2.0).await.connections, 2);
}

#[tokio::test]
async fn an_old_sample_is_not_shown() {
    let node = Node::new();
    let mut attached = node.guest().accept().await;
    let mut collector = Collector::new();
    attached.send(&collector.sample(1.0)).await;
    node.until_load(1.0).await;
    node.clock.advance(Duration::from_secs(29));
    assert_eq!(node.known().await.snapshot().state, State::Healthy);
    node.clock.advance(Duration::from_secs(2));
    let snapshot = node.until_state(State::Silent).await;
    assert!(snapshot.sample.is_none() && snapshot.last_sample.is_some());
    // What then comes may have lain somewhere; what comes after that has not.
    attached.send(&collector.sample(2.0)).await;
    node.until_dropped(Reason::Stale, 1).await;
    collector.header.monotonic_seconds += 1.0;
    attached.send(&collector.sample(3.0)).await;
    node.until_load(3.0).await;
}

#[tokio::test]
async fn a_silent_connection_is_made_anew_and_heals() {
    let silence = Duration::from_millis(100);
    let node = Node::with(Timing { silence, ..timing() }, |_| {});
    let port = node.guest();
    let mut collector = Collector::new();
    collector.header.interval_seconds = 0.01;
    let mut attached = port.accept().await;
    attached.closed().await;
    let mut attached = port.accept().await;
    let snapshot = node.known().await.snapshot();
    assert_eq!(
        snapshot.state,
        State::Silent,
        "it has never been heard, so it may not be installed"
    );
    attached.send(&collector.sample(1.0)).await;
    node.until_load(1.0).await;
    attached.closed().await;
    // Two more, and it is no accident.
    for _ in 0..2 {
        assert_ne!(node.known().await.snapshot().state, State::Wedged);
        port.accept().await.closed().await;
    }
    let mut attached = port.accept().await;
    let snapshot = node.until_state(State::Wedged).await;
    assert!(snapshot.state.remedy().contains("reset the guest"));
    assert!(snapshot.sample.is_none());
    attached.send(&collector.sample(2.0)).await;
    assert_eq!(node.until_load(2.0).await.state, State::Healthy);
}

/// QEMU can fall silent over what a guest has sent too fast: then only a new connection helps, or the one after it.
#[tokio::test]
async fn after_nonsense_a_silent_connection_is_made_anew_soon() {
    let silence_after_error = Duration::from_millis(100);
    let node = Node::with(
        Timing {
            silence_after_error,
            ..timing()
        },
        |_| {},
    );
    let port = node.guest();
    let mut attached = port.accept().await;
    attached.send(b"nonsense\n").await;
    attached.closed().await;
    port.accept().await.closed().await;
    let mut attached = port.accept().await;
    assert_eq!(node.known().await.snapshot().state, State::ProtocolError);
    attached.send(&Collector::new().sample(1.0)).await;
    assert_eq!(node.until_load(1.0).await.connections, 3);
    // One that is well is waited for, and so is one that stays silent.
    attached.send(b"nonsense\n").await;
    node.until_dropped(Reason::Damaged, 2).await;
    assert!(!attached.closed_within(silence_after_error * 4).await);
    node.clock.advance(Duration::from_secs(31));
    for _ in 0..3 {
        attached.closed().await;
        attached = port.accept().await;
    }
    assert!(!attached.closed_within(silence_after_error * 4).await);
}

#[tokio::test]
async fn a_collector_that_begins_later_hears_a_sign() {
    let node = Node::new();
    let mut attached = node.guest().accept().await;
    attached.request().await;
    let before = attached.empty_lines;
    until("a sign", || {
        attached.read().unwrap();
        (attached.empty_lines > before + 3).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_guest_that_is_off_is_absent() {
    let node = Node::new();
    let port = node.guest();
    let mut attached = port.accept().await;
    attached.send(&Collector::new().sample(1.0)).await;
    node.until_load(1.0).await;
    // Killed: the files stay.
    drop((attached, port));
    let snapshot = node.until_state(State::Absent).await;
    assert!(snapshot.sample.is_none());
    // Started again.
    let mut attached = node.guest().accept().await;
    attached.send(&Collector::new().sample(2.0)).await;
    node.until_load(2.0).await;
    // Stopped: the files go.
    drop(attached);
    std::fs::remove_file(node.path("100.telemetry")).unwrap();
    std::fs::remove_file(node.path("100.pid")).unwrap();
    until("its end", || node.telemetry.guests().is_empty().then_some(())).await;
    assert!(node.telemetry.guest(VMID).is_none());
    // What was counted goes on.
    let mut attached = node.guest().accept().await;
    attached.send(&Collector::new().sample(3.0)).await;
    assert_eq!(node.until_load(3.0).await.connections, 3);
}

#[tokio::test]
async fn other_clients_of_the_socket_are_told() {
    let silence = Duration::from_millis(100);
    let node = Node::with(Timing { silence, ..timing() }, |_| {});
    let path = node.path("100.telemetry");
    let port = crate::port::Port::bind(&path);
    // One is served, and so many wait that nobody else may.
    let served = another_client(&path);
    let accepted = port.accept().await;
    let waiting = [another_client(&path), another_client(&path)];
    node.runs_as(VMID, std::process::id());
    let held = |detail: Option<String>| detail.is_some_and(|detail| detail.contains("other programs hold the socket"));
    let guest = node.known().await;
    until("EAGAIN", || held(guest.snapshot().detail).then_some(())).await;
    assert_eq!(guest.snapshot().state, State::Connecting);

    // Now there is a place in the queue: connected, and not served.
    drop(waiting);
    let served_too = port.accept().await;
    let served_last = port.accept().await;
    let waits = |detail: Option<String>| detail.is_some_and(|detail| detail.contains("another program seems"));
    until("the queue", || waits(guest.snapshot().detail).then_some(())).await;
    assert_eq!(guest.snapshot().state, State::Connecting);

    // The others leave.
    drop((served, accepted, served_too, served_last));
    let mut collector = Collector::new();
    let healthy = async {
        loop {
            let mut attached = port.accept().await;
            // Connections that were given up while they waited are still there.
            if attached.read().is_ok_and(|open| open) {
                drop(attached.stream.writable().await);
                drop(attached.stream.try_write(&collector.sample(1.0)));
                if attached.closed_within(Duration::from_millis(500)).await {
                    continue;
                }
                return attached;
            }
        }
    };
    let _attached = healthy.await;
    node.until_load(1.0).await;
}

#[tokio::test]
async fn it_reads_to_the_end_before_it_leaves() {
    let node = Node::new();
    let mut attached = node.guest().accept().await;
    let mut collector = Collector::new();
    attached.send(&collector.sample(1.0)).await;
    node.until_load(1.0).await;
    // In one thread nothing is read between these.
    attached.stream.writable().await.unwrap();
    for number in 0..50 {
        drop(attached.stream.try_write(&collector.sample(f64::from(number))));
    }
    node.telemetry.stop().await;
    // What is closed with bytes unread would be reset instead.
    attached.closed().await;
    assert!(node.telemetry.guests().is_empty());
    node.telemetry.stop().await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_read_is_told() {
    let node = Node::with(timing(), |settings| settings.directory.push("missing"));
    let problem = until("the problem", || {
        let problem = node.telemetry.complete().unwrap_err();
        problem.starts_with("cannot read").then_some(problem)
    })
    .await;
    assert!(problem.contains("missing"), "{problem}");
    std::fs::create_dir(node.path("missing")).unwrap();
    until("the directory", || node.telemetry.complete().ok()).await;
}
