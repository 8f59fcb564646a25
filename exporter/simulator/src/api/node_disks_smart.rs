//! `/nodes/{node}/disks/smart`

use super::{ALWAYS, Answer, Call, Endpoint, Parameter, Scene};
use crate::{
    Version,
    json::Json,
    model::{Disk, DiskKind, DiskSample},
    reply::Refusal,
};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/disks/smart",
    since: ALWAYS,
    parameters: &[Parameter::new("disk"), Parameter::new("healthonly")],
    privilege: Some(("/", "Sys.Audit")),
    answer: Answer::One(render),
};

/// Since then attributes have `normalized`, which is `value` under another name.
const NORMALIZED: Version = Version::new(7, 2, 0);

/// Whether a call runs `smartctl` for one disk.
pub(super) fn runs_smartctl(call: &Call<'_>) -> bool {
    call.endpoint.template == ENDPOINT.template
}

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let Some(path) = scene.call.query("disk") else {
        return Err(Refusal::parameter("disk", "property is missing and it is not optional"));
    };
    let disks = &scene.view.model.nodes[scene.node].disks;
    let Some(disk) = disks
        .iter()
        .find(|disk| path.strip_prefix("/dev/") == Some(disk.device))
    else {
        return Err(Refusal::new(500, "not a valid block device"));
    };
    let sample = disk.sample(scene.now());
    json.begin_object();
    json.string_field("health", disk.health());
    if scene.call.query("healthonly") == Some("1") {
        json.end_object();
        return Ok(());
    }
    match disk.kind {
        DiskKind::Nvme => write_text(json, disk, &nvme(disk, &sample)),
        DiskKind::Sas => write_text(json, disk, &sas(&sample)),
        DiskKind::Ssd | DiskKind::Hdd => write_attributes(scene, json, disk, &sample),
    }
    json.end_object();
    Ok(())
}

fn write_text(json: &mut Json, disk: &Disk, text: &str) {
    json.string_field("type", "text");
    json.string_field("text", text);
    if let Some(left) = disk.life_left {
        json.integer_field("wearout", left);
    }
}

fn nvme(disk: &Disk, sample: &DiskSample) -> String {
    let units = |bytes: u64| format!("{} [{:.1} TB]", with_commas(bytes / 512_000), bytes as f64 / 1e12);
    let lines = [
        ("Critical Warning", "0x00".to_owned()),
        ("Temperature", format!("{} Celsius", sample.temperature)),
        ("Available Spare", "100%".to_owned()),
        ("Available Spare Threshold", "10%".to_owned()),
        ("Percentage Used", format!("{}%", 100 - disk.life_left.unwrap_or(100))),
        ("Data Units Read", units(sample.read)),
        ("Data Units Written", units(sample.written)),
        ("Power Cycles", "37".to_owned()),
        ("Power On Hours", with_commas(sample.power_on_hours)),
        ("Unsafe Shutdowns", "3".to_owned()),
        ("Media and Data Integrity Errors", "0".to_owned()),
        ("Error Information Log Entries", "12".to_owned()),
    ];
    let mut text = "\nSMART/Health Information (NVMe Log 0x02, NSID 0xffffffff)\n".to_owned();
    for (key, value) in lines {
        text.push_str(&format!("{:<36}{value}\n", format!("{key}:")));
    }
    text
}

fn sas(sample: &DiskSample) -> String {
    format!(
        "\nCurrent Drive Temperature:     {} C\nDrive Trip Temperature:        60 C\n\nAccumulated power on time, hours:minutes {}:10\nElements in grown defect list: 0\n\n",
        sample.temperature, sample.power_on_hours
    )
}

fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn write_attributes(scene: &Scene<'_>, json: &mut Json, disk: &Disk, sample: &DiskSample) {
    let left = disk.life_left.unwrap_or(100);
    let temperature = format!("{} (Min/Max 19/48)", sample.temperature);
    let health = if disk.failing { 5 } else { 100 };
    let mut attributes = vec![
        (5, "Reallocated_Sector_Ct", health, 10, sample.reallocated.to_string()),
        (9, "Power_On_Hours", 80, 0, sample.power_on_hours.to_string()),
        (12, "Power_Cycle_Count", 100, 0, "37".to_owned()),
        (187, "Reported_Uncorrect", 100, 0, (sample.pending / 2).to_string()),
        (188, "Command_Timeout", 100, 0, "0 0 0".to_owned()),
        (194, "Temperature_Celsius", 64, 0, temperature),
        (197, "Current_Pending_Sector", 100, 0, sample.pending.to_string()),
        (198, "Offline_Uncorrectable", 100, 0, sample.pending.to_string()),
        (199, "UDMA_CRC_Error_Count", 200, 0, "0".to_owned()),
    ];
    if disk.kind == DiskKind::Ssd {
        let units = |bytes: u64| (bytes >> 25).to_string();
        attributes.push((233, "Media_Wearout_Indicator", left, 0, "0".to_owned()));
        attributes.push((241, "Host_Writes_32MiB", 100, 0, units(sample.written)));
        attributes.push((242, "Host_Reads_32MiB", 100, 0, units(sample.read)));
    } else {
        let sectors = |bytes: u64| (bytes / 512).to_string();
        attributes.push((241, "Total_LBAs_Written", 100, 0, sectors(sample.written)));
        attributes.push((242, "Total_LBAs_Read", 100, 0, sectors(sample.read)));
    }
    json.string_field("type", "ata");
    json.key("attributes");
    json.begin_list();
    for (id, name, value, threshold, raw) in attributes {
        json.begin_row();
        json.string_field("id", &format!("{id:>3}"));
        json.string_field("name", name);
        json.string_field("flags", "-O--CK");
        json.integer_field("value", value);
        if scene.version() >= NORMALIZED {
            json.integer_field("normalized", value);
        }
        json.integer_field("worst", value);
        json.integer_field("threshold", threshold);
        json.string_field("fail", if value <= threshold { "NOW" } else { "-" });
        json.string_field("raw", &raw);
        json.end_object();
    }
    json.end_list();
}
