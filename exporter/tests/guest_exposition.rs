//! A guest's sample under node_exporter's names. `UPDATE=1 cargo test` rewrites the goldens; they are reviewed as a diff.
//!
//! The sample was constructed: every area with every field, the ones that are left out among them.
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

mod support;

use std::path::Path;

use pve_exporter::metrics::exposition::Format;
use pve_exporter::metrics::labels::Identity;
use pve_exporter::telemetry::exposition::{Filter, Guest, exposition, markdown, summary};
use pve_guest_protocol::areas::FileSystem;
use pve_guest_protocol::{Area, Areas};
use serde_json::{Value, json};
use support::exporters::checked;
use support::strict::Exposition;

/// What a sample tells and an exposition in node_exporter's words has no place for.
const WITHOUT_A_NAME: [(&str, &str); 11] = [
    ("load", "tasks"),
    ("load", "tasks_runnable"),
    ("pressure", "cpu_full"),
    ("system", "host_name"),
    ("system", "virtualization"),
    ("collector", "samples"),
    ("collector", "samples_skipped"),
    ("collector", "requests"),
    ("collector", "lines_damaged"),
    ("sockets", "page_bytes"),
    ("file_systems", "error"),
];

fn sample() -> Value {
    serde_json::from_str(include_str!("fixtures/telemetry/areas.json")).unwrap()
}

fn text(areas: Value, format: Format) -> String {
    let areas: Areas = serde_json::from_value(areas).unwrap();
    let guest = Guest {
        name: "web",
        time: 1_786_800_000.25,
        areas: &areas,
    };
    exposition(guest, Filter::default(), format).into_text()
}

fn exposed(areas: Value) -> Exposition {
    checked(&text(areas, Format::OpenMetrics), Format::OpenMetrics)
}

fn compare(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, actual).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        expected == actual,
        "{} is out of date: run with UPDATE=1",
        path.display()
    );
}

#[test]
fn a_whole_sample_in_both_formats() {
    for (format, extension) in [(Format::OpenMetrics, "om"), (Format::Classic, "prom")] {
        let text = text(sample(), format);
        checked(&text, format);
        compare(&format!("guests/areas.{extension}"), &text);
    }
}

/// A mount may cover another of the same device; node_exporter tells the numbers by device and place alone.
#[test]
fn the_numbers_of_a_mount_are_told_once() {
    let mount = |kind: &str, minor: u32| {
        let (device, mount_point) = ("/dev/sdb1", "/srv");
        json!({"device": device, "mount_point": mount_point, "kind": kind, "read_only": false, "major": 8, "minor": minor})
    };
    let exposition = exposed(json!({"file_systems": [mount("ext4", 17), mount("xfs", 18)]}));
    let labels = [
        ("device", "/dev/sdb1"),
        ("mountpoint", "/srv"),
        ("major", "8"),
        ("minor", "17"),
    ];
    assert_eq!(exposition.value("node_filesystem_mount_info", &labels), Some(1.0));
    assert_eq!(exposition.samples("node_filesystem_mount_info").count(), 1);
}

#[test]
fn the_documentation_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guest-metrics.md");
    let begins = markdown();
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    if std::env::var_os("UPDATE").is_some() {
        // What follows is made elsewhere.
        let rest = found.find("\n# ").map_or("", |at| found.get(at..).unwrap_or_default());
        std::fs::write(&path, begins + rest).unwrap();
    } else {
        assert!(
            found.starts_with(&begins),
            "{} is out of date: run with UPDATE=1",
            path.display()
        );
    }
}

