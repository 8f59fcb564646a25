//! How old the data of a source may get: when it is read again, who waits for that, and when it is served no more.

use std::time::Duration;

use crate::sources::name::SourceName;

/// The oldest that a live figure is ever served.
const LIVE_STATE_LIMIT: Duration = Duration::from_secs(15 * 60);

/// How long the values of a source last at least whose nodes take turns.
const TAKES_TURNS: Duration = Duration::from_secs(120);

/// How old the data of one source may get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// The age at which it is read again.
    pub max_age: Duration,
    /// Whether a scrape waits for a refresh of a value that is merely old. Else the refresh runs behind it.
    pub awaited: bool,
    /// Whether it is live state, which is never served beyond a limit, or inventory.
    pub live: bool,
}

impl Pace {
    /// The pace of `source` at `max_age`.
    #[must_use]
    pub const fn new(source: SourceName, max_age: Duration) -> Self {
        Self {
            max_age,
            awaited: matches!(source, SourceName::Resources | SourceName::MetricsExport),
            live: !matches!(
                source,
                SourceName::Version
                    | SourceName::Permissions
                    | SourceName::HaRules
                    | SourceName::BackupJobs
                    | SourceName::BackupCoverage
                    | SourceName::BackupVolumes
                    | SourceName::ReplicationJobs
                    | SourceName::ZfsDetail
                    | SourceName::StorageConfig
                    | SourceName::Disks
                    | SourceName::DiskSmart
                    | SourceName::NodeTime
                    | SourceName::Packages
                    | SourceName::Subscriptions
                    | SourceName::Certificates
                    | SourceName::PciDevices
                    | SourceName::AccessUsers
                    | SourceName::Firewall
                    | SourceName::NodeFirewall
                    | SourceName::MetricServers
            ),
        }
    }

    /// The age at which a value is served no more. `interval` is the time seen between scrapes.
    #[must_use]
    pub fn max_stale(&self, interval: Duration) -> Duration {
        let stale = (self.max_age * 3).max(interval.saturating_mul(5) / 2);
        if self.live { stale.min(LIVE_STATE_LIMIT) } else { stale }
    }

    /// How long it rests at most while it fails: a small part of the age at which it would be read again.
    pub(crate) fn longest_rest(&self) -> Duration {
        let age = if self.live {
            self.max_age.min(LIVE_STATE_LIMIT)
        } else {
            self.max_age
        };
        age / 12
    }

    /// When it was last the turn of the one with this index among `number` that are read at this pace, `passed` after some
    /// beginning. They take turns, lest all that were first read at once stay together for ever; what is read every few scrapes
    /// does not.
    pub(crate) fn turn(&self, index: u32, number: usize, passed: Duration) -> Option<Duration> {
        if self.period() < TAKES_TURNS {
            return None;
        }
        passed.checked_sub(self.since_turn(index, number, passed)?)
    }

    /// How long ago that was, however often it comes.
    pub(crate) fn since_turn(&self, index: u32, number: usize, passed: Duration) -> Option<Duration> {
        let period = self.period();
        let first = period * index / u32::try_from(number).ok()?.max(1);
        let since = passed.checked_sub(first)?.as_nanos() % period.as_nanos().max(1);
        Some(Duration::from_nanos(u64::try_from(since).ok()?))
    }

    /// The age at which it is read again, and the time between two turns. Live state is gone after a while however old it may get,
    /// and a first turn may come late.
    pub(crate) fn period(&self) -> Duration {
        let refresh_at = self.refresh_at();
        if self.live {
            refresh_at.min(LIVE_STATE_LIMIT * 8 / 15)
        } else {
            refresh_at
        }
    }

    fn refresh_at(&self) -> Duration {
        if self.awaited {
            self.max_age
        } else {
            self.max_age * 4 / 5
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_long_is_read_by_turns() {
        let seconds = Duration::from_secs;
        let pace = Pace::new(SourceName::NodeStatus, seconds(300));
        let turn = |index, passed| pace.turn(index, 4, seconds(passed)).map(|turn| turn.as_secs());
        assert_eq!([turn(0, 0), turn(0, 239), turn(0, 240)], [Some(0), Some(0), Some(240)]);
        assert_eq!([turn(1, 59), turn(1, 60), turn(1, 301)], [None, Some(60), Some(300)]);
        let fast = Pace::new(SourceName::Qemu, seconds(60));
        assert_eq!(fast.turn(0, 4, seconds(500)), None);
    }

    #[test]
    fn what_is_read_seldom_may_rest_long() {
        let rest = |source, minutes: u64| Pace::new(source, Duration::from_secs(minutes * 60)).longest_rest();
        assert_eq!(rest(SourceName::Packages, 360).as_secs(), 1800);
        assert_eq!(rest(SourceName::Services, 5).as_secs(), 25);
        assert_eq!(
            rest(SourceName::Services, 360).as_secs(),
            75,
            "it is served for 15 minutes"
        );
    }
}
