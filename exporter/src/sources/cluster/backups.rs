//! Backups: what the logs of their tasks tell of each guest, the jobs, and the guests that no job covers.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::tasks::Tasks;
use super::{Known, Shown};
use crate::clock::Clock;
use crate::metrics::labels::Identity;
use crate::pve::client::Client;
use crate::sources::backup_coverage::{self, NotBackedUp};
use crate::sources::backup_jobs::{self, BackupJobs};
use crate::sources::backup_log;
use crate::sources::backups::{BackupLedger, FinishedBackup};
use crate::sources::cached::{Cached, Same};
use crate::sources::guest_config::Configuration;
use crate::sources::held::Held;
use crate::sources::name::SourceName;
use crate::sources::source::{Limit, Outcome, Source, Whole, Wiring};
use crate::sources::survey::{Limiter, Values};
use crate::subjects::backup::Backup;
use crate::subjects::backup_coverage::{BackupCoverage, UncoveredGuest};
use crate::subjects::backup_job::BackupJob;
use crate::subjects::backup_log::BackupLogs;
use crate::subjects::guest::{Guest, GuestKey};
use crate::subjects::recovery_point::RecoveryPoint;

/// How many vzdump tasks are remembered whose logs may still be read: the newest.
const TASKS: usize = 4096;

/// The sources of backups.
pub(super) struct Backups {
    cluster: Arc<str>,
    logs: Logs,
    jobs: Whole<BackupJobs>,
    coverage: Whole<NotBackedUp>,
}

/// The rows of backups.
#[derive(Default)]
pub struct BackupRows {
    /// The reading of logs.
    pub logs: Arc<[BackupLogs]>,
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
            cluster,
        }
    }

    /// Its sources.
    pub(super) fn sources(&self) -> [&dyn Source; 3] {
        [&self.logs, &self.jobs, &self.coverage]
    }

    /// Takes over what the tasks and configurations tell of backups.
    pub(super) fn observe(&self, tasks: &Tasks, configurations: &Arc<Values<Configuration>>, quorate: bool) {
        self.logs.observe(tasks, configurations, quorate);
    }

    /// What they bring.
    pub(super) fn rows(&self, shown: &Shown<'_>, guests: &Arc<[Guest]>) -> BackupRows {
        let mut rows = BackupRows::default();
        if shown.selection.contains(&SourceName::BackupLogs) {
            rows.backups = self.logs.backups(guests);
            rows.recovery_points = self.logs.recovery_points(&self.cluster, guests);
            rows.logs = Arc::from([BackupLogs {
                identity: Identity::new(&[("pve_cluster", &self.cluster)]),
                unreadable: self.logs.ledger().backups.unreadable(),
            }]);
        }
        if let Some(jobs) = shown.whole(&self.jobs) {
            rows.jobs = Arc::clone(&jobs.value.jobs);
        }
        if let Some(uncovered) = shown.whole(&self.coverage) {
            let templates = guests.iter().filter(|guest| guest.text.template == Some(true));
            let templates: HashSet<GuestKey> = templates.map(|guest| (guest.kind, guest.vmid)).collect();
            let counts = |guest| shown.placed.contains(guest) && !templates.contains(&guest);
            let (uncovered, coverage) = uncovered.value.rows(&self.cluster, counts);
            (rows.uncovered, rows.coverage) = (uncovered, Arc::from([coverage]));
        }
        rows
    }
}

type Observed = (Same<[Guest]>, Same<Values<Configuration>>);

/// What is known, and what it came from.
#[derive(Default)]
struct Ledger {
    backups: BackupLedger,
    finished: Vec<FinishedBackup>,
    /// Changes with every log that is read, and whatever else changes what is known.
    revision: u64,
    observed: Option<Observed>,
}

type CachedFor<T> = Cached<(u64, Same<[Guest]>), Arc<[T]>>;

