//! The guest's serial console, on which its first process runs commands.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

/// Stands before and after a status in what the guest prints, and nowhere else.
const MARK: char = '\u{1e}';

/// Far more than a boot or any command needs on a machine that is busy.
const DEADLINE: Duration = Duration::from_secs(90);

/// A connection that is always read: a guest whose console nobody reads stands still.
pub(crate) struct Console {
    stream: UnixStream,
    printed: Arc<Printed>,
}

#[derive(Default)]
struct Printed {
    text: Mutex<String>,
    more: Condvar,
}

impl Console {
    pub(crate) fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        let printed = Arc::<Printed>::default();
        let (mut reading, shared) = (stream.try_clone().unwrap(), Arc::clone(&printed));
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = reading.read(&mut bytes) {
                let text: String = bytes[..count].iter().map(|byte| char::from(*byte)).collect();
                shared.text.lock().unwrap().push_str(&text);
                shared.more.notify_all();
            }
        });
        Self { stream, printed }
    }

    /// Waits for the first process to say that it takes commands: after a start, and after a reset.
    #[track_caller]
    pub(crate) fn wait_until_ready(&self) {
        let (printed, status) = self.next();
        assert!(status == "ready" && !printed.contains("was not loaded"), "{printed}");
    }

    /// Runs a line of shell in the guest, and returns its status and what it printed.
    #[track_caller]
    pub(crate) fn run(&self, command: &str) -> (String, String) {
        (&self.stream).write_all(format!("{command}\n").as_bytes()).unwrap();
        let (printed, status) = self.next();
        (status, printed)
    }

    /// What was printed before the next status, and that status.
    #[track_caller]
    fn next(&self) -> (String, String) {
        let mut text = self.printed.text.lock().unwrap();
        loop {
            if let Some((printed, rest)) = text.split_once(MARK)
                && let Some((status, rest)) = rest.split_once(MARK)
            {
                let found = (printed.to_owned(), status.to_owned());
                *text = rest.to_owned();
                return found;
            }
            let (still, timeout) = self.printed.more.wait_timeout(text, DEADLINE).unwrap();
            text = still;
            assert!(
                !timeout.timed_out(),
                "the guest's console has gone silent after {text:?}"
            );
        }
    }
}
