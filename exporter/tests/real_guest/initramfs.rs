//! The guest's only file system: an archive in the `newc` format, which the kernel unpacks into memory.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// In the order in which they load; those that a kernel lacks are built into it.
const MODULES: [&str; 10] = [
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_console",
    "virtio_blk",
    "failover",
    "net_failover",
    "virtio_net",
];

const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const FILE: u32 = 0o100_644;
const LINK: u32 = 0o120_777;
const DEVICE: u32 = 0o020_600;

/// What the guest is made of: Debian's packages, unpacked.
fn parts() -> PathBuf {
    let parts = env::var_os("PVE_TEST_GUEST").map(PathBuf::from);
    parts.expect("no PVE_TEST_GUEST: run `cargo xtask test`, which provides it")
}

/// The guest's kernel.
pub(crate) fn kernel() -> PathBuf {
    let files = below(&parts().join("boot"));
    let is_kernel = |path: &PathBuf| path.to_string_lossy().contains("vmlinuz-");
    files.into_iter().find(is_kernel).expect("a kernel")
}

/// The collector, which needs no libraries.
fn collector() -> PathBuf {
    let collector = env::var_os("PVE_TEST_GUEST_COLLECTOR").map(PathBuf::from);
    collector.expect("no PVE_TEST_GUEST_COLLECTOR: run `cargo xtask test`, which provides it")
}

/// The archive, which is the same for all guests.
pub(crate) fn archive() -> &'static [u8] {
    static ARCHIVE: OnceLock<Vec<u8>> = OnceLock::new();
    ARCHIVE.get_or_init(|| tree().archived())
}

fn tree() -> Tree {
    let parts = parts();
    let mut tree = Tree::default();
    for directory in ["dev", "proc", "sys", "run", "tmp", "mnt", "var/tmp"] {
        tree.add(directory, DIRECTORY, Vec::new());
    }
    // The kernel opens it for the first process, before that has mounted anything.
    tree.add("dev/console", DEVICE, Vec::new());
    tree.add("init", PROGRAM, include_bytes!("init").to_vec());
    tree.add("etc/port-link", PROGRAM, include_bytes!("port-link").to_vec());
    tree.add("etc/mdev.conf", FILE, b"vport.* 0:900 0660 */etc/port-link\n".to_vec());
    let users = "root:x:0:0::/:/bin/sh\ncollector:x:900:900::/:/bin/sh\n";
    tree.add("etc/passwd", FILE, users.into());
    tree.add("etc/group", FILE, b"root:x:0:\ncollector:x:900:\n".to_vec());
    let release = "ID=testguest\nNAME=\"Test guest\"\nVERSION_ID=\"1\"\nPRETTY_NAME=\"Test guest 1\"\n";
    tree.add("etc/os-release", FILE, release.into());
    tree.add("bin/busybox", PROGRAM, fs::read(program(&parts, "busybox")).unwrap());
    tree.add("bin/sh", LINK, b"busybox".to_vec());
    add_with_libraries(&mut tree, &parts, "qemu-ga");
    tree.add("bin/pve-guest-collector", PROGRAM, fs::read(collector()).unwrap());
    let mut order = String::new();
    for (name, module) in modules(&parts) {
        tree.add(&format!("modules/{name}"), FILE, module);
        order += &format!("{name}\n");
    }
    tree.add("modules/order", FILE, order.into());
    tree
}

fn program(parts: &Path, name: &str) -> PathBuf {
    let places = ["bin", "usr/bin", "usr/sbin"].map(|place| parts.join(place).join(name));
    places.into_iter().find(|path| path.is_file()).expect(name)
}

