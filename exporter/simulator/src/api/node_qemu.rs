//! `/nodes/{node}/qemu`

use super::{ALWAYS, Answer, Endpoint, Parameter, Scene, machine_monitor};
use crate::{
    GuestKind,
    json::Json,
    model::{Guest, PRESSURES},
    reply::Refusal,
};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/qemu",
    since: ALWAYS,
    parameters: &[Parameter::new("full")],
    privilege: None,
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let full = scene.call.query("full").is_some_and(|value| !matches!(value, "0" | ""));
    json.begin_list();
    if scene.permitted {
        for guest in scene.view.guests_on(scene.node, GuestKind::Qemu) {
            json.reserve(if full { 4_000 } else { 500 });
            json.begin_row();
            write_machine(scene, guest, full, json);
            json.end_object();
        }
    }
    json.end_list();
    Ok(())
}

fn write_machine(scene: &Scene<'_>, guest: &Guest, full: bool, json: &mut Json) {
    let (settings, version) = (&guest.settings, scene.version());
    let sample = guest.sample(scene.view.at);
    let node = &scene.view.model.nodes[scene.node].name;
    let answers = full && guest.is_running() && !scene.view.faults.qmp_times_out(node, guest.vmid);
    json.integer_field("vmid", u64::from(guest.vmid));
    json.string_field("name", &settings.name);
    // The process lives in whatever run state.
    json.string_field("status", if guest.is_running() { "running" } else { "stopped" });
    json.integer_field("cpus", u64::from(settings.cpus));
    json.float_field("cpu", sample.cpu);
    json.integer_field("maxmem", settings.memory);
    // Only its balloon knows what a machine itself uses.
    json.integer_field("mem", if answers { sample.memory } else { sample.host_memory });
    json.integer_field("disk", 0);
    json.integer_field("maxdisk", settings.disk);
    json.integer_field("uptime", sample.uptime);
    json.integer_field("netin", sample.net_in);
    json.integer_field("netout", sample.net_out);
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
    if let Some(least) = guest.least_memory() {
        json.integer_field("balloon_min", least);
        json.integer_field("shares", 1_000);
    }
    if version.has_host_memory() {
        json.integer_field("memhost", sample.host_memory);
    }
    if guest.is_running() && version.has_pressure() {
        for (key, percent) in PRESSURES.into_iter().zip(guest.pressure(scene.view.at)) {
            json.float_field(key, percent);
        }
    }
    if full {
        let status = if guest.is_running() && !answers {
            "running"
        } else {
            guest.status()
        };
        json.string_field("qmpstatus", status);
        if guest.is_running() {
            machine_monitor::write_networks(guest, &sample, json);
        }
    }
    if answers {
        machine_monitor::write(scene, guest, &sample, json);
    } else if !version.omits_unknown_counters() {
        json.integer_field("diskread", 0);
        json.integer_field("diskwrite", 0);
    }
}
