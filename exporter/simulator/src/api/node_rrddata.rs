//! `/nodes/{node}/rrddata`, which is the one path of a node that any other one answers from its own copy.

use super::{ALWAYS, Answer, Endpoint, Parameter, Scene};
use crate::{calendar::seconds, clock::Milliseconds, json::Json, model::NodeSample, reply::Refusal, view::View};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    // Not `{node}`: that one would have to answer.
    template: "/nodes/{copied}/rrddata",
    since: ALWAYS,
    parameters: &[
        Parameter::new("timeframe").one_of(&["hour", "day", "week", "month", "year", "decade"]),
        Parameter::new("cf").one_of(&["AVERAGE", "MAX"]),
    ],
    privilege: Some(("/nodes/{copied}", "Sys.Audit")),
    answer: Answer::One(render),
};

const MINUTE: Milliseconds = 60_000;

/// An hour of minutes, whatever is asked for: no more is needed of it.
fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let (view, time) = (scene.view, &scene.cluster.time);
    let name = scene.call.parameter("copied").unwrap_or_default();
    if scene.call.query("timeframe").is_none() {
        return Err(Refusal::parameter(
            "timeframe",
            "property is missing and it is not optional",
        ));
    }
    let Some(node) = view.model.node_index(name).filter(|node| view.sight(*node).known) else {
        let file = format!("/var/lib/rrdcached/db/pve-node-9.0/{name}");
        let problem = format!("RRD error: opening '{file}': No such file or directory");
        return Err(Refusal::new(500, problem));
    };
    let own = View::own_sample(view.model, view.faults, time, node);
    let recorded = view.sight(node).lost.map_or(own, |lost| own.min(lost));
    let newest = view.at / MINUTE * MINUTE;
    json.begin_list();
    for minute in (0..60).rev() {
        let at = newest.saturating_sub(minute * MINUTE);
        json.begin_row();
        json.integer_field("time", seconds(at));
        if at <= recorded {
            let sample = view.model.nodes[node].sample(at, view.load(node, at));
            write(scene, node, &sample, json);
        }
        json.end_object();
    }
    json.end_list();
    Ok(())
}

fn write(scene: &Scene<'_>, index: usize, sample: &NodeSample, json: &mut Json) {
    let node = &scene.view.model.nodes[index];
    json.float_field("loadavg", sample.load[0]);
    json.integer_field("maxcpu", node.cpus);
    json.float_field("cpu", sample.cpu);
    json.float_field("iowait", sample.waiting);
    json.integer_field("memtotal", node.memory);
    json.integer_field("memused", sample.memory);
    json.integer_field("swaptotal", node.swap);
    json.integer_field("swapused", sample.swap);
    json.integer_field("roottotal", node.disk);
    json.integer_field("rootused", sample.disk);
    json.float_field("netin", 51_234.567);
    json.float_field("netout", 40_123.25);
    if !(scene.version().has_pressure() && node.version.has_pressure()) {
        return;
    }
    let (memory, io) = (sample.memory as f64 / node.memory as f64, sample.waiting * 200.0);
    json.integer_field("memavailable", node.memory - sample.memory);
    // Where there are pools there is a cache.
    let has_zfs = !node.number.is_multiple_of(3);
    json.integer_field("arcsize", if has_zfs { node.memory / 16 } else { 0 });
    json.float_field("pressurecpusome", sample.cpu.powi(3) * 30.0);
    json.float_field("pressureiosome", io);
    json.float_field("pressureiofull", io * 0.8);
    json.float_field("pressurememorysome", memory.powi(8) * 5.0);
    json.float_field("pressurememoryfull", memory.powi(8) * 4.0);
}
