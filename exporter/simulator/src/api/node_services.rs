//! `/nodes/{node}/services`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{json::Json, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/services",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/nodes/{node}", "Sys.Audit")),
    answer: Answer::One(render),
};

/// Every service that PVE knows.
const SERVICES: [&str; 23] = [
    "chrony",
    "corosync",
    "cron",
    "ksmtuned",
    "lxcfs",
    "postfix",
    "proxmox-firewall",
    "pve-cluster",
    "pve-firewall",
    "pve-ha-crm",
    "pve-ha-lrm",
    "pve-lxc-syscalld",
    "pvedaemon",
    "pvefw-logger",
    "pveproxy",
    "pvescheduler",
    "pvestatd",
    "qmeventd",
    "spiceproxy",
    "sshd",
    "syslog",
    "systemd-journald",
    "systemd-timesyncd",
];

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let node = &scene.view.model.nodes[scene.node];
    let standalone = scene.cluster.options.standalone;
    json.begin_list();
    for service in SERVICES {
        let unit = match service {
            "pve-lxc-syscalld" | "syslog" | "systemd-timesyncd" => "not-found",
            "systemd-journald" => "static",
            _ => "enabled",
        };
        let stopped = node.machine.stopped_service == Some(service) || service == "corosync" && standalone;
        // A pvestatd that hangs still runs.
        let (active, state) = if stopped || unit == "not-found" {
            ("inactive", "dead")
        } else {
            ("active", "running")
        };
        json.begin_row();
        json.string_field("service", service);
        json.string_field("name", service);
        json.string_field("desc", &format!("{service}.service"));
        json.string_field("state", state);
        json.string_field("active-state", active);
        json.string_field("unit-state", unit);
        json.end_object();
    }
    json.end_list();
    Ok(())
}
