//! `/cluster/ceph/status`, and `status`, `osd` and `pool` below `/nodes/{node}/ceph`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{
    json::Json,
    model::{CephDisk, StorageHealth},
    reply::Refusal,
};

pub(super) const STATUS: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/ceph/status",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/", "Sys.Audit|Datastore.Audit")),
    answer: Answer::One(render_status),
};

pub(super) const CLUSTER_STATUS: Endpoint = Endpoint {
    template: "/cluster/ceph/status",
    ..STATUS
};

pub(super) const OSDS: Endpoint = Endpoint {
    template: "/nodes/{node}/ceph/osd",
    answer: Answer::One(render_osds),
    ..STATUS
};

pub(super) const POOLS: Endpoint = Endpoint {
    template: "/nodes/{node}/ceph/pool",
    answer: Answer::One(render_pools),
    ..STATUS
};

/// Placement groups, those of them that lack a copy, and objects in each.
const GROUPS: u64 = 129;
const DEGRADED_GROUPS: u64 = 21;
const OBJECTS_PER_GROUP: u64 = 957;
const COPIES: u64 = 3;

fn health<'a>(scene: &Scene<'a>) -> Result<&'a StorageHealth, Refusal> {
    let health = &scene.view.model.storage_health;
    let problem = "binary not installed: /usr/bin/ceph-mon";
    health
        .has_ceph(scene.node)
        .then_some(health)
        .ok_or_else(|| Refusal::new(500, problem))
}

fn render_status(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let health = health(scene)?;
    let disks = health.ceph_disks(scene.view.at);
    let up = disks.iter().filter(|disk| disk.up).count() as u64;
    let is_well = up == disks.len() as u64;
    json.begin_object();
    json.string_field("fsid", "00000000-0000-4000-8000-000000000000");
    json.key("health");
    json.begin_object();
    json.string_field("status", if is_well { "HEALTH_OK" } else { "HEALTH_WARN" });
    json.key("checks");
    json.begin_object();
    if !is_well {
        write_check("OSD_DOWN", "1 osds down", json);
        write_check(
            "PG_DEGRADED",
            &format!("Degraded data redundancy: {DEGRADED_GROUPS} pgs degraded"),
            json,
        );
    }
    json.end_object();
    json.key("mutes");
    json.begin_list();
    json.end_list();
    json.end_object();
    write_monitors(scene, health, json);
    json.key("osdmap");
    json.begin_object();
    json.integer_field("num_osds", disks.len() as u64);
    json.integer_field("num_up_osds", up);
    json.integer_field("num_in_osds", disks.len() as u64);
    json.end_object();
    write_groups(&disks, if is_well { 0 } else { DEGRADED_GROUPS }, json);
    json.end_object();
    Ok(())
}

fn write_check(code: &str, message: &str, json: &mut Json) {
    json.key(code);
    json.begin_object();
    json.string_field("severity", "HEALTH_WARN");
    json.key("summary");
    json.begin_object();
    json.string_field("message", message);
    json.integer_field("count", 1);
    json.end_object();
    json.key("muted");
    json.boolean(false);
    json.end_object();
}

fn write_monitors(scene: &Scene<'_>, health: &StorageHealth, json: &mut Json) {
    json.key("quorum");
    json.begin_list();
    for rank in 0..health.ceph_nodes().len() {
        json.integer(rank as u64);
    }
    json.end_list();
    json.key("monmap");
    json.begin_object();
    json.key("mons");
    json.begin_list();
    for (rank, node) in health.ceph_nodes().enumerate() {
        json.begin_object();
        json.integer_field("rank", rank as u64);
        json.string_field("name", &scene.view.model.nodes[node].name);
        json.end_object();
    }
    json.end_list();
    json.end_object();
}

