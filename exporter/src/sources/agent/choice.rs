//! Which file systems and interfaces of a guest are worth a row.

use std::collections::{BTreeMap, BTreeSet};

use crate::pve::api::agent::{Address, FileSystem, Interface};

/// The most file systems of a guest.
pub(super) const MOST_FILE_SYSTEMS: usize = 32;

/// The most interfaces of a guest.
pub(super) const MOST_INTERFACES: usize = 16;

/// Kinds of file systems that are full by nature, or not on a disk.
const LEFT_OUT: [&str; 20] = [
    "aufs",
    "autofs",
    "cd9660",
    "cdfs",
    "cramfs",
    "devfs",
    "devtmpfs",
    "efivarfs",
    "erofs",
    "fdescfs",
    "fuse.snapfuse",
    "iso9660",
    "nullfs",
    "overlay",
    "procfs",
    "ramfs",
    "romfs",
    "squashfs",
    "tmpfs",
    "udf",
];

/// Starts of the names that interfaces of containers and nested guests, and those that every kernel makes, have.
const INNER: [&str; 26] = [
    "Loopback Pseudo-Interface",
    "cali",
    "cilium",
    "cni",
    "docker",
    "dummy",
    "erspan",
    "flannel",
    "fwbr",
    "fwln",
    "fwpr",
    "gre",
    "gretap",
    "ifb",
    "ip6tnl",
    "kube-",
    "lxc",
    "nerdctl",
    "podman",
    "sit",
    "tunl",
    "veth",
    "virbr",
    "vnet",
    "vxlan.calico",
    "weave",
];

/// The file systems that are reported on, by mount point: those on disks that may fill up, each once however often it is
/// mounted, so that sums are right.
///
/// Of rows for the same mount point the first is taken, of mount points of the same device the shortest.
pub(super) fn file_systems(rows: Vec<FileSystem>) -> Vec<FileSystem> {
    let mut mounted = BTreeSet::new();
    let mut devices: BTreeMap<Box<str>, FileSystem> = BTreeMap::new();
    let mut chosen = Vec::new();
    for row in rows {
        let known = !row.mountpoint.is_empty() && row.total.is_some_and(|total| total > 0);
        if !known || !may_fill_up(&row.kind) || !mounted.insert(row.mountpoint.clone()) {
            continue;
        }
        if row.device.is_empty() {
            chosen.push(row);
            continue;
        }
        let rank = |row: &FileSystem| (row.mountpoint.len(), row.mountpoint.clone());
        match devices.get_mut(&row.device) {
            Some(other) if rank(other) <= rank(&row) => {}
            Some(other) => *other = row,
            None => drop(devices.insert(row.device.clone(), row)),
        }
    }
    chosen.extend(devices.into_values());
    chosen.sort_by(|one, other| one.mountpoint.cmp(&other.mountpoint));
    chosen.truncate(MOST_FILE_SYSTEMS);
    chosen
}

/// Whether file systems of this kind are on disks that may fill up.
pub(crate) fn may_fill_up(kind: &str) -> bool {
    !LEFT_OUT.iter().any(|left_out| kind.eq_ignore_ascii_case(left_out))
}

/// The interfaces that are reported on, by name: those that lead out of the guest. Of rows of the same name the first is taken.
pub(super) fn interfaces(mut rows: Vec<Interface>) -> Vec<Interface> {
    rows.retain(leads_out);
    rows.sort_by(|one, other| one.name.cmp(&other.name));
    rows.dedup_by(|next, first| next.name == first.name);
    rows.truncate(MOST_INTERFACES);
    rows
}

fn leads_out(interface: &Interface) -> bool {
    let name = &*interface.name;
    let addresses = &interface.addresses;
    let loops = !addresses.is_empty() && addresses.iter().all(|address| address.address.is_loopback());
    !(matches!(name, "" | "lo" | "lo0") || loops || is_inner(name))
}

