//! What host and collector say to each other, over a socket pair in place of the port.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use pve_guest_collector::config::Config;
use pve_guest_collector::port::Port;
use pve_guest_collector::samplers::Roots;
use pve_guest_collector::session::Session;
use pve_guest_protocol::{
    Area, Call, ErrorCode, MAX_LINE_BYTES, Message, Report, Request, VERSION, decode, write_request,
};

/// The host's end of a port on which a collector speaks.
struct Host {
    reader: BufReader<UnixStream>,
    line: Vec<u8>,
    requests: u64,
}

impl Host {
    fn attach(interval: u64, without: &[Area]) -> Self {
        let (guest, host) = UnixStream::pair().unwrap();
        guest.set_nonblocking(true).unwrap();
        host.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut config = Config {
            interval: Duration::from_secs(interval),
            ..Config::default()
        };
        without.iter().for_each(|area| config.areas.remove(*area));
        // It waits for the host until the test ends.
        thread::spawn(move || {
            let mut port = Port::new(OwnedFd::from(guest)).unwrap();
            Session::new(&config, &Roots::default(), Instant::now()).serve(&mut port)
        });
        Self {
            reader: BufReader::new(host),
            line: Vec::new(),
            requests: 0,
        }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.reader.get_mut().write_all(bytes.as_ref()).unwrap();
    }

