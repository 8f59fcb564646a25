//! The exporter's sessions with the collector in a real guest: after whatever happens what is shown is right again, and nothing
//! that is old was shown meanwhile.

use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use pve_exporter::qga::session::Limits;
use pve_exporter::sources::guest_direct::read;
use pve_exporter::telemetry::State;
use serde_json::json;

use crate::machine::Node;
use crate::watch::Watched;

const VMID: u32 = 100;

/// The most that a collector sends after one line of its host.
const CREDIT: usize = 128 << 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_come_and_go() {
    let node = Node::new();
    let guest = node.boot(VMID);
    guest.start_collector();
    let watched = Watched::start(&node, VMID);
    let first = watched.until("the first sample", |_| true);
    assert_eq!(first.boot.to_string(), guest.run("cat /proc/sys/kernel/random/boot_id"));

    watched.stop().await;
    guest.wait_until("tail -n 1 /run/collector.log | grep -q 'host left'");
    let runs = guest.collector_runs();
    guest.run("sleep 3");
    assert_eq!(guest.collector_runs(), runs, "it ran with nobody there");
    let watched = Watched::start(&node, VMID);
    let again = watched.until_after("the exporter has been started again", &first);

    // It waits until the exporter has gone, and then holds the port while the exporter waits.
    let mut other = UnixStream::connect(guest.file("telemetry")).unwrap();
    watched.stop().await;
    let watched = Watched::start(&node, VMID);
    watched.until_state(State::Connecting);
    other.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    // What the guest had written for the exporter, and nothing more for one who says nothing.
    let (mut buffer, mut left) = ([0; 4096], 0);
    while let Ok(count @ 1..) = other.read(&mut buffer) {
        left += count;
        assert!(left <= CREDIT, "{left} bytes");
    }
    assert_eq!(watched.state(), Some(State::Connecting));
    drop(other);
    watched.until_after("the other one has gone", &again);
    watched.stop().await;
    guest.collector_is_small();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_stop_and_move_and_go_back() {
    let here = Node::new();
    let guest = here.boot(VMID);
    guest.start_collector();
    let watched = Watched::start(&here, VMID);
    let first = watched.until("the first sample", |_| true);

    let stopped = Instant::now();
    guest.monitor("stop", json!({}));
    tokio::time::sleep(Duration::from_secs(2)).await;
    watched.stood_still(stopped.elapsed());
    guest.monitor("cont", json!({}));
    let last = watched.until_after("it goes on", &first);

    guest.unplug_port();
    guest.plug_port();
    let last = watched.until_after("the port is back", &last);

    let suspended = Instant::now();
    guest.suspend();
    watched.until_gone();
    let guest = here.resume(VMID);
    watched.stood_still(suspended.elapsed());
    let resumed = watched.until_after("it is resumed", &last);
    let later = watched.until("it runs for a while", |place| place.sequence > resumed.sequence + 2);
    // As a roll-back does: the collector's count is that of earlier.
    guest.quit();
    watched.until_gone();
    watched.goes_back();
    let guest = here.resume(VMID);
    watched.stood_still(suspended.elapsed());
    let back = watched.until_after("it is rolled back", &last);
    assert!(back.sequence < later.sequence, "{back:?} {later:?}");

    let there = here.neighbour();
    let watched_there = Watched::start(&there, VMID);
    watched_there.stood_still(suspended.elapsed());
    let guest = guest.migrate(&there);
    let moved = watched_there.until_after("it has moved", &back);
    watched.until_gone();
    watched.stop().await;

    guest.kill_collector();
    guest.start_collector();
    let restarted = watched_there.until("the collector was started again", |place| place.start > moved.start);
    assert_eq!(restarted.boot, moved.boot);

    guest.reset();
    guest.start_collector();
    let boot = guest.run("cat /proc/sys/kernel/random/boot_id");
    watched_there.until("it was booted again", |place| place.boot.to_string() == boot);
    watched_there.stop().await;
}

/// `qm clone`, a restore to another number and what is made of a template keep the path in `args`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_shown_of_one_that_has_the_path_of_another() {
    let node = Node::new();
    let guest = node.boot(VMID);
    guest.start_collector();
    let path = guest.file("telemetry");
    let watched = Watched::start(&node, VMID);
    let first = watched.until("the first sample", |_| true);

    // The connection stays that of the original; the next one would be to the clone.
    let clone = node.start_with_port(101, &path, &[]);
    let last = watched.until_after("a clone runs", &first);
    watched.stop().await;
    let watched = Watched::start(&node, VMID);
    watched.until_state(State::Misattributed);
    assert!(watched.telemetry.guests().iter().all(|guest| guest.sample.is_none()));
    // With its end the path goes; the original has to be started again.
    clone.quit();
    watched.until_state(State::Absent);
    drop(guest);
    watched.until_gone();

    // The original does not run: one that was restored from its backup does, or two that were made of it as a template.
    let restored = node.start_with_port(102, &path, &[]);
    watched.until_state(State::Misattributed);
    let second = node.start_with_port(103, &path, &[]);
    drop(restored);
    watched.until_state(State::Misattributed);
    second.quit();
    watched.until_gone();

    let guest = node.boot(VMID);
    guest.start_collector();
    watched.until("the original runs again", |place| place.boot != last.boot);
    watched.stop().await;
}

/// What a guest writes that wants to be in the way.
const FLOOD: &str = "(while :; do head -c 32768 /dev/zero; done >/dev/virtio-ports/org.pve-telemetry.guest.0) >/dev/null 2>&1 & \
     echo $! >/run/flood.pid";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_floods_its_port_is_bounded_and_forgiven() {
    let node = Node::new();
    let guest = node.boot(VMID);
    let watched = Watched::start(&node, VMID);
    guest.run(FLOOD);
    watched.until_state(State::ProtocolError);
    let agent = read(node.directory(), VMID, &[], &Limits::default()).await;
    assert!(agent.is_ok(), "the agent's port is another one: {agent:?}");
    guest.run("kill -KILL $(cat /run/flood.pid)");
    guest.start_collector();
    watched.until("it behaves again", |_| true);
    watched.stop().await;
}
