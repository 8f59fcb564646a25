//! The operating system, who uses it, and the collector itself.

use std::time::UNIX_EPOCH;

use pve_guest_protocol::areas::{Collector, Dmi, Entropy, System, Users};
use pve_guest_protocol::{Area, Areas};

use super::{Guest, Row, kilobytes, one, only, parts, rows, whole};
use crate::metrics::catalog::{Group, group};
use crate::metrics::exposition::Section;
use crate::metrics::labels::{Identity, LabelWriter};
use crate::metrics::table::{Metric, Subject, Unit};

const MICROSECONDS: f64 = 1e6;

pub(super) fn sections(guest: Guest<'_>) -> Vec<Box<dyn Section>> {
    let (areas, system) = (guest.areas, guest.areas.system.as_ref());
    let uname = system.map(|system| {
        only(Uname {
            name: guest.name.into(),
            system: system.clone(),
        })
    });
    vec![
        rows(uname.into_iter().collect()),
        one(system),
        rows(os_version(system).into_iter().collect()),
        one(system.and_then(|system| system.dmi.as_ref())),
        one(areas.entropy.as_ref()),
        one(areas.users.as_ref()),
        one(areas.collector.as_ref()),
        rows(collected(areas)),
    ]
}

pub(super) fn groups() -> Vec<Group> {
    vec![
        group::<Row<Uname>>(),
        group::<Row<System>>(),
        group::<Row<OsVersion>>(),
        group::<Row<Dmi>>(),
        group::<Row<Entropy>>(),
        group::<Row<Users>>(),
        group::<Row<Collector>>(),
        group::<Row<Collected>>(),
    ]
}

