//! `/cluster/resources`

use super::{ALWAYS, Answer, Endpoint, Parameter, Scene};
use crate::{
    ha::Ha,
    json::Json,
    model::{Guest, GuestSample, Load, POOLS, Storage},
    random::{hash, text},
    reply::Refusal,
};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/cluster/resources",
    since: ALWAYS,
    parameters: &[Parameter::new("type").one_of(&["vm", "storage", "node", "sdn"])],
    privilege: None,
    answer: Answer::One(render),
};

/// A row before it is written.
enum Row<'a> {
    Guest(&'a Guest, Option<GuestSample>),
    Node(usize),
    Storage(&'a Storage, usize),
    Pool(&'static str, PoolSum),
    Network(usize),
}

/// What the running guests of a pool have together.
#[derive(Clone, Copy, Default)]
struct PoolSum {
    running: bool,
    uptime: u64,
    busy_cpus: f64,
    cpus: u64,
    memory: u64,
    memory_size: u64,
}

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let kind = scene.call.query("type");
    let wants = |name: &str| kind.is_none_or(|kind| kind == name);
    let view = scene.view;
    let mut loads = vec![Load::default(); view.model.nodes.len()];
    let mut pools = [PoolSum::default(); POOLS.len()];
    let mut rows: Vec<(u64, Row<'_>)> = Vec::new();
    let order = |id: &str| hash(&[view.model.seed, scene.node as u64, text(id)]);
    for guest in view.guests() {
        let sample = view.sight(guest.node).sample.map(|at| view.guest_sample(guest, at));
        if let Some(sample) = sample {
            loads[guest.node].add(guest, &sample);
            sum_up(&mut pools, guest, &sample);
        }
        if wants("vm") && scene.permitted {
            let place = hash(&[view.model.seed, scene.node as u64, u64::from(guest.vmid)]);
            rows.push((place, Row::Guest(guest, sample)));
        }
    }
    for node in view.nodes() {
        let name = &view.model.nodes[node].name;
        if wants("node") {
            rows.push((order(&format!("node/{name}")), Row::Node(node)));
        }
        if wants("storage") && scene.permitted {
            for storage in &view.model.storages {
                rows.push((
                    order(&format!("storage/{name}/{}", storage.name)),
                    Row::Storage(storage, node),
                ));
            }
        }
        // Zones of older nodes can be asked for; networks of newer ones come only when everything is asked for.
        let zones = if shows_network(scene, node) {
            kind.is_none()
        } else {
            wants("sdn")
        };
        if zones && scene.permitted {
            rows.push((order(&format!("network/{name}")), Row::Network(node)));
        }
    }
    if kind.is_none() && scene.permitted {
        rows.extend(
            POOLS
                .iter()
                .zip(pools)
                .map(|(pool, sum)| (order(pool), Row::Pool(pool, sum))),
        );
    }
    // PVE promises no order, and another one at each node.
    rows.sort_unstable_by_key(|(place, _)| *place);
    json.reserve(rows.len() * 480);
    json.begin_list();
    let ha = Ha::of(view);
    let ha = ha.as_ref();
    for (_, row) in rows {
        json.begin_row();
        match row {
            Row::Guest(guest, sample) => write_guest(scene, json, guest, sample, ha),
            Row::Node(node) => write_node(scene, json, node, loads[node], ha),
            Row::Storage(storage, node) => write_storage(scene, json, storage, node),
            Row::Pool(pool, sum) => write_pool(json, pool, sum),
            Row::Network(node) => write_network(scene, json, node),
        }
        json.end_object();
    }
    json.end_list();
    Ok(())
}

fn sum_up(pools: &mut [PoolSum; POOLS.len()], guest: &Guest, sample: &GuestSample) {
    let Some(place) = POOLS
        .iter()
        .position(|pool| guest.settings.pool.as_deref() == Some(pool))
    else {
        return;
    };
    if guest.is_running() {
        let sum = &mut pools[place];
        sum.running = true;
        sum.uptime = sum.uptime.max(sample.uptime);
        sum.busy_cpus += sample.cpu * f64::from(guest.settings.cpus);
        sum.cpus += u64::from(guest.settings.cpus);
        sum.memory += sample.memory;
        sum.memory_size += guest.settings.memory;
    }
}

fn write_guest(scene: &Scene<'_>, json: &mut Json, guest: &Guest, sample: Option<GuestSample>, ha: Option<&Ha<'_>>) {
    let (kind, node) = (guest.kind.as_str(), &scene.view.model.nodes[guest.node]);
    let settings = &guest.settings;
    json.string_field("id", &format!("{kind}/{}", guest.vmid));
    json.string_field("type", kind);
    json.integer_field("vmid", u64::from(guest.vmid));
    json.string_field("node", &node.name);
    json.string_field("status", if sample.is_some() { guest.status() } else { "unknown" });
    // Pools, locks, tags and HA states come from files that every node has, numbers and the name from a sample.
    for (key, value) in [
        ("lock", settings.lock.as_deref()),
        ("tags", settings.tags.as_deref()),
        ("pool", settings.pool.as_deref()),
        ("hastate", ha.and_then(|ha| ha.service_state(guest.vmid))),
    ] {
        if let Some(value) = value {
            json.string_field(key, value);
        }
    }
    let Some(sample) = sample else { return };
    json.string_field("name", &settings.name);
    json.flag_field("template", settings.template);
    json.integer_field("uptime", sample.uptime);
    json.float_field("cpu", sample.cpu);
    json.integer_field("maxcpu", u64::from(settings.cpus));
    json.integer_field("mem", sample.memory);
    json.integer_field("maxmem", settings.memory);
    json.integer_field("disk", sample.disk);
    json.integer_field("maxdisk", settings.disk);
    json.integer_field("netin", sample.net_in);
    json.integer_field("netout", sample.net_out);
    json.integer_field("diskread", sample.disk_read);
    json.integer_field("diskwrite", sample.disk_write);
    if scene.version().has_host_memory() && node.version.has_host_memory() {
        json.integer_field("memhost", sample.host_memory);
    }
}

fn write_node(scene: &Scene<'_>, json: &mut Json, index: usize, load: Load, ha: Option<&Ha<'_>>) {
    let (node, sight) = (&scene.view.model.nodes[index], scene.view.sight(index));
    json.string_field("id", &format!("node/{}", node.name));
    json.string_field("type", "node");
    json.string_field("node", &node.name);
    json.string_field("status", if sight.online { "online" } else { "offline" });
    json.integer_field("cgroup-mode", 2);
    if let Some(state) = ha.filter(|_| scene.permitted).and_then(|ha| ha.node_state(index)) {
        json.string_field("hastate", state);
    }
    if sight.online {
        json.string_field("level", node.level);
    }
    if let Some(at) = sight.sample.filter(|_| sight.online && scene.permitted) {
        let sample = node.sample(at, load);
        json.integer_field("uptime", sample.uptime);
        json.float_field("cpu", sample.cpu);
        json.integer_field("maxcpu", node.cpus);
        json.integer_field("mem", sample.memory);
        json.integer_field("maxmem", node.memory);
        json.integer_field("disk", sample.disk);
        json.integer_field("maxdisk", node.disk);
    }
}

fn write_storage(scene: &Scene<'_>, json: &mut Json, storage: &Storage, index: usize) {
    let (node, sight) = (&scene.view.model.nodes[index], scene.view.sight(index));
    let sample = sight.sample.filter(|_| scene.view.storage_available(storage, index));
    json.string_field("id", &format!("storage/{}/{}", node.name, storage.name));
    json.string_field("type", "storage");
    json.string_field("storage", &storage.name);
    json.string_field("node", &node.name);
    json.string_field("plugintype", storage.plugin);
    json.string_field("content", storage.content);
    json.flag_field("shared", storage.shared);
    json.string_field("status", if sample.is_some() { "available" } else { "unknown" });
    if let Some(at) = sample {
        let (size, used) = storage.usage(node, at);
        json.integer_field("maxdisk", size);
        json.integer_field("disk", used);
    }
}

fn write_pool(json: &mut Json, pool: &str, sum: PoolSum) {
    json.string_field("id", &format!("/pool/{pool}"));
    json.string_field("type", "pool");
    json.string_field("pool", pool);
    if sum.running {
        json.integer_field("uptime", sum.uptime);
        json.float_field("cpu", sum.busy_cpus / sum.cpus as f64);
        json.integer_field("maxcpu", sum.cpus);
        json.integer_field("mem", sum.memory);
        json.integer_field("maxmem", sum.memory_size);
    }
}

/// Whether the zone of a node is a `network` row; in mixed clusters there are `sdn` rows, too.
fn shows_network(scene: &Scene<'_>, index: usize) -> bool {
    scene.version().has_network_rows() && scene.view.model.nodes[index].version.has_network_rows()
}

fn write_network(scene: &Scene<'_>, json: &mut Json, index: usize) {
    let name = &scene.view.model.nodes[index].name;
    if shows_network(scene, index) {
        json.string_field("id", &format!("network/{name}/zone/localnetwork"));
        json.string_field("type", "network");
        json.string_field("network", "localnetwork");
        json.string_field("network-type", "zone");
    } else {
        json.string_field("id", &format!("sdn/{name}/localnetwork"));
        json.string_field("type", "sdn");
        json.string_field("sdn", "localnetwork");
    }
    json.string_field("node", name);
    json.string_field("status", "ok");
}
