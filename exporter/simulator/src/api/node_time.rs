//! `/nodes/{node}/time`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{calendar::seconds, json::Json, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/time",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/nodes/{node}", "Sys.Audit")),
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let model = scene.view.model;
    let now = seconds(scene.cluster.time.now()) + model.nodes[scene.node].machine.clock_ahead;
    json.begin_object();
    json.integer_field("time", now);
    json.integer_field("localtime", model.schedule.local(now));
    json.string_field("timezone", "Europe/Vienna");
    json.end_object();
    Ok(())
}
