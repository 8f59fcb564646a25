//! Backups: what the logs of their tasks tell of each guest, the jobs, and the guests that no job covers.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;

use super::tasks::Tasks;
use super::{Known, Shown};
use crate::clock::Clock;
use crate::metrics::labels::Identity;
use crate::pve::client::Client;
use crate::pve::error::ApiError;
use crate::sources::backup_coverage::{self, NotBackedUp};
use crate::sources::backup_jobs::{self, BackupJobs};
use crate::sources::backup_log::{self, LogRead};
use crate::sources::backups::{BackupLedger, FinishedBackup};
use crate::sources::cached::{Cached, Same};
use crate::sources::guest_config::Configuration;
use crate::sources::held::Held;
use crate::sources::name::SourceName;
use crate::sources::source::{Limit, Outcome, Source, Whole, Wiring};
use crate::sources::survey::{Limiter, Permit, Rank, Values};
use crate::subjects::backup::Backup;
use crate::subjects::backup_coverage::{BackupCoverage, UncoveredGuest};
use crate::subjects::backup_failure::BackupFailure;
use crate::subjects::backup_job::BackupJob;
use crate::subjects::backup_log::BackupLogs;
use crate::subjects::guest::{Guest, GuestKey};
use crate::subjects::recovery_point::RecoveryPoint;

/// How old the list of jobs may be that tells when the next ones start: whoever adds one may have done so since.
const OLDEST_JOBS: Duration = Duration::from_secs(15 * 60);

/// The sources of backups.
pub(super) struct Backups {
    cluster: Arc<str>,
    logs: Logs,
    jobs: Whole<BackupJobs>,
    coverage: Whole<NotBackedUp>,
    cached_coverage: Cached<CoverageKey, CoverageRows>,
}

/// An answer and the guests that it is compared with.
type CoverageKey = (Same<NotBackedUp>, u64, usize);
type CoverageRows = (Arc<[UncoveredGuest]>, Arc<[BackupCoverage]>);

/// The rows of backups.
#[derive(Default)]
pub struct BackupRows {
    /// The reading of logs.
    pub logs: Arc<[BackupLogs]>,
    /// The failures of nodes that are held against no guest.
    pub failures: Arc<[BackupFailure]>,
    /// The last backups of guests.
    pub backups: Arc<[Backup]>,
    /// To when the guests could be brought back from them.
    pub recovery_points: Arc<[RecoveryPoint]>,
    /// The jobs.
    pub jobs: Arc<[BackupJob]>,
    /// The guests in no job.
    pub uncovered: Arc<[UncoveredGuest]>,
    /// How many these are.
    pub coverage: Arc<[BackupCoverage]>,
}

impl Backups {
    /// Nothing is fetched yet.
    pub(super) fn new(wiring: &Wiring<'_>, known: &Arc<Known>, limiter: &Arc<Limiter>) -> Self {
        let cluster: Arc<str> = wiring.cluster.into();
        let name = Arc::clone(&cluster);
        let jobs = wiring.whole(SourceName::BackupJobs, move |client: Arc<Client>| {
            let cluster = Arc::clone(&name);
            async move { backup_jobs::fetch(&client, &cluster).await }
        });
        let coverage = wiring.whole(SourceName::BackupCoverage, |client: Arc<Client>| async move {
            backup_coverage::fetch(&client).await
        });
        Self {
            logs: Logs::new(wiring, known, limiter),
            jobs: jobs.damaged_by(|value| Some(value.damaged_rows)),
            coverage: coverage.damaged_by(|value| Some(value.damaged_rows)),
            cached_coverage: Cached::default(),
            cluster,
        }
    }

    /// Its sources.
    pub(super) fn sources(&self) -> [&dyn Source; 3] {
        [&self.logs, &self.jobs, &self.coverage]
    }

    /// When the jobs that are switched on start next, in Unix seconds; `None` while nobody knows.
    pub(super) fn next_runs(&self, now: Instant) -> Option<Vec<u64>> {
        let held = self.jobs.held();
        let is_young = |at: Instant| now.saturating_duration_since(at) <= OLDEST_JOBS;
        let jobs = held.latest().filter(|jobs| is_young(jobs.at))?;
        let jobs = jobs.value.jobs.iter().filter(|job| job.enabled);
        (held.record().up == Some(true)).then(|| jobs.filter_map(|job| job.next_run).collect())
    }

    /// Takes over what the tasks and configurations tell of backups.
    pub(super) fn observe(&self, tasks: &Tasks, configurations: &Arc<Values<Configuration>>, quorate: bool) {
        let uncovered = self.coverage.held().latest().map(|latest| latest.value);
        self.logs.observe(tasks, uncovered, configurations, quorate);
    }

