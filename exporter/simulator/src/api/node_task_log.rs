//! `/nodes/{node}/tasks/{upid}/log`

use super::{ALWAYS, Answer, Endpoint, Parameter, Scene};
use crate::{authentication::unescape, json::Json, model::Upid, reply::Refusal, task_log};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/tasks/{upid}/log",
    since: ALWAYS,
    parameters: &[
        Parameter::new("start"),
        Parameter::new("limit"),
        Parameter::new("download"),
    ],
    privilege: Some(("/nodes/{node}", "Sys.Audit")),
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let (call, model) = (scene.call, scene.view.model);
    let text = unescape(call.parameter("upid").unwrap_or_default());
    let Some(upid) = Upid::parse(&text) else {
        return Err(Refusal::parameter("upid", "unable to parse worker upid"));
    };
    let found = model
        .tasks
        .of(scene.node)
        .find(&upid)
        .filter(|_| upid.node == model.nodes[scene.node].name);
    let mut lines = match found {
        Some((task, is_running)) => task_log::lines(model, scene.node, task, is_running, scene.now()),
        // What PVE cannot open it answers as if this were the log.
        None => vec!["unable to open file - No such file or directory".to_owned()],
    };
    if lines.is_empty() {
        lines.push("no content".to_owned());
    }
    let start = call.number("start")?.unwrap_or(0);
    let limit = match call.number("limit")?.unwrap_or(50) {
        0 => u64::MAX,
        limit => limit,
    };
    json.begin_list();
    for (number, line) in (1..).zip(&lines) {
        if number > start && number - start <= limit {
            json.begin_row();
            json.integer_field("n", number);
            json.string_field("t", line);
            json.end_object();
        }
    }
    json.end_list();
    json.set_total(lines.len() as u64);
    Ok(())
}
