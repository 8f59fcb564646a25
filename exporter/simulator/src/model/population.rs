//! Who lives in a new cluster.

use std::collections::{BTreeMap, BTreeSet};

use pve_guest_protocol::PORT_NAME;

use super::{Agent, Guest, GuestKind, GuestSettings, GuestSnapshot};
use crate::{
    Options,
    clock::Milliseconds,
    random::{hash, index, unit},
};

const GIB: u64 = 1 << 30;

/// Of the guests in so many first places for each node those with Linux have a port, in a lively cluster: about two dozen.
const PLACES_WITH_PORT: usize = 40;

/// What guests are for: the name, and the tag that says it.
const ROLES: [(&str, &str); 16] = [
    ("web", "web"),
    ("db", "database"),
    ("app", "app"),
    ("cache", "cache"),
    ("mail", "mail"),
    ("dns", "infra"),
    ("git", "build"),
    ("ci", "build"),
    ("queue", "app"),
    ("proxy", "infra"),
    ("search", "database"),
    ("files", "storage"),
    ("auth", "infra"),
    ("monitor", "infra"),
    ("wiki", "app"),
    ("log", "infra"),
];

/// The guests of a new cluster. Every twentieth place has a fixed meaning, so that even a few guests are a mixture.
pub(super) fn guests(options: &Options, start: Milliseconds) -> Vec<Guest> {
    let mut used = [0_usize; ROLES.len()];
    let mut templates = 0_usize;
    (0_u32..)
        .take(options.guests)
        .map(|place| {
            let number = u64::from(place);
            let draw = |question: u64| hash(&[options.seed, number, question]);
            let kind = if matches!(place % 10, 2 | 5 | 8) {
                GuestKind::Lxc
            } else {
                GuestKind::Qemu
            };
            let stopped = matches!(place % 20, 4 | 8 | 9 | 14);
            let template = place % 20 == 9;
            let role = usize::try_from(place).map_or(0, |place| {
                if place < 3 {
                    place
                } else {
                    index(ROLES.len(), &[draw(1)])
                }
            });
            used[role] += 1;
            let mut settings = settings(&format!("{}-{:02}", ROLES[role].0, used[role]));
            settings.pool = pool(draw(2), place).map(str::to_owned);
            settings.tags = tags(settings.pool.as_deref(), ROLES[role].1, draw(3));
            size(&mut settings, kind, draw(4));
            if template {
                templates += 1;
                settings.name = format!("template-debian-{}", 11 + templates);
                settings.template = true;
                (settings.pool, settings.tags) = (None, Some("template".to_owned()));
            } else if place % 6 == 1 {
                settings.hastate = Some(if stopped { "stopped" } else { "started" }.to_owned());
            }
            care(&mut settings, kind, draw(7), start);
            if options.is_troubled() {
                trouble(&mut settings, place);
            }
            let node = usize::try_from(place).ok().filter(|place| *place < options.nodes);
            let node = node.unwrap_or_else(|| index(options.nodes, &[draw(5)]));
            let vmid = 100 + place;
            let has_agent = kind == GuestKind::Qemu && !template;
            let agent = options.agents.of(vmid, place, options).filter(|_| has_agent);
            settings.agent = agent.as_ref().map(|(_, value)| (*value).to_owned());
            let has_linux = agent
                .as_ref()
                .is_none_or(|(agent, _)| !matches!(agent, Agent::Windows | Agent::Bsd));
            let is_early = usize::try_from(place).is_ok_and(|place| place < options.nodes * PLACES_WITH_PORT);
            if options.events && kind == GuestKind::Qemu && !template && has_linux && is_early {
                settings.args = Some(port(vmid));
            }
            let mut guest = Guest::new(options.seed, vmid, kind, node, settings);
            guest.agent = agent.map_or_else(Default::default, |(agent, _)| agent);
            if !stopped {
                // Between an hour and 30 days, which is younger than any node.
                let age = 3_600_000 + draw(6) % (30 * 86_400_000);
                guest.start(start.saturating_sub(age));
                if options.is_troubled() {
                    hold(&mut guest, place, start);
                }
            }
            guest
        })
        .collect()
}

/// The arguments that give a virtual machine a port for the collector in it.
fn port(vmid: u32) -> String {
    format!(
        "-device virtio-serial,id=tel0 -chardev socket,id=tel0,path=/var/run/qemu-server/{vmid}.telemetry,server=on,wait=off -device virtserialport,bus=tel0.0,chardev=tel0,name={PORT_NAME}"
    )
}

/// A plain guest of a name.
pub(crate) fn settings(name: &str) -> GuestSettings {
    GuestSettings {
        name: name.to_owned(),
        tags: None,
        pool: None,
        lock: None,
        hastate: None,
        ha_requested: None,
        run_state: None,
        template: false,
        cpus: 2,
        memory: 2 * GIB,
        disk: 32 * GIB,
        onboot: false,
        startup: None,
        agent: None,
        args: None,
        protection: false,
        drives_without_backup: BTreeSet::new(),
        pending: BTreeMap::new(),
        snapshots: Vec::new(),
    }
}

