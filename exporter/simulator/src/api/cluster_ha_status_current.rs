//! `/cluster/ha/status/current`

use super::{ALWAYS, Answer, Endpoint, Scene};
use crate::{
    ha::{Ha, HaNode, Service},
    json::Json,
    reply::Refusal,
};

pub(super) const ENDPOINT: Endpoint = Endpoint {
    method: "GET",
    template: "/cluster/ha/status/current",
    since: ALWAYS,
    parameters: &[],
    privilege: Some(("/", "Sys.Audit")),
    answer: Answer::One(render),
};

/// How old a timestamp may be, in seconds, before its writer seems to be dead.
const OLDEST: u64 = 30;

fn render(scene: &Scene<'_>, json: &mut Json) -> Result<(), Refusal> {
    let nodes = &scene.view.model.nodes;
    let quorate = scene.view.quorate();
    json.begin_list();
    json.begin_row();
    json.string_field("id", "quorum");
    json.string_field("type", "quorum");
    json.string_field("node", &nodes[scene.node].name);
    json.string_field("status", if quorate { "OK" } else { "No quorum!" });
    json.flag_field("quorate", quorate);
    json.end_object();
    if let Some(ha) = Ha::of(scene.view) {
        let master = &nodes[ha.master].name;
        json.begin_row();
        json.string_field("id", "master");
        json.string_field("type", "master");
        json.string_field("node", master);
        let state = if is_old(scene, ha.timestamp) {
            "old timestamp - dead?"
        } else {
            "active"
        };
        json.string_field("status", &format!("{master} ({state}, {})", date(ha.timestamp)));
        json.integer_field("timestamp", ha.timestamp);
        json.end_object();
        if scene.version().has_ha_fencing_row() {
            json.begin_row();
            json.string_field("id", "fencing");
            json.string_field("type", "fencing");
            json.string_field("node", master);
            json.string_field("status", "armed (CRM watchdog active)");
            json.string_field("armed-state", "armed");
            json.end_object();
        }
        for node in &ha.nodes {
            manager(scene, node, json);
        }
        for service in &ha.services {
            write_service(scene, service, json);
        }
    }
    json.end_list();
    Ok(())
}

fn is_old(scene: &Scene<'_>, timestamp: u64) -> bool {
    scene.view.at / 1_000 > timestamp + OLDEST
}

fn manager(scene: &Scene<'_>, node: &HaNode, json: &mut Json) {
    let name = &scene.view.model.nodes[node.index].name;
    let (state, watchdog) = match (is_old(scene, node.timestamp), node.active) {
        (true, _) => ("old timestamp - dead?", "standby"),
        (false, true) => ("active", "active"),
        (false, false) => ("idle", "standby"),
    };
    let watchdog = if scene.version().has_ha_fencing_row() {
        format!(" watchdog {watchdog},")
    } else {
        String::new()
    };
    json.begin_row();
    json.string_field("id", &format!("lrm:{name}"));
    json.string_field("type", "lrm");
    json.string_field("node", name);
    json.string_field(
        "status",
        &format!("{name} ({state},{watchdog} {})", date(node.timestamp)),
    );
    json.integer_field("timestamp", node.timestamp);
    json.end_object();
}

fn write_service(scene: &Scene<'_>, service: &Service<'_>, json: &mut Json) {
    let (id, node) = (service.id(), &scene.view.model.nodes[service.guest.node].name);
    let state = if service.state == "started" && !service.guest.is_running() {
        "starting"
    } else {
        service.state
    };
    json.begin_row();
    json.string_field("id", &format!("service:{id}"));
    json.string_field("type", "service");
    json.string_field("sid", &id);
    json.string_field("node", node);
    json.string_field("crm_state", service.state);
    json.string_field("state", state);
    json.string_field("status", &format!("{id} ({node}, {state})"));
    json.string_field("request_state", service.requested);
    json.integer_field("max_restart", 1);
    json.integer_field("max_relocate", 1);
    if scene.version().has_ha_rules() {
        json.integer_field("failback", 1);
    } else {
        json.string_field("group", super::cluster_ha_groups::GROUP);
    }
    json.end_object();
}

/// A time as C's `asctime` writes it, in UTC.
fn date(seconds: u64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [(&str, u64); 12] = [
        ("Jan", 31),
        ("Feb", 28),
        ("Mar", 31),
        ("Apr", 30),
        ("May", 31),
        ("Jun", 30),
        ("Jul", 31),
        ("Aug", 31),
        ("Sep", 30),
        ("Oct", 31),
        ("Nov", 30),
        ("Dec", 31),
    ];
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let (mut year, mut day) = (1970, days);
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = "Jan";
    for (name, length) in MONTHS {
        let length = length + u64::from(name == "Feb" && is_leap(year));
        month = name;
        if day < length {
            break;
        }
        day -= length;
    }
    let weekday = DAYS
        .iter()
        .cycle()
        .nth(usize::try_from(days % 7).unwrap_or(0))
        .copied()
        .unwrap_or("Thu");
    let (hour, minute, second) = (time / 3_600, time / 60 % 60, time % 60);
    format!(
        "{weekday} {month} {:2} {hour:02}:{minute:02}:{second:02} {year}",
        day + 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_c() {
        assert_eq!(date(1_795_151_628), "Fri Nov 20 05:13:48 2026");
        assert_eq!(date(1_709_164_800), "Thu Feb 29 00:00:00 2024");
        assert_eq!(date(0), "Thu Jan  1 00:00:00 1970");
    }
}
