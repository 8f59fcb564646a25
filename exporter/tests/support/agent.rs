//! A guest agent behind the socket of a QEMU, played by this process: one client at a time, and what a client does not read goes to
//! the next one.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate includes this module and uses its own part of it"
)]
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

/// What it does when a command comes.
#[derive(Clone)]
pub enum Does {
    /// It answers with this.
    Answers(Vec<u8>),
    /// It does not answer anything before the so-many-th connection after this one, but then everything.
    Hangs { connections: usize, answer: Vec<u8> },
    /// It says this, and the connection ends.
    BreaksOff(Vec<u8>),
}

/// The agent.
pub struct Agent {
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct State {
    does: BTreeMap<String, Does>,
    received: Vec<String>,
    connections: usize,
    hangs_until: usize,
    owed: Vec<u8>,
}

/// A recorded answer as it comes over the socket: in one line.
pub fn recorded(version: &str, name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/qga-{version}/{name}.json"));
    let value: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    format!("{value}\n").into_bytes()
}

impl Agent {
    /// One of `version`, 7.2 or 10.0, with the socket of `vmid` in `directory`, as if this process were its QEMU.
    pub fn start(directory: &Path, vmid: u32, version: &str) -> Self {
        std::fs::write(
            directory.join(format!("{vmid}.pid")),
            format!("{}\n", std::process::id()),
        )
        .unwrap();
        let listener = UnixListener::bind(directory.join(format!("{vmid}.qga"))).unwrap();
        let commands = ["cpustats", "diskstats", "load", "fsinfo"].map(|name| format!("guest-get-{name}"));
        let names = commands.into_iter().chain(["guest-info".to_owned()]);
        let does = names.map(|name| (name.clone(), Does::Answers(recorded(version, &name))));
        let state = Arc::new(Mutex::new(State {
            does: does.collect(),
            ..State::default()
        }));
        let own = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that has gone is none.
                drop(serve(stream, &own).await);
            }
        });
        Self { state, task }
    }

    /// Says what it does when `command` comes.
    pub fn set(&self, command: &str, does: Does) {
        self.state.lock().unwrap().does.insert(command.to_owned(), does);
    }

    /// Has it say this to the next client, before anything else.
    pub fn owe(&self, bytes: &[u8]) {
        self.state.lock().unwrap().owed.extend_from_slice(bytes);
    }

    /// Whether a client has left something unread.
    pub fn owes(&self) -> bool {
        !self.state.lock().unwrap().owed.is_empty()
    }

    /// The commands that have come, without those that synchronise.
    pub fn take_received(&self) -> Vec<String> {
        let mut received = std::mem::take(&mut self.state.lock().unwrap().received);
        received.retain(|command| command != "guest-sync-delimited");
        received
    }

    /// How many clients there have been.
    pub fn connections(&self) -> usize {
        self.state.lock().unwrap().connections
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: UnixStream, state: &Mutex<State>) -> std::io::Result<()> {
    state.lock().unwrap().connections += 1;
    let mut input = Vec::new();
    loop {
        let owed = {
            let mut state = state.lock().unwrap();
            let hangs = state.connections < state.hangs_until;
            if hangs {
                Vec::new()
            } else {
                std::mem::take(&mut state.owed)
            }
        };
        stream.write_all(&owed).await?;
        while let Some(end) = input.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = input.drain(..=end).collect();
            let (answer, breaks_off) = state.lock().unwrap().hears(&line);
            stream.write_all(&answer).await?;
            if breaks_off {
                return Ok(());
            }
        }
        if stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

impl State {
    fn hears(&mut self, line: &[u8]) -> (Vec<u8>, bool) {
        let delimited = line.first() == Some(&0xFF);
        let json = line.strip_prefix(b"\xFF").unwrap_or(line);
        let command: serde_json::Value = serde_json::from_slice(json).unwrap();
        let name = command["execute"].as_str().unwrap().to_owned();
        let mut answer = Vec::new();
        if delimited {
            answer.extend_from_slice(b"{\"error\": {\"class\": \"GenericError\", \"desc\": \"JSON parse error\"}}\n");
        }
        let mut breaks_off = false;
        if name == "guest-sync-delimited" {
            answer.push(0xFF);
            answer.extend(format!("{{\"return\": {}}}\n", command["arguments"]["id"]).bytes());
        } else {
            match self.does.get(&name).cloned() {
                Some(Does::Answers(bytes)) => answer.extend(bytes),
                Some(Does::Hangs {
                    connections,
                    answer: late,
                }) => {
                    answer.extend(late);
                    self.hangs_until = self.connections + connections;
                }
                Some(Does::BreaksOff(bytes)) => {
                    answer.extend(bytes);
                    breaks_off = true;
                }
                None => answer.extend_from_slice(b"{\"error\": {\"class\": \"CommandNotFound\", \"desc\": \"\"}}\n"),
            }
        }
        self.received.push(name);
        if self.connections < self.hangs_until {
            self.owed.extend(std::mem::take(&mut answer));
        }
        (answer, breaks_off)
    }
}
