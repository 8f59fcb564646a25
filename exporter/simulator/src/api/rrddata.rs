//! `…/rrddata` of nodes, guests and storages. Those of nodes and guests are in files that every node has, so that the node in
//! the path executes nothing.

use super::{ALWAYS, Answer, Endpoint, Parameter, Scene};
use crate::{
    GuestKind, Version,
    clock::Milliseconds,
    json::Json,
    model::{Guest, Node, PRESSURES, Period, Timeframe},
    reply::Refusal,
    view::View,
};

const PARAMETERS: &[Parameter] = &[
    Parameter::new("timeframe").one_of(&["hour", "day", "week", "month", "year", "decade"]),
    Parameter::new("cf").one_of(&["AVERAGE", "MAX"]),
];

pub(super) const NODE: Endpoint = Endpoint {
    method: "GET",
    // Not `{node}`: that one would have to answer.
    template: "/nodes/{copied}/rrddata",
    since: ALWAYS,
    parameters: PARAMETERS,
    privilege: Some(("/nodes/{copied}", "Sys.Audit")),
    answer: Answer::One(node),
};

pub(super) const MACHINE: Endpoint = Endpoint {
    template: "/nodes/{copied}/qemu/{vmid}/rrddata",
    privilege: Some(("/vms/{vmid}", "VM.Audit")),
    answer: Answer::One(|scene, json| guest(scene, json, GuestKind::Qemu)),
    ..NODE
};

pub(super) const CONTAINER: Endpoint = Endpoint {
    template: "/nodes/{copied}/lxc/{vmid}/rrddata",
    answer: Answer::One(|scene, json| guest(scene, json, GuestKind::Lxc)),
    ..MACHINE
};

pub(super) const STORAGE: Endpoint = Endpoint {
    template: "/nodes/{node}/storage/{storage}/rrddata",
    privilege: Some(("/storage/{storage}", "Datastore.Audit|Datastore.AllocateSpace")),
    answer: Answer::One(storage),
    ..NODE
};

fn node(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let timeframe = timeframe(scene)?;
    let name = scene.call.parameter("copied").unwrap_or_default();
    let index = scene.view.model.node_index(name);
    let index = index.filter(|index| scene.view.sight(*index).known);
    let index = index.ok_or_else(|| missing(scene, "node", name))?;
    let node = &scene.view.model.nodes[index];
    rows(scene, json, timeframe, index, |json, at| {
        let sample = node.sample(at, scene.view.load(index, at));
        let [net_in, net_out] = node.rates(at);
        for (key, value) in [
            ("loadavg", sample.load[0]),
            ("maxcpu", node.cpus as f64),
            ("cpu", sample.cpu),
            ("iowait", sample.waiting),
            ("memtotal", node.memory as f64),
            ("memused", sample.memory as f64),
            ("swaptotal", node.swap as f64),
            ("swapused", sample.swap as f64),
            ("roottotal", node.disk as f64),
            ("rootused", sample.disk as f64),
            ("netin", net_in),
            ("netout", net_out),
        ] {
            json.float_field(key, value);
        }
        if scene.version().has_long_history() && node.version.has_long_history() {
            json.integer_field("memavailable", node.memory - sample.memory);
            // Where there are pools there is a cache.
            let has_zfs = !node.number.is_multiple_of(3);
            json.integer_field("arcsize", if has_zfs { node.memory / 16 } else { 0 });
            let keys = PRESSURES.iter().filter(|key| **key != "pressurecpufull");
            for (key, value) in keys.zip(node.pressure(at)) {
                json.float_field(key, value);
            }
        }
    });
    Ok(())
}

fn guest(scene: &Scene<'_>, json: &mut Json, kind: GuestKind) -> Result<(), Refusal> {
    let timeframe = timeframe(scene)?;
    let name = scene.call.parameter("vmid").unwrap_or_default();
    let found = name
        .parse()
        .ok()
        .and_then(|vmid: u32| scene.view.model.guests.get(&vmid));
    let guest = found
        .filter(|guest| guest.kind == kind && !scene.view.faults.vanished(guest.vmid))
        .ok_or_else(|| missing(scene, "vm", name))?;
    let created = guest.created(scene.cluster.time.start());
    let node = &scene.view.model.nodes[guest.node];
    rows(scene, json, timeframe, guest.node, |json, at| {
        if at >= created {
            write_guest(json, guest, node, at, scene.version());
        }
    });
    Ok(())
}

