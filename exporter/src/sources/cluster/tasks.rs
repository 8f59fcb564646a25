//! Tasks: the newest of all nodes, and from the nodes' archives what those leave out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::{Known, Shown};
use crate::config::{MOST_FAILED_TASKS, Metrics};
use crate::pve::client::Client;
use crate::sources::name::SourceName;
use crate::sources::source::{Outcome, PerNode, Source, Whole, Wiring};
use crate::sources::tasks::{self, Ledger, TaskRows, TasksRead};

/// The sources of tasks.
pub(super) struct Tasks {
    cluster: Arc<str>,
    ledger: Arc<Mutex<Ledger>>,
    recent: Whole<TasksRead>,
    archive: Archive,
}

impl Tasks {
    /// Nothing is fetched yet.
    pub(super) fn new(wiring: &Wiring<'_>, known: &Arc<Known>) -> Self {
        let ledger = Arc::new(Mutex::new(Ledger::new(MOST_FAILED_TASKS)));
        let (own, known, clock) = (Arc::clone(&ledger), Arc::clone(known), wiring.clock.clone());
        let recent = wiring.whole(SourceName::Tasks, move |client: Arc<Client>| {
            let (ledger, online, now) = (Arc::clone(&own), known.online(), clock.unix_seconds());
            async move { tasks::fetch_recent(&client, &ledger, online.as_ref(), now).await }
        });
        Self {
            cluster: wiring.cluster.into(),
            recent: recent.damaged_by(|read| Some(read.damaged_rows)),
            archive: Archive::new(wiring, &ledger),
            ledger,
        }
    }

    /// Its sources.
    pub(super) fn sources(&self) -> [&dyn Source; 2] {
        [&self.recent, &self.archive]
    }

    /// The newest list of tasks.
    pub(super) fn recent(&self) -> &Whole<TasksRead> {
        &self.recent
    }

    /// The ledger.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// What they bring: none when the newest list is too old to be served.
    pub(super) fn rows(&self, shown: &Shown<'_>, metrics: &Metrics) -> Option<TaskRows> {
        shown.whole(&self.recent)?;
        let mut rows = self.ledger().rows(&self.cluster);
        rows.failed = rows.failed.iter().take(metrics.failed_tasks).cloned().collect();
        Some(rows)
    }
}

/// The archives of the nodes, each read when the ledger wants it.
struct Archive {
    ledger: Arc<Mutex<Ledger>>,
    nodes: PerNode<TasksRead>,
}

impl Archive {
    fn new(wiring: &Wiring<'_>, ledger: &Arc<Mutex<Ledger>>) -> Self {
        let (own, clock) = (Arc::clone(ledger), wiring.clock.clone());
        let nodes = wiring.per_node(SourceName::TaskArchive, move |client: Arc<Client>, node: Arc<str>| {
            let (ledger, now) = (Arc::clone(&own), clock.unix_seconds());
            async move {
                let wanted = lock(&ledger)
                    .archive_wanted()
                    .into_iter()
                    .find(|wanted| wanted.node == node);
                match wanted {
                    Some(wanted) => tasks::fetch_archive(&client, &ledger, &wanted, now).await,
                    None => Ok(TasksRead::default()),
                }
            }
        });
        Self {
            ledger: Arc::clone(ledger),
            nodes: nodes.damaged_by(|read| Some(read.damaged_rows)),
        }
    }

    fn start_wanted(&self) {
        let (wanted, listed) = {
            let ledger = lock(&self.ledger);
            (ledger.archive_wanted(), ledger.node_names())
        };
        // Nodes that are gone have no record any more, whether or not anything is wanted of others.
        self.nodes.set_nodes(&listed);
        if wanted.is_empty() {
            return;
        }
        let nodes = self.nodes.nodes();
        for wanted in wanted {
            if let Some(held) = nodes.get(&wanted.node).filter(|held| held.may_start()) {
                self.nodes.start(&wanted.node, held);
            }
        }
    }
}

impl Source for Archive {
    fn name(&self) -> SourceName {
        self.nodes.name()
    }

    /// A scrape waits only for the first one of a node, which brings back the times from before the start.
    fn refresh(&self, _: Duration, deadline: tokio::time::Instant) -> Vec<BoxFuture<'_, ()>> {
        vec![Box::pin(async move {
            self.start_wanted();
            let nodes = self.nodes.nodes();
            let first = nodes.values().filter(|held| held.record().up.is_none());
            futures_util::future::join_all(first.map(|held| held.ended(deadline))).await;
        })]
    }

    fn retry(&self) {
        self.start_wanted();
    }

    fn outcomes(&self) -> Vec<Outcome> {
        self.nodes.outcomes()
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}
