//! What seldom changes: the operating system, the kernel, the machine.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::{Dmi, System};

use super::Roots;
use super::source::Reading;
use super::text::{lines, single, text};

pub(super) struct Machine {
    roots: Roots,
}

impl Machine {
    pub(super) fn new(roots: &Roots) -> Self {
        Self { roots: roots.clone() }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        let mut system = System::default();
        let release = [
            self.roots.etc.join("os-release"),
            self.roots.etc.join("../usr/lib/os-release"),
        ];
        if let Some(contents) = release
            .into_iter()
            .find_map(|path| reading.once(path).map(<[u8]>::to_vec))
        {
            parse_release(&contents, &mut system);
        }
        let mut file = |path: PathBuf| reading.once(path).and_then(single).map(text);
        let kernel = self.roots.proc.join("sys/kernel");
        system.kernel_name = file(kernel.join("ostype"));
        system.kernel_release = file(kernel.join("osrelease"));
        system.kernel_version = file(kernel.join("version"));
        system.host_name = file(kernel.join("hostname"));
        system.domain_name = file(kernel.join("domainname"));
        system.machine = Some(text(rustix::system::uname().machine().to_bytes()));
        let clock = self.roots.sys.join("devices/system/clocksource/clocksource0");
        system.clock_source = file(clock.join("current_clocksource"));
        system.clock_sources = file(clock.join("available_clocksource"));
        let id = self.roots.sys.join("class/dmi/id");
        let dmi = dmi(|name| file(id.join(name)));
        let hypervisor = file(self.roots.sys.join("hypervisor/type"));
        // Whoever starts the container writes it, with or without a newline.
        let container = reading
            .once(self.roots.run.join("systemd/container"))
            .map(<[u8]>::trim_ascii)
            .map(text);
        system.virtualization = container
            .or(hypervisor)
            .or_else(|| virtualization(&dmi, system.clock_sources.as_deref()));
        let zone = time_zone(reading.once(self.roots.etc.join("localtime")), SystemTime::now());
        (system.time_zone, system.time_zone_offset_seconds) = zone.unzip();
        system.dmi = (dmi != Dmi::default()).then_some(dmi);
        areas.system = (system != System::default()).then_some(system);
    }
}

fn dmi(mut file: impl FnMut(&str) -> Option<String>) -> Dmi {
    Dmi {
        bios_date: file("bios_date"),
        bios_release: file("bios_release"),
        bios_vendor: file("bios_vendor"),
        bios_version: file("bios_version"),
        board_name: file("board_name"),
        board_vendor: file("board_vendor"),
        board_version: file("board_version"),
        chassis_vendor: file("chassis_vendor"),
        chassis_version: file("chassis_version"),
        product_family: file("product_family"),
        product_name: file("product_name"),
        product_sku: file("product_sku"),
        product_version: file("product_version"),
        system_vendor: file("sys_vendor"),
    }
}

/// What virtualises this machine, in the words of systemd, as far as firmware and clocks tell.
fn virtualization(dmi: &Dmi, clock_sources: Option<&str>) -> Option<String> {
    let has_clock = |name| clock_sources.is_some_and(|sources| sources.split(' ').any(|source| source == name));
    let is_of = |vendor: &str| {
        [&dmi.system_vendor, &dmi.product_name, &dmi.bios_vendor]
            .into_iter()
            .flatten()
            .any(|text| text.starts_with(vendor))
    };
    let name = match () {
        () if has_clock("kvm-clock") => "kvm",
        () if has_clock("hyperv_clocksource_tsc_page") || is_of("Microsoft Corporation") => "microsoft",
        () if is_of("VMware") => "vmware",
        () if is_of("innotek GmbH") || is_of("VirtualBox") => "oracle",
        () if is_of("Xen") => "xen",
        () if is_of("KVM") => "kvm",
        () if is_of("QEMU") => "qemu",
        () => return None,
    };
    Some(name.into())
}

