//! State and settings of interfaces: `/sys/class/net`.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::Interface;

use super::Roots;
use super::network::is_left_out;
use super::source::{Reading, Shape, Source};
use super::text::{hexadecimal, number, signed, single, text};

/// How often an interface is read again that shows no change: settings such as the MTU can change without one.
const SETTINGS: Duration = Duration::from_secs(55);
/// Interfaces that are watched with open files; any further one is only read again after [`SETTINGS`].
const MAX_WATCHED: usize = 32;

pub(super) struct Interfaces {
    class: PathBuf,
    known: Vec<Known>,
}

struct Known {
    row: Interface,
    read_at: Instant,
    watched: Option<Watched>,
}

/// What changes with every change of an interface's state. To open a file of /sys costs ten times as much as to read it.
struct Watched {
    operational_state: Source,
    carrier_changes: Source,
    flags: Source,
}

impl Interfaces {
    pub(super) fn new(roots: &Roots) -> Self {
        Self {
            class: roots.sys.join("class/net"),
            known: Vec::new(),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        let Ok(entries) = std::fs::read_dir(&self.class) else {
            self.known.clear();
            return;
        };
        let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
        names.retain(|name| !is_left_out(name.as_encoded_bytes()));
        names.sort_unstable();
        let mut before = std::mem::take(&mut self.known);
        for name in names {
            let directory = self.class.join(&name);
            let name = text(name.as_encoded_bytes());
            let place = before.iter().position(|known| known.row.interface == name);
            let mut known = place.map(|place| before.swap_remove(place));
            if !known.as_mut().is_some_and(|known| known.is_unchanged(reading)) {
                let is_watched = self.known.len() < MAX_WATCHED;
                known = Known::read(&directory, name, is_watched, reading);
            }
            self.known.extend(known);
        }
        areas.interfaces = Some(self.known.iter().map(|known| known.row.clone()).collect());
    }
}

impl Known {
    /// `None` if this is no interface, or no longer.
    fn read(directory: &Path, interface: String, is_watched: bool, reading: &mut Reading) -> Option<Self> {
        let watched = is_watched.then(|| Watched::new(directory));
        let row = row(
            &mut Files {
                directory: File::open(directory).ok()?,
                reading,
            },
            interface,
        )?;
        Some(Self {
            row,
            read_at: reading.now(),
            watched,
        })
    }

    fn is_unchanged(&mut self, reading: &mut Reading) -> bool {
        reading.now().duration_since(self.read_at) < SETTINGS
            && self
                .watched
                .as_mut()
                .is_none_or(|watched| watched.agrees(&self.row, reading))
    }
}

impl Watched {
    fn new(directory: &Path) -> Self {
        let file = |name| Source::new(directory.join(name), Shape::Whole);
        Self {
            operational_state: file("operstate"),
            carrier_changes: file("carrier_changes"),
            flags: file("flags"),
        }
    }

    /// The files of an interface that has gone are refused, even if another one has its name now.
    fn agrees(&mut self, row: &Interface, reading: &mut Reading) -> bool {
        let state = self.operational_state.read(reading).and_then(single);
        state == Some(row.operational_state.as_bytes())
            && self.carrier_changes.read(reading).and_then(single).and_then(number) == row.carrier_changes
            && self.flags.read(reading).and_then(single).and_then(hexadecimal) == row.flags
    }
}

/// The directory of one interface.
struct Files<'a> {
    directory: File,
    reading: &'a mut Reading,
}

impl Files<'_> {
    /// `None` where the file is missing, or refuses because the interface is down or has no such thing.
    fn value<T>(&mut self, name: &str, parse: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        self.reading
            .once_in(&self.directory, name)
            .and_then(single)
            .and_then(parse)
    }

    fn number(&mut self, name: &str) -> Option<u64> {
        self.value(name, number)
    }

    fn text(&mut self, name: &str) -> Option<String> {
        self.value(name, |word| Some(text(word)))
    }
}

