//! One session with a guest agent.
//!
//! An agent that cannot get rid of a reply, since its reader has gone, tries again without a pause and burns a CPU of the guest
//! until somebody connects. So a session is closed when the last reply has been read and not before; when one does not come in
//! time, the next connection is made at once, to read it there. It is a new one, since others may wait for the socket: PVE, which
//! does so for 3 s, gets its turn in between.

use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use thiserror::Error;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::Instant;

/// What comes before the reply to `guest-sync-delimited` and in no other: it is no part of any JSON.
const DELIMITER: u8 = 0xFF;

/// How long to wait while too many others wait for the socket.
const CROWDED: Duration = Duration::from_millis(100);

/// How long a session may take, and how much a guest may say.
#[derive(Clone, Debug)]
pub struct Limits {
    /// For the first answer. An agent looks for a client every 100 ms.
    pub sync: Duration,
    /// For the reply to one command.
    pub command: Duration,
    /// For all commands: when it is used up no further one is sent.
    pub budget: Duration,
    /// How often a connection is made to read a reply that came too late.
    pub drains: u32,
    /// For each of these.
    pub drain: Duration,
    /// The longest reply that is kept.
    pub reply_bytes: usize,
}

impl Default for Limits {
    /// A healthy agent needs 100 ms for all; the rest is for hosts that are busy. No connection is held for the 3 s after which PVE
    /// gives up: the first answer, the commands and the last of them take 2.5 s at most.
    fn default() -> Self {
        Self {
            sync: Duration::from_secs(1),
            command: Duration::from_secs(1),
            budget: Duration::from_millis(500),
            drains: 3,
            drain: Duration::from_secs(2),
            reply_bytes: 256 * 1024,
        }
    }
}

/// Why a session brought nothing, or no more.
#[derive(Debug, Error)]
pub enum SessionError {
    /// There is no socket, or nobody listens on it: the machine is off, or has no agent configured.
    #[error("nobody listens on the socket")]
    Absent,
    /// Others wait for it already.
    #[error("too many others wait for the socket")]
    Busy,
    /// The exporter may not connect.
    #[error("the exporter may not open {}", .path.display())]
    Forbidden {
        /// The file.
        path: PathBuf,
    },
    /// Another process listens than the machine's QEMU: a clone with the path of its original, say.
    #[error("process {found:?} listens on the socket, and not {expected}")]
    Stranger {
        /// The process that should.
        expected: i32,
        /// The one that does, where it can be told.
        found: Option<i32>,
    },
    /// A reply did not come in time.
    #[error("the agent did not answer in time{}", pending(*.drained))]
    TimedOut {
        /// Whether nothing is left to read.
        drained: bool,
    },
    /// The connection ended, or broke, before a reply did.
    #[error("the connection broke: {problem}{}", pending(*.drained))]
    Broken {
        /// What the system said.
        problem: io::Error,
        /// Whether nothing is left to read.
        drained: bool,
    },
}

fn pending(drained: bool) -> &'static str {
    if drained {
        ""
    } else {
        ", and its reply is still to come"
    }
}

/// What came for a command.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// A line of what should be JSON.
    Line(Vec<u8>),
    /// More than [`Limits::reply_bytes`]. It has been read to its end.
    TooLong,
}

/// A session: an agent that has answered, and owes nothing.
///
/// A future of it that is dropped before it ends leaves a reply behind that nobody reads: whoever may be interrupted runs it as
/// a task of its own.
#[derive(Debug)]
pub struct Session<'a> {
    connection: Connection<'a>,
    commands_end: Instant,
}

impl<'a> Session<'a> {
    /// Connects to the socket at `path` on which the process `pid` has to listen, and waits for the agent.
    ///
    /// # Errors
    /// When the agent does not answer.
    pub async fn open(path: &'a Path, pid: i32, limits: &'a Limits) -> Result<Self, SessionError> {
        let mut connection = Connection::to(path, pid, limits).await?;
        match within(limits.sync, connection.sync()).await {
            Ok(()) => Ok(Self {
                connection,
                commands_end: Instant::now() + limits.budget,
            }),
            Err(failure) => Err(connection.given_up(failure).await),
        }
    }

    /// Whether the time for another command is there.
    #[must_use]
    pub fn has_time(&self) -> bool {
        Instant::now() < self.commands_end
    }

    /// Sends `command`, which takes no arguments, and reads the reply.
    ///
    /// # Errors
    /// When none comes. The session is over then.
    pub async fn ask(mut self, command: &str) -> Result<(Self, Reply), SessionError> {
        let limit = self.connection.limits.command;
        match within(limit, self.connection.ask(command)).await {
            Ok(reply) => Ok((self, reply)),
            Err(failure) => Err(self.connection.given_up(failure).await),
        }
    }
}

