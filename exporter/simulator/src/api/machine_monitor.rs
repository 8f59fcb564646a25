//! What QEMU itself says about a machine that runs.

use super::Scene;
use crate::{
    json::Json,
    model::{BlockStatistics, Guest, GuestSample},
};

/// What PVE's build of QEMU can do.
const CAPABILITIES: [&str; 7] = [
    "backup-fleecing",
    "backup-max-workers",
    "pbs-dirty-bitmap",
    "pbs-dirty-bitmap-migration",
    "pbs-dirty-bitmap-savevm",
    "pbs-masterkey",
    "query-bitmap-info",
];

/// Writes what the tap devices of a machine counted, which needs no QEMU.
pub(super) fn write_networks(guest: &Guest, sample: &GuestSample, json: &mut Json) {
    json.key("nics");
    json.begin_object();
    for (number, [to_guest, from_guest]) in guest.network_counters(sample).into_iter().enumerate() {
        json.key(&format!("tap{}i{number}", guest.vmid));
        json.begin_object();
        json.integer_field("netin", to_guest);
        json.integer_field("netout", from_guest);
        json.end_object();
    }
    json.end_object();
}

/// Writes what comes through the monitor.
pub(super) fn write(scene: &Scene<'_>, guest: &Guest, sample: &GuestSample, json: &mut Json) {
    let qemu = if scene.version().has_host_memory() {
        "11.0.0"
    } else {
        "9.2.0"
    };
    let release = qemu.strip_suffix(".0").unwrap_or(qemu);
    json.string_field("running-qemu", qemu);
    let board = if guest.has_firmware() { "q35" } else { "i440fx" };
    json.string_field("running-machine", &format!("pc-{board}-{release}+pve1"));
    json.integer_field("diskread", sample.disk_read);
    json.integer_field("diskwrite", sample.disk_write);
    json.key("blockstat");
    json.begin_object();
    for (drive, statistics) in guest.block_statistics(sample) {
        json.key(drive.name);
        write_drive(&statistics, json);
    }
    json.end_object();
    write_balloon(scene, guest, sample, json);
    json.key("proxmox-support");
    json.begin_object();
    for capability in CAPABILITIES {
        json.key(capability);
        json.boolean(true);
    }
    json.string_field("pbs-library-version", "1.5.1 (UNKNOWN)");
    json.end_object();
}

fn write_drive(statistics: &BlockStatistics, json: &mut Json) {
    json.begin_object();
    for (way, number) in [("rd", 0), ("wr", 1)] {
        json.integer_field(&format!("{way}_bytes"), statistics.bytes[number]);
        json.integer_field(&format!("{way}_operations"), statistics.operations[number]);
        json.integer_field(&format!("{way}_total_time_ns"), statistics.nanoseconds[number]);
        json.integer_field(&format!("{way}_merged"), 0);
    }
    json.integer_field("wr_highest_offset", statistics.highest_offset);
    json.integer_field("flush_operations", statistics.flushes);
    json.integer_field("flush_total_time_ns", statistics.flush_nanoseconds);
    json.integer_field("unmap_operations", statistics.unmaps);
    json.integer_field("unmap_bytes", statistics.unmapped_bytes);
    json.integer_field("unmap_total_time_ns", statistics.unmaps * 80_000);
    json.integer_field("unmap_merged", 0);
    for never in ["operations", "bytes", "total_time_ns", "merged"] {
        json.integer_field(&format!("zone_append_{never}"), 0);
    }
    for way in ["rd", "wr", "unmap", "flush", "zone_append"] {
        json.integer_field(&format!("failed_{way}_operations"), 0);
        json.integer_field(&format!("invalid_{way}_operations"), 0);
    }
    if statistics.operations.iter().any(|operations| *operations > 0) {
        json.integer_field("idle_time_ns", 12_345_678);
    }
    for accounted in ["account_invalid", "account_failed"] {
        json.key(accounted);
        json.boolean(true);
    }
    json.key("timed_stats");
    json.begin_list();
    json.end_list();
    json.end_object();
}

/// Writes what the balloon reports; the guest's own numbers only come from one that has a driver for it.
fn write_balloon(scene: &Scene<'_>, guest: &Guest, sample: &GuestSample, json: &mut Json) {
    let memory = guest.settings.memory;
    let visible = (memory / 100 * 97) & !0xFFF;
    let free = visible - sample.memory;
    let has_driver = guest.stream % 8 != 1;
    json.integer_field("balloon", memory);
    if has_driver {
        json.integer_field("freemem", free);
    }
    json.key("ballooninfo");
    json.begin_object();
    json.integer_field("actual", memory);
    json.integer_field("max_mem", memory);
    if has_driver {
        json.integer_field("total_mem", visible);
        json.integer_field("free_mem", free);
        json.integer_field("mem_swapped_in", 0);
        json.integer_field("mem_swapped_out", 0);
        json.integer_field("major_page_faults", sample.disk_read >> 16);
        json.integer_field("minor_page_faults", sample.disk_read >> 10);
        json.integer_field("last_update", scene.view.at / 1_000);
    }
    json.end_object();
}
