//! A node with guests whose QEMU and collector are played.

use std::fs;
use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pve_exporter::clock::Clock;
use pve_exporter::config::GuestTelemetry;
use pve_exporter::telemetry::{Guest, GuestSnapshot, Reason, State, Telemetry, Timing};
use pve_guest_protocol::areas::{Disk, Load};
use pve_guest_protocol::{AreaSet, Areas, BootId, Encoder, Header, LineBuffer, Piece, Request, decode_request};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{UnixListener, UnixStream};

pub(crate) const VMID: u32 = 100;

const DEADLINE: Duration = Duration::from_secs(60);

/// Times that no slow machine reaches, where nothing is to be waited for.
pub(crate) fn timing() -> Timing {
    let (short, long) = (Duration::from_millis(10), Duration::from_secs(300));
    Timing {
        scan: short,
        answer: long,
        recent: Duration::ZERO,
        unanswered: 3,
        ask_again: long,
        silence: long,
        silence_after_error: long,
        hasty_connections: 3,
        nudge: short,
        useless_connections: 3,
        longest_silence: long,
        back_off: (short, short),
        drain: Duration::from_secs(10),
    }
}

/// Waits until `found` finds something.
pub(crate) async fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} has not come about");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// A node.
pub(crate) struct Node {
    pub(crate) directory: TempDir,
    pub(crate) clock: Clock,
    pub(crate) telemetry: Arc<Telemetry>,
}

impl Node {
    pub(crate) fn new() -> Self {
        Self::with(timing(), |_| {})
    }