/// The logs of vzdump tasks, each read once when its task has ended.
struct Logs {
    title: Arc<str>,
    clock: Clock,
    client: Arc<Client>,
    known: Arc<Known>,
    limiter: Arc<Limiter>,
    limit: Limit,
    held: Arc<Held<()>>,
    ledger: Arc<Mutex<Ledger>>,
    cached_backups: CachedFor<Backup>,
    cached_points: CachedFor<RecoveryPoint>,
}

impl Logs {
    fn new(wiring: &Wiring<'_>, known: &Arc<Known>, limiter: &Arc<Limiter>) -> Self {
        let title = format!("{}/{}", wiring.cluster, SourceName::BackupLogs.as_str());
        Self {
            title: title.as_str().into(),
            clock: wiring.clock.clone(),
            client: Arc::clone(wiring.client),
            known: Arc::clone(known),
            limiter: Arc::clone(limiter),
            limit: wiring.limit(SourceName::BackupLogs),
            held: Held::new(title, wiring.clock.clone()),
            ledger: Arc::default(),
            cached_backups: Cached::default(),
            cached_points: Cached::default(),
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn observe(&self, tasks: &Tasks, configurations: &Arc<Values<Configuration>>, quorate: bool) {
        let (finished, removed) = {
            let mut tasks = tasks.ledger();
            (tasks.take_finished_backups(), tasks.take_removed_guests())
        };
        let guests = self.known.guests();
        let mut ledger = self.ledger();
        let Ledger {
            backups,
            finished: known,
            revision,
            observed,
        } = &mut *ledger;
        if !finished.is_empty() {
            known.extend(finished.into_iter().map(FinishedBackup::from));
            known.sort_by_key(|task| std::cmp::Reverse(task.end));
            known.truncate(TASKS);
        }
        for removed in &removed {
            backups.forget(removed.guest.0, removed.guest.1, removed.at.into());
        }
        let now_observed = Some((Same(guests), Same(Arc::clone(configurations))));
        let news = *observed != now_observed;
        if news && let Some((Same(guests), _)) = &now_observed {
            backups.observe(guests, quorate, self.clock.now());
            for ((kind, vmid), configuration) in configurations.iter() {
                if let Some(created) = configuration.guest.created {
                    backups.forget(*kind, *vmid, created);
                }
            }
        }
        *observed = now_observed;
        *revision += u64::from(news || !removed.is_empty());
    }

    fn read_next(&self) {
        if !self.held.may_start() {
            return;
        }
        let mut ledger = self.ledger();
        let Ledger { backups, finished, .. } = &mut *ledger;
        let now = self.clock.now();
        let Some(task) = backups.wanted(finished, now).cloned() else {
            return;
        };
        let Some(permit) = self.limiter.start(&self.title, &task.node, now) else {
            return;
        };
        let (client, clock, ledger) = (Arc::clone(&self.client), self.clock.clone(), Arc::clone(&self.ledger));
        let limit = self.limit.clone();
        self.held.refresh(async move {
            let outcome = limit.apply(backup_log::fetch(&client, &task)).await;
            drop(permit);
            let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
            ledger.revision += 1;
            match outcome {
                Ok(attempts) => {
                    ledger.backups.consume(&task, attempts, clock.now());
                    Ok(())
                }
                Err(error) => {
                    ledger.backups.failed(&task, &error, clock.now());
                    Err(error)
                }
            }
        });
    }

    fn backups(&self, guests: &Arc<[Guest]>) -> Arc<[Backup]> {
        let ledger = self.ledger();
        let key = (ledger.revision, Same(Arc::clone(guests)));
        self.cached_backups.of(key, || ledger.backups.rows(guests))
    }

    fn recovery_points(&self, cluster: &str, guests: &Arc<[Guest]>) -> Arc<[RecoveryPoint]> {
        let ledger = self.ledger();
        let key = (ledger.revision, Same(Arc::clone(guests)));
        self.cached_points
            .of(key, || ledger.backups.recovery_points(cluster, guests))
    }
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
        vec![Outcome {
            record: self.held.record(),
            last_success: self.held.latest().map(|latest| latest.unix_seconds),
            ..Outcome::default()
        }]
    }
}
