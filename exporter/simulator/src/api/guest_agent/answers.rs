//! What agents say in few words.

use super::Scene;
use crate::{Agent, json::Json, model::Guest};

/// How far the clocks of Windows are ahead, in milliseconds.
const WINDOWS_AHEAD: u64 = 1_500;

/// The size of a memory block.
const MEMORY_BLOCK: u64 = 128 << 20;

pub(super) fn ping(_: &Scene<'_>, _: &Guest, json: &mut Json) {
    json.begin_object();
    json.end_object();
}

pub(super) fn freeze_status(_: &Scene<'_>, guest: &Guest, json: &mut Json) {
    json.string(if guest.agent == Agent::Frozen {
        "frozen"
    } else {
        "thawed"
    });
}

pub(super) fn host_name(_: &Scene<'_>, guest: &Guest, json: &mut Json) {
    let name = &guest.settings.name;
    let name = match guest.agent {
        Agent::Windows => name.to_uppercase(),
        _ => name.clone(),
    };
    json.begin_object();
    json.string_field("host-name", &name);
    json.end_object();
}

pub(super) fn memory_block_info(_: &Scene<'_>, _: &Guest, json: &mut Json) {
    json.begin_object();
    json.integer_field("size", MEMORY_BLOCK);
    json.end_object();
}

pub(super) fn memory_blocks(_: &Scene<'_>, guest: &Guest, json: &mut Json) {
    json.begin_list();
    for number in 0..guest.settings.memory / MEMORY_BLOCK {
        json.begin_row();
        json.integer_field("phys-index", number);
        json.key("online");
        json.boolean(true);
        json.key("can-offline");
        json.boolean(true);
        json.end_object();
    }
    json.end_list();
}

pub(super) fn operating_system(_: &Scene<'_>, guest: &Guest, json: &mut Json) {
    let fields: &[(&str, &str)] = match guest.agent {
        Agent::Windows => &[
            ("id", "mswindows"),
            ("name", "Microsoft Windows"),
            ("pretty-name", "Windows Server 2025 Standard"),
            ("version", "Microsoft Windows Server 2025"),
            ("version-id", "2025"),
            ("variant", "server"),
            ("variant-id", "server"),
            ("kernel-release", "26100"),
            ("kernel-version", "10.0"),
            ("machine", "x86_64"),
        ],
        Agent::Bsd => &[
            ("id", "freebsd"),
            ("name", "FreeBSD"),
            ("pretty-name", "FreeBSD 14.2-RELEASE"),
            ("version", "14.2-RELEASE"),
            ("version-id", "14.2"),
            ("kernel-release", "14.2-RELEASE"),
            (
                "kernel-version",
                "FreeBSD 14.2-RELEASE releng/14.2-n269506-c8918d6c7412 GENERIC",
            ),
            ("machine", "amd64"),
        ],
        _ => &[
            ("id", "debian"),
            ("name", "Debian GNU/Linux"),
            ("pretty-name", "Debian GNU/Linux 13 (trixie)"),
            ("version", "13 (trixie)"),
            ("version-id", "13"),
            ("kernel-release", "6.12.107+deb13-cloud-amd64"),
            (
                "kernel-version",
                "#1 SMP PREEMPT_DYNAMIC Debian 6.12.107-1 (2026-08-29)",
            ),
            ("machine", "x86_64"),
        ],
    };
    json.begin_object();
    for (key, value) in fields {
        json.string_field(key, value);
    }
    json.end_object();
}

pub(super) fn time(scene: &Scene<'_>, guest: &Guest, json: &mut Json) {
    let ahead = if guest.agent == Agent::Windows {
        WINDOWS_AHEAD
    } else {
        0
    };
    json.integer((scene.cluster.time.now() + ahead) * 1_000_000);
}

pub(super) fn time_zone(_: &Scene<'_>, guest: &Guest, json: &mut Json) {
    let (zone, offset) = match guest.agent {
        Agent::Windows => ("W. Europe Standard Time", 7_200),
        Agent::Bsd => ("EST", -18_000),
        _ => ("UTC", 0),
    };
    json.begin_object();
    json.string_field("zone", zone);
    json.signed_field("offset", offset);
    json.end_object();
}

pub(super) fn users(scene: &Scene<'_>, guest: &Guest, json: &mut Json) {
    json.begin_list();
    for number in 0..guest.vmid % 3 {
        json.begin_row();
        json.string_field("user", if number == 0 { "admin" } else { "operator" });
        if guest.agent == Agent::Windows {
            json.string_field("domain", "EXAMPLE");
        }
        let since = f64::from(600 * (number + 1)) + 0.123_456;
        json.float_field("login-time", scene.now() as f64 - since);
        json.end_object();
    }
    json.end_list();
}

pub(super) fn virtual_cpus(_: &Scene<'_>, guest: &Guest, json: &mut Json) {
    json.begin_list();
    for number in 0..guest.settings.cpus {
        json.begin_row();
        json.integer_field("logical-id", u64::from(number));
        json.key("online");
        json.boolean(number < 4 || number % 8 != 7);
        json.key("can-offline");
        json.boolean(number > 0 && guest.agent != Agent::Windows);
        json.end_object();
    }
    json.end_list();
}
