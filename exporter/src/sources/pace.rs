//! How old the data of a source may get: when it is read again, who waits for that, and when it is served no more.

use std::time::Duration;

use crate::sources::name::SourceName;

/// The oldest that a live figure is ever served.
const LIVE_STATE_LIMIT: Duration = Duration::from_secs(15 * 60);

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
                    | SourceName::Packages
                    | SourceName::Subscriptions
                    | SourceName::Certificates
            ),
        }
    }

    /// The age at which a value is served no more. `interval` is the time seen between scrapes.
    #[must_use]
    pub fn max_stale(&self, interval: Duration) -> Duration {
        let stale = (self.max_age * 3).max(interval.saturating_mul(5) / 2);
        if self.live { stale.min(LIVE_STATE_LIMIT) } else { stale }
    }

    pub(crate) fn refresh_at(&self) -> Duration {
        if self.awaited {
            self.max_age
        } else {
            self.max_age * 4 / 5
        }
    }
}
