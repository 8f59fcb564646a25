//! The opener as a process of its own, and whoever asks it for what it must not give.

use std::fs;
use std::io::{IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use tempfile::TempDir;

use crate::program::{Program, command, run};

/// A directory as QEMU's, an opener, and its socket in a directory of its own.
pub(crate) struct Host {
    directory: TempDir,
    program: Program,
}

impl Host {
    pub(crate) fn for_user(user: u32) -> Self {
        Self::started(user, |opener| opener)
    }

    fn started(user: u32, change: impl FnOnce(Command) -> Command) -> Self {
        let directory = TempDir::new().unwrap();
        fs::create_dir(directory.path().join("opener")).unwrap();
        let user = user.to_string();
        let socket = directory.path().join("opener/socket").display().to_string();
        let guests = directory.path().display().to_string();
        let opener = command(&[
            "opener",
            "--socket",
            &socket,
            "--user",
            &user,
            "--directory",
            &guests,
            "--log.level",
            "debug",
        ]);
        let mut program = Program::start(change(opener));
        program.wait_for_log("opening ports");
        Self { directory, program }
    }

    fn new() -> Self {
        Self::for_user(rustix::process::geteuid().as_raw())
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("opener/socket")
    }

    pub(crate) fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// A guest whose QEMU is the process `pid`; this one listens.
    fn guest(&self, vmid: u32, pid: u32) -> UnixListener {
        fs::write(self.directory.path().join(format!("{vmid}.pid")), format!("{pid}\n")).unwrap();
        UnixListener::bind(self.directory.path().join(format!("{vmid}.telemetry"))).unwrap()
    }

    fn ask(&self, request: &[u8]) -> (String, Option<OwnedFd>) {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        // The opener may have refused already.
        drop(stream.write_all(request));
        answer(&stream)
    }
}

fn answer(stream: &UnixStream) -> (String, Option<OwnedFd>) {
    let mut line = [0; 256];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        stream,
        &mut [IoSliceMut::new(&mut line)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )
    .unwrap();
    let mut descriptors = ancillary.drain().filter_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    let descriptor = descriptors.next().and_then(|mut list| list.next());
    (String::from_utf8(line[..received.bytes].to_vec()).unwrap(), descriptor)
}

#[test]
fn it_hands_over_a_connection_that_works() {
    let host = Host::new();
    let qemu = host.guest(100, std::process::id());
    let (line, port) = host.ask(b"100\n");
    assert_eq!(line, "connected\n");
    let mut port = UnixStream::from(port.unwrap());
    port.set_nonblocking(false).unwrap();
    let (mut served, _) = qemu.accept().unwrap();
    served.write_all(b"hello").unwrap();
    let mut greeting = [0; 5];
    port.read_exact(&mut greeting).unwrap();
    assert_eq!(&greeting, b"hello");
    let mode = fs::metadata(host.socket()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn it_says_why_there_is_no_connection() {
    let host = Host::new();
    assert_eq!(host.ask(b"100\n").0, "absent\n");

    let qemu = host.guest(101, std::process::id());
    drop(qemu);
    assert_eq!(host.ask(b"101\n").0, "absent\n", "a socket that a killed QEMU has left");

    host.guest(105, std::process::id());
    fs::remove_file(host.directory().join("105.telemetry")).unwrap();
    assert_eq!(host.ask(b"105\n").0, "unlinked\n");
    // No process has this number.
    fs::write(host.directory().join("105.pid"), "2147483647\n").unwrap();
    assert_eq!(host.ask(b"105\n").0, "absent\n", "of a QEMU that was killed");

    let _clone = host.guest(102, 1);
    let own = std::process::id();
    assert_eq!(host.ask(b"102\n").0, format!("stranger 1 {own}\n"));

    let qemu = host.guest(103, std::process::id());
    rustix::net::listen(&qemu, 0).unwrap();
    let _first = host.ask(b"103\n").1.unwrap();
    assert_eq!(host.ask(b"103\n").0, "held\n");

    fs::write(host.directory().join("104.pid"), "nonsense").unwrap();
    UnixListener::bind(host.directory().join("104.telemetry")).unwrap();
    assert!(host.ask(b"104\n").0.starts_with("cannot connect: "));
}

#[test]
fn it_takes_the_number_of_a_guest_and_nothing_else() {
    let host = Host::new();
    let _qemu = host.guest(100, std::process::id());
    let _other = UnixListener::bind(host.directory().join("100.qga")).unwrap();
    let long = [b'1'; 100_000];
    let inputs: [&[u8]; 14] = [
        b"\n",
        b"100 \n",
        b" 100\n",
        b"0100\n",
        b"+100\n",
        b"-1\n",
        b"100.qga\n",
        b"../100\n",
        b"/etc/passwd\n",
        b"1e2\n",
        b"\xFF\xFE\n",
        b"100\0\n",
        b"99999999999999\n",
        &long,
    ];
    for input in inputs {
        let (line, port) = host.ask(input);
        assert!(line.starts_with("refused: ") && port.is_none(), "{line}");
    }
    assert!(host.ask(b"100\n").1.is_some());
}

/// With the capabilities that its unit leaves it, and no other.
#[test]
fn it_needs_no_more_rights_than_its_unit_has() {
    let unit = include_str!("../../../deploy/exporter/pve-exporter-opener.service");
    let kept = unit
        .lines()
        .find_map(|line| line.strip_prefix("CapabilityBoundingSet="));
    let kept: Vec<_> = kept.unwrap().split(' ').map(str::to_ascii_lowercase).collect();
    let bounds = kept.iter().filter_map(|name| name.strip_prefix("cap_"));
    let bounds = bounds.fold("-all".to_owned(), |bounds, name| format!("{bounds},+{name}"));
    for user in [0, 4711] {
        let host = Host::started(user, |opener| {
            let mut limited = Command::new("setpriv");
            limited.args(["--inh-caps=-all", &format!("--bounding-set={bounds}")]);
            limited.env_clear().arg(opener.get_program()).args(opener.get_args());
            limited
        });
        let status = fs::read_to_string(host.program.proc_file("status")).unwrap();
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
        let effective = u64::from_str_radix(effective, 16).unwrap();
        assert_eq!(effective.count_ones() as usize, kept.len(), "{kept:?}");
        let metadata = fs::metadata(host.socket()).unwrap();
        assert_eq!((metadata.uid(), metadata.mode() & 0o777), (user, 0o600));
        let _qemu = host.guest(100, std::process::id());
        if user == 0 {
            assert!(host.ask(b"100\n").1.is_some());
        }
    }
}

#[test]
fn nobody_else_is_answered() {
    let host = Host::for_user(rustix::process::geteuid().as_raw() + 4711);
    let _qemu = host.guest(100, std::process::id());
    let (line, port) = host.ask(b"100\n");
    assert!(line.starts_with("refused: ") && port.is_none(), "{line}");
}

#[test]
fn the_slow_and_the_gone_do_not_stop_it() {
    let host = Host::new();
    let _qemu = host.guest(100, std::process::id());
    let silent: Vec<_> = (0..2).map(|_| UnixStream::connect(host.socket()).unwrap()).collect();
    let mut dripping = UnixStream::connect(host.socket()).unwrap();
    let drip = thread::spawn(move || {
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end && dripping.write_all(b"1").is_ok() {
            thread::sleep(Duration::from_millis(300));
        }
    });
    for _ in 0..50 {
        let mut gone = UnixStream::connect(host.socket()).unwrap();
        gone.write_all(b"100\n").unwrap();
    }
    assert!(host.ask(b"100\n").1.is_some());
    for stream in silent {
        assert!(answer(&stream).0.starts_with("refused: "));
    }
    drip.join().unwrap();
}

#[test]
fn it_begins_only_where_nobody_else_writes() {
    let directory = TempDir::new().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let open = |socket: &str, user: &str| run(&["opener", "--socket", socket, "--user", user]);
    let said = |output: std::process::Output| String::from_utf8(output.stderr).unwrap();

    fs::create_dir(path("open")).unwrap();
    fs::set_permissions(path("open"), fs::Permissions::from_mode(0o777)).unwrap();
    let refused = said(open(&path("open/socket"), "0"));
    assert!(refused.contains("others may write there"), "{refused}");
    let refused = open(&path("socket"), "no such user");
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(refused).contains("there is no user \"no such user\""));
    fs::write(path("file"), "").unwrap();
    assert_eq!(
        open(&path("file"), "0").status.code(),
        Some(1),
        "what is no socket stays"
    );
    assert!(fs::metadata(path("file")).unwrap().is_file());

    let mut host = Host::new();
    let socket = host.socket().display().to_string();
    assert!(said(open(&socket, "0")).contains("another opener listens there"));
    host.program.signal("KILL");
    host.program.ended();
    let mut again = Program::start(command(&["opener", "--socket", &socket, "--user", "0"]));
    again.wait_for_log("opening ports");
}
