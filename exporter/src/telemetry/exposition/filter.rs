//! What of a guest is not worth a series: what containers and guests of the guest come and go with, and parts of other things.

use pve_guest_protocol::areas::FileSystem;

use crate::sources::agent::choice::is_inner;

/// Layers of containers, and images that are always full.
const PACKED: [&str; 4] = ["erofs", "iso9660", "overlay", "squashfs"];

/// Where the kernel, engines of containers and the service manager mount things of their own.
const MOUNTED_BELOW: [&str; 13] = [
    "/dev",
    "/proc",
    "/run/containerd",
    "/run/credentials",
    "/run/docker",
    "/run/netns",
    "/snap",
    "/sys",
    "/var/lib/containerd",
    "/var/lib/containers/storage",
    "/var/lib/docker",
    "/var/lib/kubelet",
    "/var/snap",
];

/// What of a guest is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Also what is of containers and of guests of the guest.
    pub inner: bool,
}

impl Filter {
    pub(crate) fn interface(self, name: &str) -> bool {
        self.inner || !is_inner(name)
    }

    pub(crate) fn file_system(self, system: &FileSystem) -> bool {
        let below = |directory: &&str| {
            let rest = system.mount_point.strip_prefix(*directory);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.inner || !PACKED.contains(&&*system.kind) && !MOUNTED_BELOW.iter().any(below)
    }
}

/// Whether it is a whole disk: partitions are counted with theirs, and loops and RAM disks are none.
pub(crate) fn is_disk(device: &str) -> bool {
    let numbered = |prefix: &str| device.strip_prefix(prefix).is_some_and(is_number);
    !is_partition(device) && !["fd", "loop", "ram", "zram"].into_iter().any(numbered)
}

/// `sda1`, `vdb12`, `nvme0n1p2`.
fn is_partition(device: &str) -> bool {
    let stem = device.trim_end_matches(|digit: char| digit.is_ascii_digit());
    if stem.len() == device.len() {
        return false;
    }
    let letters = |prefix: &str| stem.strip_prefix(prefix).is_some_and(is_letters);
    if ["sd", "hd", "vd", "xvd"].into_iter().any(letters) {
        return true;
    }
    let controller = |prefix: &str| {
        let of_it = stem.strip_prefix(prefix).and_then(|rest| rest.strip_suffix('p'));
        of_it.is_some_and(|disk| disk.starts_with(|digit: char| digit.is_ascii_digit()))
    };
    ["nvme", "mmcblk"].into_iter().any(controller)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_letters(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_told_from_disks() {
        for partition in [
            "sda1",
            "vdb12",
            "xvda1",
            "hdc3",
            "sdaa1",
            "nvme0n1p2",
            "nvme10n1p11",
            "mmcblk0p1",
        ] {
            assert!(is_partition(partition), "{partition}");
        }
        for disk in [
            "sda", "vdb", "nvme0n1", "mmcblk0", "dm-0", "md127", "sr0", "zd16", "bcache0", "nbd1", "xvd1", "",
        ] {
            assert!(!is_partition(disk), "{disk}");
        }
    }

    #[test]
    fn loops_are_no_disks() {
        for device in ["loop0", "ram15", "zram0", "fd0"] {
            assert!(!is_disk(device), "{device}");
        }
        for device in ["sda", "dm-0", "fdata", "ramdisk", "nvme0n1"] {
            assert!(is_disk(device), "{device}");
        }
    }

    #[test]
    fn mounts_of_containers_are_left_out_by_default() {
        let file_system = |kind: &str, mount_point: &str| FileSystem {
            kind: kind.to_owned(),
            mount_point: mount_point.to_owned(),
            ..FileSystem::default()
        };
        let (default, all) = (Filter::default(), Filter { inner: true });
        for (kind, mount_point) in [
            ("overlay", "/var/lib/docker/overlay2/0a1b/merged"),
            ("ext4", "/var/lib/docker/volumes"),
            ("tmpfs", "/run/credentials/systemd-resolved.service"),
            ("squashfs", "/mnt"),
            ("tmpfs", "/dev/shm"),
        ] {
            let system = file_system(kind, mount_point);
            assert!(
                !default.file_system(&system) && all.file_system(&system),
                "{mount_point}"
            );
        }
        for (kind, mount_point) in [
            ("ext4", "/"),
            ("xfs", "/var/lib/dockerish"),
            ("tmpfs", "/run"),
            ("zfs", "/devel"),
        ] {
            assert!(default.file_system(&file_system(kind, mount_point)), "{mount_point}");
        }
    }
}
