//! The collector in a real guest, with a host that the test plays.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::machine::{Machine, Node, wait_for};

const LONG: Duration = Duration::from_secs(30);

/// More than one interval of the collector here.
const MOMENT: Duration = Duration::from_millis(1500);

/// A host, which shows that it reads.
struct Host(BufReader<UnixStream>);

impl Host {
    fn silent(guest: &Machine) -> Self {
        let stream = UnixStream::connect(guest.file("telemetry")).unwrap();
        Self(BufReader::new(stream))
    }

    fn of(guest: &Machine) -> Self {
        let host = Self::silent(guest);
        host.send("\n");
        host
    }

    fn send(&self, line: &str) {
        self.0.get_ref().write_all(line.as_bytes()).unwrap();
    }

    /// The next line that is not empty.
    fn message(&mut self, wait: Duration) -> Option<Value> {
        self.0.get_ref().set_read_timeout(Some(wait)).unwrap();
        loop {
            let mut line = Vec::new();
            match self.0.read_until(b'\n', &mut line) {
                Ok(1) if line == b"\n" => {}
                Ok(length) => {
                    assert!(length <= 32_768, "{length} bytes");
                    let text = String::from_utf8_lossy(&line);
                    return Some(serde_json::from_slice(&line).unwrap_or_else(|error| panic!("{error}: {text}")));
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    return None;
                }
            }
        }
    }

    /// The next thing that is published; answers, to others who broke off, are passed over.
    #[track_caller]
    fn published(&mut self) -> Value {
        loop {
            let mut message = self.message(LONG).expect("a sample");
            if message["method"] == "metrics" {
                return message["params"].take();
            }
        }
    }

    /// Asks, and gives the answer; what is published meanwhile is passed over.
    fn ask(&mut self, id: u64, method: &str) -> Value {
        self.send(&format!("{}\n", json!({"jsonrpc": "2.0", "id": id, "method": method})));
        wait_for(method, || self.message(LONG).filter(|message| message["id"] == id))
    }

    /// Whether nothing comes for longer than an interval.
    fn is_left_alone(&mut self) -> bool {
        self.message(MOMENT).is_none()
    }
}

/// The place of a sample among all of its collector.
fn place(report: &Value) -> (String, f64, u64) {
    let header = &report["header"];
    let boot = header["boot_id"].as_str().unwrap().to_owned();
    let start = header["start_seconds"].as_f64().unwrap();
    (boot, start, header["sequence"].as_u64().unwrap())
}

fn boot_id(guest: &Machine) -> String {
    guest.run("cat /proc/sys/kernel/random/boot_id")
}

#[test]
fn it_publishes_for_whoever_reads_and_else_does_nothing() {
    let node = Node::new();
    let guest = node.boot(100);
    guest.start_collector();
    assert!(Host::silent(&guest).is_left_alone(), "nothing before the first line");

    let mut host = Host::of(&guest);
    let first = host.published();
    assert_eq!(first["header"]["version"], "1.0");
    assert_eq!(place(&first).0, boot_id(&guest));
    let second = host.published();
    assert_eq!(place(&second).2, place(&first).2 + 1);
    let answer = host.ask(7, "get_metrics");
    assert!(place(&answer["result"]).2 > place(&second).2, "{answer}");
    assert_eq!(host.ask(8, "no_such_method")["error"]["code"], -32601);

    // One that is killed in mid-request, and one that says nonsense.
    host.send("{\"jsonrpc\":\"2.0\",\"id\":1,\"met");
    drop(host);
    let mut host = Host::of(&guest);
    host.published();
    host.send("nonsense\n");
    assert!(host.ask(9, "ping")["result"].is_object());
    drop(host);

    guest.wait_until("tail -n 1 /run/collector.log | grep -q 'host left'");
    let before = guest.collector_runs();
    guest.run("sleep 2");
    assert_eq!(guest.collector_runs(), before, "it ran with nobody there");

    // What a host sends at once may overtake the news that it is there.
    let there = node.neighbour();
    let guest = guest.migrate(&there);
    let mut host = Host::of(&guest);
    assert!(place(&host.published()).2 > place(&second).2);
}

#[test]
fn a_host_that_stalls_gets_little_that_is_old() {
    let node = Node::new();
    let guest = node.boot(100);
    guest.start_collector();
    let mut host = Host::of(&guest);
    host.published();
    // It does not read until nothing more is sent to it.
    let mut runs = 0;
    wait_for("the collector waits for it", || {
        guest.run("sleep 3");
        let before = std::mem::replace(&mut runs, guest.collector_runs());
        (runs == before).then_some(())
    });
    let mut held = 0;
    while let Some(message) = host.message(MOMENT) {
        held += message.to_string().len();
    }
    assert!((32_768..200_000).contains(&held), "{held} bytes were held for it");
    let asked = unix_seconds();
    host.send("\n");
    let report = host.published();
    let taken = report["header"]["time_seconds"].as_f64().unwrap();
    assert!((taken - asked).abs() < 3.0, "{taken} {asked}");
    guest.collector_is_small();
}

fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}
