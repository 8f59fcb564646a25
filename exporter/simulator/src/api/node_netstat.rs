//! `/nodes/{node}/netstat`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{GuestKind, json::Json, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/netstat",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/nodes/{node}", "Sys.Audit")),
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let view = scene.view;
    let guests = [GuestKind::Qemu, GuestKind::Lxc].map(|kind| view.guests_on(scene.node, kind));
    json.begin_list();
    for guest in guests.into_iter().flatten().filter(|guest| guest.is_running()) {
        let sample = guest.sample(view.at);
        for (number, [to_guest, from_guest]) in guest.network_counters(&sample).into_iter().enumerate() {
            json.begin_row();
            json.string_field("vmid", &guest.vmid.to_string());
            json.string_field("dev", &format!("net{number}"));
            json.string_field("in", &to_guest.to_string());
            json.string_field("out", &from_guest.to_string());
            json.end_object();
        }
    }
    json.end_list();
    Ok(())
}
