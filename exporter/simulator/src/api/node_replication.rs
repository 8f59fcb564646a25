//! `/nodes/{node}/replication`

use super::{
    ALWAYS, Answer, Endpoint, Scene,
    cluster_replication::{jobs, write_job},
};
use crate::{json::Json, reply::Refusal};

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
    for (job, guest) in jobs(scene).filter(|(_, guest)| guest.node == scene.node) {
        let target_lost = scene.view.sight(job.target(guest.node)).lost;
        let state = job.state(scene.view.at, target_lost);
        json.begin_row();
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
        json.end_object();
    }
    json.end_list();
    Ok(())
}
