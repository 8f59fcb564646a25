//! The configuration file of a guest, as PVE reads it: some values are numbers and some are strings.

use super::{
    Guest, GuestKind,
    drives::{Content, Drive},
};
use crate::{
    Version,
    random::{hash, text},
};

/// A snapshot of a guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestSnapshot {
    /// Its name.
    pub name: String,
    /// When it was taken, in seconds since the epoch.
    pub taken_at: u64,
    /// Whether it holds the memory of a virtual machine.
    pub with_memory: bool,
}

/// One line of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Setting,
}

/// A value of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Setting {
    Number(u64),
    Text(String),
}

struct Configuration(Vec<Entry>);

impl Configuration {
    fn number(&mut self, key: &str, value: u64) {
        let (key, value) = (key.to_owned(), Setting::Number(value));
        self.0.push(Entry { key, value });
    }

    fn flag(&mut self, key: &str, value: bool) {
        if value {
            self.number(key, 1);
        }
    }

    fn text(&mut self, key: &str, value: impl Into<String>) {
        let (key, value) = (key.to_owned(), Setting::Text(value.into()));
        self.0.push(Entry { key, value });
    }

    fn optional(&mut self, key: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }
}

impl Guest {
    fn identity(&self, question: u64) -> String {
        let [high, low] = [0, 1].map(|half| hash(&[self.stream, question, half]));
        let [a, b] = [high >> 32, high & 0xFFFF_FFFF];
        let (c, d) = (low >> 48, low & 0xFFFF_FFFF_FFFF);
        format!("{a:08x}-{:04x}-4{:03x}-{c:04x}-{d:012x}", b >> 16, b & 0xFFF)
    }

    /// Its configuration at a node of this version, in no order, with its digest.
    pub(crate) fn configuration(&self, version: Version) -> Vec<Entry> {
        let mut configuration = Configuration(Vec::new());
        let settings = &self.settings;
        match self.kind {
            GuestKind::Qemu => self.machine(&mut configuration, version),
            GuestKind::Lxc => self.container(&mut configuration),
        }
        configuration.flag("onboot", settings.onboot);
        configuration.flag("protection", settings.protection);
        configuration.flag("template", settings.template);
        configuration.optional("startup", settings.startup.as_ref());
        configuration.optional("lock", settings.lock.as_ref());
        configuration.optional("tags", settings.tags.as_ref());
        configuration.optional("parent", settings.snapshots.last().map(|snapshot| &snapshot.name));
        for drive in self.drives() {
            configuration.text(drive.name, self.volume(&drive));
        }
        let digest = self.digest(&configuration.0);
        configuration.text("digest", digest);
        let Configuration(mut entries) = configuration;
        entries.sort_by_cached_key(|entry| hash(&[self.stream, text(&entry.key)]));
        entries
    }

    fn machine(&self, configuration: &mut Configuration, version: Version) {
        let settings = &self.settings;
        configuration.text("name", &settings.name);
        let mebibytes = settings.memory >> 20;
        if version.major >= 8 {
            configuration.text("memory", mebibytes.to_string());
        } else {
            configuration.number("memory", mebibytes);
        }
        configuration.number("cores", u64::from(settings.cpus));
        configuration.number("sockets", 1);
        configuration.number("numa", 0);
        configuration.text("boot", "order=scsi0;net0");
        configuration.text("ostype", "l26");
        configuration.text("scsihw", "virtio-scsi-single");
        configuration.text(
            "meta",
            format!("creation-qemu=9.2.0,ctime={}", 1_700_000_000 + self.stream % 60_000_000),
        );
        configuration.text("smbios1", format!("uuid={}", self.identity(1)));
        configuration.text("vmgenid", self.identity(2));
        configuration.optional("agent", settings.agent.as_ref());
        configuration.optional("args", settings.args.as_ref());
        if let Some(least) = self.least_memory() {
            configuration.number("balloon", least >> 20);
        }
        match self.stream % 5 {
            0 | 1 => configuration.text("cpu", "x86-64-v2-AES"),
            2 => configuration.text("cpu", "host"),
            _ => {}
        }
        if self.has_firmware() {
            configuration.text("bios", "ovmf");
            configuration.text("machine", "q35");
        }
        for network in 0..self.networks() {
            let address = self.hardware_address(network);
            let bridge = format!("virtio={address},bridge=vmbr{network},firewall=1");
            configuration.text(&format!("net{network}"), bridge);
        }
    }

    fn container(&self, configuration: &mut Configuration) {
        let settings = &self.settings;
        configuration.text("hostname", &settings.name);
        configuration.text("arch", "amd64");
        configuration.text("ostype", "debian");
        configuration.number("memory", settings.memory >> 20);
        configuration.number("swap", 512);
        configuration.number("cores", u64::from(settings.cpus));
        configuration.number("unprivileged", 1);
        for network in 0..self.networks() {
            let address = self.hardware_address(network);
            let device = format!("name=eth{network},bridge=vmbr{network},hwaddr={address},ip=dhcp,type=veth");
            configuration.text(&format!("net{network}"), device);
        }
    }

    /// Down to how much memory its balloon may grow, if that is less than all of it.
    pub(crate) fn least_memory(&self) -> Option<u64> {
        (self.kind == GuestKind::Qemu && self.stream.is_multiple_of(4)).then_some(self.settings.memory / 2)
    }

    fn volume(&self, drive: &Drive) -> String {
        let backup = !self.settings.drives_without_backup.contains(drive.name);
        let size = match drive.size {
            size if size >= 1 << 30 => format!("{}G", size >> 30),
            size => format!("{}M", size >> 20),
        };
        let volume = |number: u64| {
            let role = if self.settings.template { "base" } else { "vm" };
            format!("local-lvm:{role}-{}-disk-{number}", self.vmid)
        };
        match (drive.name, drive.content) {
            (_, Content::EmptyCdrom) => "none,media=cdrom".to_owned(),
            (_, Content::CloudInit) => format!("local-lvm:vm-{}-cloudinit,media=cdrom,size={size}", self.vmid),
            (_, Content::Efi) => format!("{},efitype=4m,pre-enrolled-keys=1,size={size}", volume(2)),
            // The root file system is always part of a backup, a mount point only when it says so.
            ("rootfs", _) => format!("{},size={size}", volume(0)),
            ("mp0", _) => format!(
                "{},mp=/srv{},size={size}",
                volume(1),
                if backup { ",backup=1" } else { "" }
            ),
            (name, _) => {
                let excluded = if backup { "" } else { ",backup=0" };
                format!(
                    "{},discard=on,iothread=1{excluded},size={size}",
                    volume(u64::from(name != "scsi0"))
                )
            }
        }
    }

    fn digest(&self, entries: &[Entry]) -> String {
        let values = text(&format!(
            "{entries:?}{:?}{:?}",
            self.settings.pending, self.settings.snapshots
        ));
        let part = |number: u64| hash(&[self.stream, values, number]);
        format!("{:016x}{:016x}{:08x}", part(1), part(2), part(3) >> 32)
    }
}