    /// What they bring.
    pub(super) fn rows(&self, shown: &Shown<'_>, guests: &Arc<[Guest]>) -> BackupRows {
        let mut rows = if shown.selection.contains(&SourceName::BackupLogs) {
            self.logs.rows(shown, &self.cluster, guests)
        } else {
            BackupRows::default()
        };
        if let Some(jobs) = shown.whole(&self.jobs) {
            rows.jobs = Arc::clone(&jobs.value.jobs);
        }
        if let Some(uncovered) = shown.whole(&self.coverage) {
            let uncovered = uncovered.value;
            let key = (Same(Arc::clone(&uncovered)), shown.placed.fingerprint(), guests.len());
            (rows.uncovered, rows.coverage) = self.cached_coverage.of(key, || {
                let templates = guests.iter().filter(|guest| guest.text.template == Some(true));
                let templates: HashSet<GuestKey> = templates.map(|guest| (guest.kind, guest.vmid)).collect();
                let counts = |guest| shown.placed.contains(guest) && !templates.contains(&guest);
                let (uncovered, coverage) = uncovered.rows(&self.cluster, counts);
                (uncovered, Arc::from([coverage]))
            });
        }
        rows
    }
}

/// What is known, and what it came from.
#[derive(Default)]
struct Ledger {
    backups: BackupLedger,
    guests: Option<Same<[Guest]>>,
    uncovered: Option<Same<NotBackedUp>>,
    configurations: Arc<Values<Configuration>>,
}

impl Ledger {
    /// Looks at the configurations that have been read since the last time: a machine is no older than its own says.
    fn observe_configurations(&mut self, configurations: &Arc<Values<Configuration>>, now: Instant) {
        if Arc::ptr_eq(&self.configurations, configurations) {
            return;
        }
        let mut before = self.configurations.iter().peekable();
        for (guest, configuration) in configurations.iter() {
            while before.next_if(|(other, _)| *other < guest).is_some() {}
            let known = before.next_if(|(other, _)| *other == guest);
            let is_known = known.is_some_and(|(_, known)| Arc::ptr_eq(known, configuration));
            if let (false, Some(created)) = (is_known, configuration.guest.created) {
                self.backups.forget(*guest, created, now);
            }
        }
        self.configurations = Arc::clone(configurations);
    }
}

/// The ledger's revision, and which guests there are: their number tells those that are remembered from none.
type RowsKey = (u64, u64, usize);

/// The logs of vzdump tasks, each read once when its task has ended; one at a time at each node.
struct Logs {
    title: Arc<str>,
    clock: Clock,
    client: Arc<Client>,
    known: Arc<Known>,
    limiter: Arc<Limiter>,
    limit: Limit,
    /// How the reads at each node have gone: the lines of the newest that could not be read.
    nodes: Mutex<BTreeMap<Arc<str>, Arc<Held<u64>>>>,
    ledger: Arc<Mutex<Ledger>>,
    cached_backups: Cached<RowsKey, Arc<[Backup]>>,
    cached_points: Cached<RowsKey, Arc<[RecoveryPoint]>>,
}

