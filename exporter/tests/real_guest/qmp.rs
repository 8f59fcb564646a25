//! QEMU's own control socket. It serves one client at a time: each call is a connection.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(60);

/// Runs a command and returns what came for it; or the error's text.
pub(crate) fn execute(socket: &Path, command: &str, arguments: &Value) -> Result<Value, String> {
    let mut monitor = Monitor::connect(socket);
    monitor.ask("qmp_capabilities", &json!({}))?;
    monitor.ask(command, arguments)
}

/// Runs a command and waits for an event that satisfies the test.
pub(crate) fn execute_until(socket: &Path, command: &str, arguments: &Value, event: impl Fn(&Value) -> bool) {
    let mut monitor = Monitor::connect(socket);
    monitor.ask("qmp_capabilities", &json!({})).unwrap();
    monitor.ask(command, arguments).unwrap();
    while !monitor.events.iter().any(&event) {
        let message = monitor.message();
        monitor.events.push(message);
    }
}

struct Monitor {
    stream: BufReader<UnixStream>,
    events: Vec<Value>,
}

impl Monitor {
    fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut monitor = Self {
            stream: BufReader::new(stream),
            events: Vec::new(),
        };
        let greeting = monitor.message();
        assert!(greeting["QMP"].is_object(), "{greeting}");
        monitor
    }

    fn message(&mut self) -> Value {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("QEMU's monitor answers");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn ask(&mut self, command: &str, arguments: &Value) -> Result<Value, String> {
        let line = format!("{}\n", json!({"execute": command, "arguments": arguments}));
        self.stream.get_mut().write_all(line.as_bytes()).unwrap();
        loop {
            let mut message = self.message();
            if message["event"].is_string() {
                self.events.push(message);
            } else if message["error"].is_object() {
                return Err(message["error"]["desc"].to_string());
            } else {
                return Ok(message["return"].take());
            }
        }
    }
}
