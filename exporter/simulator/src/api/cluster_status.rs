//! `/cluster/status`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{json::Json, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/cluster/status",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/", "Sys.Audit")),
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let view = scene.view;
    let count = view.nodes().count();
    let standalone = scene.cluster.options.standalone || view.faults.standalone(&view.model.nodes[scene.node].name);
    json.begin_list();
    if !standalone {
        json.begin_row();
        json.string_field("type", "cluster");
        json.string_field("id", "cluster");
        json.string_field("name", &view.model.name);
        json.integer_field("version", view.model.nodes.len() as u64);
        json.integer_field("nodes", count as u64);
        json.flag_field("quorate", view.quorate());
        json.end_object();
    }
    for index in view.nodes() {
        let (node, sight) = (&view.model.nodes[index], view.sight(index));
        json.begin_row();
        json.string_field("type", "node");
        json.string_field("id", &format!("node/{}", node.name));
        json.string_field("name", &node.name);
        json.integer_field("nodeid", if standalone { 0 } else { node.number });
        // The address of a node that is not there is not known any more.
        if sight.online {
            json.string_field("ip", &node.address);
        }
        json.flag_field("local", index == scene.node);
        json.flag_field("online", sight.online);
        json.string_field("level", if sight.online { node.level } else { "" });
        json.end_object();
    }
    json.end_list();
    Ok(())
}