fn labels(texts: &[(&'static str, Option<&String>)], labels: &mut LabelWriter<'_>) -> bool {
    for (name, text) in texts {
        labels.label(name, text.map_or("", String::as_str));
    }
    texts.iter().any(|(_, text)| text.is_some_and(|text| !text.is_empty()))
}

/// What `uname` tells, with PVE's name of the guest in the place of the guest's own.
pub(super) struct Uname {
    name: Box<str>,
    system: System,
}

impl Subject for Row<Uname> {
    const NAME: &'static str = "kernel's name";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge_info(
        "node_uname_info",
        &["domainname", "machine", "nodename", "release", "sysname", "version"],
        "The kernel. The nodename is the name that PVE has for the guest, whatever it calls itself.",
        |row, writer| {
            let system = &row.system;
            writer.label("domainname", system.domain_name.as_deref().unwrap_or_default());
            writer.label("machine", system.machine.as_deref().unwrap_or_default());
            writer.label("nodename", &row.name);
            writer.label("release", system.kernel_release.as_deref().unwrap_or_default());
            writer.label("sysname", system.kernel_name.as_deref().unwrap_or_default());
            writer.label("version", system.kernel_version.as_deref().unwrap_or_default());
            true
        },
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<System> {
    const NAME: &'static str = "operating system";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge_info(
            "node_os_info",
            &[
                "build_id",
                "id",
                "id_like",
                "image_id",
                "image_version",
                "name",
                "pretty_name",
                "variant",
                "variant_id",
                "version",
                "version_codename",
                "version_id",
            ],
            "What the operating system calls itself in os-release.",
            |system, writer| {
                let texts = [
                    ("build_id", system.build_id.as_ref()),
                    ("id", system.id.as_ref()),
                    ("id_like", system.id_like.as_ref()),
                    ("image_id", system.image_id.as_ref()),
                    ("image_version", system.image_version.as_ref()),
                    ("name", system.name.as_ref()),
                    ("pretty_name", system.pretty_name.as_ref()),
                    ("variant", system.variant.as_ref()),
                    ("variant_id", system.variant_id.as_ref()),
                    ("version", system.version.as_ref()),
                    ("version_codename", system.version_codename.as_ref()),
                    ("version_id", system.version_id.as_ref()),
                ];
                labels(&texts, writer)
            },
        ),
        Metric::gauge(
            "node_os_support_end_timestamp_seconds",
            Unit::Seconds,
            "Until when the operating system gets repairs, where it says so.",
            |system| {
                let midnight = format!("{}T00:00:00Z", system.support_end.as_ref()?);
                let end = humantime::parse_rfc3339(&midnight)
                    .ok()?
                    .duration_since(UNIX_EPOCH)
                    .ok()?;
                Some(end.as_secs().into())
            },
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// The version of an operating system as far as it is a number: major and minor.
pub(super) struct OsVersion(f64);

fn os_version(system: Option<&System>) -> Option<Row<OsVersion>> {
    let system = system?;
    Some(Row {
        identity: Identity::new(&[
            ("id", system.id.as_deref().unwrap_or_default()),
            ("id_like", system.id_like.as_deref().unwrap_or_default()),
            ("name", system.name.as_deref().unwrap_or_default()),
        ]),
        value: OsVersion(major_minor(system.version_id.as_deref()?)?),
    })
}

/// `12` and `12.04`, and `9.10` of `9.10.1`; none of `rolling`.
fn major_minor(version: &str) -> Option<f64> {
    let mut numbers = version.split('.');
    let mut number = || {
        let digits = numbers.next()?;
        (!digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())).then_some(digits)
    };
    let major = number()?;
    match number() {
        Some(minor) => format!("{major}.{minor}").parse().ok(),
        None => major.parse().ok(),
    }
}

impl Subject for Row<OsVersion> {
    const NAME: &'static str = "version of the operating system";
    const ROWS: &'static str = "one, where the version is a number";
    const LABELS: &'static [&'static str] = &["id", "id_like", "name"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "node_os_version",
        Unit::None,
        "The first two numbers of the version as one.",
        |version| Some(version.0.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<Dmi> {
    const NAME: &'static str = "firmware";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge_info(
        "node_dmi_info",
        &[
            "bios_date",
            "bios_release",
            "bios_vendor",
            "bios_version",
            "board_name",
            "board_vendor",
            "board_version",
            "chassis_vendor",
            "chassis_version",
            "product_family",
            "product_name",
            "product_sku",
            "product_version",
            "system_vendor",
        ],
        "What the firmware says of the machine, without numbers that tell one machine from another.",
        |dmi, writer| {
            let texts = [
                ("bios_date", dmi.bios_date.as_ref()),
                ("bios_release", dmi.bios_release.as_ref()),
                ("bios_vendor", dmi.bios_vendor.as_ref()),
                ("bios_version", dmi.bios_version.as_ref()),
                ("board_name", dmi.board_name.as_ref()),
                ("board_vendor", dmi.board_vendor.as_ref()),
                ("board_version", dmi.board_version.as_ref()),
                ("chassis_vendor", dmi.chassis_vendor.as_ref()),
                ("chassis_version", dmi.chassis_version.as_ref()),
                ("product_family", dmi.product_family.as_ref()),
                ("product_name", dmi.product_name.as_ref()),
                ("product_sku", dmi.product_sku.as_ref()),
                ("product_version", dmi.product_version.as_ref()),
                ("system_vendor", dmi.system_vendor.as_ref()),
            ];
            labels(&texts, writer)
        },
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<Entropy> {
    const NAME: &'static str = "entropy";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "node_entropy_available_bits",
            Unit::None,
            "Entropy that the kernel has; always 256 from Linux 5.18 on.",
            |entropy| whole(entropy.available_bits),
        ),
        Metric::gauge(
            "node_entropy_pool_size_bits",
            Unit::None,
            "Entropy that it can have.",
            |entropy| whole(entropy.pool_bits),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<Users> {
    const NAME: &'static str = "users";
    const ROWS: &'static str = "one; node_exporter has nothing of the kind";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_guest_os_sessions",
            Unit::None,
            "Sessions of users who are logged in.",
            |users| whole(Some(users.sessions)),
        ),
        Metric::gauge("pve_guest_os_users", Unit::None, "Users who are logged in.", |users| {
            whole(users.users)
        }),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

impl Subject for Row<Collector> {
    const NAME: &'static str = "collector";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::counter(
            "process_cpu_seconds_total",
            Unit::Seconds,
            "Time on CPUs that the collector in the guest has taken.",
            |collector| parts(collector.cpu_microseconds, MICROSECONDS),
        ),
        Metric::gauge(
            "process_resident_memory_bytes",
            Unit::Bytes,
            "Memory that the collector in the guest takes.",
            |collector| kilobytes(collector.resident),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// Whether what one collector of node_exporter does has worked here.
pub(super) struct Collected(bool);

/// What node_exporter calls the areas. One name may stand for several.
const fn collector(area: Area) -> Option<&'static str> {
    Some(match area {
        Area::Arp => "arp",
        Area::Conntrack => "conntrack",
        Area::Cpus => "cpu",
        Area::Disks => "diskstats",
        Area::Entropy => "entropy",
        Area::FileSystems => "filesystem",
        Area::Interfaces => "netclass",
        Area::Kernel => "stat",
        Area::Load => "loadavg",
        Area::Memory => "meminfo",
        Area::Network => "netdev",
        Area::Paging => "vmstat",
        Area::Pressure => "pressure",
        Area::Processes => "processes",
        Area::Protocols => "netstat",
        Area::Scheduler => "schedstat",
        Area::Sockets => "sockstat",
        Area::Softnet => "softnet",
        Area::System => "uname",
        Area::Time => "timex",
        Area::UdpQueues => "udp_queues",
        Area::Users | Area::Collector => return None,
    })
}

fn collected(areas: &Areas) -> Vec<Row<Collected>> {
    let failed = areas
        .collector
        .as_ref()
        .map(|collector| collector.failed)
        .unwrap_or_default();
    let row = |area: Area| {
        Some(Row {
            identity: Identity::new(&[("collector", collector(area)?)]),
            value: Collected(!failed.contains(area)),
        })
    };
    areas.present().union(failed).iter().filter_map(row).collect()
}

impl Subject for Row<Collected> {
    const NAME: &'static str = "area";
    const ROWS: &'static str =
        "one per area that the collector in the guest reads, by the name that node_exporter has for it";
    const LABELS: &'static [&'static str] = &["collector"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "node_scrape_collector_success",
        Unit::None,
        "Whether the area could be read for this sample.",
        |collected| Some(collected.0.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_numbers_as_far_as_they_are() {
        for (version, number) in [
            ("12", Some(12.0)),
            ("22.04", Some(22.04)),
            ("3.18.4", Some(3.18)),
            ("8.x", Some(8.0)),
            ("rolling", None),
            ("", None),
            ("-1", None),
        ] {
            assert_eq!(major_minor(version), number, "{version}");
        }
    }
}
