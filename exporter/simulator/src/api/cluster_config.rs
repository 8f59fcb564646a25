//! `/cluster/config/nodes` and `/cluster/config/qdevice`

use super::{ALWAYS, Answer, Endpoint, Render, Scene};
use crate::{json::Json, reply::Refusal};

pub(super) const NODES: Endpoint = endpoint("/cluster/config/nodes", nodes);
pub(super) const QDEVICE: Endpoint = endpoint("/cluster/config/qdevice", qdevice);

const fn endpoint(template: &'static str, render: Render) -> Endpoint {
    Endpoint {
        method: "GET",
        template,
        since: ALWAYS,
        parameters: &[],
        privilege: Some(("/", "Sys.Audit")),
        answer: Answer::One(render),
    }
}

fn nodes(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let view = scene.view;
    let standalone = scene.cluster.options.standalone || view.faults.standalone(&view.model.nodes[scene.node].name);
    json.begin_list();
    for index in view.nodes().filter(|_| !standalone) {
        let node = &view.model.nodes[index];
        json.begin_row();
        json.string_field("node", &node.name);
        json.string_field("name", &node.name);
        json.string_field("nodeid", &node.number.to_string());
        json.string_field("quorum_votes", "1");
        json.string_field("ring0_addr", &node.address);
        json.end_object();
    }
    json.end_list();
    Ok(())
}

/// What the daemon of the QDevice says; nothing where none runs.
fn qdevice(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    json.begin_object();
    if scene.cluster.options.has_qdevice() {
        for (key, value) in [
            ("Algorithm", "Fifty-Fifty split"),
            ("Echo reply", "Yes"),
            ("Model", "Net"),
            ("QNetd host", "192.0.2.10:5403"),
            ("State", "Connected"),
            ("Tie-breaker", "Node with lowest node ID"),
        ] {
            json.string_field(key, value);
        }
    }
    json.end_object();
    Ok(())
}
