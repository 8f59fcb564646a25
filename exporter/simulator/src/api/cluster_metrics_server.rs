//! `/cluster/metrics/server`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{json::Json, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/cluster/metrics/server",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/", "Sys.Audit")),
    answer: Answer::One(render),
};

/// One that is in use and one that is not any more.
fn render(_: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    json.begin_list();
    for (id, kind, port) in [("influx", "influxdb", 8089), ("graphite", "graphite", 2003)] {
        json.begin_row();
        json.string_field("id", id);
        json.string_field("type", kind);
        json.string_field("server", "192.0.2.7");
        json.integer_field("port", port);
        if kind == "graphite" {
            json.integer_field("disable", 1);
        }
        json.end_object();
    }
    json.end_list();
    Ok(())
}
