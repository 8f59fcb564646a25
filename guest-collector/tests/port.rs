//! The port, with a socket pair in its place: what edges tell and what the kernel refuses is the same there. What only a
//! virtio-serial port does is tested in a guest.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use pve_guest_collector::port::{Port, Written};
use rustix::io::Errno;

const LONG: Option<Duration> = Some(Duration::from_secs(60));
const SHORT: Option<Duration> = Some(Duration::from_millis(30));

fn port() -> (Port, UnixStream) {
    let (guest, host) = UnixStream::pair().unwrap();
    guest.set_nonblocking(true).unwrap();
    (Port::new(OwnedFd::from(guest)).unwrap(), host)
}

#[test]
fn an_attached_host_is_seen_and_then_nothing_until_it_sends() {
    let (mut port, mut host) = port();
    assert!(!port.is_attached());
    assert!(!port.wait(LONG).unwrap(), "nothing to read");
    assert!(port.is_attached());
    assert!(!port.wait(SHORT).unwrap());

    host.write_all(b"abc").unwrap();
    assert!(port.wait(LONG).unwrap());
    let mut buffer = [0; 2];
    assert_eq!(port.read(&mut buffer), Ok(2));
    assert_eq!(port.read(&mut buffer), Ok(1));
    assert_eq!(port.read(&mut buffer), Ok(0));
    assert!(port.is_attached(), "it only has nothing more to say");
}

#[test]
fn a_host_that_left_is_seen_once_and_never_spun_for() {
    let (mut port, mut host) = port();
    host.write_all(b"x").unwrap();
    drop(host);
    assert!(port.wait(LONG).unwrap());
    assert!(!port.is_attached());
    let mut buffer = [0; 8];
    assert_eq!(port.read(&mut buffer), Ok(1), "what it sent before is still there");
    assert_eq!(port.read(&mut buffer), Ok(0));
    for _ in 0..3 {
        let before = Instant::now();
        assert!(!port.wait(SHORT).unwrap());
        assert!(before.elapsed() >= SHORT.unwrap());
    }
}

#[test]
fn what_a_host_does_not_read_is_refused_and_never_half_sent() {
    let (mut port, mut host) = port();
    let mut line = vec![b'x'; 32_768];
    *line.last_mut().unwrap() = b'\n';
    let mut sent = 0;
    while port.write(&line) == Ok(Written::Whole) {
        sent += 1;
        assert!(sent < 10_000);
    }
    assert_eq!(port.write(&line), Ok(Written::Refused));

    host.set_nonblocking(true).unwrap();
    let mut received = Vec::new();
    let ended = host.read_to_end(&mut received).unwrap_err();
    assert_eq!(ended.kind(), std::io::ErrorKind::WouldBlock);
    assert_eq!(
        received.first(),
        Some(&b'\n'),
        "what a guest before its reset left half sent is ended"
    );
    assert_eq!(received.len(), 1 + sent * line.len());
    assert_eq!(port.write(&line), Ok(Written::Whole));
}

#[test]
fn a_port_that_is_no_longer_one_is_gone() {
    let (mut port, host) = port();
    drop(host);
    assert_eq!(port.write(b"x\n").unwrap_err().0, Errno::PIPE);
}

#[test]
fn what_cannot_be_waited_for_is_no_port() {
    let file = tempfile::NamedTempFile::new().unwrap();
    assert_eq!(Port::open(file.path()).unwrap_err(), Errno::PERM);
    assert_eq!(Port::open("/nowhere".as_ref()).unwrap_err(), Errno::NOENT);
}
