//! `/nodes/{node}/lxc`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{
    GuestKind,
    json::Json,
    model::{Guest, PRESSURES},
    reply::Refusal,
};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/lxc",
    since: ALWAYS,
    parameters: &[],
    privilege: None,
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    json.begin_list();
    if scene.permitted {
        for guest in scene.view.guests_on(scene.node, GuestKind::Lxc) {
            json.begin_row();
            write_container(scene, guest, json);
            json.end_object();
        }
    }
    json.end_list();
    Ok(())
}

fn write_container(scene: &Scene<'_>, guest: &Guest, json: &mut Json) {
    let (settings, version) = (&guest.settings, scene.version());
    let sample = guest.sample(scene.view.at);
    if version.has_textual_container_ids() {
        json.string_field("vmid", &guest.vmid.to_string());
    } else {
        json.integer_field("vmid", u64::from(guest.vmid));
    }
    json.string_field("type", "lxc");
    json.string_field("name", &settings.name);
    json.string_field("status", guest.status());
    json.integer_field("cpus", u64::from(settings.cpus));
    json.float_field("cpu", sample.cpu);
    json.integer_field("uptime", sample.uptime);
    json.integer_field("mem", sample.memory);
    json.integer_field("maxmem", settings.memory);
    json.integer_field("swap", (sample.memory / 32) & !0xFFF);
    json.integer_field("maxswap", 512 << 20);
    json.integer_field("disk", sample.disk);
    json.integer_field("maxdisk", settings.disk);
    json.integer_field("netin", sample.net_in);
    json.integer_field("netout", sample.net_out);
    json.integer_field("diskread", sample.disk_read);
    json.integer_field("diskwrite", sample.disk_write);
    if let Some(process) = guest.process() {
        json.integer_field("pid", process);
    }
    if settings.template {
        json.integer_field("template", 1);
    }
    for (key, value) in [("lock", &settings.lock), ("tags", &settings.tags)] {
        if let Some(value) = value {
            json.string_field(key, value);
        }
    }
    if guest.is_running() && version.has_pressure() {
        for (key, percent) in PRESSURES.into_iter().zip(guest.pressure(scene.view.at)) {
            json.string_field(key, &format!("{percent:.2}"));
        }
    }
}