#[test]
fn every_field_that_has_a_name_is_exposed() {
    let whole = text(sample(), Format::OpenMetrics);
    let mut unseen = Vec::new();
    for area in Area::ALL {
        for field in area.fields() {
            let mut areas = sample();
            let place = match &mut areas[area.name()] {
                Value::Array(rows) => &mut rows[0],
                object => object,
            };
            // Without the field, or with another value where it cannot be missing.
            let object = place.as_object_mut().unwrap();
            let was = object.remove(field.name);
            if field.required {
                let other = match was.unwrap() {
                    Value::Number(number) if number.is_f64() => json!(number.as_f64().unwrap() + 1.0),
                    Value::Number(number) => json!(number.as_u64().unwrap() + 1),
                    Value::Bool(truth) => json!(!truth),
                    Value::String(text) => json!(text + "x"),
                    Value::Array(_) => json!(["cpus"]),
                    other => panic!("{other}"),
                };
                object.insert(field.name.to_owned(), other);
            }
            if text(areas, Format::OpenMetrics) == whole {
                unseen.push((area.name(), field.name));
            }
        }
    }
    let texts_not_told = [
        "id_like",
        "variant",
        "variant_id",
        "build_id",
        "image_id",
        "image_version",
    ];
    unseen.retain(|(_, field)| !texts_not_told.contains(field));
    unseen.retain(|place| !WITHOUT_A_NAME.contains(place));
    assert_eq!(unseen, []);
}

#[test]
fn nothing_that_is_not_told_is_exposed() {
    let exposition = exposed(json!({}));
    let names: Vec<_> = exposition.families.iter().map(|family| family.name.as_str()).collect();
    assert_eq!(names, ["node_time_seconds"]);
    // A CPU's ticks mean nothing without their length.
    let exposition = exposed(json!({"cpus": sample()["cpus"]}));
    assert_eq!(exposition.samples("node_cpu_seconds_total").count(), 0);
}

#[test]
fn the_guest_is_called_what_pve_calls_it() {
    let exposition = exposed(sample());
    let uname: Vec<_> = exposition.samples("node_uname_info").collect();
    assert_eq!(uname[0].label("nodename"), Some("web"));
    assert!(!text(sample(), Format::Classic).contains("what-the-guest-says"));
}

#[test]
fn raw_units_become_base_units() {
    let exposition = exposed(json!({
        "kernel": {"ticks_per_second": 250},
        "cpus": [{"cpu": 3, "user": 1000, "nice": 0, "system": 1, "idle": 0, "iowait": 0, "irq": 0, "softirq": 0,
            "steal": 0, "guest": 0, "guest_nice": 0}],
        "memory": {"total": 3, "huge_pages_total": 5},
        "pressure": {"io_full": 1_500_000},
        "disks": [{"device": "sda", "major": 8, "minor": 0, "reads": 1, "reads_merged": 0, "sectors_read": 3,
            "read_milliseconds": 1500, "writes": 0, "writes_merged": 0, "sectors_written": 0, "write_milliseconds": 0,
            "in_progress": 0, "busy_milliseconds": 0, "weighted_milliseconds": 0, "sectors_discarded": 7}],
        "interfaces": [
            {"interface": "eth0", "operational_state": "up", "speed_megabits": 1000},
            {"interface": "eth1", "operational_state": "up", "speed_megabits": -1}
        ],
        "sockets": {"tcp_memory_pages": 2, "page_bytes": 4096},
        "time": {"state": 5, "status": 0x2000, "offset": -1_500_000, "frequency": 65_536_000, "maximum_error": 16_000_000,
            "pps_errors": -1},
    }));
    for (name, labels, value) in [
        ("node_cpu_seconds_total", &[("cpu", "3"), ("mode", "user")][..], 4.0),
        ("node_cpu_seconds_total", &[("cpu", "3"), ("mode", "system")], 0.004),
        ("node_memory_MemTotal_bytes", &[], 3072.0),
        ("node_memory_HugePages_Total", &[], 5.0),
        ("node_pressure_io_stalled_seconds_total", &[], 1.5),
        ("node_disk_read_bytes_total", &[("device", "sda")], 1536.0),
        ("node_disk_read_time_seconds_total", &[("device", "sda")], 1.5),
        ("node_disk_discarded_sectors_total", &[("device", "sda")], 7.0),
        ("node_network_speed_bytes", &[("device", "eth0")], 125e6),
        ("node_sockstat_TCP_mem_bytes", &[], 8192.0),
        ("node_timex_offset_seconds", &[], -0.0015),
        ("node_timex_frequency_adjustment_ratio", &[], 1.001),
        ("node_timex_maxerror_seconds", &[], 16.0),
        ("node_timex_sync_status", &[], 0.0),
    ] {
        assert_eq!(exposition.value(name, labels), Some(value), "{name}");
    }
    assert_eq!(
        exposition.samples("node_network_speed_bytes").count(),
        1,
        "-1 is no speed"
    );
    assert_eq!(
        exposition.samples("node_timex_pps_error_total").count(),
        0,
        "no counter is negative"
    );
    assert_eq!(exposition.samples("node_disk_flush_requests_total").count(), 0);
}

