//! `/nodes/{node}/network`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{json::Json, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/network",
    since: ALWAYS,
    parameters: &[],
    privilege: None,
    answer: Answer::One(render),
};

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let address = &scene.view.model.nodes[scene.node].address;
    json.begin_list();
    let mut row = |interface: &str, kind: &str, active: bool, more: &dyn Fn(&mut Json)| {
        json.begin_row();
        json.string_field("iface", interface);
        json.string_field("type", kind);
        json.string_field("method6", "manual");
        json.integer_field("priority", 3);
        json.key("families");
        json.begin_list();
        json.string("inet");
        json.end_list();
        if active {
            json.integer_field("active", 1);
        }
        more(json);
        json.end_object();
    };
    // The last one has never been used.
    for (interface, active) in [("eno1", true), ("eno2", true), ("eno3", false)] {
        row(interface, "eth", active, &|json| {
            json.string_field("method", "manual");
            json.integer_field("exists", 1);
        });
    }
    row("bond0", "bond", true, &|json| {
        json.string_field("method", "manual");
        json.integer_field("autostart", 1);
        json.string_field("slaves", "eno1 eno2");
        json.string_field("bond_mode", "802.3ad");
        json.string_field("bond_miimon", "100");
    });
    if scene.permitted {
        row("vmbr0", "bridge", true, &|json| {
            json.string_field("method", "static");
            json.integer_field("autostart", 1);
            json.string_field("bridge_ports", "bond0");
            json.string_field("bridge_stp", "off");
            json.string_field("bridge_fd", "0");
            json.string_field("address", address);
            json.string_field("netmask", "24");
            json.string_field("cidr", &format!("{address}/24"));
            json.string_field("gateway", "192.0.2.1");
        });
    }
    json.end_list();
    Ok(())
}
