//! `get-fsinfo`: the file systems of a guest.

use super::{Scene, is_new};
use crate::{
    Agent,
    json::Json,
    model::Guest,
    random::{hash, unit, walk, whole},
};

const MIB: u64 = 1 << 20;

/// A file system in a guest.
pub(crate) struct FileSystem {
    pub(crate) name: String,
    pub(crate) mountpoint: String,
    pub(crate) kind: &'static str,
    pub(crate) size: u64,
    pub(crate) used: u64,
    /// What root may use, where that is more.
    pub(crate) privileged: u64,
    device: Option<String>,
}

impl FileSystem {
    fn new(device: &str, mountpoint: &str, kind: &'static str, size: u64, used: u64) -> Self {
        Self {
            name: device.to_owned(),
            mountpoint: mountpoint.to_owned(),
            kind,
            size,
            used,
            privileged: size,
            device: Some(format!("/dev/{device}")),
        }
    }

    /// An ext file system, which keeps a twentieth for root.
    fn ext4(device: &str, mountpoint: &str, size: u64, share: f64) -> Self {
        let privileged = size / 100 * 98;
        let usable = privileged / 20 * 19;
        Self {
            privileged,
            ..Self::new(
                device,
                mountpoint,
                "ext4",
                usable,
                whole(usable as f64 * share) & !0xFFF,
            )
        }
    }

    /// A volume of Windows.
    fn volume(number: u64, mountpoint: &str, kind: &'static str, size: u64, used: u64) -> Self {
        Self {
            name: format!(r"\\?\Volume{{{number:08x}-0000-0000-0000-100000000000}}\"),
            device: None,
            ..Self::new("", mountpoint, kind, size, used)
        }
    }
}

pub(super) fn write(scene: &Scene<'_>, guest: &Guest, json: &mut Json) {
    write_at(guest, scene.now() as f64, json);
}

/// Writes what the agent of a guest answers at a time.
pub(crate) fn write_at(guest: &Guest, time: f64, json: &mut Json) {
    let list = match guest.agent {
        Agent::Windows => windows(guest, time),
        _ => linux(guest, time),
    };
    json.begin_list();
    for (number, system) in (0..).zip(list) {
        json.begin_row();
        json.string_field("name", &system.name);
        json.string_field("mountpoint", &system.mountpoint);
        json.string_field("type", system.kind);
        if guest.agent != Agent::Old {
            json.integer_field("total-bytes", system.size);
            json.integer_field("used-bytes", system.used);
            if is_new(guest) && guest.agent != Agent::Windows {
                json.integer_field("total-bytes-privileged", system.privileged);
            }
        }
        json.key("disk");
        json.begin_list();
        write_disk(json, number, system.device.as_deref());
        json.end_list();
        json.end_object();
    }
    json.end_list();
}

fn write_disk(json: &mut Json, number: u64, device: Option<&str>) {
    json.begin_object();
    json.string_field("bus-type", "scsi");
    json.integer_field("bus", 0);
    json.integer_field("target", 0);
    json.integer_field("unit", number);
    json.key("pci-controller");
    json.begin_object();
    for (key, value) in [("domain", 0), ("bus", 1), ("slot", 1), ("function", 0)] {
        json.integer_field(key, value);
    }
    json.end_object();
    if let Some(device) = device {
        json.string_field("dev", device);
    }
    json.end_object();
}

/// How full the system of a guest is.
fn share(guest: &Guest, time: f64) -> f64 {
    if guest.agent == Agent::Full {
        return 0.97;
    }
    let draw = |number: u64| hash(&[guest.stream, 0x6673, number]);
    0.15 + 0.5 * unit(&[draw(1)]) + 0.1 * walk(draw(2), time, 86_400.0)
}

/// The file systems of a guest with Linux.
pub(crate) fn linux(guest: &Guest, time: f64) -> Vec<FileSystem> {
    let disk = guest.settings.disk;
    let share = share(guest, time);
    let mut list = vec![FileSystem::ext4("sda1", "/", disk - 512 * MIB, share)];
    if guest.has_firmware() {
        list.push(FileSystem::new("sda15", "/boot/efi", "vfat", 124 * MIB, 9 * MIB));
    }
    if guest.drives().iter().any(|drive| drive.name == "scsi1") {
        list.push(FileSystem::ext4("sdb1", "/srv", disk * 4, share / 2.0));
    }
    if guest.agent == Agent::Crowded {
        let export = |number: u64| {
            let share = share * walk(hash(&[guest.stream, number]), time, 86_400.0);
            FileSystem::ext4(
                &format!("dm-{number}"),
                &format!("/export/{number:02}"),
                disk / 8,
                share,
            )
        };
        list.extend((0..24).map(export));
    }
    if guest.vmid.is_multiple_of(3) {
        // An image that can only be read is always full.
        let image = FileSystem::new("loop0", "/snap/core22/1380", "squashfs", 78 * MIB, 78 * MIB);
        list.push(image);
    }
    list
}

fn windows(guest: &Guest, time: f64) -> Vec<FileSystem> {
    let disk = guest.settings.disk;
    let used = whole(disk as f64 * share(guest, time)) & !0xFFF;
    let disc = 5_000 * MIB;
    vec![
        FileSystem::volume(1, "System Reserved", "NTFS", 500 * MIB, 37 * MIB),
        FileSystem::volume(2, r"C:\", "NTFS", disk - 600 * MIB, used.min(disk - 600 * MIB)),
        FileSystem::volume(3, r"D:\", "UDF", disc, disc),
    ]
}
