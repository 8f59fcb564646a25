//! A terminal in place of a port: it has a path, and it can be closed at the host's end.

use std::ffi::CString;
use std::fs::File;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

/// Makes one. Returns the host's end, and the path of the guest's end.
pub(crate) fn terminal() -> (File, CString) {
    let host = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&host).unwrap();
    unlockpt(&host).unwrap();
    // Bytes go through as they are.
    let mut raw = tcgetattr(&host).unwrap();
    raw.make_raw();
    tcsetattr(&host, OptionalActions::Now, &raw).unwrap();
    let path = ptsname(&host, Vec::new()).unwrap();
    (host.into(), path)
}
