//! `/nodes/{node}/qemu/{vmid}/pending` and `/nodes/{node}/lxc/{vmid}/pending`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{
    GuestKind,
    json::Json,
    model::{Entry, Setting},
    reply::Refusal,
};

pub(super) const MACHINE: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/qemu/{vmid}/pending",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/vms/{vmid}", "VM.Audit")),
    answer: Answer::One(|scene, json| render(scene, json, GuestKind::Qemu)),
};

pub(super) const CONTAINER: Endpoint = Endpoint {
    template: "/nodes/{node}/lxc/{vmid}/pending",
    answer: Answer::One(|scene, json| render(scene, json, GuestKind::Lxc)),
    ..MACHINE
};

fn render(scene: &Scene<'_>, json: &mut Json, kind: GuestKind) -> Result<(), Refusal> {
    let guest = scene.guest(kind)?;
    let mut changes = guest.settings.pending.clone();
    json.begin_list();
    for Entry { key, value } in guest.configuration(scene.version()) {
        json.begin_row();
        json.string_field("key", &key);
        write(json, "value", &value);
        if let Some(change) = changes.remove(&key) {
            write_change(json, change, Some(&value));
        }
        json.end_object();
    }
    for (key, change) in changes {
        json.begin_row();
        json.string_field("key", &key);
        write_change(json, change, None);
        json.end_object();
    }
    json.end_list();
    Ok(())
}

/// Writes what becomes of a value.
fn write_change(json: &mut Json, change: Option<String>, now: Option<&Setting>) {
    match change {
        None => json.integer_field("delete", 1),
        Some(text) => write(json, "pending", &changed(text, now)),
    }
}

/// What becomes of a value: a number where it is one.
pub(super) fn changed(text: String, now: Option<&Setting>) -> Setting {
    let is_number = matches!(now, Some(Setting::Number(_)));
    let number = text.parse().ok().filter(|_| is_number);
    number.map_or(Setting::Text(text), Setting::Number)
}

pub(super) fn write(json: &mut Json, key: &str, value: &Setting) {
    match value {
        Setting::Number(number) => json.integer_field(key, *number),
        Setting::Text(text) => json.string_field(key, text),
    }
}
