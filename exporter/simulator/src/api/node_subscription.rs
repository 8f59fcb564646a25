//! `/nodes/{node}/subscription`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{calendar::DAY, json::Json, random::hash, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/subscription",
    since: ALWAYS,
    parameters: &[],
    // Without Sys.Audit the status is still told.
    privilege: None,
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let node = &scene.view.model.nodes[scene.node];
    let subscription = &node.machine.subscription;
    json.begin_object();
    json.string_field("status", subscription.status);
    json.string_field("url", "https://www.proxmox.com/en/proxmox-virtual-environment/pricing");
    let Some(next_due) = &subscription.next_due else {
        json.string_field("message", "There is no subscription key");
        if scene.permitted {
            json.string_field("serverid", &server_id(node.number));
        }
        json.end_object();
        return Ok(());
    };
    if scene.permitted {
        json.string_field("serverid", &server_id(node.number));
        json.string_field(
            "key",
            &format!("pve1{}-{:010x}", subscription.level, hash(&[node.number]) >> 24),
        );
        if subscription.status == "active" {
            json.string_field("level", subscription.level);
        }
        json.string_field("productname", "Proxmox VE Community Subscription 1 CPU/year");
        json.string_field("nextduedate", next_due);
        json.string_field("regdate", "2025-01-15 00:00:00");
        json.integer_field("sockets", 1);
        json.integer_field("checktime", scene.now() / DAY * DAY);
    }
    json.end_object();
    Ok(())
}

fn server_id(number: u64) -> String {
    format!("{:016X}{:016X}", hash(&[number, 1]), hash(&[number, 2]))
}
