//! `/storage`

use super::{ALWAYS, Answer, Endpoint, Scene, cluster_ha_resources::digest};
use crate::{json::Json, model::VOLUME_GROUP, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/storage",
    since: ALWAYS,
    parameters: &[],
    privilege: None,
    answer: Answer::One(render),
};

/// A storage that is switched off, which no other list has.
const DISABLED: &str = "attic";

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    json.begin_list();
    // Nobody is refused; who may not see a storage does not get its row.
    let storages = scene.view.model.storages.iter().filter(|_| scene.permitted);
    for storage in storages {
        begin(scene, &storage.name, storage.plugin, storage.content, json);
        match storage.plugin {
            "lvmthin" => {
                json.string_field("vgname", VOLUME_GROUP);
                json.string_field("thinpool", "data");
            }
            "nfs" => {
                json.string_field("server", "192.0.2.8");
                json.string_field("export", "/export");
                json.string_field("path", &format!("/mnt/pve/{}", storage.name));
            }
            "pbs" => {
                json.string_field("server", "192.0.2.9");
                json.string_field("datastore", "main");
                json.string_field("namespace", "pve");
                json.string_field("username", "exporter@pbs");
                json.string_field("fingerprint", &["00"; 32].join(":"));
            }
            _ => json.string_field("path", "/var/lib/vz"),
        }
        if storage.shared {
            json.integer_field("shared", 1);
        }
        json.end_object();
    }
    if scene.permitted {
        begin(scene, DISABLED, "dir", "images", json);
        json.string_field("path", "/srv/attic");
        json.integer_field("disable", 1);
        json.end_object();
    }
    json.end_list();
    Ok(())
}

fn begin(scene: &Scene<'_>, name: &str, plugin: &str, content: &str, json: &mut Json) {
    json.begin_row();
    json.string_field("storage", name);
    json.string_field("type", plugin);
    json.string_field("content", content);
    json.string_field("digest", &digest(scene.view.model.seed, 2));
}
