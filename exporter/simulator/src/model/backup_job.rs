//! The jobs of a cluster: what they cover and when they run.

use super::Guest;
use crate::calendar::{DAY, Seconds, is_sunday};

/// Which guests a job covers.
#[derive(Debug)]
pub(crate) enum Selection {
    Pool(&'static str),
    Guests(Vec<u32>),
    AllExcept(Vec<u32>),
}

/// A job of `/cluster/backup`.
#[derive(Debug)]
pub(crate) struct BackupJob {
    pub(crate) id: &'static str,
    pub(crate) schedule: &'static str,
    pub(crate) selection: Selection,
    pub(crate) storage: &'static str,
    pub(crate) mode: &'static str,
    /// How many backups of a guest are kept.
    pub(crate) keep: usize,
    pub(crate) enabled: bool,
    /// Since when it is disabled, if it ran before.
    pub(super) disabled_since: Option<Seconds>,
    /// The local time of day.
    pub(super) time: Seconds,
    pub(super) only_sundays: bool,
}

impl BackupJob {
    pub(crate) fn covers(&self, guest: &Guest) -> bool {
        match &self.selection {
            Selection::Pool(pool) => guest.settings.pool.as_deref() == Some(pool),
            Selection::Guests(guests) => guests.contains(&guest.vmid),
            Selection::AllExcept(guests) => !guests.contains(&guest.vmid),
        }
    }

    /// When the schedule comes round on a day of local time.
    fn on_day(&self, day: Seconds) -> Option<Seconds> {
        (!self.only_sundays || is_sunday(day)).then_some(day / DAY * DAY + self.time)
    }

    /// When the job runs on a day of local time.
    pub(crate) fn runs_on(&self, day: Seconds) -> Option<Seconds> {
        let runs = |at: &Seconds| self.enabled || self.disabled_since.is_some_and(|since| *at < since);
        self.on_day(day).filter(runs)
    }

    /// The next time of the schedule; PVE says it of disabled jobs, too.
    pub(crate) fn next_run(&self, local_now: Seconds) -> Option<Seconds> {
        let days = (0..=7).map(|day| local_now + day * DAY);
        days.filter_map(|day| self.on_day(day)).find(|at| *at > local_now)
    }

    /// The options of its runs.
    pub(super) fn arguments(&self) -> String {
        let guests = match &self.selection {
            Selection::Pool(pool) => format!("--pool {pool}"),
            Selection::Guests(guests) => id_list(guests, ","),
            Selection::AllExcept(guests) if guests.is_empty() => "--all 1".to_owned(),
            Selection::AllExcept(guests) => format!("--all 1 --exclude {}", id_list(guests, ",")),
        };
        let Self {
            mode, storage, keep, ..
        } = self;
        format!(
            "{guests} --mode {mode} --quiet 1 --storage {storage} --notes-template '{{{{guestname}}}}' --prune-backups \
             'keep-last={keep}'"
        )
    }
}

/// The ids of guests in one text.
pub(crate) fn id_list(guests: &[u32], separator: &str) -> String {
    guests.iter().map(u32::to_string).collect::<Vec<_>>().join(separator)
}
