//! The one connection to a guest's port.
//!
//! It is read all the time: QEMU keeps old samples for a reader that stalls, and loses a buffer of the port for good when a slow
//! one leaves. It is never shut down by half, which makes QEMU spin, and read to the end before it is closed.

use std::cell::RefCell;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pve_guest_protocol::{Call, EMPTY_LINE, Request, write_request};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::discovery::{Presence, Sockets, guest_of_process, presence};
use super::guest::Guest;
use super::identity::{ConnectError, Mark, Ports};
use super::intake::Outcome;
use super::opener::client;

/// How long a new connection may take nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// So much is read before others get their turn.
const TURN: usize = 8;

/// How to get connections.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) ports: Ports,
    pub(super) opener: Option<PathBuf>,
    /// The opener serves one after the other.
    pub(super) turns: Semaphore,
}

impl Connector {
    async fn connect(&self, vmid: u32) -> Result<UnixStream, ConnectError> {
        let Some(opener) = &self.opener else {
            let stream = self.ports.open(vmid)?;
            let stream = UnixStream::from_std(stream).map_err(ConnectError::Failed)?;
            let found = stream.peer_cred().map_err(ConnectError::Failed)?.pid();
            return self.ports.check(vmid, found).map(|()| stream);
        };
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let port = client::ask(opener, vmid).await?;
        // What the opener has opened it may have opened in another way.
        port.set_nonblocking(true).map_err(ConnectError::Failed)?;
        UnixStream::from_std(port).map_err(ConnectError::Failed)
    }

    /// Whether the guest's QEMU is still the process that listens on the other side.
    fn is_still_that_of(&self, vmid: u32, stream: &UnixStream) -> bool {
        let found = stream.peer_cred().ok().and_then(|peer| peer.pid());
        self.ports.process(vmid).is_ok_and(|expected| Some(expected) == found)
    }
}

/// The session with one guest.
pub(super) struct Session {
    pub(super) guest: Arc<Guest>,
    pub(super) connector: Arc<Connector>,
    pub(super) presence: watch::Receiver<Presence>,
}

/// Why a connection is over.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// The other side has closed it.
    Closed,
    /// Nothing useful came.
    Useless,
    /// The guest does not run, or in another process.
    Changed,
    /// The exporter ends.
    Stop,
}

impl Session {
    /// Goes on until nobody tells it any more whether the guest is present.
    pub(super) async fn run(mut self) {
        let (first, longest) = self.guest.timing.back_off;
        let mut pause = first;
        loop {
            let presence = *self.presence.borrow_and_update();
            if let Presence::Runs(mark) = presence
                && self.guest.runs_as(mark)
            {
                pause = first;
            }
            let wait = match presence {
                Presence::Runs(mark) => match self.connection(mark).await {
                    Ok(End::Stop) => return self.guest.absent(),
                    Ok(End::Changed) => continue,
                    Ok(End::Closed | End::Useless) => {
                        pause = first;
                        Some(first)
                    }
                    Err(error) => {
                        let whose = match error {
                            ConnectError::Stranger { found: Some(pid), .. } => {
                                guest_of_process(&self.connector.ports, pid)
                            }
                            _ => None,
                        };
                        self.guest.not_connected(&error, whose);
                        let wait = pause;
                        pause = longest.min(pause * 2);
                        Some(wait)
                    }
                },
                Presence::Gone => {
                    self.guest.absent();
                    None
                }
                Presence::Taken => {
                    self.guest.taken();
                    None
                }
            };
            let changed = match wait {
                Some(wait) => timeout(wait, self.presence.changed()).await.unwrap_or(Ok(())),
                None => self.presence.changed().await,
            };
            if changed.is_err() {
                return self.guest.absent();
            }
        }
    }

    /// `seen` is the process file as it was when it was looked for guests.
    async fn connection(&mut self, seen: Mark) -> Result<End, ConnectError> {
        let stream = tokio::select! {
            stream = self.connector.connect(self.guest.vmid()) => stream?,
            changed = self.presence.changed() => {
                return Ok(if changed.is_ok() { End::Changed } else { End::Stop });
            }
        };
        // The guest may have been started anew since.
        let mark = match presence(&self.connector.ports, self.guest.vmid()) {
            Presence::Runs(mark) => mark,
            Presence::Gone | Presence::Taken => seen,
        };
        self.guest.runs_as(mark);
        self.guest.connected();
        let mut connection = Connection {
            guest: &self.guest,
            stream,
            asked: None,
            heard: Instant::now(),
            came: Instant::now(),
            read_after: None,
        };
        connection.greet().await;
        let end = connection.serve(&mut self.presence, mark, &self.connector).await;
        if end == End::Closed {
            drop(connection);
        } else {
            drain(&self.guest, connection.stream).await;
        }
        self.guest.disconnected();
        Ok(end)
    }
}

struct Connection<'a> {
    guest: &'a Guest,
    stream: UnixStream,
    /// When the collector was last asked.
    asked: Option<Instant>,
    /// When something useful came last.
    heard: Instant,
    /// When anything came last.
    came: Instant,
    /// The guest has sent too much: it is not read before.
    read_after: Option<Instant>,
}

