//! `/cluster/ha/resources`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{ha::Ha, json::Json, random::hash, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/cluster/ha/resources",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/", "Sys.Audit")),
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let services = Ha::of(scene.view).map(|ha| ha.services).unwrap_or_default();
    let digest = digest(scene.view.model.seed, services.len());
    json.begin_list();
    for service in services {
        json.begin_row();
        json.string_field("sid", &service.id());
        json.string_field("type", service.kind());
        json.string_field("state", service.requested);
        json.string_field("digest", &digest);
        if !scene.version().has_ha_rules() {
            json.string_field("group", super::cluster_ha_groups::GROUP);
        }
        json.end_object();
    }
    json.end_list();
    Ok(())
}

/// Stands for the state of a configuration file with so many sections.
pub(super) fn digest(seed: u64, sections: usize) -> String {
    let part = |number: u64| hash(&[seed, 0x6861, sections as u64, number]);
    format!("{:016x}{:016x}{:08x}", part(1), part(2), part(3) >> 32)
}
