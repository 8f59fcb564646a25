//! `/cluster/backup`: the backup jobs.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::subjects::backup_job::BackupJob;

/// One answer.
#[derive(Debug, Default)]
pub struct BackupJobs {
    /// The jobs, by id.
    pub jobs: Arc<[BackupJob]>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads it.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, cluster: &str) -> Result<BackupJobs, ApiError> {
    let request = Request::entry("/cluster/backup");
    let answer = client.get(&request).await?;
    answer.decode(&request.path, |body| convert(body, cluster))
}

/// Turns a body into jobs.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(body: &[u8], cluster: &str) -> Result<BackupJobs, DecodeError> {
    let mut jobs = BTreeMap::new();
    let mut unusable = 0;
    let damaged = api::cluster_backup::decode(body, |row| {
        let id = row.id.to_string();
        if id.is_empty() || jobs.contains_key(&id) {
            unusable += 1;
        } else {
            jobs.insert(id, job(row, cluster));
        }
    })?;
    Ok(BackupJobs {
        jobs: jobs.into_values().collect(),
        damaged_rows: damaged + unusable,
    })
}

fn job(row: api::cluster_backup::Row<'_>, cluster: &str) -> BackupJob {
    let kept = &row.prune_backups;
    let limits = [
        kept.keep_last,
        kept.keep_hourly,
        kept.keep_daily,
        kept.keep_weekly,
        kept.keep_monthly,
        kept.keep_yearly,
    ];
    BackupJob {
        identity: Identity::new(&[("pve_cluster", cluster), ("job_id", &row.id)]),
        // PVE asks in this order what selects the guests.
        selection: if !row.pool.is_empty() {
            "pool"
        } else if !row.vmid.is_empty() {
            "vmids"
        } else if row.all == Some(true) {
            "all"
        } else {
            ""
        },
        storage: row.storage.into_owned(),
        schedule: row.schedule.into_owned(),
        mode: row.mode.into_owned(),
        enabled: row.enabled.unwrap_or(true),
        next_run: row.next_run,
        retention_configured: kept.keep_all != Some(true) && limits.iter().flatten().any(|limit| *limit > 0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(body: &[u8]) -> Vec<(&'static str, String, bool, Option<u64>, bool)> {
        let jobs = convert(body, "main").unwrap().jobs;
        jobs.iter()
            .map(|job| {
                let text = format!("{} {} {}", job.storage, job.schedule, job.mode);
                (job.selection, text, job.enabled, job.next_run, job.retention_configured)
            })
            .collect()
    }

    #[test]
    fn the_recorded_jobs_are_read() {
        let body = include_bytes!("../../tests/fixtures/pve-9.2/cluster__backup.json");
        assert_eq!(
            facts(body),
            [
                (
                    "vmids",
                    "shared 21:00 snapshot".to_owned(),
                    true,
                    Some(1_795_208_400),
                    true
                ),
                (
                    "pool",
                    "local sun 01:00 stop".to_owned(),
                    false,
                    Some(1_795_309_200),
                    false
                ),
            ]
        );
    }

    #[test]
    fn constructed_jobs_are_read_and_damage_costs_its_row() {
        let body = include_bytes!("../../tests/fixtures/pve-9/cluster__backup.json");
        assert_eq!(
            facts(body),
            [("all", "pbs 02:00 snapshot".to_owned(), true, Some(1_786_843_200), true)]
        );
        let body = br#"{"data":[7,{"id":"b","all":"1","enabled":"","prune-backups":{"keep-all":1,"keep-last":"3"}},{"id":"b"},{},
            {"id":"a","prune-backups":{"keep-last":"0"}}]}"#;
        let jobs = convert(body, "main").unwrap();
        assert_eq!(jobs.damaged_rows, 3);
        assert_eq!(jobs.jobs[0].identity.pairs(), b"pve_cluster=\"main\",job_id=\"a\"");
        let facts = facts(body);
        assert_eq!(facts[0], ("", "  ".to_owned(), true, None, false));
        assert_eq!(facts[1], ("all", "  ".to_owned(), false, None, false));
    }
}
