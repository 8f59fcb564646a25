//! A port that is unplugged and plugged in again, with terminals in its place.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

#[path = "support/terminal.rs"]
mod terminal;

use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use pve_guest_collector::config::Config;
use pve_guest_collector::locate::Wanted;
use pve_guest_collector::run::run;
use pve_guest_collector::samplers::Roots;
use pve_guest_protocol::{Message, Report, decode};
use terminal::terminal;

/// Makes a terminal whose other end is found at `path`.
fn plug(path: &Path) -> File {
    let (host, terminal) = terminal();
    std::os::unix::fs::symlink(terminal.to_str().unwrap(), path).unwrap();
    host
}

fn first_sample(mut host: &File) -> Report {
    host.write_all(b"\n").unwrap();
    let mut lines = BufReader::new(host)
        .lines()
        .map(Result::unwrap)
        .filter(|line| !line.is_empty());
    match decode(lines.next().unwrap().as_bytes()) {
        Ok(Message::Metrics(report)) => *report,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_port_that_comes_goes_and_comes_again_is_found_each_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("port");
    let config = Config {
        port: Wanted::At(path.clone()),
        interval: Duration::from_secs(300),
        ..Config::default()
    };
    thread::spawn(move || run(&config, &Roots::default()));

    let host = plug(&path);
    let before = first_sample(&host);
    fs::remove_file(&path).unwrap();
    drop(host);
    let after = first_sample(&plug(&path));
    assert_eq!(after.header.start_seconds, before.header.start_seconds);
    assert_eq!(after.header.sequence, before.header.sequence + 1);
}
