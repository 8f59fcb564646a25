//! `/nodes/{node}/replication/{id}/status`

use super::{
    ALWAYS, Answer, Endpoint, Scene,
    node_replication::{jobs_here, write_state},
};
use crate::{json::Json, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/replication/{id}/status",
    since: ALWAYS,
    parameters: &[],
    privilege: None,
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let id = scene.call.parameter("id").unwrap_or_default();
    let (job, guest) = jobs_here(scene)
        .find(|(job, _)| job.id() == id)
        .ok_or_else(|| Refusal::new(500, format!("no such replication job '{id}'")))?;
    json.begin_object();
    write_state(scene, job, guest, json);
    json.end_object();
    Ok(())
}
