//! `/access/permissions`

use super::{ALWAYS, Answer, Endpoint, Parameter, Scene};
use crate::{json::Json, reply::Refusal};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/access/permissions",
    since: ALWAYS,
    parameters: &[Parameter::new("path"), Parameter::new("userid")],
    privilege: None,
    answer: Answer::One(render),
};

/// The role PVEAuditor.
const PRIVILEGES: [&str; 7] = [
    "Datastore.Audit",
    "Mapping.Audit",
    "Pool.Audit",
    "SDN.Audit",
    "Sys.Audit",
    "VM.Audit",
    "VM.GuestAgent.Audit",
];

/// What a token needs to see backup volumes.
const SEES_BACKUPS: [&str; 3] = ["Datastore.Allocate", "Datastore.AllocateSpace", "VM.Backup"];

/// The objects that PVE always lists.
const PATHS: [&str; 8] = [
    "/",
    "/access",
    "/access/groups",
    "/nodes",
    "/pool",
    "/sdn",
    "/storage",
    "/vms",
];

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let asked = scene.call.query("path");
    json.begin_object();
    if scene.permitted {
        for path in PATHS.iter().copied().filter(|_| asked.is_none()).chain(asked) {
            json.key(path);
            json.begin_object();
            for privilege in PRIVILEGES {
                if !privilege.contains("GuestAgent") || scene.version().has_agent_privileges() {
                    json.integer_field(privilege, 1);
                }
            }
            if scene.cluster.options.monitors_guests && !scene.version().has_agent_privileges() {
                json.integer_field("VM.Monitor", 1);
            }
            for privilege in SEES_BACKUPS.iter().filter(|_| scene.cluster.options.sees_backups) {
                json.integer_field(privilege, 1);
            }
            json.end_object();
        }
    }
    json.end_object();
    Ok(())
}
