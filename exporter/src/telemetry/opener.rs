//! The one part that runs as root: it connects to the ports of guests, and hands the connections over.
//!
//! Whoever asks sends the number of a guest and a newline, and gets one line: `connected`, with the connection in an SCM_RIGHTS
//! message, or why not. The opener reads nothing that a guest writes, and nothing else of who asks.

use std::fs;
use std::io::{self, IoSlice, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::net::sockopt::socket_peercred;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use thiserror::Error;

use super::identity::{ConnectError, Ports};
use crate::config::parse_vmid;

pub(super) mod client;

/// How long who asks may take to say for whom.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long nobody is served after the system has refused to accept a connection.
const BREATH: Duration = Duration::from_millis(100);

const LONGEST_REQUEST: usize = 16;

const CONNECTED: &str = "connected";
const ABSENT: &str = "absent";
const UNLINKED: &str = "unlinked";
const HELD: &str = "held";
const STRANGER: &str = "stranger";
const FORBIDDEN: &str = "forbidden";

/// Why the opener cannot begin.
#[derive(Debug, Error)]
pub enum OpenerError {
    /// Others could put something else in the place of its socket.
    #[error("{}: belongs to somebody else, or others may write there; use a directory of its own, such as RuntimeDirectory= makes", .0.display())]
    Exposed(PathBuf),
    /// Another opener has the socket.
    #[error("{}: another opener listens there", .0.display())]
    InUse(PathBuf),
    /// The path cannot be used.
    #[error("{}: {problem}", .path.display())]
    Unusable {
        /// The path.
        path: PathBuf,
        /// What the system said.
        problem: io::Error,
    },
    /// There is no such user.
    #[error("there is no user {0:?}")]
    UnknownUser(String),
}

/// It listens from the time it is made.
#[derive(Debug)]
pub struct Opener {
    listener: UnixListener,
    ports: Ports,
    user: u32,
}

impl Opener {
    /// Listens at `socket` for the user with this number, and nobody else.
    ///
    /// # Errors
    /// When it cannot, or not safely.
    pub fn bind(socket: &Path, user: u32, ports: Ports) -> Result<Self, OpenerError> {
        let unusable = |problem| OpenerError::Unusable {
            path: socket.to_owned(),
            problem,
        };
        let directory = socket
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        let metadata = fs::metadata(directory).map_err(unusable)?;
        if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
            return Err(OpenerError::Exposed(directory.to_owned()));
        }
        match fs::symlink_metadata(socket) {
            Ok(left) if left.file_type().is_socket() => match UnixStream::connect(socket) {
                Ok(_) => return Err(OpenerError::InUse(socket.to_owned())),
                Err(problem) if problem.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(socket).map_err(unusable)?;
                }
                // Without the right to ask it cannot be told whether somebody answers there.
                Err(problem) => return Err(unusable(problem)),
            },
            // Binding tells of anything else.
            Ok(_) | Err(_) => {}
        }
        let listener = UnixListener::bind(socket).map_err(unusable)?;
        // As long as it is its own it takes no right to set the mode, which stays.
        fs::set_permissions(socket, fs::Permissions::from_mode(0o600)).map_err(unusable)?;
        std::os::unix::fs::lchown(socket, Some(user), None).map_err(unusable)?;
        Ok(Self { listener, ports, user })
    }

    /// Serves, one after the other, for ever.
    pub fn serve(&self) -> ! {
        loop {
            let outcome = match self.listener.accept() {
                Ok((client, _)) => self.answer(client),
                Err(problem) => {
                    std::thread::sleep(BREATH);
                    Err(problem)
                }
            };
            if let Err(problem) = outcome {
                tracing::debug!(%problem, "a request was not answered");
            }
        }
    }

    fn connect(&self, vmid: u32) -> Result<UnixStream, ConnectError> {
        let port = self.ports.open(vmid)?;
        let found = peer(&port).map_err(ConnectError::Failed)?;
        self.ports.check(vmid, Some(found)).map(|()| port)
    }

    fn answer(&self, mut client: UnixStream) -> io::Result<()> {
        client.set_write_timeout(Some(PATIENCE))?;
        let user = socket_peercred(&client)?.uid.as_raw();
        if user != self.user {
            tracing::warn!(user, "somebody else than the exporter asked");
            return say(&client, "refused: not your opener");
        }
        let Some(vmid) = request(&mut client)? else {
            return say(&client, "refused: write the number of a guest and a newline");
        };
        match self.connect(vmid) {
            Ok(port) => {
                tracing::debug!(vmid, "connected");
                hand_over(&client, &port)
            }
            Err(error) => {
                tracing::debug!(vmid, %error, "not connected");
                say(&client, &reason(&error))
            }
        }
    }
}

