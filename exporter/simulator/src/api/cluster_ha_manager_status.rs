//! `/cluster/ha/status/manager_status`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{
    ha::{Ha, HaNode},
    json::Json,
    reply::Refusal,
};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/cluster/ha/status/manager_status",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/", "Sys.Audit")),
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let nodes = &scene.view.model.nodes;
    let ha = Ha::of(scene.view);
    json.begin_object();
    json.key("manager_status");
    json.begin_object();
    if let Some(ha) = &ha {
        json.string_field("master_node", &nodes[ha.master].name);
        json.integer_field("timestamp", ha.timestamp);
        json.key("node_status");
        json.begin_object();
        for node in &ha.nodes {
            json.string_field(&nodes[node.index].name, node.state);
        }
        json.end_object();
        services(scene, ha, json);
    }
    json.end_object();
    json.key("quorum");
    json.begin_object();
    json.string_field("node", &nodes[scene.node].name);
    json.string_field("quorate", if scene.view.quorate() { "1" } else { "" });
    json.end_object();
    if let Some(ha) = &ha {
        json.key("lrm_status");
        json.begin_object();
        for node in &ha.nodes {
            json.key(&nodes[node.index].name);
            manager(ha, node, json);
        }
        json.end_object();
    }
    json.end_object();
    Ok(())
}

fn services(scene: &Scene<'_>, ha: &Ha<'_>, json: &mut Json) {
    json.key("service_status");
    json.begin_object();
    for service in &ha.services {
        json.key(&service.id());
        json.begin_object();
        json.string_field("node", &scene.view.model.nodes[service.guest.node].name);
        json.string_field("state", service.state);
        json.string_field("uid", &service.command());
        if service.guest.is_running() && service.state == "started" {
            json.integer_field("running", 1);
        }
        json.end_object();
    }
    json.end_object();
}

/// Writes what the local resource manager of a node says of itself.
fn manager(ha: &Ha<'_>, node: &HaNode, json: &mut Json) {
    json.begin_object();
    json.string_field("mode", "active");
    json.string_field("state", if node.active { "active" } else { "wait_for_agent_lock" });
    json.integer_field("timestamp", node.timestamp);
    json.key("results");
    json.begin_object();
    for service in ha
        .services
        .iter()
        .filter(|service| service.guest.node == node.index && node.active)
    {
        json.key(&service.command());
        json.begin_object();
        json.string_field("sid", &service.id());
        json.string_field("state", service.requested);
        json.integer_field("exit_code", u64::from(service.state == "error"));
        json.end_object();
    }
    json.end_object();
    json.end_object();
}
