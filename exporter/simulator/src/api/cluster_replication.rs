//! `/cluster/replication`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{
    json::Json,
    model::{Guest, Replication},
    reply::Refusal,
};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/cluster/replication",
    since: ALWAYS,
    parameters: &[],
    privilege: None,
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    json.begin_list();
    for (job, guest) in jobs(scene) {
        json.begin_row();
        write_job(scene, job, guest, json);
        json.end_object();
    }
    json.end_list();
    Ok(())
}

/// The jobs of guests that the caller may see.
pub(super) fn jobs<'a>(scene: &Scene<'a>) -> impl Iterator<Item = (&'a Replication, &'a Guest)> {
    let (view, permitted) = (scene.view, scene.permitted);
    let jobs = view.model.replications.iter().filter(move |_| permitted);
    jobs.filter_map(|job| {
        let guest = view.model.guests.get(&job.guest)?;
        let known = view.sight(guest.node).known && !view.faults.vanished(guest.vmid);
        known.then_some((job, guest))
    })
}

/// Writes how a job is configured.
pub(super) fn write_job(scene: &Scene<'_>, job: &Replication, guest: &Guest, json: &mut Json) {
    let nodes = &scene.view.model.nodes;
    json.string_field("id", &job.id());
    json.string_field("type", "local");
    json.integer_field("guest", u64::from(job.guest));
    json.integer_field("jobnum", 0);
    json.string_field("source", &nodes[guest.node].name);
    json.string_field("target", &nodes[job.target(guest.node)].name);
    json.string_field("schedule", "*/15");
    if let Some(rate) = job.rate {
        json.integer_field("rate", rate);
    }
    if let Some(comment) = job.comment {
        json.string_field("comment", comment);
    }
    if job.disabled_since.is_some() {
        json.integer_field("disable", 1);
    }
}
