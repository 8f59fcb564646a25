//! Which guests of this node have a port.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use super::identity::{Mark, Ports};

/// What stands in the directory for one guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    /// It runs: its process file, as it is now.
    Runs(Mark),
    /// It does not.
    Gone,
    /// It does not, and another process listens on its socket.
    Taken,
}

/// The guests with a socket.
///
/// # Errors
/// When the directory cannot be read.
pub(super) fn scan(ports: &Ports) -> io::Result<BTreeMap<u32, Presence>> {
    let mut guests = BTreeMap::new();
    let mut sockets = None;
    for entry in fs::read_dir(&ports.directory)? {
        let name = entry?.file_name();
        let Some(vmid) = name.to_str().and_then(|name| ports.name.vmid(name)) else {
            continue;
        };
        let presence = presence(ports, vmid);
        let presence = match presence {
            Presence::Gone if sockets.get_or_insert_with(Sockets::read).of(ports, vmid).listening => Presence::Taken,
            other => other,
        };
        guests.insert(vmid, presence);
    }
    Ok(guests)
}

/// Whether a guest runs, whose socket may be gone.
pub(super) fn presence(ports: &Ports, vmid: u32) -> Presence {
    Mark::of(&ports.process_file(vmid)).map_or(Presence::Gone, Presence::Runs)
}

/// The guest whose QEMU is this process, where the exporter may read that.
pub(super) fn guest_of_process(ports: &Ports, pid: i32) -> Option<u32> {
    let names = fs::read_dir(&ports.directory)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.file_name()));
    names
        .filter_map(|name| crate::config::parse_vmid(name.to_str()?.strip_suffix(".pid")?))
        .find(|vmid| ports.process(*vmid).is_ok_and(|process| process == pid))
}

/// What the kernel tells of a socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SocketUse {
    /// Somebody listens.
    pub(super) listening: bool,
    /// Connections that were not accepted yet: QEMU serves one at a time.
    pub(super) waiting: usize,
}

/// All sockets of this network namespace; nothing is known of others.
pub(super) struct Sockets(String);

/// `__SO_ACCEPTCON`.
const LISTENING: &str = "00010000";

/// `SS_CONNECTING`: of a listening socket, one that was not accepted.
const WAITING: &str = "02";

impl Sockets {
    pub(super) fn read() -> Self {
        Self(fs::read_to_string("/proc/net/unix").unwrap_or_default())
    }

    /// QEMU may have been told another path to the same directory.
    pub(super) fn of(&self, ports: &Ports, vmid: u32) -> SocketUse {
        let name = ports.name.of(vmid);
        let same = |one: &Path, other: &Path| {
            one == other || matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
        };
        let mut found = SocketUse::default();
        for line in self.0.lines().filter(|line| line.ends_with(&*name)) {
            // Num: RefCount Protocol Flags Type St Inode Path, with spaces before a short inode.
            let mut fields = line.split_whitespace().skip(3);
            let (flags, _, state, _, path) = (
                fields.next(),
                fields.next(),
                fields.next(),
                fields.next(),
                fields.next(),
            );
            let path = path.map_or(Path::new(""), Path::new);
            let of_guest = path.file_name().is_some_and(|file| file == &*name);
            if of_guest && path.parent().is_some_and(|parent| same(parent, &ports.directory)) {
                found.listening |= flags == Some(LISTENING);
                found.waiting += usize::from(state == Some(WAITING));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SocketName;

    #[test]
    fn sockets_as_the_kernel_lists_them() {
        let ports = Ports {
            directory: "/var/run/qemu-server".into(),
            name: SocketName::default(),
        };
        let sockets = Sockets(
            "Num       RefCount Protocol Flags    Type St Inode Path
00000000575edb50: 00000003 00000000 00000000 0001 02     0 /var/run/qemu-server/100.telemetry
0000000024a90326: 00000002 00000000 00010000 0001 01 2592364 /var/run/qemu-server/100.telemetry
00000000b58e428a: 00000003 00000000 00000000 0001 03 2592366 /var/run/qemu-server/100.telemetry
00000000b58e428b: 00000002 00000000 00010000 0001 01 2592367 /var/run/qemu-server/101.qga
00000000b58e428c: 00000003 00000000 00000000 0001 03  1142
"
            .to_owned(),
        );
        let used = |listening, waiting| SocketUse { listening, waiting };
        assert_eq!(sockets.of(&ports, 100), used(true, 1));
        assert_eq!(sockets.of(&ports, 101), used(false, 0));
        assert_eq!(sockets.of(&ports, 0), used(false, 0), "no part of a name");
        let elsewhere = Ports {
            directory: "/elsewhere".into(),
            ..ports
        };
        assert_eq!(sockets.of(&elsewhere, 100), used(false, 0));
    }
}
