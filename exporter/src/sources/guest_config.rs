//! `/nodes/{node}/{qemu|lxc}/{vmid}/pending`: the configuration of one guest, its drives, and how much of it is about to change.
//!
//! Only what is named here is kept: descriptions and passwords are read past, and of the start arguments it is kept whether they
//! have the port of the collector in the guest.

use std::collections::BTreeMap;

use pve_guest_protocol::PORT_NAME;

use crate::config::GuestKind;
use crate::metrics::labels::Identity;
use crate::pve::api::guest_pending;
use crate::pve::budget::Cost;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::pve::property_string::{PropertyString, size, truth};
use crate::sources::survey::SurveyGuest;
use crate::subjects::guest_config::GuestConfig;
use crate::subjects::guest_drive_config::{GuestDriveConfig, Media};

/// It is read from pmxcfs.
const COST: Cost = Cost::Cheap;

/// What the configuration of one guest says.
#[derive(Debug)]
pub struct Configuration {
    /// Of the guest as a whole.
    pub guest: GuestConfig,
    /// Of its drives and mount points, by name.
    pub drives: Vec<GuestDriveConfig>,
    /// Whether it has the port through which a collector in the guest publishes.
    pub telemetry_port: bool,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads it.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str, guest: &SurveyGuest) -> Result<Configuration, ApiError> {
    let request = Request::node(&guest.node, &format!("{}/pending", guest.id()), COST);
    let answer = client.get(&request).await?;
    answer.decode(&request.path, |body| convert(body, cluster, guest.kind, &guest.id()))
}

fn convert(body: &[u8], cluster: &str, kind: GuestKind, id: &str) -> Result<Configuration, DecodeError> {
    let mut guest = GuestConfig::unset(Identity::new(&[("pve_cluster", cluster), ("id", id)]));
    let mut drives = BTreeMap::new();
    let mut telemetry_port = false;
    let damaged_rows = guest_pending::decode(body, |row| {
        if row.pending.is_some() || row.delete == Some(true) {
            guest.pending_changes += 1;
        }
        if row.value.is_empty() {
            return;
        }
        set(&mut guest, kind, &row.key, &row.value);
        telemetry_port |= kind == GuestKind::Qemu && row.key == "args" && has_telemetry_port(&row.value);
        let identity = || Identity::new(&[("pve_cluster", cluster), ("id", id), ("drive", &row.key)]);
        if let Some(drive) = drive(kind, &row.key, &row.value, identity) {
            drives.insert(row.key.into_owned(), drive);
        }
    })?;
    Ok(Configuration {
        guest,
        drives: drives.into_values().collect(),
        telemetry_port,
        damaged_rows,
    })
}

fn set(guest: &mut GuestConfig, kind: GuestKind, key: &str, value: &str) {
    let default = |key| PropertyString::new(value, key).get(key);
    match (key, kind) {
        ("onboot", _) => guest.onboot = truth(value),
        ("protection", _) => guest.protection = truth(value),
        ("startup", _) => guest.start_order = default("order").and_then(|order| order.parse().ok()),
        ("ostype", _) => guest.ostype = value.into(),
        ("agent", GuestKind::Qemu) => guest.agent = default("enabled").and_then(truth),
        ("cpu", GuestKind::Qemu) => guest.cpu_type = default("cputype").unwrap_or_default().into(),
        ("machine", GuestKind::Qemu) => guest.machine = default("type").unwrap_or_default().into(),
        ("meta", GuestKind::Qemu) => {
            guest.created = PropertyString::new(value, "")
                .get("ctime")
                .and_then(|time| time.parse().ok());
        }
        ("unprivileged", GuestKind::Lxc) => guest.unprivileged = truth(value),
        _ => {}
    }
}

