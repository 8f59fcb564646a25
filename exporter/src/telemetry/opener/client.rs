//! Asking the opener for a connection.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as Port;
use std::path::Path;
use std::time::Duration;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;

use super::super::identity::ConnectError;
use super::{ABSENT, CONNECTED, FORBIDDEN, HELD, STRANGER, UNLINKED};

/// How long the opener may take; it serves one after the other.
const PATIENCE: Duration = Duration::from_secs(10);

const LONGEST_ANSWER: usize = 256;

/// A connection to the port of a guest.
///
/// # Errors
/// When the opener has none, or does not answer.
pub(in crate::telemetry) async fn ask(opener: &Path, vmid: u32) -> Result<Port, ConnectError> {
    let answered = tokio::time::timeout(PATIENCE, exchange(opener, vmid)).await;
    let (line, port) = answered
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(|problem| ConnectError::Opener(format!("{}: {problem}", opener.display())))?;
    let mut words = line.trim_end().split(' ');
    match (words.next().unwrap_or_default(), port) {
        (CONNECTED, Some(port)) => Ok(port.into()),
        (ABSENT, _) => Err(ConnectError::Absent),
        (UNLINKED, _) => Err(ConnectError::Unlinked),
        (HELD, _) => Err(ConnectError::Held),
        (FORBIDDEN, _) => Err(ConnectError::Opener(
            "it may not connect, it has to run as root".to_owned(),
        )),
        (STRANGER, _) => {
            let mut number = || words.next().and_then(|word| word.parse().ok()).filter(|pid| *pid != 0);
            Err(ConnectError::Stranger {
                expected: number().unwrap_or(0),
                found: number(),
            })
        }
        _ => Err(ConnectError::Opener(format!("it answered {line:?}"))),
    }
}

async fn exchange(opener: &Path, vmid: u32) -> io::Result<(String, Option<OwnedFd>)> {
    let mut stream = UnixStream::connect(opener).await?;
    stream.write_all(format!("{vmid}\n").as_bytes()).await?;
    // The answer is one message.
    stream.async_io(Interest::READABLE, || receive(&stream)).await
}

fn receive(stream: &UnixStream) -> io::Result<(String, Option<OwnedFd>)> {
    let mut line = [0; LONGEST_ANSWER];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(stream, &mut [IoSliceMut::new(&mut line)], &mut ancillary, flags)?;
    let port = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let line = line.get(..received.bytes).unwrap_or_default();
    Ok((String::from_utf8_lossy(line).into_owned(), port))
}