    pub(crate) fn with(timing: Timing, change: impl FnOnce(&mut GuestTelemetry)) -> Self {
        let directory = TempDir::new().unwrap();
        let mut settings = GuestTelemetry {
            enabled: true,
            directory: directory.path().to_owned(),
            ..GuestTelemetry::default()
        };
        change(&mut settings);
        let clock = Clock::default();
        let telemetry = Telemetry::start_with(&settings, clock.clone(), timing);
        Self {
            directory,
            clock,
            telemetry,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a process file as QEMU does.
    pub(crate) fn runs_as(&self, vmid: u32, pid: u32) {
        runs_as(self.directory.path(), vmid, pid);
    }

    /// A guest that runs, played by this process.
    pub(crate) fn guest(&self) -> Port {
        self.runs_as(VMID, std::process::id());
        Port::bind(&self.path(&format!("{VMID}.telemetry")))
    }

    pub(crate) async fn known(&self) -> Arc<Guest> {
        until("the guest", || self.telemetry.guest(VMID)).await
    }

    pub(crate) async fn until_state(&self, state: State) -> GuestSnapshot {
        let guest = self.known().await;
        let deadline = Instant::now() + DEADLINE;
        loop {
            let snapshot = guest.snapshot();
            if snapshot.state == state {
                return snapshot;
            }
            assert!(Instant::now() < deadline, "never {state:?}: {snapshot:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) async fn until_dropped(&self, reason: Reason, least: u64) -> GuestSnapshot {
        let guest = self.known().await;
        until(reason.as_str(), || {
            Some(guest.snapshot()).filter(|snapshot| snapshot.counts.dropped.of(reason) >= least)
        })
        .await
    }

    pub(crate) async fn until_load(&self, load: f64) -> GuestSnapshot {
        let guest = self.known().await;
        until("the sample", || {
            let snapshot = guest.snapshot();
            let sample = snapshot.sample.as_ref()?;
            (sample.areas.load.as_ref()?.load1 == load).then_some(snapshot)
        })
        .await
    }
}

pub(crate) fn runs_as(directory: &Path, vmid: u32, pid: u32) {
    // Nobody reads half a file.
    let new = directory.join("new");
    fs::write(&new, format!("{pid}\n")).unwrap();
    fs::rename(new, directory.join(format!("{vmid}.pid"))).unwrap();
}

/// The socket of a guest, as QEMU serves it.
pub(crate) struct Port {
    pub(crate) listener: UnixListener,
}

impl Port {
    pub(crate) fn bind(path: &Path) -> Self {
        drop(fs::remove_file(path));
        let listener = UnixListener::bind(path).unwrap();
        // As QEMU's.
        rustix::net::listen(&listener, 1).unwrap();
        Self { listener }
    }

    pub(crate) async fn accept(&self) -> Attached {
        let accepted = tokio::time::timeout(DEADLINE, self.listener.accept()).await.unwrap();
        Attached {
            stream: accepted.unwrap().0,
            lines: LineBuffer::default(),
            requests: Vec::new(),
            empty_lines: 0,
        }
    }
}

/// A host that is connected, as the guest sees it.
pub(crate) struct Attached {
    pub(crate) stream: UnixStream,
    lines: LineBuffer,
    requests: Vec<Request>,
    pub(crate) empty_lines: usize,
}

impl Attached {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        tokio::time::timeout(DEADLINE, self.stream.write_all(bytes))
            .await
            .unwrap()
            .unwrap();
    }

    /// Reads what has come, without waiting; `false` at the end.
    pub(crate) fn read(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 4096];
        loop {
            match self.stream.try_read(&mut bytes) {
                Ok(0) => return Ok(false),
                Ok(length) => {
                    let bytes = &bytes[..length];
                    if bytes.iter().all(|byte| *byte == b'\n') {
                        self.empty_lines += length;
                    }
                    self.lines.push(bytes, |piece| match piece {
                        Piece::Line(line) => self.requests.extend(decode_request(line).unwrap()),
                        Piece::TooLong => panic!("a line is too long"),
                    });
                }
                Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(problem) => return Err(problem),
            }
        }
    }

    /// The next request.
    pub(crate) async fn request(&mut self) -> Request {
        until("a request", || {
            assert!(self.read().unwrap(), "the host has left");
            (!self.requests.is_empty()).then(|| self.requests.remove(0))
        })
        .await
    }

    /// Requests that have come and were not taken.
    pub(crate) fn pending(&mut self) -> usize {
        assert!(self.read().unwrap());
        self.requests.len()
    }

    /// Waits until the host closes the connection; fails when it left something unread.
    pub(crate) async fn closed(&mut self) {
        until("the end", || (!self.read().unwrap()).then_some(())).await;
    }
}

/// What a collector says.
pub(crate) struct Collector {
    pub(crate) header: Header,
    encoder: Encoder,
}

impl Collector {
    pub(crate) fn new() -> Self {
        Self {
            header: Header {
                boot_id: BootId([1; 16]),
                start_seconds: 4.0,
                monotonic_seconds: 100.0,
                time_seconds: Clock::default().unix_seconds(),
                interval_seconds: 10.0,
                ..Header::default()
            },
            encoder: Encoder::default(),
        }
    }

    /// A sample that is told by its load.
    pub(crate) fn sample(&mut self, load: f64) -> Vec<u8> {
        self.lines(&loaded(load), None)
    }

    pub(crate) fn answer(&mut self, load: f64, request: &Request) -> Vec<u8> {
        self.lines(&loaded(load), Some(request.id))
    }

    pub(crate) fn lines(&mut self, areas: &Areas, id: Option<u64>) -> Vec<u8> {
        self.header.sequence += 1;
        let mut lines = Vec::new();
        self.encoder.encode(&self.header, areas, AreaSet::ALL, id, &mut lines);
        lines
    }
}

pub(crate) fn loaded(load: f64) -> Areas {
    Areas {
        load: Some(Load {
            load1: load,
            ..Load::default()
        }),
        ..Areas::default()
    }
}

pub(crate) fn disks(names: impl Iterator<Item = String>) -> Areas {
    Areas {
        disks: Some(
            names
                .map(|device| Disk {
                    device,
                    ..Disk::default()
                })
                .collect(),
        ),
        ..Areas::default()
    }
}

/// A second client of the same socket.
pub(crate) fn another_client(path: &Path) -> StdStream {
    StdStream::connect(path).unwrap()
}

impl Attached {
    /// Whether the host leaves within this time.
    pub(crate) async fn closed_within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.closed()).await.is_ok()
    }
}
