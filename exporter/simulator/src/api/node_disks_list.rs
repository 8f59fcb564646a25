//! `/nodes/{node}/disks/list`

use super::{ALWAYS, Answer, Call, Endpoint, Parameter, Scene};
use crate::{
    Version,
    json::Json,
    model::{Disk, DiskKind},
    reply::Refusal,
};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/disks/list",
    since: ALWAYS,
    parameters: &[
        Parameter::new("skipsmart"),
        Parameter::new("include-partitions"),
        Parameter::new("type").one_of(&["unused", "journal_disks"]),
    ],
    privilege: Some(("/nodes/{node}", "Sys.Audit")),
    answer: Answer::One(render),
};

/// Since then all OSDs of a disk are listed.
const OSD_LIST: Version = Version::new(8, 1, 0);

/// Whether a call of the list runs `smartctl` for each disk.
pub(super) fn runs_smartctl(call: &Call<'_>) -> bool {
    call.endpoint.template == ENDPOINT.template && matches!(call.query("skipsmart"), None | Some("0"))
}

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let smart = runs_smartctl(scene.call);
    json.begin_list();
    for disk in &scene.view.model.nodes[scene.node].disks {
        write(scene, json, disk, smart);
    }
    json.end_list();
    Ok(())
}

fn write(scene: &Scene<'_>, json: &mut Json, disk: &Disk, smart: bool) {
    let (kind, vendor, rpm, used, link) = match disk.kind {
        DiskKind::Nvme => ("nvme", "unknown", 0, "BIOS boot", "nvme"),
        DiskKind::Ssd => ("ssd", "ATA     ", 0, "LVM", "ata"),
        DiskKind::Hdd => ("hdd", "ATA     ", 7_200, "ZFS", "ata"),
        // udev knows the speed of disks at ATA only.
        DiskKind::Sas => ("unknown", "SEAGATE ", -1, "", "scsi"),
    };
    json.begin_row();
    json.string_field("devpath", &format!("/dev/{}", disk.device));
    json.string_field(
        "by_id_link",
        &format!("/dev/disk/by-id/{link}-{}_{}", disk.model(), disk.serial),
    );
    json.string_field("type", kind);
    json.string_field("vendor", vendor);
    json.string_field("model", disk.model());
    json.string_field("serial", &disk.serial);
    json.integer_field("size", disk.size());
    json.signed_field("rpm", rpm);
    json.flag_field("gpt", disk.kind == DiskKind::Nvme);
    if !used.is_empty() {
        json.string_field("used", used);
    }
    json.string_field("wwn", &disk.wwn);
    json.string_field("health", if smart { disk.health() } else { "UNKNOWN" });
    match disk.life_left.filter(|_| smart) {
        Some(left) => json.integer_field("wearout", left),
        None => json.string_field("wearout", "N/A"),
    }
    json.signed_field("osdid", -1);
    if scene.version() >= OSD_LIST {
        json.key("osdid-list");
        json.null();
    }
    json.end_object();
}
