//! `/nodes/{node}/qemu/{vmid}/snapshot` and `/nodes/{node}/lxc/{vmid}/snapshot`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{GuestKind, json::Json, model::Setting, reply::Refusal};

pub(super) const MACHINE: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/qemu/{vmid}/snapshot",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/vms/{vmid}", "VM.Audit")),
    answer: Answer::One(|scene, json| render(scene, json, GuestKind::Qemu)),
};

pub(super) const CONTAINER: Endpoint = Endpoint {
    template: "/nodes/{node}/lxc/{vmid}/snapshot",
    answer: Answer::One(|scene, json| render(scene, json, GuestKind::Lxc)),
    ..MACHINE
};

fn render(scene: &Scene<'_>, json: &mut Json, kind: GuestKind) -> Result<(), Refusal> {
    let guest = scene.guest(kind)?;
    let mut parent: Option<&str> = None;
    json.begin_list();
    for snapshot in &guest.settings.snapshots {
        json.begin_row();
        json.string_field("name", &snapshot.name);
        json.integer_field("snaptime", snapshot.taken_at);
        json.string_field("description", "");
        if kind == GuestKind::Qemu {
            json.flag_field("vmstate", snapshot.with_memory);
        }
        if let Some(parent) = parent.replace(&snapshot.name) {
            json.string_field("parent", parent);
        }
        json.end_object();
    }
    json.begin_row();
    json.string_field("name", "current");
    json.string_field("description", "You are here!");
    json.flag_field("running", guest.is_running());
    for entry in guest.configuration(scene.version()) {
        if let ("digest", Setting::Text(digest)) = (entry.key.as_str(), &entry.value) {
            json.string_field("digest", digest);
        }
    }
    if let Some(parent) = parent {
        json.string_field("parent", parent);
    }
    json.end_object();
    json.end_list();
    Ok(())
}
