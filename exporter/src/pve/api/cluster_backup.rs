//! `GET /cluster/backup`: the backup jobs.

use std::borrow::Cow;

use serde::Deserialize;

use crate::pve::error::DecodeError;
use crate::pve::perl;

/// One job.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `id` of the job.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub id: Cow<'a, str>,
    /// `enabled`; absent when the job is.
    #[serde(deserialize_with = "perl::truth")]
    pub enabled: Option<bool>,
    /// `schedule`: a calendar event.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub schedule: Cow<'a, str>,
    /// `next-run` in Unix seconds (7.1 and later); a disabled job has one too.
    #[serde(rename = "next-run", deserialize_with = "perl::whole")]
    pub next_run: Option<u64>,
    /// `storage` that the backups go to.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub storage: Cow<'a, str>,
    /// `mode`: `snapshot`, `suspend` or `stop`.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub mode: Cow<'a, str>,
    /// `all`: every guest, less those under `exclude`.
    #[serde(deserialize_with = "perl::truth")]
    pub all: Option<bool>,
    /// `pool` of which every member is backed up.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub pool: Cow<'a, str>,
    /// `vmid`: the guests, separated by commas.
    #[serde(borrow, deserialize_with = "perl::text")]
    pub vmid: Cow<'a, str>,
    /// `prune-backups`: what the job keeps; without it the storage's own rule counts.
    #[serde(rename = "prune-backups", deserialize_with = "perl::object")]
    pub prune_backups: Retention,
}

/// `prune-backups`. PVE sends the numbers as strings.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct Retention {
    /// `keep-all`: nothing is pruned.
    #[serde(deserialize_with = "perl::truth")]
    pub keep_all: Option<bool>,
    /// `keep-last`.
    #[serde(deserialize_with = "perl::whole")]
    pub keep_last: Option<u64>,
    /// `keep-hourly`.
    #[serde(deserialize_with = "perl::whole")]
    pub keep_hourly: Option<u64>,
    /// `keep-daily`.
    #[serde(deserialize_with = "perl::whole")]
    pub keep_daily: Option<u64>,
    /// `keep-weekly`.
    #[serde(deserialize_with = "perl::whole")]
    pub keep_weekly: Option<u64>,
    /// `keep-monthly`.
    #[serde(deserialize_with = "perl::whole")]
    pub keep_monthly: Option<u64>,
    /// `keep-yearly`.
    #[serde(deserialize_with = "perl::whole")]
    pub keep_yearly: Option<u64>,
}

/// Gives each job to `each`; returns how many rows were damaged.
///
/// # Errors
/// When the body is no JSON or has no list under `data`.
pub fn decode<'de>(body: &'de [u8], each: impl FnMut(Row<'de>)) -> Result<u64, DecodeError> {
    perl::for_each_row(body, &["data"], each)
}
