//! What the port of a real guest does, whoever writes to it: what the collector and the exporter rely on.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::json;

use crate::machine::{Machine, Node, wait_for};

const LONG: Duration = Duration::from_secs(30);

/// Counts on the port for as long as it is there.
const COUNTING: &str = "(exec 3<>/dev/virtio-ports/org.pve-telemetry.guest.0; i=0; \
     while i=$((i + 1)); echo \"count $i\" >&3; do usleep 20000; done) >/dev/null 2>&1 &";

struct Reader(BufReader<UnixStream>);

impl Reader {
    fn of(guest: &Machine) -> Self {
        let stream = UnixStream::connect(guest.file("telemetry")).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        Self(BufReader::new(stream))
    }

    /// Whether the next line, be it the rest of one that was cut, ends with the count `number`.
    fn is_at(&mut self, number: u64) -> bool {
        self.line().ends_with(&format!("count {number}\n"))
    }

    /// The number on the next line.
    fn next(&mut self) -> u64 {
        let line = self.line();
        let number = line.strip_prefix("count ").and_then(|rest| rest.strip_suffix('\n'));
        number
            .unwrap_or_else(|| panic!("not a whole line: {line:?}"))
            .parse()
            .unwrap()
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    /// Whether the stream ends, some time.
    fn ends(&mut self) -> bool {
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).is_ok()
    }

    /// Whether nothing comes for a moment.
    fn is_silent(&mut self) -> bool {
        self.0
            .get_ref()
            .set_read_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let outcome = self.0.fill_buf().map(<[u8]>::len);
        self.0.get_ref().set_read_timeout(Some(LONG)).unwrap();
        outcome.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }
}

#[test]
fn one_reader_gets_whole_lines_and_the_next_one_when_it_has_gone() {
    let node = Node::new();
    let guest = node.boot(100);
    guest.run(COUNTING);
    let mut first = Reader::of(&guest);
    assert!(first.next() < first.next());
    let mut second = Reader::of(&guest);
    assert!(second.is_silent(), "one at a time");
    let last = first.next();
    drop(first);
    assert!(second.next() > last, "from the beginning of a line, and none twice");

    guest.monitor("stop", json!({}));
    while !second.is_silent() {
        second.next();
    }
    guest.monitor("cont", json!({}));
    let before = second.next();
    assert_eq!(second.next(), before + 1);

    guest.unplug_port();
    guest.wait_until("! [ -e /dev/virtio-ports/org.pve-telemetry.guest.0 ]");
    guest.plug_port();
    guest.wait_until("[ -e /dev/virtio-ports/org.pve-telemetry.guest.0 ]");
    guest.run(COUNTING);
    let first_of_new = wait_for("it counts again", || {
        Some(second.next()).filter(|count| *count < before)
    });
    assert_eq!(first_of_new, 1, "to the same reader");

    guest.reset();
    guest.run(COUNTING);
    wait_for("it counts after a reset", || second.is_at(1).then_some(()));
}

#[test]
fn a_guest_counts_on_where_its_state_goes() {
    let here = Node::new();
    let guest = here.boot(100);
    guest.run(COUNTING);
    let mut reader = Reader::of(&guest);
    let last = reader.next();
    guest.suspend();
    assert!(reader.ends(), "with its QEMU");
    let guest = here.resume(100);
    let mut reader = Reader::of(&guest);
    let next = reader.next();
    assert!(next > last && next < last + 200, "{last} {next}");

    let there = here.neighbour();
    let guest = guest.migrate(&there);
    assert!(reader.ends(), "with its QEMU");
    assert!(Reader::of(&guest).next() > next);
}

#[tokio::test]
async fn a_clone_takes_the_path_of_its_original_and_takes_it_away() {
    let node = Node::new();
    let original = node.start(100, &[]);
    let path = original.file("telemetry");
    let listener = async || {
        let peer = tokio::net::UnixStream::connect(&path).await;
        peer.map(|peer| peer.peer_cred().unwrap().pid())
    };
    assert_eq!(listener().await.unwrap(), Some(original.pid()));
    let clone = node.start_with_port(101, &path, &[]);
    assert_eq!(listener().await.unwrap(), Some(clone.pid()));
    clone.quit();
    assert_eq!(listener().await.unwrap_err().kind(), ErrorKind::NotFound);
}
