//! A virtual machine with the port, and the collector inside, played by this process.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate includes this module and uses its own part of it"
)]
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pve_exporter::clock::Clock;
use pve_guest_protocol::{AreaSet, Areas, BootId, Encoder, Header, LineBuffer, Piece, decode_request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How often it publishes.
const INTERVAL: Duration = Duration::from_millis(100);

/// What it does of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It says something that is no message, publishes, and answers.
    Talks,
    /// It answers what it is asked, once it may.
    Answers,
    /// It says nothing.
    Silent,
}

/// The machine.
pub struct Machine {
    requests: Arc<AtomicUsize>,
    may_answer: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Every area with every field.
pub fn areas() -> Areas {
    serde_json::from_str(include_str!("../fixtures/telemetry/areas.json")).unwrap()
}

impl Machine {
    /// One that runs, with its socket in `directory`.
    pub fn start(directory: &Path, vmid: u32, manner: Manner) -> Self {
        Self::of_process(directory, vmid, manner, std::process::id())
    }

    /// The same, while PVE takes another process for it.
    pub fn of_process(directory: &Path, vmid: u32, manner: Manner, process: u32) -> Self {
        std::fs::write(directory.join(format!("{vmid}.pid")), format!("{process}\n")).unwrap();
        let listener = UnixListener::bind(directory.join(format!("{vmid}.telemetry"))).unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let (may_answer, answering) = watch::channel(false);
        let port = Port {
            manner,
            requests: Arc::clone(&requests),
            answering,
            header: Header {
                boot_id: BootId([7; 16]),
                start_seconds: 4.0,
                monotonic_seconds: 100.0,
                time_seconds: Clock::default().unix_seconds(),
                interval_seconds: 10.0,
                ..Header::default()
            },
        };
        Self {
            requests,
            may_answer,
            task: tokio::spawn(port.serve(listener)),
        }
    }

    /// How often it was asked for a sample.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Lets it answer what it was asked, and will be.
    pub fn answer(&self) {
        self.may_answer.send_replace(true);
    }
}

struct Port {
    manner: Manner,
    requests: Arc<AtomicUsize>,
    answering: watch::Receiver<bool>,
    header: Header,
}

impl Port {
    async fn serve(mut self, listener: UnixListener) {
        while let Ok((stream, _)) = listener.accept().await {
            self.client(stream).await;
        }
    }

    async fn client(&mut self, mut stream: UnixStream) {
        let (mut lines, mut bytes, mut asked) = (LineBuffer::default(), vec![0; 4096], Vec::new());
        let mut ticks = tokio::time::interval(INTERVAL);
        let talks = self.manner == Manner::Talks;
        let mut say = if talks { b"login: \n".to_vec() } else { Vec::new() };
        loop {
            let answers = talks || self.manner == Manner::Answers && *self.answering.borrow_and_update();
            if answers {
                say.extend(asked.drain(..).flat_map(|id| self.sample(Some(id))));
            }
            if stream.write_all(&std::mem::take(&mut say)).await.is_err() {
                return;
            }
            tokio::select! {
                read = stream.read(&mut bytes) => match read {
                    Ok(length) if length > 0 => lines.push(&bytes[..length], |piece| {
                        if let Piece::Line(line) = piece
                            && let Ok(Some(request)) = decode_request(line)
                        {
                            self.requests.fetch_add(1, Ordering::SeqCst);
                            asked.push(request.id);
                        }
                    }),
                    _ => return,
                },
                _ = ticks.tick(), if talks => say = self.sample(None),
                changed = self.answering.changed(), if !answers => if changed.is_err() { return },
            }
        }
    }

    fn sample(&mut self, id: Option<u64>) -> Vec<u8> {
        self.header.sequence += 1;
        let mut lines = Vec::new();
        Encoder::default().encode(&self.header, &areas(), AreaSet::ALL, id, &mut lines);
        lines
    }
}