/// A program with the libraries that its own loader finds for it.
fn add_with_libraries(tree: &mut Tree, parts: &Path, name: &str) {
    let program = program(parts, name);
    tree.add(&format!("bin/{name}"), PROGRAM, fs::read(&program).unwrap());
    let triplet = "x86_64-linux-gnu";
    let libraries = ["lib", "usr/lib"].map(|place| parts.join(place).join(triplet));
    let loader_name = "ld-linux-x86-64.so.2";
    let loader = libraries.iter().map(|place| place.join(loader_name));
    let loader = loader.clone().find(|path| path.is_file()).expect(loader_name);
    tree.add(&format!("lib64/{loader_name}"), PROGRAM, fs::read(&loader).unwrap());
    let path = libraries.map(|path| path.display().to_string()).join(":");
    let output = Command::new(loader)
        .args(["--library-path", &path, "--list"])
        .arg(program)
        .output()
        .unwrap();
    // Each line is `NAME => PATH (ADDRESS)`.
    for line in str::from_utf8(&output.stdout).unwrap().lines() {
        if let Some((name, rest)) = line.trim().split_once(" => ")
            && let Some((path, _)) = rest.split_once(" (")
        {
            tree.add(&format!("lib/{name}"), PROGRAM, fs::read(path).unwrap());
        }
    }
}

/// The names of files and what they hold, unpacked.
fn modules(parts: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut directories = vec![parts.join("lib/modules"), parts.join("usr/lib/modules")];
    while let Some(directory) = directories.pop() {
        for path in below(&directory) {
            if path.is_dir() {
                directories.push(path);
            } else if let Some(name) = path.file_name().and_then(|name| name.to_str())
                && let Some((name, packed)) = name.split_once(".ko")
            {
                found.insert(name.replace('-', "_"), (path.clone(), packed.to_owned()));
            }
        }
    }
    let present = MODULES.iter().filter_map(|name| Some((name, found.get(*name)?)));
    let unpacked = present.map(|(name, (path, packed))| {
        let content = match packed.as_str() {
            "" => fs::read(path).unwrap(),
            _ => {
                let unpacking = Command::new(program(parts, "busybox"))
                    .args(["unxz", "-c"])
                    .arg(path)
                    .output();
                unpacking.unwrap().stdout
            }
        };
        (format!("{name}.ko"), content)
    });
    unpacked.collect()
}

/// What is in a directory, if there is one.
fn below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Files by their names, so that directories come before what is in them.
#[derive(Default)]
struct Tree(BTreeMap<String, (u32, Vec<u8>)>);

impl Tree {
    fn add(&mut self, name: &str, mode: u32, content: Vec<u8>) {
        let mut parent = name;
        while let Some((shorter, _)) = parent.rsplit_once('/') {
            self.0.entry(shorter.to_owned()).or_insert((DIRECTORY, Vec::new()));
            parent = shorter;
        }
        self.0.insert(name.to_owned(), (mode, content));
    }

    fn archived(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        for (number, (name, (mode, content))) in (1..).zip(&self.0) {
            // The only device is the console, character device 5:1.
            let device = if *mode == DEVICE { [5, 1] } else { [0, 0] };
            append(&mut archive, number, name, *mode, device, content);
        }
        append(&mut archive, 0, "TRAILER!!!", 0, [0, 0], &[]);
        archive
    }
}

fn append(archive: &mut Vec<u8>, number: u32, name: &str, mode: u32, device: [u32; 2], content: &[u8]) {
    let length = |length: usize| u32::try_from(length).unwrap();
    let (size, name_size) = (length(content.len()), length(name.len() + 1));
    let (user, group, links, time, check) = (0, 0, 1, 0, 0);
    let fields = [
        number, mode, user, group, links, time, size, 0, 0, device[0], device[1], name_size, check,
    ];
    archive.extend_from_slice(b"070701");
    for field in fields {
        archive.extend_from_slice(format!("{field:08X}").as_bytes());
    }
    archive.extend_from_slice(name.as_bytes());
    archive.push(0);
    pad(archive);
    archive.extend_from_slice(content);
    pad(archive);
}

fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}
