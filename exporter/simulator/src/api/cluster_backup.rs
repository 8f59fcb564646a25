//! `/cluster/backup`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{
    json::Json,
    model::{BackupJob, Selection, id_list},
    reply::Refusal,
};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/cluster/backup",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/", "Sys.Audit")),
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    json.begin_list();
    for job in &scene.view.model.backups.jobs {
        json.begin_row();
        json.string_field("id", job.id);
        json.string_field("type", "vzdump");
        json.flag_field("enabled", job.enabled);
        json.string_field("schedule", job.schedule);
        if let Some(next) = scene.view.model.schedule.next_run(job, scene.now()) {
            json.integer_field("next-run", next);
        }
        json.string_field("storage", job.storage);
        json.string_field("mode", job.mode);
        json.string_field("notes-template", "{{guestname}}");
        write_selection(json, job);
        json.key("prune-backups");
        json.begin_object();
        json.string_field("keep-last", &job.keep.to_string());
        json.end_object();
        json.end_object();
    }
    json.end_list();
    Ok(())
}

fn write_selection(json: &mut Json, job: &BackupJob) {
    match &job.selection {
        Selection::Pool(pool) => json.string_field("pool", pool),
        Selection::Guests(guests) => json.string_field("vmid", &id_list(guests, ",")),
        Selection::AllExcept(guests) => {
            json.flag_field("all", true);
            if !guests.is_empty() {
                json.string_field("exclude", &id_list(guests, ","));
            }
        }
    }
}
