//! `/nodes/{node}/hardware/pci`

use super::{ALWAYS, Answer, Endpoint, Parameter, Scene};
use crate::{json::Json, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/hardware/pci",
    since: ALWAYS,
    parameters: &[
        Parameter::new("pci-class-blacklist"),
        Parameter::new("verbose").one_of(&["0", "1"]),
    ],
    privilege: Some(("/", "Sys.Audit")),
    answer: Answer::One(render),
};

/// What every node has: address, vendor, device and class.
const DEVICES: [(&str, &str, &str, &str); 9] = [
    ("0000:00:14.0", "0x8086", "0xa36d", "0x0c0330"),
    ("0000:00:17.0", "0x8086", "0xa352", "0x010601"),
    ("0000:00:1f.4", "0x8086", "0xa323", "0x0c0500"),
    ("0000:01:00.0", "0x144d", "0xa80a", "0x010802"),
    ("0000:02:00.0", "0x144d", "0xa80a", "0x010802"),
    ("0000:03:00.0", "0x8086", "0x1572", "0x020000"),
    ("0000:03:00.1", "0x8086", "0x1572", "0x020000"),
    ("0000:04:00.0", "0x8086", "0x1533", "0x020000"),
    ("0000:05:00.0", "0x1a03", "0x2000", "0x030000"),
];

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let verbose = scene.call.query("verbose") != Some("0");
    json.begin_list();
    for (group, (id, vendor, device, class)) in (0..).zip(DEVICES) {
        json.begin_row();
        json.string_field("id", id);
        json.string_field("vendor", vendor);
        json.string_field("device", device);
        json.string_field("class", class);
        json.integer_field("iommugroup", group);
        if verbose {
            for name in ["vendor_name", "device_name", "subsystem_vendor_name"] {
                json.string_field(name, "Simulated");
            }
            json.string_field("subsystem_vendor", vendor);
            json.string_field("subsystem_device", device);
        }
        json.end_object();
    }
    json.end_list();
    Ok(())
}
