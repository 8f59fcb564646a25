//! What is fetched: the objects, and their timeframes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::backfill::columns::Kind;
use crate::config::VmidRange;
use crate::pve::budget::Cost;
use crate::pve::client::Request;
use crate::sources::resources::Resources;

/// Which of the nodes, guests or storages.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection(pub Vec<String>);

/// Something that has a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// PVE's id: `node/pve1`, `qemu/100`, `storage/pve1/local`.
    pub id: String,
    /// The node, of a shared storage the one that is asked.
    pub node: String,
    /// The name of a storage, else empty.
    pub storage: String,
    /// Whether it is a storage that is the same one on every node.
    pub shared: bool,
}

/// A period that PVE keeps.
#[derive(Debug, PartialEq, Eq)]
pub struct Timeframe {
    /// Its name.
    pub name: &'static str,
    /// Seconds of its periods, the shortest of any version.
    pub step: u64,
    /// How many of those PVE 9 keeps.
    pub count: u64,
    /// Seconds that it reaches back in every version.
    pub least: u64,
    /// Seconds that it reaches back at most: PVE 8 keeps 70 periods.
    pub most: u64,
}

const DAY: u64 = 86_400;

/// The finest first. Only PVE 9 knows `decade`, and its first versions gave less than 360 days for `year`.
pub const TIMEFRAMES: [Timeframe; 6] = [
    timeframe("hour", (60, 60), 3_600, 70 * 60),
    timeframe("day", (60, 1_440), DAY, 70 * 1_800),
    timeframe("week", (1_800, 336), 7 * DAY, 70 * 3 * 3_600),
    timeframe("month", (1_800, 1_440), 30 * DAY, 70 * DAY / 2),
    timeframe("year", (6 * 3_600, 1_440), 285 * DAY, 70 * 7 * DAY),
    timeframe("decade", (7 * DAY, 570), 570 * 7 * DAY, 570 * 7 * DAY),
];

const fn timeframe(name: &'static str, (step, count): (u64, u64), least: u64, most: u64) -> Timeframe {
    Timeframe {
        name,
        step,
        count,
        least,
        most,
    }
}

impl Selection {
    fn is_all(&self) -> bool {
        self.0.is_empty() || self.0 == ["all"]
    }

    fn is_none(&self) -> bool {
        self.0 == ["none"]
    }

    /// Whether `name` is selected.
    fn has(&self, name: &str) -> bool {
        !self.is_none() && (self.is_all() || self.0.iter().any(|selected| selected == name))
    }

    fn unknown(&self, known: &BTreeSet<&str>) -> Option<&String> {
        if self.is_all() || self.is_none() {
            return None;
        }
        self.0.iter().find(|name| !known.contains(name.as_str()))
    }

    /// The numbers of guests; none where all are selected.
    fn vmids(&self) -> Result<Option<Vec<VmidRange>>, String> {
        if self.is_all() {
            return Ok(None);
        }
        if self.is_none() {
            return Ok(Some(Vec::new()));
        }
        let ranges = self.0.iter().map(|text| text.parse::<VmidRange>());
        ranges
            .collect::<Result<_, _>>()
            .map(Some)
            .map_err(|error| format!("--guests: {error}, or all, or none"))
    }
}

impl Object {
    /// The labels that its live series have.
    #[must_use]
    pub fn labels<'a>(&'a self, cluster: &'a str) -> Vec<(&'static str, &'a str)> {
        let mut labels = vec![("pve_cluster", cluster)];
        match self.kind {
            Kind::Storage if self.shared => labels.push(("storage", &self.storage)),
            Kind::Storage => labels.extend([("id", &*self.id), ("node", &self.node), ("storage", &self.storage)]),
            Kind::Node => labels.extend([("id", &*self.id), ("node", &self.node)]),
            Kind::Qemu | Kind::Lxc => labels.push(("id", &self.id)),
        }
        labels
    }

    /// The request for a timeframe. Every node has the histories of nodes and guests, of those that are offline as well; that of
    /// a storage is its node's.
    #[must_use]
    pub fn request(&self, timeframe: &str) -> Request {
        let query = format!("rrddata?timeframe={timeframe}&cf=AVERAGE");
        let Self { node, id, storage, .. } = self;
        let path = match self.kind {
            Kind::Storage => {
                let path = format!("storage/{storage}/{query}");
                return Request::node(&Arc::from(node.as_str()), &path, Cost::Slow);
            }
            Kind::Node => format!("/nodes/{node}/{query}"),
            Kind::Qemu | Kind::Lxc => format!("/nodes/{node}/{id}/{query}"),
        };
        Request {
            cost: Cost::Slow,
            ..Request::entry(path)
        }
    }
}