/// How somebody looks after a guest: production guests start with their node, some are protected, have snapshots or wait
/// for a restart.
fn care(settings: &mut GuestSettings, kind: GuestKind, draw: u64, start: Milliseconds) {
    let one_in = |many: u64, question: u64| hash(&[draw, question]).is_multiple_of(many);
    let production = settings.pool.as_deref() == Some("prod");
    settings.onboot = !settings.template && if production { !one_in(12, 1) } else { one_in(3, 1) };
    settings.protection = production && one_in(4, 2);
    if settings.onboot && one_in(5, 3) {
        settings.startup = Some(format!("order={},up=30", 1 + hash(&[draw, 4]) % 3));
    }
    if one_in(3, 7) {
        // Of the drives that these names can mean, a guest has some or none.
        settings.drives_without_backup = ["scsi1", "mp0"].map(str::to_owned).into();
    }
    if settings.template {
        return;
    }
    if one_in(11, 8) {
        settings
            .pending
            .insert("memory".to_owned(), Some((settings.memory >> 19).to_string()));
        if kind == GuestKind::Qemu {
            settings.pending.insert("numa".to_owned(), None);
        }
    }
    if one_in(4, 10) {
        let day = 86_400;
        let youngest = (start / 1_000).saturating_sub(day + hash(&[draw, 11]) % (20 * day));
        let names = ["installed", "before-upgrade", "after-upgrade"];
        let count = 1 + index(names.len(), &[draw, 12]);
        settings.snapshots = (0_u64..)
            .zip(names)
            .take(count)
            .map(|(number, name)| GuestSnapshot {
                name: name.to_owned(),
                taken_at: youngest.saturating_sub((count as u64 - 1 - number) * 9 * day),
                with_memory: kind == GuestKind::Qemu && number == 1,
            })
            .collect();
    }
}

/// What is wrong in a lively cluster from the start: a service that HA gave up, and a lock that nobody took away.
fn trouble(settings: &mut GuestSettings, place: u32) {
    match place {
        3 => settings.lock = Some("snapshot".to_owned()),
        7 => settings.hastate = Some("error".to_owned()),
        _ => {}
    }
}

/// What holds a guest up in a lively cluster: a disk that is full, and somebody who forgot it.
fn hold(guest: &mut Guest, place: u32, start: Milliseconds) {
    let (state, hours) = match place {
        41 => ("io-error", 1),
        47 => ("paused", 26),
        _ => return,
    };
    let since = start.saturating_sub(hours * 3_600_000);
    guest.running_since = guest.running_since.map(|running| running.min(since));
    guest.settings.run_state = Some(state.to_owned());
    guest.held_since = Some(since);
}

fn pool(draw: u64, place: u32) -> Option<&'static str> {
    match (place, draw % 100) {
        (0, _) | (_, 0..40) => Some("prod"),
        (_, 40..55) => Some("staging"),
        (_, 55..75) => Some("dev"),
        _ => None,
    }
}

fn tags(pool: Option<&str>, role: &str, draw: u64) -> Option<String> {
    match (pool, draw % 4) {
        (_, 0) => None,
        (Some(pool), _) => Some(format!("{pool};{role}")),
        (None, _) => Some(role.to_owned()),
    }
}

fn size(settings: &mut GuestSettings, kind: GuestKind, draw: u64) {
    let doubled = |lowest: u64, steps: usize, question: u64| lowest << index(steps, &[draw, question]);
    let heavy = unit(&[draw, 1]) > 0.9;
    settings.cpus = u32::try_from(doubled(1, if heavy { 5 } else { 3 }, 2)).unwrap_or(1);
    settings.memory = match kind {
        GuestKind::Qemu => doubled(GIB, if heavy { 6 } else { 4 }, 3),
        GuestKind::Lxc => doubled(GIB / 4, 4, 3),
    };
    settings.disk = match kind {
        GuestKind::Qemu => doubled(16 * GIB, 5, 4),
        GuestKind::Lxc => doubled(4 * GIB, 4, 4),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_guests_are_already_a_mixture() {
        let options = Options {
            guests: 20,
            ..Options::default()
        };
        let guests = guests(&options, 1_786_800_000_000);
        let count = |test: &dyn Fn(&Guest) -> bool| guests.iter().filter(|guest| test(guest)).count();
        assert_eq!(count(&|guest| guest.kind == GuestKind::Lxc), 6);
        assert_eq!(count(&|guest| guest.is_running()), 16);
        assert_eq!(count(&|guest| guest.settings.template), 1);
        assert!(count(&|guest| guest.settings.hastate.is_some()) >= 2);
        assert_eq!(
            (guests[0].settings.name.as_str(), guests[1].settings.name.as_str()),
            ("web-01", "db-01")
        );
        assert!((0..options.nodes).all(|node| guests.iter().any(|guest| guest.node == node)));
    }
}
