//! The table of mounts: which file systems a report is about, and which of them may hang.

use std::collections::HashSet;
use std::ffi::OsString;
use std::hash::Hash;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use crate::samplers::linux::text::{Words, lines, number, text, unescaped};

/// A file system that is reported on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) device: String,
    /// Where it is mounted, for the kernel.
    pub(super) path: PathBuf,
    /// The same as text, which it need not be.
    pub(super) mount_point: String,
    pub(super) kind: String,
    pub(super) read_only: bool,
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    /// Whether a question about it may never be answered.
    pub(super) may_hang: bool,
}

/// File systems that hold no data of their own, or only what another one holds.
const PSEUDO: [&str; 27] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "erofs",
    "fusectl",
    "hugetlbfs",
    "iso9660",
    "mqueue",
    "nsfs",
    "overlay",
    "proc",
    "procfs",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "squashfs",
    "sysfs",
    "tracefs",
    "fuse.lxcfs",
];

/// File systems that answer from memory, whatever became of their disk. All others, those on a network or of FUSE and what is not known, are
/// asked where they can hang without harm.
const LOCAL: [&str; 23] = [
    "bcachefs", "btrfs", "exfat", "ext2", "ext3", "ext4", "f2fs", "hfs", "hfsplus", "jfs", "minix", "msdos", "nilfs2",
    "ntfs", "ntfs3", "ramfs", "reiserfs", "rootfs", "tmpfs", "udf", "vfat", "xfs", "zfs",
];

/// Below these are devices, kernel interfaces and what is mounted for containers.
const LEFT_OUT_BELOW: [&str; 9] = [
    "/dev",
    "/proc",
    "/sys",
    "/run/containerd",
    "/run/credentials",
    "/var/lib/containerd",
    "/var/lib/containers/storage",
    "/var/lib/docker",
    "/var/lib/kubelet",
];

/// Reads a mountinfo. What is mounted over another mount hides it; lines that are cut are left out.
pub(super) fn parse(mountinfo: &[u8]) -> Vec<Mount> {
    let mounts = lines(mountinfo).filter_map(parse_line).collect();
    let mut mounts = last_of_each(mounts, |mount: &Mount| mount.path.as_path());
    let hanging: HashSet<PathBuf> = mounts
        .iter()
        .filter(|mount| mount.may_hang)
        .map(|mount| mount.path.clone())
        .collect();
    // The way to a mount point leads through the file systems above it.
    for mount in &mut mounts {
        mount.may_hang |= !hanging.is_empty() && mount.path.ancestors().any(|above| hanging.contains(above));
    }
    mounts.retain(is_reported);
    mounts
}

/// Of all with the same key the last one, in their order.
fn last_of_each<T, K: Eq + Hash + ?Sized>(mut all: Vec<T>, key: impl Fn(&T) -> &K) -> Vec<T> {
    let mut seen = HashSet::with_capacity(all.len());
    let mut is_last: Vec<bool> = all.iter().rev().map(|one| seen.insert(key(one))).collect();
    all.retain(|_| is_last.pop().unwrap_or_default());
    all
}

/// `36 35 98:0 /root /mount/point rw,noatime shared:1 - ext4 /dev/sda rw,errors=continue`
fn parse_line(line: &[u8]) -> Option<Mount> {
    let mut words = Words::of(line);
    let mut numbers = words
        .nth(2)?
        .split(|byte| *byte == b':')
        .map(|word| u32::try_from(number(word)?).ok());
    let (major, minor) = (numbers.next().flatten(), numbers.next().flatten());
    let path = unescaped(words.nth(1)?);
    let options = words.next()?;
    words.find(|word| *word == b"-")?;
    let kind = text(words.next()?);
    let device = text(&unescaped(words.next()?));
    let read_only = is_read_only(options) || is_read_only(words.next()?);
    let may_hang = !LOCAL.contains(&kind.as_str()) && !PSEUDO.contains(&kind.as_str());
    let mount_point = text(&path);
    let path = PathBuf::from(OsString::from_vec(path));
    Some(Mount {
        device,
        path,
        mount_point,
        kind,
        read_only,
        major,
        minor,
        may_hang,
    })
}

fn is_read_only(options: &[u8]) -> bool {
    options.split(|byte| *byte == b',').any(|option| option == b"ro")
}