/// The objects that are selected, nodes first, in the order of their names.
///
/// # Errors
/// A sentence, when a selection names what is not there or nothing is selected.
pub fn objects(
    resources: &Resources,
    nodes: &Selection,
    guests: &Selection,
    storages: &Selection,
) -> Result<Vec<Object>, String> {
    let known: BTreeSet<&str> = resources.nodes.keys().map(|name| &**name).collect();
    if let Some(name) = nodes.unknown(&known) {
        return Err(format!(
            "--nodes: the cluster has no node {name:?}, only {}",
            listed(&known)
        ));
    }
    let known: BTreeSet<&str> = resources.storages.iter().map(|storage| &*storage.name).collect();
    if let Some(name) = storages.unknown(&known) {
        return Err(format!(
            "--storages: the cluster has no storage {name:?}, only {}",
            listed(&known)
        ));
    }
    let vmids = guests.vmids()?;
    let object = |kind, id: String, node: &str| Object {
        kind,
        id,
        node: node.to_owned(),
        storage: String::new(),
        shared: false,
    };
    let mut objects: Vec<Object> = resources
        .nodes
        .keys()
        .filter(|name| nodes.has(name) && is_plain(name))
        .map(|name| object(Kind::Node, format!("node/{name}"), name))
        .collect();
    for guest in resources.guests.iter().filter(|guest| is_plain(&guest.node)) {
        let selected = vmids
            .as_ref()
            .is_none_or(|ranges| ranges.iter().any(|range| range.contains(guest.vmid)));
        if selected {
            let kind = match guest.kind {
                crate::config::GuestKind::Qemu => Kind::Qemu,
                crate::config::GuestKind::Lxc => Kind::Lxc,
            };
            let id = format!("{}/{}", guest.kind.as_str(), guest.vmid);
            objects.push(object(kind, id, &guest.node));
        }
    }
    objects.extend(storage_objects(resources, storages));
    if objects.is_empty() {
        return Err("nothing is selected, or the token may see nothing of it".to_owned());
    }
    Ok(objects)
}

/// Storages of nodes, and each shared one once: from the first node that can reach it, else from the first.
fn storage_objects(resources: &Resources, selected: &Selection) -> Vec<Object> {
    let mut objects = BTreeMap::new();
    for row in &resources.storages {
        if !selected.has(&row.name) || !is_plain(&row.name) || !is_plain(&row.node) {
            continue;
        }
        let shared = row.on_node.shared == Some(true);
        let reachable = row.on_node.up == Some(true);
        let key = (row.name.to_string(), (!shared).then(|| row.node.to_string()));
        let object = Object {
            kind: Kind::Storage,
            id: format!("storage/{}/{}", row.node, row.name),
            node: row.node.to_string(),
            storage: row.name.to_string(),
            shared,
        };
        let known = objects.entry(key).or_insert((reachable, object.clone()));
        if reachable && !known.0 {
            *known = (true, object);
        }
    }
    objects.into_values().map(|(_, object)| object).collect()
}

/// Whether a name can stand in a path as it is. PVE allows no others.
fn is_plain(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && !name.starts_with('.') && name.chars().all(allowed)
}

fn listed(names: &BTreeSet<&str>) -> String {
    names.iter().copied().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

    use super::*;
    use crate::config::GuestFilter;
    use crate::sources::resources::{Memory, convert};

    fn resources() -> Resources {
        let body = include_bytes!("../../tests/fixtures/pve-9.2/cluster__resources.json");
        let memory = Mutex::<Memory>::default();
        convert(
            body,
            "main",
            &GuestFilter::default(),
            &mut memory.lock().unwrap(),
            Instant::now(),
        )
        .unwrap()
    }

    fn selected(nodes: &[&str], guests: &[&str], storages: &[&str]) -> Result<Vec<String>, String> {
        let [nodes, guests, storages] =
            [nodes, guests, storages].map(|names| Selection(names.iter().map(|name| (*name).to_owned()).collect()));
        let objects = objects(&resources(), &nodes, &guests, &storages)?;
        Ok(objects.into_iter().map(|object| object.id).collect())
    }

    #[test]
    fn everything_is_selected_unless_said_otherwise() {
        let all = selected(&[], &[], &[]).unwrap();
        assert!(all.starts_with(&[
            "node/pve1".into(),
            "node/pve2".into(),
            "node/pve3".into(),
            "qemu/100".into()
        ]));
        assert!(all.contains(&"lxc/301".into()) && all.contains(&"storage/pve2/local".into()));
        assert_eq!(
            selected(&["pve2"], &["100-101", "200"], &["none"]).unwrap(),
            ["node/pve2", "qemu/100", "qemu/101", "lxc/200"]
        );
    }

    #[test]
    fn a_mistake_is_told() {
        for (nodes, guests, storages, words) in [
            (["pve9"], ["all"], ["all"], "no node \"pve9\", only pve1, pve2, pve3"),
            (["all"], ["web"], ["all"], "--guests: \"web\" is not a VMID"),
            (["all"], ["all"], ["moon"], "no storage \"moon\""),
            (["none"], ["none"], ["none"], "nothing is selected"),
        ] {
            let problem = selected(&nodes, &guests, &storages).unwrap_err();
            assert!(problem.contains(words), "{problem}");
        }
    }

    #[test]
    fn a_shared_storage_is_read_once_and_where_it_can_be_reached() {
        let row = |node: &str, status: &str| {
            format!(
                r#"{{"id":"storage/{node}/nas","type":"storage","node":"{node}","storage":"nas","shared":1,"status":"{status}"}}"#
            )
        };
        let body = format!(
            r#"{{"data":[{},{}]}}"#,
            row("pve1", "unknown"),
            row("pve2", "available")
        );
        let mut memory = Memory::default();
        let resources = convert(
            body.as_bytes(),
            "main",
            &GuestFilter::default(),
            &mut memory,
            Instant::now(),
        )
        .unwrap();
        let all = Selection::default();
        let objects = objects(&resources, &all, &all, &all).unwrap();
        assert_eq!((objects.len(), &*objects[0].node), (1, "pve2"));
        assert_eq!(objects[0].labels("main"), [("pve_cluster", "main"), ("storage", "nas")]);
    }

    #[test]
    fn names_that_are_no_path_are_left_out() {
        assert!(is_plain("pve-1.example") && !is_plain("a/../b") && !is_plain("..") && !is_plain("a?b"));
    }
}