impl Logs {
    fn new(wiring: &Wiring<'_>, known: &Arc<Known>, limiter: &Arc<Limiter>) -> Self {
        let ledger = Ledger {
            backups: BackupLedger::new(wiring.cluster),
            ..Ledger::default()
        };
        Self {
            title: format!("{}/{}", wiring.cluster, SourceName::BackupLogs.as_str()).into(),
            clock: wiring.clock.clone(),
            client: Arc::clone(wiring.client),
            known: Arc::clone(known),
            limiter: Arc::clone(limiter),
            limit: wiring.limit(SourceName::BackupLogs),
            nodes: Mutex::default(),
            ledger: Arc::new(Mutex::new(ledger)),
            cached_backups: Cached::default(),
            cached_points: Cached::default(),
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    fn nodes(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Arc<Held<u64>>>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn held(&self, node: &Arc<str>) -> Arc<Held<u64>> {
        let mut nodes = self.nodes();
        let held = nodes
            .entry(Arc::clone(node))
            .or_insert_with(|| Held::new(format!("{}/{node}", self.title), self.clock.clone()));
        Arc::clone(held)
    }

    fn observe(
        &self,
        tasks: &Tasks,
        uncovered: Option<Arc<NotBackedUp>>,
        configurations: &Arc<Values<Configuration>>,
        quorate: bool,
    ) {
        let (finished, removed, nodes) = {
            let mut tasks = tasks.ledger();
            (
                tasks.take_finished_backups(),
                tasks.take_removed_guests(),
                tasks.node_names(),
            )
        };
        let now = self.clock.now();
        let mut ledger = self.ledger();
        let backups = &mut ledger.backups;
        backups.add(finished.into_iter().map(FinishedBackup::from), now);
        for removed in &removed {
            backups.forget(removed.guest, removed.at.into(), now);
        }
        backups.retain_nodes(|node| nodes.contains(node));
        self.nodes().retain(|node, _| nodes.contains(node));
        if let Some(resources) = self.known.resources() {
            let guests = Some(Same(Arc::clone(&resources.guests)));
            if ledger.guests != guests {
                ledger.backups.observe(&resources.guests, quorate, now);
                ledger.guests = guests;
            }
        }
        if let Some(uncovered) = uncovered {
            let same = Some(Same(Arc::clone(&uncovered)));
            if ledger.uncovered != same {
                ledger.backups.observe_uncovered(uncovered);
                ledger.uncovered = same;
            }
        }
        ledger.observe_configurations(configurations, now);
    }

    fn read_next(&self) {
        let now = self.clock.now();
        let offline = self.client.offline().all();
        let unavailable =
            |node: &Arc<str>| offline.contains(node) || self.limiter.is_busy(node) || !self.held(node).may_start();
        let Some(task) = self.ledger().backups.wanted(now, unavailable) else {
            return;
        };
        let Some(permit) = self.limiter.start(&self.title, Rank::First, &task.node, now) else {
            return;
        };
        let (client, limit, held) = (Arc::clone(&self.client), self.limit.clone(), self.held(&task.node));
        let read = Read {
            ledger: Arc::clone(&self.ledger),
            clock: self.clock.clone(),
            task: Some(task.clone()),
            _permit: permit,
        };
        held.refresh(async move {
            let outcome = limit.apply(backup_log::fetch(&client, &task)).await;
            read.end(outcome)
        });
    }

    fn rows(&self, shown: &Shown<'_>, cluster: &str, guests: &Arc<[Guest]>) -> BackupRows {
        let mut ledger = self.ledger();
        let knows_guests = ledger.guests.as_ref().is_some_and(|guests| !guests.0.is_empty());
        let backups = &mut ledger.backups;
        let key = (backups.revision(), shown.placed.fingerprint(), guests.len());
        BackupRows {
            backups: self.cached_backups.of(key, || backups.rows(guests)),
            recovery_points: self.cached_points.of(key, || backups.recovery_points(guests)),
            failures: backups.failures(),
            logs: Arc::from([BackupLogs {
                identity: Identity::new(&[("pve_cluster", cluster)]),
                unreadable: backups.unreadable(),
                waiting: knows_guests.then(|| backups.waiting()),
            }]),
            ..BackupRows::default()
        }
    }
}

/// A read in flight. The ledger is told how it ended however it ends, be it by a panic.
struct Read {
    ledger: Arc<Mutex<Ledger>>,
    clock: Clock,
    task: Option<FinishedBackup>,
    _permit: Permit,
}

impl Read {
    fn end(mut self, outcome: Result<LogRead, ApiError>) -> Result<u64, ApiError> {
        self.settle(outcome)
    }

    fn settle(&mut self, outcome: Result<LogRead, ApiError>) -> Result<u64, ApiError> {
        let Some(task) = self.task.take() else { return Ok(0) };
        let backups = &mut lock(&self.ledger).backups;
        match outcome {
            Ok(log) => {
                let damaged_rows = log.damaged_rows;
                backups.consume(&task, log, self.clock.now());
                Ok(damaged_rows)
            }
            Err(error) => {
                backups.failed(&task, &error, self.clock.now());
                Err(error)
            }
        }
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        drop(self.settle(Err(ApiError::Interrupted)));
    }
}

fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Source for Logs {
    fn name(&self) -> SourceName {
        SourceName::BackupLogs
    }

    /// No scrape waits for logs: there may be many to read at start.
    fn refresh(&self, _: Duration, _: tokio::time::Instant) -> Vec<BoxFuture<'_, ()>> {
        Vec::new()
    }

    fn retry(&self) {
        self.read_next();
    }

    fn outcomes(&self) -> Vec<Outcome> {
        let outcome = |(node, held): (&Arc<str>, &Arc<Held<u64>>)| {
            let latest = held.latest();
            Outcome {
                node: Arc::clone(node),
                record: held.record(),
                last_success: latest.as_ref().map(|latest| latest.unix_seconds),
                damaged_rows: latest.map(|latest| *latest.value),
                ..Outcome::default()
            }
        };
        self.nodes().iter().map(outcome).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pve::task_status::TaskResult;

    #[test]
    fn a_read_that_panics_is_a_failure_of_its_log() {
        let (clock, limiter, ledger) = (
            Clock::default(),
            Arc::<Limiter>::default(),
            Arc::<Mutex<Ledger>>::default(),
        );
        let task = FinishedBackup {
            node: "pve1".into(),
            upid: "UPID:pve1:0000024E:000488B4:6AFFD186:vzdump:201:root@pam:".into(),
            vmid: Some(201),
            start: 1,
            end: 2,
            result: TaskResult::Ok,
            observed: true,
        };
        lock(&ledger).backups.add([task], clock.now());
        let wanted = || lock(&ledger).backups.wanted(clock.now(), |_| false);
        for tries in 0..3 {
            clock.advance(Duration::from_secs(300));
            let task = wanted();
            assert!(task.is_some(), "{tries}");
            drop(Read {
                ledger: Arc::clone(&ledger),
                clock: clock.clone(),
                task,
                _permit: limiter
                    .start(&"t".into(), Rank::First, &"pve1".into(), clock.now())
                    .unwrap(),
            });
            assert!(wanted().is_none(), "{tries}");
        }
        assert_eq!(lock(&ledger).backups.unreadable(), 1);
    }
}
