//! Whose port it is.
//!
//! A clone, or a guest restored under another number, has its original's arguments and with them the path of its port: its QEMU
//! takes the path over. So a guest is known by the process that listens on its socket, which must be the one in its process file.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::{Pid, test_kill_process};
use thiserror::Error;

use crate::config::SocketName;

/// The ports of the guests on this node.
#[derive(Clone, Debug)]
pub struct Ports {
    /// Where their sockets and process files are.
    pub directory: PathBuf,
    /// How their sockets are named.
    pub name: SocketName,
}

/// Why there is no connection to a guest's port.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// No QEMU listens there: the guest does not run, or has no port.
    #[error("no QEMU listens on the socket")]
    Absent,
    /// The guest's process is there, and its socket is not: somebody has removed it, and QEMU does not make it anew.
    #[error("the guest runs, but its socket is gone: it has to be stopped and started")]
    Unlinked,
    /// As many others wait for it as may.
    #[error("other programs hold the socket")]
    Held,
    /// Another process listens than the guest's QEMU.
    #[error("process {found:?} listens on the socket, and the guest's QEMU is {expected}")]
    Stranger {
        /// The guest's QEMU.
        expected: i32,
        /// The one that listens; `None` where it cannot be told, since it belongs to another PID namespace.
        found: Option<i32>,
    },
    /// The exporter may not connect, or not read whose QEMU it is.
    #[error("only root may open {}", .path.display())]
    Forbidden {
        /// The file.
        path: PathBuf,
    },
    /// The opener does not do its part.
    #[error("the opener: {0}")]
    Opener(String),
    /// Anything else.
    #[error("cannot connect: {0}")]
    Failed(io::Error),
}

impl ConnectError {
    fn at(path: &Path, problem: io::Error) -> Self {
        match problem.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Self::Absent,
            io::ErrorKind::WouldBlock => Self::Held,
            io::ErrorKind::PermissionDenied => Self::Forbidden { path: path.to_owned() },
            _ => Self::Failed(problem),
        }
    }
}

impl Ports {
    /// The socket of a guest.
    #[must_use]
    pub fn socket(&self, vmid: u32) -> PathBuf {
        self.directory.join(self.name.of(vmid))
    }

    /// The file with the process of a guest.
    #[must_use]
    pub fn process_file(&self, vmid: u32) -> PathBuf {
        self.directory.join(format!("{vmid}.pid"))
    }

    /// The process of a guest.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn process(&self, vmid: u32) -> Result<i32, ConnectError> {
        let path = self.process_file(vmid);
        let pid = fs::read_to_string(&path).and_then(|text| text.trim().parse().map_err(io::Error::other));
        pid.map_err(|problem| ConnectError::at(&path, problem))
    }

    /// Connects to the port of a guest without waiting.
    ///
    /// # Errors
    /// When nobody listens, or as many wait as may.
    pub(super) fn open(&self, vmid: u32) -> Result<UnixStream, ConnectError> {
        // Who has no process is not connected to.
        let process = self.process(vmid)?;
        let path = self.socket(vmid);
        connect_to(&path).map_err(|problem| match problem.kind() {
            io::ErrorKind::NotFound if is_alive(process) => ConnectError::Unlinked,
            _ => ConnectError::at(&path, problem),
        })
    }

    /// Checks that `found`, the process that listens, is the guest's. To be asked when the connection is made: the guest may have
    /// been started anew in between.
    ///
    /// # Errors
    /// When it is another.
    pub(super) fn check(&self, vmid: u32, found: Option<i32>) -> Result<(), ConnectError> {
        let expected = self.process(vmid)?;
        if found == Some(expected) {
            Ok(())
        } else {
            Err(ConnectError::Stranger { expected, found })
        }
    }
}

/// Whether there is such a process, be it one that may not be sent anything.
fn is_alive(process: i32) -> bool {
    Pid::from_raw(process).is_some_and(|process| test_kill_process(process) != Err(Errno::SRCH))
}

fn connect_to(path: &Path) -> io::Result<UnixStream> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    connect(&socket, &SocketAddrUnix::new(path)?)?;
    Ok(socket.into())
}

/// What changes when a file is written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    inode: u64,
    changed: (i64, i64),
}

impl Mark {
    /// `None` where there is no such file.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            inode: metadata.ino(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}
