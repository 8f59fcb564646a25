//! `/cluster/ha/groups`

use super::{ALWAYS, Answer, Endpoint, Scene, cluster_ha_resources::digest};
use crate::{ha::Ha, json::Json, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/cluster/ha/groups",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/", "Sys.Audit")),
    answer: Answer::One(render),
};

/// The one group, which all services of versions with groups are in.
pub(super) const GROUP: &str = "everywhere";

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    if scene.version().has_ha_rules() {
        let reason = "cannot index groups: ha groups have been migrated to rules";
        return Err(Refusal::new(500, reason));
    }
    json.begin_list();
    if let Some(ha) = Ha::of(scene.view) {
        let names: Vec<&str> = ha
            .nodes
            .iter()
            .map(|node| scene.view.model.nodes[node.index].name.as_str())
            .collect();
        json.begin_row();
        json.string_field("group", GROUP);
        json.string_field("type", "group");
        json.string_field("nodes", &names.join(","));
        json.string_field("digest", &digest(scene.view.model.seed, 1));
        json.end_object();
    }
    json.end_list();
    Ok(())
}
