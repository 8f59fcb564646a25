//! Guests whose socket is another's: clones, linked clones, guests restored under another number, templates.
//!
//! The other QEMU is this test's program once more, so that it is another process.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use pve_exporter::telemetry::State;

use crate::logged::Logged;
use crate::opener::Host;
use crate::port::{Collector, Node, Port, VMID, runs_as, timing, until};

const SOCKET: &str = "PLAYED_SOCKET";

/// What this program does as another QEMU: it listens, and sends a sample to each who connects. Otherwise it does nothing.
#[test]
fn plays_another_qemu() {
    let Ok(path) = std::env::var(SOCKET) else { return };
    drop(std::fs::remove_file(&path));
    let listener = UnixListener::bind(path).unwrap();
    println!("\nlistening");
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        drop(stream.write_all(&Collector::new().sample(99.0)));
        // Whoever is connected stays so.
        std::mem::forget(stream);
    }
}

/// Another QEMU; it ends with this value.
struct Other {
    child: Child,
    _output: BufReader<ChildStdout>,
}

impl Other {
    /// It listens on the path that its arguments name, and has replaced what was there.
    fn start(path: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "identity::plays_another_qemu", "--nocapture"])
            .env(SOCKET, path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let started = output.by_ref().lines().any(|line| line.unwrap() == "listening");
        assert!(started);
        Self { child, _output: output }
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

async fn is_misattributed(node: &Node, says: &str) {
    let snapshot = node.until_state(State::Misattributed).await;
    let detail = snapshot.detail.unwrap();
    assert!(detail.contains(says), "{detail}");
    assert!(snapshot.sample.is_none() && snapshot.last_sample.is_none());
    assert_eq!(snapshot.counts.bytes, 0, "nothing of it was read");
    assert_eq!(node.known().await.fresh().await.unwrap_err(), State::Misattributed);
    assert!(snapshot.state.remedy().contains("its own number"));
}

/// 101 is a clone of 100, which runs, and has its arguments.
#[tokio::test]
async fn a_clone_takes_the_path_over() {
    let node = Node::new();
    let port = node.guest();
    let mut attached = port.accept().await;
    attached.send(&Collector::new().sample(1.0)).await;
    node.until_load(1.0).await;
    let clone = Other::start(&node.path("100.telemetry"));
    node.runs_as(101, clone.pid());
    // The connection that is there is the original's.
    let mut collector = Collector::new();
    collector.header.sequence = 5;
    attached.send(&collector.sample(2.0)).await;
    node.until_load(2.0).await;
    // The next is not.
    drop(attached);
    let snapshot = node.until_state(State::Misattributed).await;
    let detail = snapshot.detail.unwrap();
    assert!(detail.contains("that is the QEMU of guest 101"), "{detail}");
    assert!(snapshot.sample.is_none());
    // The clone has no socket of its own.
    assert_eq!(node.telemetry.guests().len(), 1);
    assert!(node.telemetry.guest(101).is_none());
    // The clone ends, and takes the socket with it.
    drop(clone);
    std::fs::remove_file(node.path("100.telemetry")).unwrap();
    let snapshot = node.until_state(State::Absent).await;
    let detail = snapshot.detail.unwrap();
    assert!(detail.contains("runs, but its socket is gone"), "{detail}");
    assert!(snapshot.state.remedy().contains("stop and start it if it runs"));
    // When the original was started anew, all is well.
    let mut attached = node.guest().accept().await;
    attached.send(&Collector::new().sample(3.0)).await;
    node.until_load(3.0).await;
}

/// 101 is a linked clone of 100 and runs first.
#[tokio::test]
async fn a_linked_clone_was_there_first() {
    let node = Node::new();
    let clone = Other::start(&node.path("100.telemetry"));
    node.runs_as(101, clone.pid());
    is_misattributed(&node, "another process listens").await;
    // The original starts, and its QEMU takes the path over.
    let mut attached = node.guest().accept().await;
    attached.send(&Collector::new().sample(1.0)).await;
    node.until_load(1.0).await;
}

/// 200 was restored from a backup of 100, which runs and whose socket is gone under 200's.
#[tokio::test]
async fn a_guest_restored_under_another_number() {
    let node = Node::new();
    node.runs_as(VMID, std::process::id());
    let restored = Other::start(&node.path("100.telemetry"));
    node.runs_as(200, restored.pid());
    is_misattributed(&node, "that is the QEMU of guest 200").await;
    assert!(node.telemetry.guest(200).is_none());
}

/// 100 is a template, which never runs; all that is made of it has its arguments.
#[tokio::test]
async fn guests_made_of_a_template() {
    let node = Node::new();
    let path = node.path("100.telemetry");
    let first = Other::start(&path);
    node.runs_as(101, first.pid());
    let second = Other::start(&path);
    node.runs_as(102, second.pid());
    is_misattributed(&node, "the guest does not run").await;
    assert_eq!(node.telemetry.guests().len(), 1);
    drop((first, second));
    node.until_state(State::Absent).await;
}

#[tokio::test]
async fn a_guest_that_was_started_anew_is_checked_anew() {
    let node = Node::new();
    let port = node.guest();
    let mut attached = port.accept().await;
    attached.send(&Collector::new().sample(1.0)).await;
    node.until_load(1.0).await;
    // The file is written anew, and says the same.
    node.runs_as(VMID, std::process::id());
    tokio::time::sleep(timing().scan * 5).await;
    let mut collector = Collector::new();
    collector.header.sequence = 1;
    attached.send(&collector.sample(2.0)).await;
    assert_eq!(node.until_load(2.0).await.connections, 1);
    // Another process is the guest's QEMU now.
    node.runs_as(VMID, 1);
    attached.closed().await;
    let snapshot = node.until_state(State::Misattributed).await;
    assert!(snapshot.sample.is_none());
}

#[tokio::test]
async fn the_opener_checks_as_well() {
    let host = Host::for_user(rustix::process::geteuid().as_raw());
    let node = Node::with(timing(), |settings| {
        settings.directory = host.directory().to_owned();
        settings.opener = Some(host.socket());
    });
    runs_as(host.directory(), VMID, std::process::id());
    let path = host.directory().join("100.telemetry");
    let mut attached = Port::bind(&path).accept().await;
    attached.send(&Collector::new().sample(1.0)).await;
    node.until_load(1.0).await;
    let request = attached.request().await;
    let mut collector = Collector::new();
    collector.header.sequence = 7;
    attached.send(&collector.answer(2.0, &request)).await;
    assert_eq!(node.until_load(2.0).await.connections, 1);

    let clone = Other::start(&path);
    runs_as(host.directory(), 101, clone.pid());
    drop(attached);
    let snapshot = node.until_state(State::Misattributed).await;
    let detail = snapshot.detail.unwrap();
    assert!(detail.contains("that is the QEMU of guest 101"), "{detail}");
}

#[tokio::test]
async fn without_its_opener_there_is_no_connection() {
    let logged = Logged::here();
    let node = Node::with(timing(), |settings| {
        settings.opener = Some(settings.directory.join("opener"));
    });
    let _port = node.guest();
    let guest = node.known().await;
    let says = |text: &str| guest.snapshot().detail.is_some_and(|detail| detail.contains(text));
    until("the complaint", || says("/opener: No such file").then_some(())).await;
    assert_eq!(guest.snapshot().state, State::Connecting);
    logged.until_told("port cannot be connected to", 1).await;
    // The next problem is told, and how often it is met is not.
    let opener = node.path("opener");
    let refusing = UnixListener::bind(&opener).unwrap();
    let refusals = std::thread::spawn(move || {
        for stream in refusing.incoming().take(10) {
            let mut stream = stream.unwrap();
            let mut request = String::new();
            BufReader::new(&stream).read_line(&mut request).unwrap();
            stream.write_all(b"forbidden\n").unwrap();
        }
    });
    until("refusals", || refusals.is_finished().then_some(())).await;
    let text = logged.until_told("port cannot be connected to", 3).await;
    assert_eq!(text.matches("No such file").count(), 1, "{text}");
    assert_eq!(text.matches("it has to run as root").count(), 1, "{text}");
    assert_eq!(text.matches("Connection refused").count(), 1, "{text}");
    let began = tokio::time::Instant::now();
    node.telemetry.stop().await;
    assert!(began.elapsed() < Duration::from_secs(30));
}