/// `None` when the time was over.
type Failure = Option<io::Error>;

async fn within<T>(limit: Duration, future: impl Future<Output = io::Result<T>>) -> Result<T, Failure> {
    match tokio::time::timeout(limit, future).await {
        Ok(outcome) => outcome.map_err(Some),
        Err(_) => Err(None),
    }
}

#[derive(Debug)]
struct Connection<'a> {
    path: &'a Path,
    pid: i32,
    limits: &'a Limits,
    stream: UnixStream,
    /// What has come and has not been looked at.
    buffer: Vec<u8>,
}

impl<'a> Connection<'a> {
    async fn to(path: &'a Path, pid: i32, limits: &'a Limits) -> Result<Self, SessionError> {
        let broken = |problem: io::Error| match problem.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => SessionError::Absent,
            io::ErrorKind::WouldBlock => SessionError::Busy,
            io::ErrorKind::PermissionDenied => SessionError::Forbidden { path: path.to_owned() },
            _ => SessionError::Broken { problem, drained: true },
        };
        let stream = UnixStream::connect(path).await.map_err(broken)?;
        let found = stream.peer_cred().map_err(broken)?.pid();
        if found != Some(pid) {
            return Err(SessionError::Stranger { expected: pid, found });
        }
        Ok(Self {
            path,
            pid,
            limits,
            stream,
            buffer: Vec::new(),
        })
    }

    /// Waits until the agent answers to this connection; what it still had to say to others is passed over.
    async fn sync(&mut self) -> io::Result<()> {
        let id = fresh_id();
        let command = format!("{{\"execute\":\"guest-sync-delimited\",\"arguments\":{{\"id\":{id}}}}}\n");
        // The first byte ends what others may have begun to say.
        self.stream
            .write_all(&[&[DELIMITER], command.as_bytes()].concat())
            .await?;
        loop {
            if let Reply::Line(line) = self.line().await?
                && let Some(at) = line.iter().rposition(|byte| *byte == DELIMITER)
                && line.get(at + 1..).and_then(synced_to) == Some(id)
            {
                // An agent has nothing more to say before it is asked.
                self.buffer.clear();
                return Ok(());
            }
        }
    }

    async fn ask(&mut self, command: &str) -> io::Result<Reply> {
        let command = format!("{{\"execute\":\"{command}\"}}\n");
        self.stream.write_all(command.as_bytes()).await?;
        self.line().await
    }

    async fn line(&mut self) -> io::Result<Reply> {
        let mut cut = false;
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(end + 1);
                let line = mem::replace(&mut self.buffer, rest);
                // What is waited for may stand behind what was too long.
                let whole = !cut || line.contains(&DELIMITER);
                return Ok(if whole { Reply::Line(line) } else { Reply::TooLong });
            }
            if self.buffer.len() > self.limits.reply_bytes {
                cut = true;
                let from = self.buffer.iter().rposition(|byte| *byte == DELIMITER);
                self.buffer
                    .drain(..from.filter(|from| *from > 0).unwrap_or(self.buffer.len()));
            } else if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Reads, on new connections, what the agent still owes.
    async fn given_up(self, failure: Failure) -> SessionError {
        let (path, pid, limits) = (self.path, self.pid, self.limits);
        // QEMU serves nobody else before it is closed.
        drop(self);
        let drained = drain(path, pid, limits).await;
        match failure {
            None => SessionError::TimedOut { drained },
            Some(problem) => SessionError::Broken { problem, drained },
        }
    }
}

async fn drain(path: &Path, pid: i32, limits: &Limits) -> bool {
    for _ in 0..limits.drains {
        match Connection::to(path, pid, limits).await {
            Ok(mut connection) => {
                if within(limits.drain, connection.sync()).await.is_ok() {
                    return true;
                }
            }
            Err(SessionError::Busy) => tokio::time::sleep(CROWDED).await,
            Err(error) => return matches!(error, SessionError::Absent),
        }
    }
    false
}

/// The number in `{"return": 1}`.
fn synced_to(line: &[u8]) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Synced {
        r#return: u64,
    }
    serde_json::from_slice(line).ok().map(|synced: Synced| synced.r#return)
}

/// A number that no earlier session had, be it one of another process.
fn fresh_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // It stays below 2^53.
    (u64::from(now.subsec_nanos()) << 20) | (NEXT.fetch_add(1, Ordering::Relaxed) & 0xF_FFFF)
}