    /// The next line that is not empty.
    fn receive(&mut self) -> Message<'_> {
        loop {
            self.line.clear();
            self.reader.read_until(b'\n', &mut self.line).unwrap();
            assert_eq!(self.line.pop(), Some(b'\n'));
            assert!(self.line.len() < MAX_LINE_BYTES);
            if !self.line.is_empty() {
                break;
            }
        }
        decode(&self.line).unwrap()
    }

    fn published(&mut self) -> Report {
        match self.receive() {
            Message::Metrics(report) => *report,
            other => panic!("{other:?}"),
        }
    }

    /// Sends a request and gives the line that answers it to `read`; publications before it are skipped.
    fn ask<T>(&mut self, call: Call, read: impl FnOnce(Message<'_>) -> T) -> T {
        self.requests += 1;
        let id = self.requests;
        let mut request = Vec::new();
        write_request(&Request { id, call }, &mut request);
        self.send(&request);
        while let Message::Metrics(_) = self.receive() {}
        read(decode(&self.line).unwrap())
    }

    fn report(&mut self, call: Call) -> Report {
        let expected = self.requests + 1;
        self.ask(call, |message| match message {
            Message::Answer { id, result } if id == expected => result.report().unwrap(),
            other => panic!("{other:?}"),
        })
    }

    /// What answers a line that asks for nothing sensible.
    fn failure(&mut self, line: impl AsRef<[u8]>) -> (Option<u64>, i64) {
        self.send(line);
        loop {
            match self.receive() {
                Message::Metrics(_) => {}
                Message::Failure { id, code, .. } => return (id, code),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Whether nothing comes for a moment.
    fn is_silent(&mut self) -> bool {
        let pause = Some(Duration::from_millis(300));
        self.reader.get_mut().set_read_timeout(pause).unwrap();
        let silent = self.reader.fill_buf().is_err();
        self.reader
            .get_mut()
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        silent
    }
}

fn is_last(report: &Report) -> bool {
    report.header.part + 1 == report.header.parts
}

#[test]
fn nothing_is_sent_before_the_first_line_of_the_host_and_a_sample_behind_it() {
    let mut host = Host::attach(300, &[]);
    assert!(host.is_silent());
    host.send("\n");
    let report = host.published();
    assert_eq!(report.header.version, VERSION);
    assert_eq!((report.header.sequence, report.header.part), (1, 0));
    assert_eq!(report.header.interval_seconds, 300.0);
    assert!(report.areas.present().contains(Area::Load));
    assert!(host.is_silent(), "the next one is minutes away");
}

#[test]
fn samples_follow_at_the_interval() {
    let mut host = Host::attach(1, &[]);
    host.send("\n");
    let samples: Vec<Report> = (0..3)
        .map(|_| {
            loop {
                let report = host.published();
                if report.header.part == 0 {
                    break report;
                }
            }
        })
        .collect();
    for pair in samples.windows(2) {
        let [before, after] = pair else { unreachable!() };
        assert_eq!(after.header.sequence, before.header.sequence + 1);
        assert_eq!(after.header.boot_id, before.header.boot_id);
        let passed = after.header.monotonic_seconds - before.header.monotonic_seconds;
        assert!((0.5..30.0).contains(&passed), "{passed} s");
    }
}

#[test]
fn every_method_is_answered() {
    let mut host = Host::attach(300, &[]);
    for call in [
        Call::Ping,
        Call::GetSystemInfo,
        Call::GetNetworkInfo,
        Call::GetDiskUsage,
        Call::GetUsers,
    ] {
        let report = host.report(call);
        let wanted = call.areas().unwrap();
        assert_eq!(
            report.areas.present().intersection(wanted),
            report.areas.present(),
            "{call:?}"
        );
    }
    assert!(host.report(Call::Ping).areas.present().is_empty());
    assert!(!host.report(Call::GetMetrics).areas.present().is_empty());
    let (before, after) = (host.report(Call::Ping).header, host.report(Call::Ping).header);
    assert_eq!(after.sequence, before.sequence + 1);
    host.ask(Call::GetAgentInfo, |message| {
        let Message::Answer { result, .. } = message else {
            panic!("{message:?}")
        };
        let info = result.agent_info().unwrap();
        assert_eq!(
            (info.name.as_str(), info.interval_seconds),
            ("pve-guest-collector", 300.0)
        );
        assert_eq!(info.boot_id, after.boot_id);
        assert!(Area::ALL.iter().all(|area| info.areas.contains(*area)));
    });
}

#[test]
fn a_host_sets_the_interval_within_bounds() {
    let mut host = Host::attach(300, &[]);
    for (asked, granted) in [(0.001, 1.0), (1.5, 1.5), (60.0, 60.0), (1e300, 300.0)] {
        let call = Call::Subscribe {
            interval_seconds: asked,
        };
        host.ask(call, |message| {
            let Message::Answer { result, .. } = message else {
                panic!("{message:?}")
            };
            assert_eq!(result.subscription().unwrap().interval_seconds, granted);
        });
        assert_eq!(host.report(Call::Ping).header.interval_seconds, granted);
    }
    host.ask(Call::Subscribe { interval_seconds: 1.0 }, |_| {});
    assert_eq!(host.published().header.interval_seconds, 1.0);
}

#[test]
fn what_is_no_request_is_refused() {
    let mut host = Host::attach(300, &[]);
    let code = |code: ErrorCode| code.code();
    assert_eq!(host.failure("{\n"), (None, code(ErrorCode::ParseError)));
    assert_eq!(host.failure(b"\xff\xfe\n"), (None, code(ErrorCode::ParseError)));
    assert_eq!(host.failure("[]\n"), (None, code(ErrorCode::InvalidRequest)));
    assert_eq!(
        host.failure("{\"jsonrpc\":\"1.0\",\"id\":5,\"method\":\"ping\"}\n"),
        (Some(5), code(ErrorCode::InvalidRequest))
    );
    assert_eq!(
        host.failure("{\"jsonrpc\":\"2.0\",\"id\":6,\"method\":\"guest-exec\"}\n"),
        (Some(6), code(ErrorCode::MethodNotFound))
    );
    assert_eq!(
        host.failure("{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"subscribe\",\"params\":{}}\n"),
        (Some(7), code(ErrorCode::InvalidParams))
    );
    let endless = [vec![b'x'; 3 * MAX_LINE_BYTES], b"\n".to_vec()].concat();
    assert_eq!(host.failure(endless), (None, code(ErrorCode::InvalidRequest)));
    host.report(Call::Ping);
}

#[test]
fn a_method_whose_areas_are_switched_off_is_refused() {
    let mut host = Host::attach(300, &[Area::Users, Area::Load]);
    let denied = ErrorCode::PermissionDenied.code();
    host.ask(Call::GetUsers, |message| {
        assert!(matches!(message, Message::Failure { code, .. } if code == denied))
    });
    assert!(host.report(Call::GetMetrics).areas.load.is_none());
}

#[test]
fn lines_come_in_any_portions() {
    let mut host = Host::attach(300, &[]);
    host.send("\n\n{\"jsonrpc\":\"2.0\",\"id\":1,");
    assert_eq!(host.published().header.sequence, 1);
    host.send("\"method\":\"ping\"}\n{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"ping\"}\n{\"json");
    for expected in [1, 2] {
        assert!(matches!(host.receive(), Message::Answer { id, .. } if id == expected));
    }
    // What a dead host left half said is ended by the newline with which the next one begins.
    assert_eq!(host.failure("\n"), (None, ErrorCode::ParseError.code()));
    host.report(Call::Ping);
}

#[test]
fn notifications_are_not_answered() {
    let mut host = Host::attach(300, &[]);
    host.send("{\"jsonrpc\":\"2.0\",\"method\":\"ping\"}\n");
    assert_eq!(host.published().header.sequence, 1);
    assert!(host.is_silent());
}

#[test]
fn a_host_that_asks_too_much_gets_fewer_answers() {
    let mut host = Host::attach(300, &[]);
    let begun = Instant::now();
    for id in 0..200 {
        host.send(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"ping\"}}\n"));
    }
    let mut answers = 0;
    while !host.is_silent() {
        answers += u32::from(matches!(host.receive(), Message::Answer { .. }));
    }
    let most = 21 + u32::try_from(begun.elapsed().as_millis() / 100).unwrap();
    assert!(
        (20..=most.min(199)).contains(&answers),
        "{answers} of 200, at most {most}"
    );
    host.report(Call::Ping);
}

#[test]
fn what_a_host_sends_at_once_is_read_to_its_end() {
    let mut host = Host::attach(300, &[]);
    host.send("\n");
    while !is_last(&host.published()) {}
    host.send(
        [
            vec![b'\n'; 150_000],
            b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n".to_vec(),
        ]
        .concat(),
    );
    assert!(matches!(host.receive(), Message::Answer { id: 1, .. }));
}

#[test]
fn a_host_that_asks_and_does_not_read_finds_whole_lines_later() {
    let mut host = Host::attach(300, &[]);
    let mut request = Vec::new();
    write_request(
        &Request {
            id: 1,
            call: Call::GetMetrics,
        },
        &mut request,
    );
    // More than the collector reads in a second, all of it asking for answers that nobody reads.
    host.reader
        .get_mut()
        .set_write_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    for _ in 0..40 {
        host.send(request.repeat(100));
    }
    while !host.is_silent() {
        host.receive();
    }
    thread::sleep(Duration::from_millis(200));
    host.report(Call::Ping);
}
