//! `/nodes/{node}/storage/{storage}/content`: the backups that lie on a storage.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::config::GuestKind;
use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::api::storage_content::Row;
use crate::pve::budget::Cost;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::subjects::backup_volume::{BackupVolumes, OnServer, OrphanedBackups, VolumeSum};

/// The backups on one storage, summed up for each guest.
#[derive(Debug, Default)]
pub struct StorageBackups {
    /// By guest, be it there or gone.
    pub guests: BTreeMap<(GuestKind, u32), VolumeSum>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads it: of a shared storage at any one node that has it, of another at each node.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, node: &Arc<str>, storage: &str) -> Result<StorageBackups, ApiError> {
    let path = format!("storage/{storage}/content?content=backup");
    let request = Request::node(node, &path, Cost::Storage);
    let answer = client.get(&request).await?;
    answer.decode(&request.path, convert)
}

/// Sums up a body.
///
/// # Errors
/// When the body is not what the endpoint promises.
pub fn convert(body: &[u8]) -> Result<StorageBackups, DecodeError> {
    let mut backups = StorageBackups::default();
    backups.damaged_rows = api::storage_content::decode(body, |row| {
        // A file that was renamed tells of no guest.
        if row.content == "backup"
            && let Some(guest) = guest(&row)
        {
            add(backups.guests.entry(guest).or_default(), &row);
        }
    })?;
    Ok(backups)
}

fn guest(row: &Row<'_>) -> Option<(GuestKind, u32)> {
    let vmid = u32::try_from(row.vmid?).ok()?;
    let (_, name) = row.volid.split_once(":backup/").unwrap_or_default();
    let named = |prefixes: [&str; 2]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let kind = match &*row.subtype {
        "qemu" => GuestKind::Qemu,
        "lxc" => GuestKind::Lxc,
        _ if named(["vm/", "vzdump-qemu-"]) => GuestKind::Qemu,
        _ if named(["ct/", "vzdump-lxc-"]) => GuestKind::Lxc,
        _ => return None,
    };
    Some((kind, vmid))
}

fn add(sum: &mut VolumeSum, row: &Row<'_>) {
    sum.size = sum_of((sum.volumes, sum.size), row.size);
    sum.volumes += 1;
    sum.newest = sum.newest.max(row.ctime);
    sum.oldest = [sum.oldest, row.ctime].into_iter().flatten().min();
    sum.protected += u64::from(row.protected == Some(true));
    if row.format.starts_with("pbs-") {
        let server = sum.server.get_or_insert_with(OnServer::default);
        match &*row.verification.state {
            "ok" => server.verified += 1,
            "failed" => server.failed += 1,
            _ => server.unverified += 1,
        }
        server.encrypted += u64::from(!matches!(&*row.encrypted, "" | "0"));
    }
}

/// The size of what has been counted and of one more: not known where one of them is not.
fn sum_of((counted, size): (u64, Option<u64>), more: Option<u64>) -> Option<u64> {
    let size = if counted == 0 { Some(0) } else { size };
    size?.checked_add(more?)
}

