//! `/cluster/backup-info/not-backed-up`

use super::{Answer, Endpoint, Scene};
use crate::{Version, json::Json, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/cluster/backup-info/not-backed-up",
    since: Version::new(7, 0, 0),
    parameters: &[],
    privilege: Some(("/", "Sys.Audit")),
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let jobs = &scene.view.model.backups.jobs;
    json.begin_list();
    // A job that is disabled covers its guests all the same.
    let uncovered = scene
        .view
        .guests()
        .filter(|guest| !jobs.iter().any(|job| job.covers(guest)));
    for guest in uncovered {
        json.begin_row();
        json.integer_field("vmid", u64::from(guest.vmid));
        json.string_field("type", guest.kind.as_str());
        json.string_field("name", &guest.settings.name);
        json.end_object();
    }
    json.end_list();
    Ok(())
}
