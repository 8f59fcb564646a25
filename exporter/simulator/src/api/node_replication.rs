//! `/nodes/{node}/replication`

use super::{
    ALWAYS, Answer, Endpoint, Scene,
    cluster_replication::{jobs, write_job},
};
use crate::{
    json::Json,
    model::{Guest, Replication},
    reply::Refusal,
};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/replication",
    since: ALWAYS,
    parameters: &[],
    privilege: None,
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    json.begin_list();
    for (job, guest) in jobs_here(scene) {
        json.begin_row();
        write_state(scene, job, guest, json);
        json.end_object();
    }
    json.end_list();
    Ok(())
}

/// The jobs of guests at this node.
pub(super) fn jobs_here<'a>(scene: &Scene<'a>) -> impl Iterator<Item = (&'a Replication, &'a Guest)> {
    let node = scene.node;
    jobs(scene).filter(move |(_, guest)| guest.node == node)
}

/// Writes how a job is configured and how it is doing.
pub(super) fn write_state(scene: &Scene<'_>, job: &Replication, guest: &Guest, json: &mut Json) {
    let target_lost = scene.view.sight(job.target(guest.node)).lost;
    let state = job.state(scene.view.at, target_lost);
    write_job(scene, job, guest, json);
    json.string_field("vmtype", guest.kind.as_str());
    json.integer_field("last_sync", state.last_sync);
    json.integer_field("last_try", state.last_try);
    json.integer_field("next_sync", state.next_sync);
    json.integer_field("fail_count", state.fail_count);
    if let Some(duration) = state.duration {
        json.float_field("duration", duration);
    }
    if state.fail_count > 0 {
        let volume = format!(
            "rpool/data/vm-{}-disk-0@__replicate_{}_{}__",
            guest.vmid,
            job.id(),
            state.last_try
        );
        let error = format!("command 'zfs snapshot {volume}' failed: exit code 1");
        json.string_field("error", &error);
    }
}
