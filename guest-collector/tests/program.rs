//! The program, as people and systemd call it.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

use std::process::{Command, Output};

use pve_guest_protocol::{Area, Message, decode};

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pve-guest-collector"));
    command
        .args(["--config", "/dev/null"])
        .args(arguments)
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn one_sample_as_it_is_sent() {
    let output = run(&["--once", "--json"]);
    assert!(output.status.success(), "{output:?}");
    for line in text(&output.stdout).lines() {
        let Ok(Message::Metrics(report)) = decode(line.as_bytes()) else {
            panic!("{line}")
        };
        assert_eq!(report.header.sequence, 1);
    }
    assert!(!output.stdout.is_empty());
}

#[test]
fn one_sample_for_people() {
    let output = run(&["--once", "--only", "load"]);
    assert!(output.status.success(), "{output:?}");
    assert!(text(&output.stdout).starts_with("load\n  "), "{output:?}");
}

#[test]
fn a_check_names_what_is_missing_and_the_remedy() {
    let output = run(&["--check", "--port", "/nowhere", "--without", "users"]);
    assert_eq!(output.status.code(), Some(1));
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert!(lines[0].starts_with("missing port "), "{}", lines[0]);
    assert!(lines[0].contains("/nowhere"), "{}", lines[0]);
    assert!(lines[0].contains("the host adds it"), "{}", lines[0]);
    for area in Area::ALL.iter().filter(|area| **area != Area::Collector) {
        let named = lines
            .iter()
            .filter(|line| line.split_whitespace().nth(1) == Some(area.name()));
        assert_eq!(named.count(), 1, "{}", area.name());
    }
    assert!(lines.iter().any(|line| line.starts_with("off     users ")));
}

#[test]
fn a_mistake_is_told_with_its_place_and_ends_with_2() {
    for (arguments, problem) in [
        (
            &["--interval", "0"][..],
            "pve-guest-collector: flag --interval: interval: invalid value",
        ),
        (
            &["--only", "cpu"],
            "pve-guest-collector: flag --only: areas.cpu: there is no such key",
        ),
        (&["--config", "/nowhere"], "cannot be used multiple times"),
        (&["--json"], "--once"),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(problem), "{}", text(&output.stderr));
    }
}
