//! `/nodes/{node}/disks/zfs` and `/nodes/{node}/disks/zfs/{name}`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{
    calendar::DateTime,
    json::Json,
    model::{ZfsDisk, ZfsPool},
    reply::Refusal,
};

pub(super) const POOLS: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/disks/zfs",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/", "Sys.Audit")),
    answer: Answer::One(render),
};

pub(super) const POOL: Endpoint = Endpoint {
    template: "/nodes/{node}/disks/zfs/{name}",
    answer: Answer::One(render_one),
    ..POOLS
};

fn pools(scene: &Scene<'_>) -> Result<Vec<ZfsPool>, Refusal> {
    let model = scene.view.model;
    let pools = model.storage_health.zfs_pools(&model.nodes[scene.node], scene.view.at);
    pools.ok_or_else(|| Refusal::new(500, "zfsutils-linux not installed"))
}

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let pools = pools(scene)?;
    json.begin_list();
    for pool in pools {
        json.begin_row();
        json.string_field("name", pool.name);
        json.integer_field("size", pool.size);
        json.integer_field("alloc", pool.allocated);
        json.integer_field("free", pool.size - pool.allocated);
        json.integer_field("frag", pool.fragmentation);
        json.integer_field("dedup", 1);
        json.string_field("health", pool.health());
        json.end_object();
    }
    json.end_list();
    Ok(())
}

fn render_one(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let name = scene.call.parameter("name").unwrap_or_default();
    let pools = pools(scene)?;
    let Some(pool) = pools.iter().find(|pool| pool.name == name) else {
        let problem = format!("command '/sbin/zpool status -P {name}' failed: exit code 1");
        return Err(Refusal::new(500, problem));
    };
    let (health, is_healthy) = (pool.health(), pool.health() == "ONLINE");
    let offset = i64::from(scene.cluster.options.utc_offset_minutes) * 60;
    let scrubbed = scene
        .view
        .model
        .storage_health
        .last_scrub(scene.now().saturating_add_signed(offset));
    let errors = if is_healthy { 0 } else { 2 };
    json.begin_object();
    json.string_field("name", pool.name);
    json.string_field("state", health);
    if !is_healthy {
        let status = "One or more devices are faulted in response to persistent errors.";
        json.string_field("status", status);
        json.string_field(
            "action",
            "Replace the faulted device, or use 'zpool clear' to mark it repaired.",
        );
    }
    let date = DateTime::at(scrubbed).of_c();
    json.string_field(
        "scan",
        &format!("scrub repaired 0B in 00:12:34 with {errors} errors on {date}"),
    );
    let words = if is_healthy {
        "No known data errors".to_owned()
    } else {
        format!("{errors} data errors, use '-v' for a list")
    };
    json.string_field("errors", &words);
    json.integer_field("leaf", 0);
    json.key("children");
    json.begin_list();
    begin_vdev(pool.name, health, json);
    begin_vdev("mirror-0", health, json);
    for (number, disk) in pool.disks.iter().enumerate() {
        let name = format!("/dev/disk/by-id/ata-SIMULATED_{}{number}-part1", pool.name);
        write_disk(&name, *disk, json);
    }
    end_vdev(json);
    end_vdev(json);
    json.begin_object();
    json.string_field("name", "spares");
    json.string_field("msg", "");
    begin_children(json);
    json.begin_object();
    json.string_field("name", "/dev/disk/by-id/ata-SIMULATED_spare-part1");
    json.string_field("state", "AVAIL");
    json.string_field("msg", "");
    json.integer_field("leaf", 1);
    json.end_object();
    end_vdev(json);
    json.end_list();
    json.end_object();
    Ok(())
}

fn begin_vdev(name: &str, state: &str, json: &mut Json) {
    write_line(name, state, [0; 3], json);
    begin_children(json);
}

fn begin_children(json: &mut Json) {
    json.integer_field("leaf", 0);
    json.key("children");
    json.begin_list();
}

fn end_vdev(json: &mut Json) {
    json.end_list();
    json.end_object();
}

fn write_disk(name: &str, disk: ZfsDisk, json: &mut Json) {
    write_line(name, disk.state, disk.errors, json);
    json.integer_field("leaf", 1);
    json.end_object();
}

/// Begins the object of a line of `zpool status`.
fn write_line(name: &str, state: &str, [read, write, checksum]: [u64; 3], json: &mut Json) {
    json.begin_object();
    json.string_field("name", name);
    json.string_field("state", state);
    json.integer_field("read", read);
    json.integer_field("write", write);
    json.integer_field("cksum", checksum);
    json.string_field("msg", if state == "FAULTED" { "too many errors" } else { "" });
}