/// The short name of the zone that holds now, and its offset to UTC. A system without a file is in UTC, as the C library has it.
fn time_zone(localtime: Option<&[u8]>, now: SystemTime) -> Option<(String, i64)> {
    let Some(localtime) = localtime else {
        return Some(("UTC".into(), 0));
    };
    let now = i64::try_from(now.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
    let zone = tz::TimeZone::from_tz_data(localtime).ok()?;
    let local = zone.find_local_time_type(now).ok()?;
    Some((local.time_zone_designation().into(), local.ut_offset().into()))
}

/// `KEY=value`, `KEY="value"`, `KEY='value'`.
fn parse_release(contents: &[u8], system: &mut System) {
    // The last line of a file that people edit may lack its newline.
    let whole = [contents, b"\n"].concat();
    for line in lines(&whole) {
        let mut halves = line.splitn(2, |byte| *byte == b'=');
        let (Some(key), Some(value)) = (halves.next(), halves.next()) else {
            continue;
        };
        let field = match key.trim_ascii() {
            b"ID" => &mut system.id,
            b"ID_LIKE" => &mut system.id_like,
            b"NAME" => &mut system.name,
            b"PRETTY_NAME" => &mut system.pretty_name,
            b"VARIANT" => &mut system.variant,
            b"VARIANT_ID" => &mut system.variant_id,
            b"VERSION" => &mut system.version,
            b"VERSION_CODENAME" => &mut system.version_codename,
            b"VERSION_ID" => &mut system.version_id,
            b"BUILD_ID" => &mut system.build_id,
            b"IMAGE_ID" => &mut system.image_id,
            b"IMAGE_VERSION" => &mut system.image_version,
            b"SUPPORT_END" => &mut system.support_end,
            _ => continue,
        };
        *field = Some(unquoted(value)).filter(|value| !value.is_empty());
    }
}

/// The value as a shell would read it.
fn unquoted(value: &[u8]) -> String {
    let value = value.trim_ascii();
    let inner = |quote: &[u8]| value.strip_prefix(quote).and_then(|rest| rest.strip_suffix(quote));
    if let Some(literal) = inner(b"'") {
        return text(literal);
    }
    let mut plain = Vec::with_capacity(value.len());
    let mut bytes = inner(b"\"").unwrap_or(value).iter();
    while let Some(byte) = bytes.next() {
        plain.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
    }
    text(&plain)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn values_are_read_as_a_shell_reads_them() {
        let mut system = System::default();
        let release = br#"
# comment
NAME="A \"quoted\" system"
ID=plain
VERSION='1 \x'
VARIANT=""
BUILD_ID=
NONSENSE
VERSION_ID=7"#;
        parse_release(release, &mut system);
        let expected = System {
            name: Some(r#"A "quoted" system"#.into()),
            id: Some("plain".into()),
            version: Some(r"1 \x".into()),
            version_id: Some("7".into()),
            ..System::default()
        };
        assert_eq!(system, expected);
    }

    #[test]
    fn hypervisors_are_told_apart() {
        let vendor = |name: &str| Dmi {
            system_vendor: Some(name.into()),
            ..Dmi::default()
        };
        let found = |vendor: &Dmi, clocks| virtualization(vendor, clocks);
        assert_eq!(found(&vendor("QEMU"), Some("kvm-clock tsc")).as_deref(), Some("kvm"));
        assert_eq!(found(&vendor("QEMU"), Some("tsc hpet")).as_deref(), Some("qemu"));
        assert_eq!(found(&vendor("VMware, Inc."), None).as_deref(), Some("vmware"));
        assert_eq!(found(&vendor("Dell Inc."), None), None);
    }

    #[test]
    fn the_time_zone_is_that_of_the_season() {
        let zone = include_bytes!("../../../tests/time-zones/Europe-Vienna");
        let at = |seconds| time_zone(Some(zone), UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(at(1_767_225_600), Some(("CET".into(), 3600)));
        assert_eq!(at(1_782_864_000), Some(("CEST".into(), 7200)));
        // Long after the table of the file has ended.
        assert_eq!(at(3_000_000_000), Some(("CET".into(), 3600)));
        assert_eq!(time_zone(Some(b"TZif2 and nothing"), SystemTime::now()), None);
        assert_eq!(time_zone(None, SystemTime::now()), Some(("UTC".into(), 0)));
    }
}