#[test]
fn a_row_that_comes_twice_is_exposed_once() {
    let mut areas = sample();
    for rows in areas
        .as_object_mut()
        .unwrap()
        .values_mut()
        .filter_map(Value::as_array_mut)
    {
        let again = rows.clone();
        rows.extend(again);
    }
    assert_eq!(text(areas, Format::Classic), text(sample(), Format::Classic));
}

#[test]
fn the_largest_numbers_break_nothing() {
    let largest = text(sample(), Format::Classic).lines().count();
    let mut areas = sample();
    fn enlarge(value: &mut Value) {
        match value {
            Value::Number(number) if number.is_u64() => *value = json!(u32::MAX),
            Value::Array(rows) => rows.iter_mut().for_each(enlarge),
            Value::Object(fields) => fields.values_mut().for_each(enlarge),
            _ => {}
        }
    }
    enlarge(&mut areas);
    // Above the largest of a few fields.
    areas["memory"]["total"] = json!(u64::MAX);
    areas["disks"][0]["sectors_read"] = json!(u64::MAX);
    areas["cpus"][0]["user"] = json!(u64::MAX);
    areas["cpus"][0]["nice"] = json!(u64::MAX);
    areas["interfaces"][0]["speed_megabits"] = json!(i64::MAX);
    assert!(text(areas.clone(), Format::Classic).lines().count() <= largest + 2);
    exposed(areas.clone());
    let areas: Areas = serde_json::from_value(areas).unwrap();
    drop(summary(Identity::new(&[]), &areas, Filter::default()));
}

#[test]
fn the_summary_has_what_rules_need() {
    let areas: Areas = serde_json::from_value(sample()).unwrap();
    let os = summary(Identity::new(&[]), &areas, Filter::default());
    let root: (f64, f64, f64) = (20_957_446_144.0, 9_000_000_000.0, 7_900_000_000.0);
    let used = root.0 - root.1;
    assert_eq!(&*os.name, "Debian GNU/Linux 12 (bookworm)");
    assert_eq!(&*os.kernel, "6.1.0-37-cloud-amd64");
    assert_eq!(os.boot_time, Some(1_786_700_000.0));
    assert_eq!(os.memory_size, Some(2_028_276 * 1024));
    assert_eq!(os.swap_usage, Some((524_284 - 500_000) * 1024));
    assert_eq!(os.file_system_usage, Some(used / (used + root.2)));
    assert_eq!(os.file_system_inode_usage, Some(110_720.0 / 1_310_720.0));
    assert_eq!(os.clock_synchronized, Some(true));
    let cpus = areas.cpus.as_deref().unwrap();
    let worked: u64 = cpus
        .iter()
        .map(|cpu| cpu.user + cpu.nice + cpu.system + cpu.irq + cpu.softirq)
        .sum();
    assert_eq!(os.cpu_seconds, Some(worked as f64 / 100.0));

    // What is not on a disk may be full.
    let mut full = areas.clone();
    full.file_systems.as_mut().unwrap().push(FileSystem {
        device: "tmpfs".to_owned(),
        mount_point: "/run/full".to_owned(),
        kind: "tmpfs".to_owned(),
        size_bytes: Some(4096),
        free_bytes: Some(0),
        available_bytes: Some(0),
        inodes: Some(1),
        inodes_free: Some(0),
        ..FileSystem::default()
    });
    assert_eq!(summary(Identity::new(&[]), &full, Filter::default()), os);

    let nothing = summary(Identity::new(&[]), &Areas::default(), Filter::default());
    assert_eq!(
        nothing,
        pve_exporter::subjects::guest_os::GuestOs::unknown(Identity::new(&[]))
    );
}
