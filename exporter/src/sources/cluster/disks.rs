//! The disks of the nodes, and what they say of themselves where that is asked for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::{Known, Shown};
use crate::clock::Clock;
use crate::metrics::labels::Identity;
use crate::pve::client::Client;
use crate::sources::cached::Cached;
use crate::sources::disk_smart::{self, NodeSmart, Rounds};
use crate::sources::disks::{self, NodeDisks};
use crate::sources::held::Dated;
use crate::sources::name::SourceName;
use crate::sources::pace::Pace;
use crate::sources::source::{Outcome, PerNode, Source, Wiring};
use crate::sources::unawaited::Unawaited;
use crate::subjects::disk::Disk;
use crate::subjects::disk_smart::DiskSmart;

/// The sources.
pub(super) struct Disks {
    cluster: Arc<str>,
    known: Arc<Known>,
    lists: Arc<Unawaited<PerNode<NodeDisks>>>,
    smart: Smart,
    rows: Cached<Vec<Instant>, DiskRows>,
}

/// What the disks say. Each refresh asks one disk of a node, so that none is asked while another one still wakes.
struct Smart {
    enabled: bool,
    clock: Clock,
    lists: Arc<Unawaited<PerNode<NodeDisks>>>,
    rounds: Arc<Rounds>,
    nodes: PerNode<NodeSmart>,
}

/// The rows.
#[derive(Clone, Default)]
pub struct DiskRows {
    /// The disks.
    pub disks: Arc<[Disk]>,
    /// What they say.
    pub smart: Arc<[DiskSmart]>,
}

impl Disks {
    /// Nothing is fetched yet. Without `with_smart` no disk is woken.
    pub(super) fn new(wiring: &Wiring<'_>, known: &Arc<Known>, with_smart: bool) -> Self {
        let cluster: Arc<str> = wiring.cluster.into();
        let name = Arc::clone(&cluster);
        let lists = wiring.per_node(SourceName::Disks, move |client: Arc<Client>, node: Arc<str>| {
            let cluster = Arc::clone(&name);
            async move { disks::fetch(&client, &cluster, &node).await }
        });
        let lists = Arc::new(Unawaited(lists.damaged_by(|value| Some(value.damaged_rows))));
        let rounds = Arc::new(Rounds::new(wiring.pace(SourceName::DiskSmart).max_age));
        let (clock, disks, all) = (wiring.clock.clone(), Arc::clone(&lists), Arc::clone(&rounds));
        let nodes = wiring.per_node(SourceName::DiskSmart, move |client: Arc<Client>, node: Arc<str>| {
            let (clock, rounds, disks) = (clock.clone(), Arc::clone(&all), Arc::clone(&disks));
            async move {
                match next(&rounds, &disks.0, &node, clock.now()) {
                    None => Ok(rounds.all(&node, clock.now())),
                    Some(device) => {
                        let outcome = disk_smart::fetch(&client, &node, &device).await;
                        rounds.note(&node, &device, outcome, clock.now())
                    }
                }
            }
        });
        Self {
            cluster,
            known: Arc::clone(known),
            lists: Arc::clone(&lists),
            smart: Smart {
                enabled: with_smart,
                clock: wiring.clock.clone(),
                lists,
                rounds,
                nodes: nodes.damaged_by(|value| Some(value.damaged_rows)),
            },
            rows: Cached::default(),
        }
    }

    /// Its sources.
    pub(super) fn sources(&self) -> [&dyn Source; 2] {
        [&*self.lists, &self.smart]
    }

    /// Says which nodes there are.
    pub(super) fn find_nodes(&self) {
        let nodes = self.known.nodes(false);
        self.lists.0.set_nodes(&nodes);
        self.smart
            .nodes
            .set_nodes(if self.smart.enabled { &nodes } else { &[] });
    }

    /// What they bring.
    pub(super) fn rows(&self, shown: &Shown<'_>) -> DiskRows {
        let (lists, smart) = (shown.nodes(&self.lists.0), shown.nodes(&self.smart.nodes));
        let key = lists.values().map(|list| list.at);
        let key = key.chain(smart.values().map(|smart| smart.at)).collect();
        self.rows.of(key, || self.merge(&lists, &smart))
    }

    fn merge(
        &self,
        lists: &BTreeMap<Arc<str>, Dated<NodeDisks>>,
        smart: &BTreeMap<Arc<str>, Dated<NodeSmart>>,
    ) -> DiskRows {
        let (mut disks, mut readings) = (Vec::new(), Vec::new());
        for (node, list) in lists {
            for disk in &list.value.disks {
                disks.push(disk.clone());
                let read = smart.get(node).and_then(|smart| smart.value.disks.get(&disk.device));
                readings.extend(read.map(|read| DiskSmart {
                    identity: Identity::new(&[
                        ("pve_cluster", &self.cluster),
                        ("node", node),
                        ("device", &disk.device),
                    ]),
                    readings: Arc::clone(read),
                }));
            }
        }
        DiskRows {
            disks: disks.into(),
            smart: readings.into(),
        }
    }
}

fn next(rounds: &Rounds, lists: &PerNode<NodeDisks>, node: &Arc<str>, now: Instant) -> Option<Arc<str>> {
    let list = lists.nodes().get(node)?.latest()?;
    rounds.next(node, &list.value, now)
}

impl Source for Smart {
    fn name(&self) -> SourceName {
        self.nodes.name()
    }

    /// As long as a disk is due the node is.
    fn refresh(&self, interval: Duration, _: tokio::time::Instant) -> Vec<BoxFuture<'_, ()>> {
        let pace = Pace {
            max_age: Duration::ZERO,
            ..self.nodes.pace()
        };
        for (node, held) in self.nodes.nodes() {
            let due = || next(&self.rounds, &self.lists.0, &node, self.clock.now()).is_some();
            if held.need(pace, interval).refresh && due() {
                self.nodes.start(&node, &held);
            }
        }
        Vec::new()
    }

    fn retry(&self) {
        self.nodes.retry();
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.nodes.outcomes()
    }
}

#[cfg(test)]
mod tests;
