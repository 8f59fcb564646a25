//! What QEMU has in a directory of its node for one virtual machine: the file with its process, and sockets. As QEMU does,
//! each socket serves one client at a time.

use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use pve_guest_protocol::{LineBuffer, Piece, decode_request};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
    task::JoinSet,
    time::interval,
};

const PROCESS: &str = "pid";
const TELEMETRY: &str = "telemetry";
const AGENT: &str = "qga";

/// What the collector in a guest notices of its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It has connected.
    Connected,
    /// Nothing, and its interval is over.
    Nothing,
    /// It asks for a sample, with this id.
    Asked(u64),
}

/// A virtual machine that runs. Dropping it closes its sockets and takes its files away.
#[derive(Debug)]
pub struct PlayedMachine {
    directory: PathBuf,
    vmid: u32,
    sockets: JoinSet<()>,
}

impl PlayedMachine {
    /// One without sockets, whose QEMU is `process`, as its file says.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written.
    pub fn start(directory: &Path, vmid: u32, process: u32) -> io::Result<Self> {
        let machine = Self {
            directory: directory.to_owned(),
            vmid,
            sockets: JoinSet::new(),
        };
        fs::write(machine.path(PROCESS), format!("{process}\n"))?;
        Ok(machine)
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.directory.join(format!("{}.{kind}", self.vmid))
    }

    /// Gives it a port with a collector behind it, which says what `says` makes of what it hears.
    ///
    /// # Errors
    ///
    /// Fails if there is no such socket to be had.
    pub fn with_collector<S>(mut self, interval: Duration, mut says: S) -> io::Result<Self>
    where
        S: FnMut(Heard) -> Vec<u8> + Send + 'static,
    {
        let listener = UnixListener::bind(self.path(TELEMETRY))?;
        self.sockets.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // A host that has left is followed by the next one.
                drop(collect(stream, interval, &mut says).await);
            }
        });
        Ok(self)
    }

    /// Gives it the socket of a guest agent, which answers a line with what `answers` makes of it; nothing is no answer.
    ///
    /// # Errors
    ///
    /// Fails if there is no such socket to be had.
    pub fn with_agent<A>(mut self, mut answers: A) -> io::Result<Self>
    where
        A: FnMut(&[u8]) -> Vec<u8> + Send + 'static,
    {
        let listener = UnixListener::bind(self.path(AGENT))?;
        self.sockets.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                drop(answer(stream, &mut answers).await);
            }
        });
        Ok(self)
    }
}

impl Drop for PlayedMachine {
    fn drop(&mut self) {
        for kind in [TELEMETRY, AGENT, PROCESS] {
            // It may have none, and the directory may be gone.
            drop(fs::remove_file(self.path(kind)));
        }
    }
}

async fn collect(mut stream: UnixStream, every: Duration, says: &mut impl FnMut(Heard) -> Vec<u8>) -> io::Result<()> {
    let (mut lines, mut bytes) = (LineBuffer::default(), vec![0; 4096]);
    let mut ticks = interval(every);
    let mut say = says(Heard::Connected);
    loop {
        stream.write_all(&say).await?;
        say.clear();
        tokio::select! {
            read = stream.read(&mut bytes) => match read? {
                0 => return Ok(()),
                length => lines.push(&bytes[..length], |piece| {
                    if let Piece::Line(line) = piece
                        && let Ok(Some(request)) = decode_request(line)
                    {
                        say.extend(says(Heard::Asked(request.id)));
                    }
                }),
            },
            _ = ticks.tick() => say = says(Heard::Nothing),
        }
    }
}

async fn answer(mut stream: UnixStream, answers: &mut impl FnMut(&[u8]) -> Vec<u8>) -> io::Result<()> {
    let mut heard = Vec::new();
    while stream.read_buf(&mut heard).await? > 0 {
        while let Some(end) = heard.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = heard.drain(..=end).collect();
            stream.write_all(&answers(&line)).await?;
        }
    }
    Ok(())
}