/// Whether an interface of this name is one of containers or nested guests, or one that every kernel makes.
pub(crate) fn is_inner(name: &str) -> bool {
    // A network of Docker is named after 12 digits, and a nested guest's tap by its number or UUID; `br-lan` and `tap0` are not.
    let bridge = name
        .strip_prefix("br-")
        .is_some_and(|digits| digits.len() == 12 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let tap = name.starts_with("tap") && name.len() > "tap00".len();
    bridge || tap || INNER.iter().any(|start| name.starts_with(start))
}

/// The addresses by which others reach the guest, in order, each once.
pub(super) fn addresses(interface: &Interface) -> Vec<Address> {
    let mut addresses = interface.addresses.clone();
    addresses.retain(|address| match address.address {
        std::net::IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_link_local() || v4.is_unspecified()),
        std::net::IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unicast_link_local() || v6.is_unspecified()),
    });
    addresses.sort_unstable();
    addresses.dedup_by(|next, first| next.address == first.address);
    addresses
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(device: &str, mountpoint: &str, kind: &str) -> FileSystem {
        FileSystem {
            mountpoint: mountpoint.into(),
            device: device.into(),
            kind: kind.into(),
            total: Some(100),
            total_privileged: None,
            used: Some(1),
        }
    }

    fn chosen(rows: Vec<FileSystem>) -> Vec<String> {
        file_systems(rows)
            .into_iter()
            .map(|row| row.mountpoint.into())
            .collect()
    }

    #[test]
    fn what_is_full_by_nature_is_left_out() {
        let rows = vec![
            mount("sda1", "/", "erofs"),
            mount("loop0", "/snap/core/1", "squashfs"),
            mount("sr0", "/media/cdrom", "iso9660"),
            mount("D", "D:\\", "CDFS"),
            mount("C", "C:\\", "NTFS"),
            mount("sda8", "/mnt/data", "ext4"),
        ];
        assert_eq!(chosen(rows), ["/mnt/data", "C:\\"]);
    }

    #[test]
    fn a_device_has_one_row_however_often_it_is_mounted() {
        let btrfs = ["/home", "/var/lib/docker", "/"].map(|place| mount("sda2", place, "btrfs"));
        assert_eq!(chosen(btrfs.to_vec()), ["/"]);
        let equal = ["/srv/b", "/srv/a"].map(|place| mount("sda2", place, "btrfs"));
        assert_eq!(chosen(equal.to_vec()), ["/srv/a"]);
        let nameless = ["/b", "/a", "/b"].map(|place| mount("", place, "ext4"));
        assert_eq!(chosen(nameless.to_vec()), ["/a", "/b"]);
        let over = vec![mount("sda1", "/mnt", "ext4"), mount("sdb1", "/mnt", "xfs")];
        assert_eq!(
            &*file_systems(over).first().unwrap().device,
            "sda1",
            "the first of a mount point"
        );
    }

    #[test]
    fn rows_without_a_name_or_size_are_left_out() {
        let unknown = FileSystem {
            total: None,
            ..mount("a", "System Reserved", "NTFS")
        };
        let empty = FileSystem {
            total: Some(0),
            ..mount("b", "/proc", "proc")
        };
        assert!(chosen(vec![unknown, empty, mount("c", "", "ext4")]).is_empty());
    }

    #[test]
    fn of_too_many_the_same_ones_stay() {
        let all = || (0..1000).map(|number| mount(&format!("sd{number}"), &format!("/{number:03}"), "xfs"));
        let first = chosen(all().collect());
        assert_eq!((first.len(), first.last().map(String::as_str)), (32, Some("/031")));
        assert_eq!(chosen(all().rev().collect()), first);
        let all = || (0..100).map(|number| interface(&format!("eth{number:02}")));
        let first = interfaces(all().collect());
        assert_eq!((first.len(), &*first.last().unwrap().name), (16, "eth15"));
        assert_eq!(interfaces(all().rev().collect()), first);
    }

    fn interface(name: &str) -> Interface {
        Interface {
            name: name.into(),
            ..Interface::default()
        }
    }

    #[test]
    fn interfaces_inside_the_guest_are_left_out() {
        for name in [
            "",
            "lo",
            "veth12ab",
            "cali0123",
            "docker0",
            "nerdctl0",
            "weave",
            "br-0123456789ab",
            "tap100i0",
            "tap0123abcd-12",
            "vnet3",
            "Loopback Pseudo-Interface 1",
        ] {
            assert!(!leads_out(&interface(name)), "{name}");
        }
        for name in [
            "eth0",
            "ens18",
            "Ethernet 2",
            "br-lan",
            "br0",
            "tap0",
            "wg0",
            "vtnet0",
            "bond0",
            "tun0",
        ] {
            assert!(leads_out(&interface(name)), "{name}");
        }
        let address = Address {
            address: "127.0.0.1".parse().unwrap(),
            prefix: Some(8),
        };
        let loops = Interface {
            addresses: vec![address],
            ..interface("Schleife")
        };
        assert!(!leads_out(&loops));
    }
}
