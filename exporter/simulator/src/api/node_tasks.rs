//! `/nodes/{node}/tasks`

use super::{ALWAYS, Answer, Call, Endpoint, Parameter, Scene};
use crate::{Version, json::Json, model::Task, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/tasks",
    since: ALWAYS,
    parameters: &[
        Parameter::new("start"),
        Parameter::new("limit"),
        Parameter::new("userfilter"),
        Parameter::new("typefilter"),
        Parameter::new("vmid"),
        Parameter::new("errors"),
        Parameter::new("source").one_of(&["archive", "active", "all"]),
        Parameter::new("since").since(PVE_7),
        Parameter::new("until").since(PVE_7),
        Parameter::new("statusfilter").since(PVE_7),
    ],
    privilege: None,
    answer: Answer::One(render),
};

const PVE_7: Version = Version::new(7, 0, 0);

/// Which tasks are asked for.
struct Filter<'a> {
    user: Option<String>,
    kind: Option<&'a str>,
    vmid: Option<&'a str>,
    /// `ok`, `warning`, `error` and `unknown`.
    classes: Vec<String>,
    since: u64,
    until: u64,
}

impl<'a> Filter<'a> {
    fn new(call: &'a Call<'_>) -> Result<Self, Refusal> {
        let all = ["warning", "error", "unknown", "ok"];
        let classes: Vec<String> = if call.query("errors").is_some_and(|value| !matches!(value, "0" | "")) {
            all.iter().take(3).map(ToString::to_string).collect()
        } else {
            let asked = call.query("statusfilter").map(str::to_lowercase);
            let asked = asked.map(|list| list.split([',', ';', ' ']).map(str::to_owned).collect());
            asked.unwrap_or_else(|| all.map(str::to_owned).to_vec())
        };
        Ok(Self {
            user: call.query("userfilter").map(str::to_lowercase),
            kind: call.query("typefilter").filter(|kind| !kind.is_empty()),
            vmid: call.query("vmid"),
            classes,
            since: call.number("since")?.unwrap_or(0),
            until: call.number("until")?.unwrap_or(u64::MAX),
        })
    }

    fn wants(&self, task: &Task, is_running: bool) -> bool {
        let user = |user: &String| task.user.to_lowercase().contains(user);
        self.user.as_ref().is_none_or(user)
            && self.kind.is_none_or(|kind| task.kind == kind)
            && self.vmid.is_none_or(|vmid| task.id == vmid)
            // A task that began before and ended within is not found.
            && (self.since..=self.until).contains(&task.started)
            && self.classes.iter().any(|class| class == task.class(is_running))
    }
}

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let (call, model) = (scene.call, scene.view.model);
    let filter = Filter::new(call)?;
    let start = call.number("start")?.unwrap_or(0);
    let end = start.saturating_add(call.number("limit")?.unwrap_or(50));
    let source = call.query("source").unwrap_or("archive");
    let tasks = model.tasks.of(scene.node);
    let running = tasks.running().filter(|_| source != "archive").map(|task| (task, true));
    let archived = tasks
        .archived()
        .filter(|_| source != "active")
        .map(|task| (task, false));
    let mut total = 0;
    json.begin_list();
    for (task, is_running) in running.chain(archived).filter(|_| scene.permitted) {
        if filter.wants(task, is_running) {
            if (start..end).contains(&total) {
                write_task(json, &model.nodes[scene.node].name, task, is_running);
            }
            total += 1;
        }
    }
    json.end_list();
    json.set_total(total);
    Ok(())
}

fn write_task(json: &mut Json, node: &str, task: &Task, is_running: bool) {
    json.begin_row();
    json.string_field("upid", &task.upid(node));
    json.string_field("node", node);
    json.integer_field("pid", task.pid);
    json.integer_field("pstart", task.process_started);
    json.integer_field("starttime", task.started);
    json.string_field("type", &task.kind);
    json.string_field("id", &task.id);
    write_user(json, task);
    match task.end.as_ref().filter(|_| !is_running) {
        Some(end) => {
            json.integer_field("endtime", end.at);
            json.string_field("status", &end.status);
        }
        None => {
            json.string_field("saved", "0");
            json.string_field("status", "RUNNING");
        }
    }
    json.end_object();
}

/// Writes who started a task, the user apart from the token.
pub(super) fn write_user(json: &mut Json, task: &Task) {
    let (user, token) = task.user.split_once('!').unwrap_or((task.user, ""));
    json.string_field("user", user);
    if !token.is_empty() {
        json.string_field("tokenid", token);
    }
}