impl StorageBackups {
    /// The rows of the guests that exist, and the sum of those that do not.
    ///
    /// `node` is given for a storage that is not shared. `existing` must hold every guest of the cluster, whether or not it is
    /// reported on. There is no sum when no backup is seen at all: that is what PVE answers without the privilege as well.
    #[must_use]
    pub fn rows(
        &self,
        cluster: &str,
        storage: &str,
        node: Option<&str>,
        existing: &BTreeSet<(GuestKind, u32)>,
    ) -> (Vec<BackupVolumes>, Option<OrphanedBackups>) {
        let node = node.unwrap_or_default();
        let identity = |id: &str| {
            Identity::new(&[
                ("pve_cluster", cluster),
                ("id", id),
                ("storage", storage),
                ("node", node),
            ])
        };
        let (there, gone): (Vec<_>, Vec<_>) = self.guests.iter().partition(|(guest, _)| existing.contains(guest));
        let rows = there
            .into_iter()
            .map(|((kind, vmid), sum)| BackupVolumes {
                identity: identity(&format!("{}/{vmid}", kind.as_str())),
                guest: (*kind, *vmid),
                sum: sum.clone(),
            })
            .collect();
        let orphans = (!self.guests.is_empty()).then(|| OrphanedBackups {
            identity: identity(""),
            volumes: gone.iter().map(|(_, sum)| sum.volumes).sum(),
            size: gone
                .iter()
                .try_fold(0_u64, |size, (_, sum)| size.checked_add(sum.size?)),
        });
        (rows, orphans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Constructed after the sources of PVE: an auditor, as was recorded, sees none.
    const CONSTRUCTED: &[u8] =
        include_bytes!("../../tests/fixtures/pve-9/nodes__pve1__storage__pbs__content@content=backup.json");

    #[test]
    fn backups_are_summed_up_for_each_guest() {
        let backups = convert(CONSTRUCTED).unwrap();
        assert_eq!(
            backups.guests[&(GuestKind::Qemu, 100)],
            VolumeSum {
                volumes: 2,
                size: Some(34_359_742_976 + 5_123_456_789),
                newest: Some(1_786_795_202),
                oldest: Some(1_786_708_800),
                protected: 1,
                server: Some(OnServer {
                    verified: 1,
                    encrypted: 1,
                    ..OnServer::default()
                }),
            }
        );
        assert_eq!(backups.guests[&(GuestKind::Lxc, 200)].server.unwrap().unverified, 1);
    }

    #[test]
    fn backups_of_guests_that_are_gone_are_told_apart() {
        let backups = convert(CONSTRUCTED).unwrap();
        // The vmid 200 belongs to another kind of guest by now.
        let existing = BTreeSet::from([(GuestKind::Qemu, 100), (GuestKind::Qemu, 200)]);
        let (rows, orphans) = backups.rows("main", "pbs", None, &existing);
        assert_eq!(rows.len(), 1);
        assert_eq!(
            rows[0].identity.pairs(),
            b"pve_cluster=\"main\",id=\"qemu/100\",storage=\"pbs\""
        );
        let orphans = orphans.unwrap();
        assert_eq!((orphans.volumes, orphans.size), (1, Some(1_241_513_984)));
        let (_, orphans) = backups.rows("main", "local", Some("pve1"), &existing);
        assert_eq!(
            orphans.unwrap().identity.pairs(),
            b"pve_cluster=\"main\",storage=\"local\",node=\"pve1\""
        );
    }

    #[test]
    fn recorded_answers_to_an_auditor_tell_nothing() {
        for body in [
            &include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__storage__local__content.json")[..],
            include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__storage__local__content@content=backup.json"),
            include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__storage__shared__content.json"),
        ] {
            let (rows, orphans) = convert(body).unwrap().rows("main", "local", None, &BTreeSet::new());
            assert!(rows.is_empty() && orphans.is_none());
        }
        let refused = include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__storage__nas__content.json");
        assert!(convert(refused).is_err());
    }

    #[test]
    fn a_size_that_one_backup_does_not_tell_is_not_known() {
        let backups = convert(
            br#"{"data":[{"content":"backup","volid":"l:backup/vzdump-lxc-7-x.tar","vmid":"7","size":1},{"content":"backup","volid":"l:backup/vzdump-lxc-7-y.tar","vmid":7},
            {"content":"backup","volid":"l:backup/mine.tar","size":9}, 3]}"#,
        )
        .unwrap();
        let sum = &backups.guests[&(GuestKind::Lxc, 7)];
        assert_eq!((sum.volumes, sum.size, sum.newest, sum.server), (2, None, None, None));
        assert_eq!((backups.guests.len(), backups.damaged_rows), (1, 1));
    }
}
