//! `/nodes/{node}/disks/lvm` and `/nodes/{node}/disks/lvmthin`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{
    json::Json,
    model::{ThinPool, VOLUME_GROUP},
    reply::Refusal,
};

pub(super) const GROUPS: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/disks/lvm",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/", "Sys.Audit")),
    answer: Answer::One(render_groups),
};

pub(super) const THIN_POOLS: Endpoint = Endpoint {
    template: "/nodes/{node}/disks/lvmthin",
    answer: Answer::One(render_pools),
    ..GROUPS
};

/// What a volume group keeps free.
const FREE: u64 = 16 << 30;

fn pools(scene: &Scene<'_>) -> Vec<ThinPool> {
    let model = scene.view.model;
    let node = &model.nodes[scene.node];
    let local = model.storage("local-lvm");
    let usage = local.map_or((1, 0), |storage| storage.usage(node, scene.view.at));
    model.storage_health.thin_pools(node, usage)
}

fn render_groups(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let pools = pools(scene);
    let size = pools.iter().map(|pool| pool.size + 2 * pool.metadata_size).sum::<u64>() + FREE;
    json.begin_object();
    json.integer_field("leaf", 0);
    json.key("children");
    json.begin_list();
    json.begin_row();
    write_volume(VOLUME_GROUP, size, 0, json);
    json.integer_field("lvcount", pools.len() as u64 + 2);
    json.key("children");
    json.begin_list();
    json.begin_object();
    write_volume("/dev/nvme0n1p3", size, 1, json);
    json.end_object();
    json.end_list();
    json.end_object();
    json.end_list();
    json.end_object();
    Ok(())
}

fn write_volume(name: &str, size: u64, leaf: u64, json: &mut Json) {
    json.string_field("name", name);
    json.integer_field("size", size);
    json.integer_field("free", FREE);
    json.integer_field("leaf", leaf);
}

fn render_pools(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    json.begin_list();
    for pool in pools(scene) {
        json.begin_row();
        json.string_field("vg", VOLUME_GROUP);
        json.string_field("lv", pool.name);
        json.string_field("lv_state", "a");
        json.string_field("lv_type", "t");
        json.integer_field("lv_size", pool.size);
        json.integer_field("used", pool.used);
        json.integer_field("metadata_size", pool.metadata_size);
        json.integer_field("metadata_used", pool.metadata_used);
        json.end_object();
    }
    json.end_list();
    Ok(())
}