fn write_guest(json: &mut Json, guest: &Guest, node: &Node, at: Milliseconds, version: Version) {
    let sample = guest.sample(at);
    json.integer_field("maxcpu", u64::from(guest.settings.cpus));
    json.integer_field("maxmem", guest.settings.memory);
    json.integer_field("maxdisk", guest.settings.disk);
    json.integer_field("disk", sample.disk);
    if !guest.is_running() {
        return;
    }
    json.float_field("cpu", sample.cpu);
    json.integer_field("mem", sample.memory);
    let keys = ["netin", "netout", "diskread", "diskwrite"];
    for (key, value) in keys.into_iter().zip(guest.rates(at)) {
        json.float_field(key, value);
    }
    if version.has_long_history() && node.version.has_long_history() {
        if guest.kind == GuestKind::Qemu {
            json.integer_field("memhost", sample.host_memory);
        }
        for (key, value) in PRESSURES.into_iter().zip(guest.pressure(at)) {
            json.float_field(key, value);
        }
    }
}

fn storage(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let timeframe = timeframe(scene)?;
    let name = scene.call.parameter("storage").unwrap_or_default();
    let node = &scene.view.model.nodes[scene.node];
    let storage = scene.view.model.storage(name);
    let storage = storage.ok_or_else(|| missing(scene, "storage", &format!("{}/{name}", node.name)))?;
    rows(scene, json, timeframe, scene.node, |json, at| {
        let (size, used) = storage.usage(node, at);
        json.integer_field("total", size);
        json.integer_field("used", used);
    });
    Ok(())
}

fn timeframe(scene: &Scene<'_>) -> Result<Timeframe, Refusal> {
    let name = scene
        .call
        .query("timeframe")
        .ok_or_else(|| Refusal::parameter("timeframe", "property is missing and it is not optional"))?;
    Timeframe::named(name, scene.version()).ok_or_else(|| {
        let known = "hour, day, week, month, year";
        let problem = format!("value '{name}' does not have a value in the enumeration '{known}'");
        Refusal::parameter("timeframe", problem)
    })
}

fn missing(scene: &Scene<'_>, kind: &str, name: &str) -> Refusal {
    let file = if scene.version().has_long_history() {
        format!("/var/lib/rrdcached/db/pve-{kind}-9.0/{name}")
    } else {
        format!("/var/lib/rrdcached/db/pve2-{kind}/{name}")
    };
    let problem = "rrdcached@unix:/var/run/rrdcached.sock: rrd_fetch_r failed: opening";
    Refusal::new(500, format!("RRD error: {problem} '{file}': No such file or directory"))
}

/// A row for each period. What `node` did not record is left out; up to PVE 9.0 the newest period is unknown as a whole.
fn rows(
    scene: &Scene<'_>,
    json: &mut Json,
    timeframe: Timeframe,
    node: usize,
    write: impl Fn(&mut Json, Milliseconds),
) {
    let (view, time) = (scene.view, &scene.cluster.time);
    let own = View::own_sample(view.model, view.faults, time, node);
    let recorded = view.sight(node).lost.map_or(own, |lost| own.min(lost));
    let ran = |Period { end, middle }: Period| end * 1_000 <= recorded && view.model.nodes[node].ran(middle);
    let mut periods = timeframe.periods(scene.now()).peekable();
    json.begin_list();
    while let Some(period) = periods.next() {
        json.begin_row();
        json.integer_field("time", period.end);
        if ran(period) && (periods.peek().is_some() || scene.version().has_no_empty_newest_period()) {
            write(json, period.middle);
        }
        json.end_object();
    }
    json.end_list();
}
