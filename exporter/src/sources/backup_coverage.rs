//! `/cluster/backup-info/not-backed-up`: the guests that no backup job names.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::GuestKind;
use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::subjects::backup_coverage::{BackupCoverage, UncoveredGuest};
use crate::subjects::guest::GuestKey;

/// One answer.
#[derive(Debug, Default)]
pub struct NotBackedUp {
    /// The guests, by vmid, templates among them.
    pub guests: BTreeMap<u32, GuestKind>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads it.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client) -> Result<NotBackedUp, ApiError> {
    let request = Request::entry("/cluster/backup-info/not-backed-up");
    let answer = client.get(&request).await?;
    answer.decode(&request.path, convert)
}

/// Reads a body.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(body: &[u8]) -> Result<NotBackedUp, DecodeError> {
    let mut answer = NotBackedUp::default();
    let mut unusable = 0;
    let damaged = api::not_backed_up::decode(body, |row| {
        let kind = match &*row.kind {
            "qemu" => Some(GuestKind::Qemu),
            "lxc" => Some(GuestKind::Lxc),
            _ => None,
        };
        match row.vmid.and_then(|vmid| u32::try_from(vmid).ok()).zip(kind) {
            Some((vmid, kind)) => drop(answer.guests.insert(vmid, kind)),
            None => unusable += 1,
        }
    })?;
    answer.damaged_rows = damaged + unusable;
    Ok(answer)
}

impl NotBackedUp {
    /// The rows of the guests that `counts` admits: a template, say, needs no backup.
    #[must_use]
    pub fn rows(&self, cluster: &str, counts: impl Fn(GuestKey) -> bool) -> (Arc<[UncoveredGuest]>, BackupCoverage) {
        let mut guests: Vec<_> = self
            .guests
            .iter()
            .filter(|(vmid, kind)| counts((**kind, **vmid)))
            .collect();
        guests.sort_unstable_by_key(|(vmid, kind)| (**kind, **vmid));
        let rows: Arc<[_]> = guests
            .into_iter()
            .map(|(vmid, kind)| UncoveredGuest {
                identity: Identity::new(&[("pve_cluster", cluster), ("id", &format!("{}/{vmid}", kind.as_str()))]),
            })
            .collect();
        let coverage = BackupCoverage {
            identity: Identity::new(&[("pve_cluster", cluster)]),
            uncovered: rows.len() as u64,
        };
        (rows, coverage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recorded_guests_are_told_without_templates() {
        let body = include_bytes!("../../tests/fixtures/pve-9.2/cluster__backup-info__not-backed-up.json");
        let (rows, coverage) = convert(body).unwrap().rows("main", |(_, vmid)| vmid != 103);
        assert_eq!(coverage.uncovered, 11);
        let id = |row: &UncoveredGuest| str::from_utf8(row.identity.pairs()).unwrap().to_owned();
        assert_eq!(id(&rows[0]), "pve_cluster=\"main\",id=\"qemu/102\"");
        assert_eq!(id(&rows[1]), "pve_cluster=\"main\",id=\"qemu/104\"");
        assert_eq!(id(&rows[10]), "pve_cluster=\"main\",id=\"lxc/301\"");
    }

    #[test]
    fn damage_costs_its_row() {
        let constructed = include_bytes!("../../tests/fixtures/pve-9/cluster__backup-info__not-backed-up.json");
        assert_eq!(convert(constructed).unwrap().guests.len(), 2);
        let body =
            br#"{"data":[{"vmid":"7","type":"qemu"},{"vmid":8},{"type":"lxc"},{"vmid":99999999999,"type":"lxc"},[]]}"#;
        let answer = convert(body).unwrap();
        assert_eq!((answer.guests.len(), answer.damaged_rows), (1, 4));
    }
}
