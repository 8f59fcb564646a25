//! The daemon: finds the port, speaks on it, and opens it anew whenever it was gone.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use crate::config::Config;
use crate::locate::Wanted;
use crate::port::Port;
use crate::samplers::Roots;
use crate::session::Session;

/// From one attempt to open the port to the next: at first, and at most.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Why there is no port to speak on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPort {
    /// The host gave this guest none, or it is unplugged at the moment.
    #[error(
        "there is no {0}; the host adds it to the VM's configuration, and the VM has to be stopped and started once \
         (a reboot from inside is not enough)"
    )]
    Missing(String),
    /// It is there and cannot be opened.
    #[error("{0} cannot be opened: {1}; {remedy}", remedy = remedy(*.1))]
    Refused(String, Errno),
}

fn remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::ACCESS | Errno::PERM => {
            "let the collector's user read and write it: install the udev rule, then `udevadm trigger`"
        }
        Errno::BUSY => "another process has it open, and a port has room for one: is a collector running already?",
        Errno::NODEV | Errno::NXIO => "it is being unplugged, or its driver is not ready",
        _ => "is this the right path?",
    }
}

/// Finds and opens the port.
pub fn open(wanted: &Wanted) -> Result<Port, NoPort> {
    let Some(path) = wanted.find(Path::new("/dev"), Path::new("/sys")) else {
        return Err(NoPort::Missing(wanted.to_string()));
    };
    Port::open(&path).map_err(|errno| NoPort::Refused(path.display().to_string(), errno))
}

/// Publishes for ever.
pub fn run(config: &Config, roots: &Roots) -> ! {
    let mut session = Session::new(config, roots, Instant::now());
    let (mut pause, longest) = PAUSES;
    let mut told = None;
    loop {
        match open(&config.port) {
            Ok(mut port) => {
                tracing::info!(port = %config.port, "open");
                told = None;
                let opened = Instant::now();
                let gone = session.serve(&mut port);
                tracing::warn!(port = %config.port, reason = %gone, "lost");
                if opened.elapsed() > longest {
                    pause = PAUSES.0;
                }
            }
            Err(problem) => {
                if told.as_ref() != Some(&problem) {
                    tracing::warn!(%problem, "no port; waiting for it");
                    told = Some(problem);
                }
            }
        }
        thread::sleep(pause);
        pause = (pause * 2).min(longest);
    }
}
