//! `/nodes`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{json::Json, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes",
    since: ALWAYS,
    parameters: &[],
    privilege: None,
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let view = scene.view;
    json.begin_list();
    for index in view.nodes() {
        let (node, sight) = (&view.model.nodes[index], view.sight(index));
        json.begin_row();
        json.string_field("id", &format!("node/{}", node.name));
        json.string_field("type", "node");
        json.string_field("node", &node.name);
        json.string_field("status", if sight.online { "online" } else { "offline" });
        if sight.online {
            json.string_field("ssl_fingerprint", &scene.cluster.fingerprints[index]);
            json.string_field("level", node.level);
        } else {
            json.key("ssl_fingerprint");
            json.null();
        }
        if let Some(at) = sight.sample.filter(|_| sight.online && scene.permitted) {
            let sample = node.sample(at, view.load(index, at));
            json.integer_field("uptime", sample.uptime);
            json.float_field("cpu", sample.cpu);
            json.integer_field("maxcpu", node.cpus);
            json.integer_field("mem", sample.memory);
            json.integer_field("maxmem", node.memory);
            json.integer_field("disk", sample.disk);
            json.integer_field("maxdisk", node.disk);
        }
        json.end_object();
    }
    json.end_list();
    Ok(())
}