impl Connection<'_> {
    async fn serve(&mut self, presence: &mut watch::Receiver<Presence>, mark: Mark, connector: &Connector) -> End {
        let nudge = self.guest.timing.nudge;
        let mut look = Instant::now() + nudge;
        loop {
            let throttled = self.read_after;
            tokio::select! {
                ready = self.stream.readable(), if throttled.is_none() => {
                    if ready.is_err() || self.read().is_err() {
                        return End::Closed;
                    }
                }
                () = sleep_until(throttled.unwrap_or(look)), if throttled.is_some() => self.read_after = None,
                () = self.guest.wanted.notified() => self.ask(),
                changed = presence.changed() => {
                    let present = *presence.borrow_and_update();
                    match (changed, present) {
                        (Err(_), _) => return End::Stop,
                        (Ok(()), Presence::Runs(now)) if now == mark => {}
                        // The same process may have written its file anew. One that cannot be read has to be checked by the opener.
                        (Ok(()), Presence::Runs(_)) if connector.is_still_that_of(self.guest.vmid(), &self.stream) => {}
                        (Ok(()), _) => return End::Changed,
                    }
                }
                () = sleep_until(look) => {
                    look = Instant::now() + nudge;
                    if self.is_over(connector) {
                        return End::Useless;
                    }
                }
            }
        }
    }

    /// Looks at how long nothing useful came. Each connection is given more time than the one before.
    fn is_over(&mut self, connector: &Connector) -> bool {
        self.guest.look();
        let timing = &self.guest.timing;
        let silence = self.heard.elapsed();
        if silence < timing.nudge {
            return false;
        }
        if self.came.elapsed() >= timing.silence_after_error && self.guest.is_hasty() {
            self.guest.give_up_early();
            return true;
        }
        let patience = self.guest.longest_silence();
        let before = self.guest.useless_connections();
        let longest = (patience * 2_u32.saturating_pow(before.min(16))).min(timing.longest_silence.max(patience));
        if silence >= longest {
            let waiting = Sockets::read().of(&connector.ports, self.guest.vmid()).waiting;
            self.guest.give_up(waiting > 0);
            return true;
        }
        self.send(EMPTY_LINE);
        false
    }

    /// Reads what is there.
    fn read(&mut self) -> io::Result<()> {
        for _ in 0..TURN {
            let Some(outcome) = self.read_once()? else {
                return Ok(());
            };
            if outcome.receipt_due {
                self.send(EMPTY_LINE);
            }
            if let Some(pause) = outcome.pause {
                self.read_after = Some(Instant::now() + pause);
                return Ok(());
            }
        }
        Ok(())
    }

    /// `None` when there is nothing more.
    fn read_once(&mut self) -> io::Result<Option<Outcome>> {
        let outcome = take(self.guest, |bytes| self.stream.try_read(bytes))?;
        if let Some(outcome) = outcome {
            self.came = Instant::now();
            if outcome.useful {
                self.heard = self.came;
            }
        }
        Ok(outcome)
    }

    /// The first thing that a collector hears. It publishes from then on; the answer comes at once.
    async fn greet(&mut self) {
        // It is so at once; but before it has been waited for, nothing can be sent.
        drop(timeout(PATIENCE, self.stream.writable()).await);
        self.send(EMPTY_LINE);
        self.request();
    }

    fn ask(&mut self) {
        if self.guest.may_be_asked(self.asked.map(|asked| asked.elapsed())) {
            self.request();
        }
    }

    fn request(&mut self) {
        let id = fresh_id();
        let mut line = Vec::new();
        let call = Call::GetMetrics;
        write_request(&Request { id, call }, &mut line);
        self.asked = Some(Instant::now());
        self.guest.asked(id);
        self.send(&line);
    }

    /// A collector that does not read is none that could answer; so what does not fit is not sent.
    fn send(&self, line: &[u8]) {
        drop(self.stream.try_write(line));
    }
}

/// Gives what `read` brings to the guest; `None` when there is nothing now.
fn take(guest: &Guest, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<Option<Outcome>> {
    thread_local! {
        /// One for all guests that a thread reads.
        static BYTES: RefCell<Vec<u8>> = RefCell::new(vec![0; 64 * 1024]);
    }
    BYTES.with_borrow_mut(|bytes| match read(bytes) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(length) => Ok(Some(guest.take(bytes.get(..length).unwrap_or_default()))),
        Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => {
            guest.found_empty();
            Ok(None)
        }
        Err(problem) => Err(problem),
    })
}

/// Reads to the end and closes, so that QEMU holds nothing that it would have to throw away.
async fn drain(guest: &Guest, stream: UnixStream) {
    let end = Instant::now() + guest.timing.drain;
    // Without tokio, which tells what it has last heard of the connection.
    let Ok(mut stream) = stream.into_std() else { return };
    while Instant::now() < end && take(guest, |bytes| stream.read(bytes)).is_ok_and(|outcome| outcome.is_some()) {
        tokio::task::yield_now().await;
    }
}

/// A number that no earlier connection had, be it one of another process: its answer could still come.
fn fresh_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // It stays below 2^53.
    (u64::from(now.subsec_nanos()) << 20) | (NEXT.fetch_add(1, Ordering::Relaxed) & 0xF_FFFF)
}