fn is_reported(mount: &Mount) -> bool {
    let below = |root: &str| mount.path.starts_with(Path::new(root));
    !PSEUDO.contains(&mount.kind.as_str()) && !LEFT_OUT_BELOW.into_iter().any(below)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn paths(mountinfo: &[u8]) -> Vec<String> {
        parse(mountinfo)
            .iter()
            .map(|mount| mount.path.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn what_is_mounted_later_hides_what_was_there() {
        let mounts =
            parse(b"1 0 0:1 / / rw - rootfs rootfs rw\n2 1 8:1 / / rw shared:1 master:2 - ext4 /dev/sda1 rw\n");
        assert_eq!(mounts.len(), 1);
        assert_eq!((mounts[0].device.as_str(), mounts[0].may_hang), ("/dev/sda1", false));
        assert_eq!((mounts[0].major, mounts[0].minor), (Some(8), Some(1)));
    }

    #[test]
    fn the_last_of_each_stays_in_its_place() {
        let mounts = ["/b", "/a", "/c", "/a", "/b"].map(|path| format!("1 0 8:1 / {path} rw - ext4 /dev/sda1 rw\n"));
        assert_eq!(paths(mounts.concat().as_bytes()), ["/c", "/a", "/b"]);
    }

    /// A machine may have thousands of mounts, and the thread that reads them serves the port.
    #[test]
    fn mounts_are_not_compared_each_with_each() {
        static COMPARED: AtomicUsize = AtomicUsize::new(0);

        #[derive(Eq, Hash)]
        #[expect(clippy::derived_hash_with_manual_eq, reason = "the same, counted")]
        struct Counted(usize);

        impl PartialEq for Counted {
            fn eq(&self, other: &Self) -> bool {
                COMPARED.fetch_add(1, Ordering::Relaxed);
                self.0 == other.0
            }
        }

        let mounts = (0..10_000).map(|mount| Counted(mount % 8_000)).collect();
        assert_eq!(last_of_each(mounts, |mount| mount).len(), 8_000);
        assert!(COMPARED.load(Ordering::Relaxed) < 20_000);
    }

    #[test]
    fn devices_and_containers_are_left_out() {
        let line = |path: &str| format!("1 0 8:1 / {path} rw - ext4 /dev/sda1 rw\n");
        for path in [
            "/dev/shm",
            "/proc",
            "/sys/x",
            "/run/credentials/a",
            "/run/containerd/io.containerd.runtime.v2.task/k8s.io/x/rootfs",
            "/var/lib/containerd/tmpmounts/x",
            "/var/lib/containers/storage/overlay/x",
            "/var/lib/docker/overlay2/x",
            "/var/lib/kubelet/pods/x/volumes/kubernetes.io~projected/token",
        ] {
            assert!(paths(line(path).as_bytes()).is_empty(), "{path}");
        }
        for path in ["/device", "/processes", "/run", "/var/lib/dockerx", "/home"] {
            assert_eq!(paths(line(path).as_bytes()), [path]);
        }
    }

    #[test]
    fn read_only_is_the_mount_or_the_file_system() {
        let one = |of_mount: &str, of_file_system: &str| {
            parse(format!("1 0 8:1 / /a {of_mount} - ext4 /dev/sda1 {of_file_system}\n").as_bytes())[0].read_only
        };
        assert!(one("ro,relatime", "rw"));
        assert!(one("rw,relatime", "ro,errors=remount-ro"));
        assert!(!one("rw,relatime", "rw,errors=remount-ro"));
    }

    #[test]
    fn the_way_to_a_mount_may_hang_too() {
        let mounts = parse(b"1 0 0:9 / /srv rw - nfs4 filer:/srv rw\n2 1 8:1 / /srv/local rw - ext4 /dev/sdb1 rw\n3 0 8:2 / /srv2 rw - xfs /dev/sdc1 rw\n");
        assert_eq!(
            mounts.iter().map(|mount| mount.may_hang).collect::<Vec<_>>(),
            [true, true, false]
        );
    }

    #[test]
    fn what_is_remote_or_unknown_may_hang_and_what_is_local_does_not() {
        let may_hang = |kind: &str| parse(format!("1 0 0:9 / /a rw - {kind} dev rw\n").as_bytes())[0].may_hang;
        for kind in [
            "nfs",
            "nfs4",
            "cifs",
            "ceph",
            "9p",
            "virtiofs",
            "gfs2",
            "ocfs2",
            "fuseblk",
            "fuse.sshfs",
            "newfs",
        ] {
            assert!(may_hang(kind), "{kind}");
        }
        for kind in ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "vfat"] {
            assert!(!may_hang(kind), "{kind}");
        }
    }

    #[test]
    fn damaged_lines_cost_only_themselves() {
        let mountinfo = b"\n1 0\n1 0 8:1 / /a rw - \n1 0 8:1 / /b rw ext4 /dev/sda rw\n1 0 8:1 / /c rw - ext4 /dev/sda rw\n1 0 8:1 / /d rw - ext4 /dev/s";
        assert_eq!(paths(mountinfo), ["/c"]);
    }
}
