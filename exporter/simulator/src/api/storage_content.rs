//! `/nodes/{node}/storage/{storage}/content`

use super::{ALWAYS, Answer, Endpoint, Parameter, Scene};
use crate::{
    GuestKind,
    calendar::DateTime,
    json::Json,
    model::{Storage, Volume, backup_file, file_format},
    random::hash,
    reply::Refusal,
};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/nodes/{node}/storage/{storage}/content",
    since: ALWAYS,
    parameters: &[Parameter::new("content"), Parameter::new("vmid")],
    privilege: Some(("/storage/{storage}", "Datastore.Audit|Datastore.AllocateSpace")),
    answer: Answer::One(render),
};

/// How long after a backup it was verified.
const VERIFIED_AFTER: u64 = 6 * 3_600;

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let (call, model) = (scene.call, scene.view.model);
    let name = call.parameter("storage").unwrap_or_default();
    let failed = |problem: String| Refusal::new(500, problem);
    let Some(storage) = model.storage(name) else {
        return Err(failed(format!("storage '{name}' does not exist")));
    };
    if !scene.view.storage_available(storage, scene.node) {
        return Err(failed(if storage.is_backup_server() {
            let problem = "Can't connect to 192.0.2.9:8007 (No route to host)";
            format!("{name}: error fetching datastores - 500 {problem}")
        } else {
            format!("storage '{name}' is not online")
        }));
    }
    let vmid = call.number("vmid")?;
    let is_wanted = |content: &str| call.query("content").is_none_or(|asked| asked == content);
    json.begin_list();
    if name == "local" && is_wanted("vztmpl") && vmid.is_none() {
        write_template(json);
    }
    if is_wanted("backup") && scene.cluster.options.sees_backups {
        for volume in model.backups.volumes(name) {
            let here = storage.shared || volume.node == scene.node;
            if here && vmid.is_none_or(|vmid| u64::from(volume.vmid) == vmid) {
                write_backup(scene, json, storage, volume);
            }
        }
    }
    json.end_list();
    Ok(())
}

fn write_template(json: &mut Json) {
    json.begin_row();
    json.string_field("volid", "local:vztmpl/debian-13-standard_13.1-2_amd64.tar.zst");
    json.string_field("content", "vztmpl");
    json.string_field("format", "tzst");
    json.integer_field("size", 129_710_398);
    json.integer_field("ctime", 1_770_000_000);
    json.end_object();
}

fn write_backup(scene: &Scene<'_>, json: &mut Json, storage: &Storage, volume: &Volume) {
    let Volume {
        vmid, kind, created, ..
    } = *volume;
    let model = scene.view.model;
    let (volume_name, format) = if storage.is_backup_server() {
        let (group, format) = match kind {
            GuestKind::Qemu => ("vm", "pbs-vm"),
            GuestKind::Lxc => ("ct", "pbs-ct"),
        };
        (format!("{group}/{vmid}/{}", DateTime::at(created).iso()), format)
    } else {
        (
            backup_file(kind, vmid, model.schedule.local(created)),
            file_format(kind),
        )
    };
    json.begin_row();
    json.string_field("volid", &format!("{}:backup/{volume_name}", storage.name));
    json.string_field("content", "backup");
    json.string_field("format", format);
    json.string_field("subtype", kind.as_str());
    json.integer_field("vmid", u64::from(vmid));
    json.integer_field("size", volume.size);
    json.integer_field("ctime", created);
    let guest = model.guests.get(&vmid);
    json.string_field("notes", guest.map_or("retired", |guest| &guest.settings.name));
    if volume.protected {
        json.integer_field("protected", 1);
    }
    if storage.is_backup_server() && scene.now() >= created + VERIFIED_AFTER {
        // In a lively cluster a few are found to be damaged.
        let draw = hash(&[u64::from(vmid), created]);
        let is_damaged = scene.cluster.options.is_troubled() && draw.is_multiple_of(40);
        let verified = created + VERIFIED_AFTER;
        json.key("verification");
        json.begin_object();
        json.string_field("state", if is_damaged { "failed" } else { "ok" });
        let upid = format!("UPID:pbs:000002A1:0000B1C2:00000001:{verified:08X}:verificationjob:store:root@pam:");
        json.string_field("upid", &upid);
        json.end_object();
    }
    json.end_object();
}