fn drive(kind: GuestKind, key: &str, value: &str, identity: impl FnOnce() -> Identity) -> Option<GuestDriveConfig> {
    let place = place(kind, key)?;
    let (properties, volume) = match kind {
        GuestKind::Qemu => (PropertyString::new(value, "file"), "file"),
        GuestKind::Lxc => (PropertyString::new(value, "volume"), "volume"),
    };
    let volume = properties.get(volume)?;
    let media = match place {
        Place::Unused => Media::Unused,
        Place::Bus if properties.get("media") == Some("cdrom") && is_cloudinit(volume) => Media::Cloudinit,
        Place::Bus if properties.get("media") == Some("cdrom") || volume == "cdrom" => Media::Cdrom,
        Place::MountPoint if volume.starts_with("/dev/") => Media::Device,
        Place::MountPoint if volume.starts_with('/') => Media::Bind,
        Place::Bus | Place::Root | Place::MountPoint => Media::Disk,
    };
    let backup = properties.truth("backup");
    Some(GuestDriveConfig {
        identity: identity(),
        storage: storage(volume).unwrap_or_default().into(),
        media,
        // An image in a CD drive takes nothing of the guest's own, and 0 is a volume without a limit.
        size: properties
            .get("size")
            .and_then(size)
            .filter(|size| *size > 0 && media != Media::Cdrom),
        backup_excluded: match place {
            Place::Bus => media == Media::Disk && backup == Some(false),
            Place::MountPoint => media != Media::Disk || backup != Some(true),
            Place::Root | Place::Unused => false,
        },
    })
}

/// Whether the arguments of a QEMU give it the port, as in `-device virtserialport,...,name=org.pve-telemetry.guest.0`.
fn has_telemetry_port(arguments: &str) -> bool {
    let mut options = arguments.split([' ', ',', '\'', '"']);
    options.any(|option| option.strip_prefix("name=") == Some(PORT_NAME))
}

/// Where a drive is attached.
#[derive(Clone, Copy)]
enum Place {
    /// At a virtual machine.
    Bus,
    /// The root of a container.
    Root,
    /// At a mount point of a container.
    MountPoint,
    /// Nowhere.
    Unused,
}

fn place(kind: GuestKind, key: &str) -> Option<Place> {
    let name = key.trim_end_matches(|digit: char| digit.is_ascii_digit());
    let numbered = name.len() < key.len();
    match (kind, name) {
        (_, "unused") if numbered => Some(Place::Unused),
        (GuestKind::Qemu, "scsi" | "virtio" | "sata" | "ide" | "efidisk" | "tpmstate") if numbered => Some(Place::Bus),
        (GuestKind::Lxc, "mp") if numbered => Some(Place::MountPoint),
        (GuestKind::Lxc, "rootfs") if !numbered => Some(Place::Root),
        _ => None,
    }
}

/// The storage in a volume's id, such as `local` in `local:100/vm-100-disk-0.qcow2`; none in a path, `none` or `cdrom`.
fn storage(volume: &str) -> Option<&str> {
    let (storage, _) = volume.split_once(':')?;
    (!storage.starts_with('/')).then_some(storage)
}

