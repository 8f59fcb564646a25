//! The Prometheus that other tests lean on starts, scrapes, answers and ends.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use support::prometheus::{Prometheus, promtool_check_metrics};

const EXPOSITION: &str = "# HELP pve_test_total Made up.\n# TYPE pve_test_total counter\npve_test_total{a=\"b\"} 42\n";

/// Answers every request with the exposition, until the test ends.
fn target() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = listener.local_addr().expect("the port just bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            answer(stream.expect("a connection"));
        }
    });
    address
}

fn answer(mut stream: TcpStream) {
    // A peer that hangs up is its own business.
    let head = BufReader::new(&stream).lines().map_while(Result::ok);
    head.take_while(|line| !line.is_empty()).for_each(drop);
    let head = "HTTP/1.0 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\n\r\n";
    drop(write!(stream, "{head}{EXPOSITION}"));
}

#[test]
fn it_answers_before_it_has_scraped() {
    let prometheus = Prometheus::scraping(&[]);
    assert_eq!(prometheus.query("vector(6) * 7")[0]["value"][1], "42");
    assert_eq!(prometheus.query("up").as_array().map(Vec::len), Some(0));
}

#[test]
fn it_scrapes_its_targets() {
    let target = target().to_string();
    let prometheus = Prometheus::scraping(&[&target]);
    let found = prometheus.wait_for(
        "pve_test_total",
        |result| result[0].is_object(),
        Duration::from_secs(60),
    );
    assert_eq!(found[0]["value"][1], "42");
    assert_eq!(found[0]["metric"]["instance"], target.as_str());
    assert_eq!(prometheus.query("up{job=\"test\"}")[0]["value"][1], "1");
    let metadata = prometheus.metadata();
    assert_eq!(metadata[0]["metric"], "pve_test_total");
    assert_eq!(metadata[0]["type"], "counter");
}

#[test]
fn it_ends_with_its_handle() {
    let prometheus = Prometheus::scraping(&[]);
    let address = prometheus.address();
    TcpStream::connect(address).unwrap();
    drop(prometheus);
    TcpStream::connect(address).unwrap_err();
}

#[test]
#[should_panic(expected = "Prometheus did not start")]
fn a_wrong_configuration_is_shown() {
    Prometheus::with_config("no_such_key: 1\n");
}

#[test]
fn promtool_lints() {
    promtool_check_metrics(EXPOSITION).unwrap();
    let complaint = promtool_check_metrics("# TYPE pve_test_total gauge\npve_test_total 1\n").unwrap_err();
    assert!(complaint.contains("pve_test_total"), "{complaint}");
}
