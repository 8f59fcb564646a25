//! `/nodes/{node}/qemu/{vmid}/config` and `/nodes/{node}/lxc/{vmid}/config`

use super::{
    ALWAYS, Answer, Endpoint, Parameter, Scene,
    guest_pending::{changed, write},
};
use crate::{GuestKind, json::Json, model::Entry, reply::Refusal};

pub(super) const MACHINE: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/qemu/{vmid}/config",
    since: ALWAYS,
    parameters: &[Parameter::new("current")],
    privilege: Some(("/vms/{vmid}", "VM.Audit")),
    answer: Answer::One(|scene, json| render(scene, json, GuestKind::Qemu)),
};

pub(super) const CONTAINER: Endpoint = Endpoint {
    template: "/nodes/{node}/lxc/{vmid}/config",
    answer: Answer::One(|scene, json| render(scene, json, GuestKind::Lxc)),
    ..MACHINE
};

/// What the guest has after its next start, or has now where `current` is set.
fn render(scene: &Scene<'_>, json: &mut Json, kind: GuestKind) -> Result<(), Refusal> {
    let guest = scene.guest(kind)?;
    let current = scene
        .call
        .query("current")
        .is_some_and(|value| !matches!(value, "0" | ""));
    let mut changes = guest.settings.pending.clone();
    if current {
        changes.clear();
    }
    json.begin_object();
    for Entry { key, value } in guest.configuration(scene.version()) {
        match changes.remove(&key) {
            None => write(json, &key, &value),
            Some(None) => {}
            Some(Some(text)) => write(json, &key, &changed(text, Some(&value))),
        }
    }
    for (key, text) in changes {
        if let Some(text) = text {
            write(json, &key, &changed(text, None));
        }
    }
    json.end_object();
    Ok(())
}
