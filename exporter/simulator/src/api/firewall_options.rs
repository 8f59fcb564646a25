//! `/cluster/firewall/options` and `/nodes/{node}/firewall/options`

use super::{ALWAYS, Answer, Endpoint, Render, Scene, cluster_ha_resources::digest};
use crate::{json::Json, reply::Refusal};

pub(super) const CLUSTER: Endpoint = endpoint("/cluster/firewall/options", ("/", "Sys.Audit"), cluster);
pub(super) const NODE: Endpoint = endpoint("/nodes/{node}/firewall/options", ("/nodes/{node}", "Sys.Audit"), node);

const fn endpoint(template: &'static str, privilege: (&'static str, &'static str), render: Render) -> Endpoint {
    Endpoint {
        method: "GET",
        template,
        since: ALWAYS,
        parameters: &[],
        privilege: Some(privilege),
        answer: Answer::One(render),
    }
}

fn cluster(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    json.begin_object();
    json.integer_field("enable", 1);
    json.string_field("digest", &digest(scene.view.model.seed, 3));
    json.end_object();
    Ok(())
}

/// The nodes have the defaults.
fn node(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    json.begin_object();
    json.string_field("digest", &digest(scene.view.model.seed, 4));
    json.end_object();
    Ok(())
}