/// Whether a volume is the one that PVE makes for cloud-init: `local:100/vm-100-cloudinit.qcow2`, `lvm:vm-100-cloudinit`.
fn is_cloudinit(volume: &str) -> bool {
    let name = volume.rsplit([':', '/']).next().unwrap_or(volume);
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    stem == "cloudinit" || stem.starts_with("vm-") && stem.ends_with("-cloudinit")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: GuestKind, body: &[u8]) -> Configuration {
        let id = format!("{}/100", kind.as_str());
        convert(body, "main", kind, &id).unwrap()
    }

    /// A body that was constructed, of keys and values in use.
    fn constructed(kind: GuestKind, keys: &[(&str, &str)]) -> Configuration {
        let rows: Vec<_> = keys
            .iter()
            .map(|(key, value)| serde_json::json!({"key": key, "value": value}))
            .collect();
        read(kind, serde_json::json!({ "data": rows }).to_string().as_bytes())
    }

    fn identity(kind: &str, drive: &str) -> Identity {
        Identity::new(&[
            ("pve_cluster", "main"),
            ("id", &format!("{kind}/100")),
            ("drive", drive),
        ])
    }

    macro_rules! recorded {
        ($name:literal) => {
            include_bytes!(concat!(
                "../../tests/fixtures/pve-9.2/nodes__",
                $name,
                "__pending.json"
            ))
            .as_slice()
        };
    }

    #[test]
    fn the_port_of_a_collector_is_seen_among_the_start_arguments() {
        let port = |kind, arguments: &str| constructed(kind, &[("args", arguments)]).telemetry_port;
        let device = "-device virtio-serial,id=tel0 -chardev socket,id=telc,path=/var/run/qemu-server/100.telemetry,server=on,wait=off -device virtserialport,bus=tel0.0,chardev=telc,name=org.pve-telemetry.guest.0";
        assert!(port(GuestKind::Qemu, device));
        assert!(port(GuestKind::Qemu, &format!("{device} -smbios type=1")));
        assert!(!port(GuestKind::Qemu, &device.replace("guest.0", "guest.01")));
        assert!(!port(GuestKind::Qemu, "-name org.pve-telemetry.guest.0"));
        assert!(!port(GuestKind::Lxc, device));
        assert!(!read(GuestKind::Qemu, recorded!("pve1__qemu__100")).telemetry_port);
    }

    #[test]
    fn a_recorded_machine_is_read_without_its_texts() {
        let web = read(GuestKind::Qemu, recorded!("pve1__qemu__100"));
        assert_eq!(web.damaged_rows, 0);
        assert_eq!(
            web.guest,
            GuestConfig {
                onboot: Some(true),
                agent: Some(true),
                cpu_type: "qemu64".into(),
                ostype: "l26".into(),
                created: Some(1_795_150_175),
                ..GuestConfig::unset(Identity::new(&[("pve_cluster", "main"), ("id", "qemu/100")]))
            }
        );
        let disk = GuestDriveConfig {
            identity: identity("qemu", "scsi0"),
            storage: "local".into(),
            media: Media::Disk,
            size: Some(1 << 30),
            backup_excluded: false,
        };
        assert_eq!(web.drives, [disk]);
        let kept = format!("{web:?}");
        for text in ["vmlinuz", "first line", "BC:24"] {
            assert!(!kept.contains(text), "{kept}");
        }
    }

    #[test]
    fn every_recorded_body_is_read_whole() {
        // How many drives, and whether the agent is on.
        for (body, drives, agent) in [
            (recorded!("pve1__qemu__101"), 1, None),
            (recorded!("pve1__qemu__102"), 2, None),
            (recorded!("pve1__qemu__103"), 1, None),
            (recorded!("pve1__qemu__104"), 1, None),
            (recorded!("pve1__qemu__105"), 0, Some(true)),
            (recorded!("pve1__qemu__106"), 0, None),
            (recorded!("pve1__qemu__107"), 0, Some(true)),
            (recorded!("pve2__qemu__110"), 1, None),
            (recorded!("pve2__qemu__111"), 1, None),
        ] {
            let Configuration {
                guest,
                drives: found,
                damaged_rows,
                ..
            } = read(GuestKind::Qemu, body);
            assert_eq!(
                (found.len(), guest.agent, damaged_rows),
                (drives, agent, 0),
                "{guest:?}"
            );
            assert_eq!((guest.pending_changes, guest.created.is_some()), (0, true), "{guest:?}");
        }
    }

    #[test]
    fn a_recorded_container_has_a_root_without_a_limit() {
        for (body, unprivileged) in [
            (recorded!("pve1__lxc__200"), Some(true)),
            (recorded!("pve1__lxc__201"), Some(true)),
            (recorded!("pve2__lxc__210"), Some(true)),
        ] {
            let container = read(GuestKind::Lxc, body);
            assert_eq!(container.guest.unprivileged, unprivileged);
            assert_eq!((&*container.guest.ostype, container.guest.created), ("unmanaged", None));
            let root = GuestDriveConfig {
                identity: identity("lxc", "rootfs"),
                storage: "local".into(),
                media: Media::Disk,
                size: None,
                backup_excluded: false,
            };
            assert_eq!(container.drives, [root]);
        }
    }

    /// Drive, storage, media, size in GiB, whether backups leave it out.
    type Drive<'a> = (&'a str, &'a str, Media, Option<u64>, bool);

    fn check(kind: GuestKind, keys: &[(&str, &str)], expected: &[Drive<'_>]) {
        let found = constructed(kind, keys).drives;
        let expected: Vec<_> = expected
            .iter()
            .map(|(drive, storage, media, size, backup_excluded)| GuestDriveConfig {
                identity: identity(kind.as_str(), drive),
                storage: (*storage).into(),
                media: *media,
                size: size.map(|size| size << 30),
                backup_excluded: *backup_excluded,
            })
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_drives_of_a_machine() {
        let keys = [
            ("efidisk0", "lvm:vm-100-disk-1,efitype=4m,size=1G"),
            ("ide0", "local:100/vm-100-cloudinit.qcow2,media=cdrom,size=1G"),
            ("ide1", "local:iso/debian.iso,media=cdrom,size=1G,backup=0"),
            ("ide2", "none,media=cdrom"),
            ("sata0", "/dev/disk/by-id/a:b,size=2G"),
            ("scsi0", "size=32G,file=zfs:vm-100-disk-0,discard=on"),
            ("scsi1", "zfs:vm-100-disk-2,backup=0,size=2T"),
            ("scsihw", "virtio-scsi-single"),
            ("unused0", "local:100/vm-100-disk-3.qcow2"),
            ("virtio0", "zfs:vm-100-cloudinit-data,backup=1"),
            ("virtiofs0", "share,cache=auto"),
        ];
        let expected: [Drive<'_>; 9] = [
            ("efidisk0", "lvm", Media::Disk, Some(1), false),
            ("ide0", "local", Media::Cloudinit, Some(1), false),
            ("ide1", "local", Media::Cdrom, None, false),
            ("ide2", "", Media::Cdrom, None, false),
            ("sata0", "", Media::Disk, Some(2), false),
            ("scsi0", "zfs", Media::Disk, Some(32), false),
            ("scsi1", "zfs", Media::Disk, Some(2048), true),
            ("unused0", "local", Media::Unused, None, false),
            ("virtio0", "zfs", Media::Disk, None, false),
        ];
        check(GuestKind::Qemu, &keys, &expected);
    }

    #[test]
    fn the_mount_points_of_a_container() {
        let keys = [
            ("dev0", "/dev/ttyUSB0"),
            ("mp0", "zfs:subvol-100-disk-1,mp=/data,backup=1,size=8G"),
            ("mp1", "zfs:subvol-100-disk-2,mp=/cache,size=8G"),
            ("mp2", "/srv/shared,mp=/shared,backup=1"),
            ("mp3", "/dev/sdb1,mp=/disk"),
            ("rootfs", "zfs:subvol-100-disk-0,size=4G,backup=0"),
        ];
        let expected: [Drive<'_>; 5] = [
            ("mp0", "zfs", Media::Disk, Some(8), false),
            ("mp1", "zfs", Media::Disk, Some(8), true),
            ("mp2", "", Media::Bind, None, true),
            ("mp3", "", Media::Device, None, true),
            ("rootfs", "zfs", Media::Disk, Some(4), false),
        ];
        check(GuestKind::Lxc, &keys, &expected);
    }

    #[test]
    fn pending_changes_are_counted_and_do_not_count_yet() {
        let body =
            br#"{"data":[{"key":"onboot","value":0,"pending":1},{"key":"agent","value":"enabled=yes","delete":1},
            {"key":"scsi1","pending":"zfs:vm-100-disk-9,size=1G"},{"key":"cores","value":2,"delete":0},
            {"key":"memory","value":"512","pending":null},{"key":"machine","value":"q35,viommu=intel"},
            {"key":"startup","value":"order=3,up=30"},{"key":"protection","value":"1"}]}"#;
        let configuration = read(GuestKind::Qemu, body);
        assert_eq!(
            configuration.guest,
            GuestConfig {
                onboot: Some(false),
                agent: Some(true),
                protection: Some(true),
                machine: "q35".into(),
                start_order: Some(3),
                pending_changes: 3,
                ..GuestConfig::unset(Identity::new(&[("pve_cluster", "main"), ("id", "qemu/100")]))
            }
        );
        assert_eq!(configuration.drives, []);
    }

    #[test]
    fn a_damaged_row_costs_only_itself() {
        let body = br#"{"data":[7,{"key":{"a":1},"value":[2]},{"key":"onboot","value":"maybe"},{"key":"cpu"},null,
            {"key":"scsi0","value":"size=1G"},{"key":"startup","value":"order=first"},{"key":"meta","value":"ctime=-1"},
            {"key":"sata0","value":"zfs:vm-100-disk-0,size=lots"},{"key":"sata0","value":"zfs:vm-100-disk-0,size=1G"}]}"#;
        let configuration = read(GuestKind::Qemu, body);
        assert_eq!(configuration.damaged_rows, 2);
        assert_eq!(
            configuration.guest,
            GuestConfig::unset(Identity::new(&[("pve_cluster", "main"), ("id", "qemu/100")]))
        );
        let sizes: Vec<_> = configuration.drives.iter().map(|drive| drive.size).collect();
        assert_eq!(sizes, [Some(1 << 30)], "a key that stands twice is one drive");
        for body in [r#"{"data":null}"#, r#"{"data":[{"key":"onboot""#, "", "<html>"] {
            assert!(convert(body.as_bytes(), "main", GuestKind::Qemu, "qemu/100").is_err());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_value_makes_it_panic(value in "\\PC*", key in "(scsi|mp|rootfs|agent|meta|startup|cpu)[0-9é]{0,3}") {
            constructed(GuestKind::Qemu, &[(&key, &value)]);
            constructed(GuestKind::Lxc, &[(&key, &value)]);
        }
    }
}
