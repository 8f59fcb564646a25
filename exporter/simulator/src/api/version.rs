//! `/version`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{json::Json, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/version",
    since: ALWAYS,
    parameters: &[],
    privilege: None,
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let node = &scene.view.model.nodes[scene.node];
    json.begin_object();
    json.string_field("release", &format!("{}.{}", node.version.major, node.version.minor));
    json.string_field("repoid", &node.build());
    json.string_field("version", &node.version.to_string());
    json.end_object();
    Ok(())
}