/// The process that listens. Like QEMU's process files it is of the PID namespace of the host, where the opener has to be as well.
fn peer(port: &UnixStream) -> io::Result<i32> {
    Ok(socket_peercred(port)?.pid.as_raw_nonzero().get())
}

/// The guest that is asked for; `None` if it is anything else.
fn request(client: &mut UnixStream) -> io::Result<Option<u32>> {
    let end = Instant::now() + PATIENCE;
    let mut buffer = [0; LONGEST_REQUEST];
    let mut length = 0;
    while let Some(free) = buffer.get_mut(length..).filter(|free| !free.is_empty()) {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        client.set_read_timeout(Some(left))?;
        length += match client.read(free) {
            Ok(0) => return Ok(None),
            Ok(read) => read,
            Err(problem) if problem.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(problem) => return Err(problem),
        };
        let so_far = buffer.get(..length).unwrap_or_default();
        if let Some((b'\n', digits)) = so_far.split_last() {
            return Ok(std::str::from_utf8(digits).ok().and_then(parse_vmid));
        }
    }
    Ok(None)
}

fn reason(error: &ConnectError) -> String {
    match error {
        ConnectError::Absent => ABSENT.to_owned(),
        ConnectError::Unlinked => UNLINKED.to_owned(),
        ConnectError::Held => HELD.to_owned(),
        ConnectError::Stranger { expected, found } => format!("{STRANGER} {expected} {}", found.unwrap_or(0)),
        ConnectError::Forbidden { .. } => FORBIDDEN.to_owned(),
        ConnectError::Opener(_) | ConnectError::Failed(_) => error.to_string(),
    }
}

fn say(client: &UnixStream, line: &str) -> io::Result<()> {
    send(client, line, &mut SendAncillaryBuffer::default())
}

fn hand_over(client: &UnixStream, port: &UnixStream) -> io::Result<()> {
    let descriptors = [port.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    send(client, CONNECTED, &mut ancillary)
}

fn send(client: &UnixStream, line: &str, ancillary: &mut SendAncillaryBuffer<'_, '_, '_>) -> io::Result<()> {
    let parts = [IoSlice::new(line.as_bytes()), IoSlice::new(b"\n")];
    sendmsg(client, &parts, ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// The number of a user, from its number or its name in `passwd`, the text of /etc/passwd.
///
/// # Errors
/// When there is none of this name.
pub fn user_number(user: &str, passwd: &str) -> Result<u32, OpenerError> {
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == user).then(|| fields.nth(1)?.parse().ok())?
    });
    named
        .or_else(|| user.parse().ok())
        .ok_or_else(|| OpenerError::UnknownUser(user.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_by_name_and_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nprom:x:998:997::/:/bin/false\nbad\n:::\n";
        assert_eq!(user_number("prom", passwd).unwrap(), 998);
        assert_eq!(user_number("root", passwd).unwrap(), 0);
        assert_eq!(user_number("1234", passwd).unwrap(), 1234);
        for wrong in ["nobody", "", "-1", "bad"] {
            assert!(user_number(wrong, passwd).is_err(), "{wrong:?}");
        }
    }
}