fn write_groups(disks: &[CephDisk], degraded: u64, json: &mut Json) {
    let (size, used) = disks
        .iter()
        .fold((0, 0), |(size, used), disk| (size + disk.size, used + disk.used));
    let (copies, missing) = (GROUPS * OBJECTS_PER_GROUP * COPIES, degraded * OBJECTS_PER_GROUP);
    json.key("pgmap");
    json.begin_object();
    json.key("pgs_by_state");
    json.begin_list();
    let states = [
        ("active+clean", GROUPS - degraded),
        ("active+undersized+degraded", degraded),
    ];
    for (state, count) in states.into_iter().filter(|(_, count)| *count > 0) {
        json.begin_row();
        json.string_field("state_name", state);
        json.integer_field("count", count);
        json.end_object();
    }
    json.end_list();
    json.integer_field("num_pgs", GROUPS);
    json.integer_field("num_objects", GROUPS * OBJECTS_PER_GROUP);
    if degraded > 0 {
        json.integer_field("degraded_objects", missing);
        json.integer_field("degraded_total", copies);
        json.float_field("degraded_ratio", missing as f64 / copies as f64);
    }
    json.integer_field("bytes_total", size);
    json.integer_field("bytes_used", used);
    json.integer_field("bytes_avail", size - used);
    json.end_object();
}

fn render_osds(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let health = health(scene)?;
    let disks = health.ceph_disks(scene.view.at);
    json.begin_object();
    json.string_field("flags", "noout,sortbitwise,recovery_deletes,purged_snapdirs");
    json.key("root");
    json.begin_object();
    json.integer_field("leaf", 0);
    json.key("children");
    json.begin_list();
    begin_bucket("default", "root", json);
    for node in health.ceph_nodes() {
        let host = &scene.view.model.nodes[node].name;
        begin_bucket(host, "host", json);
        for disk in disks.iter().filter(|disk| disk.node == node) {
            write_osd(disk, host, json);
        }
        end_bucket(json);
    }
    end_bucket(json);
    end_bucket(json);
    json.end_object();
    Ok(())
}

fn begin_bucket(name: &str, kind: &str, json: &mut Json) {
    json.begin_object();
    json.string_field("name", name);
    json.string_field("type", kind);
    json.integer_field("leaf", 0);
    json.key("children");
    json.begin_list();
}

fn end_bucket(json: &mut Json) {
    json.end_list();
    json.end_object();
}

fn write_osd(disk: &CephDisk, host: &str, json: &mut Json) {
    json.begin_row();
    json.integer_field("id", disk.id);
    json.string_field("name", &format!("osd.{}", disk.id));
    json.string_field("type", "osd");
    json.string_field("host", host);
    json.string_field("status", if disk.up { "up" } else { "down" });
    json.integer_field("in", 1);
    json.string_field("device_class", "ssd");
    json.integer_field("pgs", disk.placement_groups);
    json.integer_field("total_space", disk.size);
    json.integer_field("bytes_used", disk.used);
    json.float_field("percent_used", disk.used as f64 * 100.0 / disk.size as f64);
    json.integer_field("commit_latency_ms", disk.latency_ms);
    json.integer_field("apply_latency_ms", disk.latency_ms);
    json.integer_field("leaf", 1);
    json.end_object();
}

fn render_pools(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let disks = health(scene)?.ceph_disks(scene.view.at);
    let (size, used) = disks
        .iter()
        .fold((0, 0), |(size, used), disk| (size + disk.size, used + disk.used));
    json.begin_list();
    for (id, name, groups, used) in [(1, ".mgr", 1, 570_425_344), (2, "vms", GROUPS - 1, used)] {
        json.begin_row();
        json.integer_field("pool", id);
        json.string_field("pool_name", name);
        json.string_field("type", "replicated");
        json.integer_field("size", COPIES);
        json.integer_field("min_size", COPIES - 1);
        json.integer_field("pg_num", groups);
        json.integer_field("bytes_used", used);
        json.float_field("percent_used", used as f64 / size as f64);
        json.end_object();
    }
    json.end_list();
    Ok(())
}
