//! `/cluster/tasks`

use super::{ALWAYS, Answer, Endpoint, Scene, node_tasks::write_user};
use crate::{json::Json, model::Task, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/cluster/tasks",
    since: ALWAYS,
    parameters: &[],
    privilege: None,
    answer: Answer::One(render),
};

/// How many tasks a node tells the others of.
const TOLD: usize = 25;

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let view = scene.view;
    json.begin_list();
    for node in view.nodes().filter(|node| view.sight(*node).online && scene.permitted) {
        let tasks = view.model.tasks.of(node);
        let running = tasks.running().map(|task| (task, true));
        let mut told: Vec<(&Task, bool)> = running
            .chain(tasks.archived().map(|task| (task, false)))
            .take(TOLD)
            .collect();
        told.sort_by_key(|(task, _)| std::cmp::Reverse(task.started));
        for (task, is_running) in told {
            write_task(json, &view.model.nodes[node].name, task, is_running);
        }
    }
    json.end_list();
    Ok(())
}

fn write_task(json: &mut Json, node: &str, task: &Task, is_running: bool) {
    json.begin_row();
    json.string_field("upid", &task.upid(node));
    json.string_field("node", node);
    json.integer_field("starttime", task.started);
    json.string_field("type", &task.kind);
    json.string_field("id", &task.id);
    write_user(json, task);
    json.string_field("saved", if is_running { "0" } else { "1" });
    match task.end.as_ref().filter(|_| !is_running) {
        Some(end) => {
            json.integer_field("endtime", end.at);
            json.string_field("status", &end.status);
        }
        None => json.integer_field("pid", task.pid),
    }
    json.end_object();
}