fn row(files: &mut Files<'_>, interface: String) -> Option<Interface> {
    Some(Interface {
        interface,
        operational_state: files.text("operstate")?,
        address: files.text("address"),
        broadcast: files.text("broadcast"),
        duplex: files.text("duplex"),
        alias: files.text("ifalias"),
        carrier: files.number("carrier"),
        carrier_changes: files.number("carrier_changes"),
        carrier_up_changes: files.number("carrier_up_count"),
        carrier_down_changes: files.number("carrier_down_count"),
        mtu_bytes: files.number("mtu"),
        speed_megabits: files.value("speed", signed),
        transmit_queue_length: files.number("tx_queue_len"),
        flags: files.value("flags", hexadecimal),
        dormant: files.number("dormant"),
        device_id: files.value("dev_id", hexadecimal),
        index: files.number("ifindex"),
        link: files.number("iflink"),
        link_mode: files.number("link_mode"),
        address_assign_type: files.number("addr_assign_type"),
        name_assign_type: files.number("name_assign_type"),
        group: files.number("netdev_group"),
        protocol_type: files.number("type"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Machine {
        directory: tempfile::TempDir,
        interfaces: Interfaces,
        reading: Reading,
    }

    impl Machine {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let interfaces = Interfaces::new(&Roots::below(directory.path()));
            Self {
                directory,
                interfaces,
                reading: Reading::new(Instant::now()),
            }
        }

        fn write(&self, interface: &str, file: &str, contents: &str) {
            let directory = self.directory.path().join("sys/class/net").join(interface);
            std::fs::create_dir_all(&directory).unwrap();
            std::fs::write(directory.join(file), contents).unwrap();
        }

        fn rows(&mut self, later: Duration) -> Vec<Interface> {
            self.reading.begin(self.reading.now() + later);
            let mut areas = Areas::default();
            self.interfaces.sample(&mut self.reading, &mut areas);
            areas.interfaces.unwrap()
        }
    }

    const INTERVAL: Duration = Duration::from_secs(10);

    #[test]
    fn a_change_of_state_is_seen_at_once_and_a_setting_within_a_minute() {
        let mut machine = Machine::new();
        machine.write("eth0", "operstate", "up\n");
        machine.write("eth0", "mtu", "1500\n");
        let row = machine.rows(INTERVAL).remove(0);
        assert_eq!((row.operational_state.as_str(), row.mtu_bytes), ("up", Some(1500)));
        machine.write("eth0", "mtu", "9000\n");
        assert_eq!(machine.rows(INTERVAL)[0].mtu_bytes, Some(1500));
        assert_eq!(machine.rows(SETTINGS)[0].mtu_bytes, Some(9000));
        machine.write("eth0", "mtu", "1400\n");
        machine.write("eth0", "operstate", "down\n");
        let row = machine.rows(INTERVAL).remove(0);
        assert_eq!((row.operational_state.as_str(), row.mtu_bytes), ("down", Some(1400)));
    }

    #[test]
    fn interfaces_come_and_go() {
        let mut machine = Machine::new();
        let names = |rows: Vec<Interface>| rows.into_iter().map(|row| row.interface).collect::<Vec<_>>();
        machine.write("eth1", "operstate", "up\n");
        machine.write("eth0", "operstate", "up\n");
        machine.write("veth12", "operstate", "up\n");
        std::fs::write(machine.directory.path().join("sys/class/net/bonding_masters"), "").unwrap();
        assert_eq!(names(machine.rows(INTERVAL)), ["eth0", "eth1"]);
        std::fs::remove_dir_all(machine.directory.path().join("sys/class/net/eth0")).unwrap();
        machine.write("eth2", "operstate", "down\n");
        assert_eq!(names(machine.rows(INTERVAL)), ["eth1", "eth2"]);
        for number in 0..MAX_WATCHED + 8 {
            machine.write(&format!("vlan{number}"), "operstate", "up\n");
        }
        assert_eq!(machine.rows(INTERVAL).len(), MAX_WATCHED + 10);
        assert_eq!(machine.rows(INTERVAL).len(), MAX_WATCHED + 10);
    }
}
