//! `/nodes/{node}/certificates/info`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{json::Json, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/certificates/info",
    since: ALWAYS,
    parameters: &[],
    privilege: None,
    answer: Answer::One(render),
};

const AUTHORITY: &str =
    "/CN=Proxmox Virtual Environment/OU=a5c2e6f0-7d0b-4f3e-8f0a-52a4c7f1d9b3/O=PVE Cluster Manager CA";

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let node = &scene.view.model.nodes[scene.node];
    let own = format!("/OU=PVE Cluster Node/O=Proxmox Virtual Environment/CN={}", node.name);
    let fingerprint = &scene.cluster.fingerprints[scene.node];
    json.begin_list();
    for (file, first, last) in &node.machine.certificates {
        let is_root = *file == "pve-root-ca.pem";
        json.begin_row();
        json.string_field("filename", file);
        json.integer_field("notbefore", *first);
        json.integer_field("notafter", *last);
        json.string_field("subject", if is_root { AUTHORITY } else { &own });
        json.string_field("issuer", AUTHORITY);
        json.string_field("fingerprint", fingerprint);
        json.string_field("public-key-type", "rsaEncryption");
        json.integer_field("public-key-bits", if is_root { 4096 } else { 2048 });
        json.key("san");
        json.begin_list();
        if !is_root {
            json.string(&node.name);
            json.string(&node.address);
        }
        json.end_list();
        json.string_field("pem", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n");
        json.end_object();
    }
    json.end_list();
    Ok(())
}
