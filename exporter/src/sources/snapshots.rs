//! `/nodes/{node}/{qemu|lxc}/{vmid}/snapshot`: the snapshots of one guest.

use std::collections::BTreeMap;

use crate::metrics::labels::Identity;
use crate::pve::api::guest_snapshots::{CURRENT, decode};
use crate::pve::budget::Cost;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::sources::survey::SurveyGuest;
use crate::subjects::snapshot::Snapshot;
use crate::subjects::snapshots::Snapshots;

/// They stand in the guest's configuration, which is read from pmxcfs.
const COST: Cost = Cost::Cheap;

/// How many snapshots of a guest are named: the oldest, which are the ones to remove, and do not change with each new one.
const MOST_NAMED: usize = 100;

/// The snapshots of one guest.
#[derive(Debug)]
pub struct GuestSnapshots {
    /// Taken together.
    pub all: Snapshots,
    /// The oldest 100 by name, if names are asked for.
    pub named: Vec<Snapshot>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

/// Reads them; `with_names` says whether each is to be told by its name.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(
    client: &Client,
    cluster: &str,
    guest: &SurveyGuest,
    with_names: bool,
) -> Result<GuestSnapshots, ApiError> {
    let request = Request::node(&guest.node, &format!("{}/snapshot", guest.id()), COST);
    let answer = client.get(&request).await?;
    answer.decode(&request.path, |body| convert(body, cluster, &guest.id(), with_names))
}

fn convert(body: &[u8], cluster: &str, id: &str, with_names: bool) -> Result<GuestSnapshots, DecodeError> {
    let mut times = BTreeMap::new();
    let (mut with_memory, mut unnamed) = (0, 0);
    let damaged = decode(body, |row| match &*row.name {
        CURRENT => {}
        "" => unnamed += 1,
        name => {
            with_memory += u64::from(row.vmstate == Some(true));
            times.insert(name.to_owned(), row.snaptime);
        }
    })?;
    let known = || times.values().copied().flatten();
    let all = Snapshots {
        identity: Identity::new(&[("pve_cluster", cluster), ("id", id)]),
        count: times.len() as u64,
        with_memory,
        oldest: known().min(),
        newest: known().max(),
    };
    let named = times.into_iter().filter(|_| with_names);
    let mut named: Vec<_> = named.filter_map(|(name, taken)| Some((name, taken?))).collect();
    named.sort_by_key(|(_, taken)| *taken);
    named.truncate(MOST_NAMED);
    named.sort_unstable();
    let named = named.into_iter().map(|(name, taken)| Snapshot {
        identity: Identity::new(&[("pve_cluster", cluster), ("id", id), ("snapshot", &name)]),
        taken,
    });
    Ok(GuestSnapshots {
        all,
        named: named.collect(),
        damaged_rows: damaged + unnamed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> GuestSnapshots {
        convert(body, "main", "qemu/100", true).unwrap()
    }

    fn all(count: u64, with_memory: u64, oldest: Option<u64>, newest: Option<u64>) -> Snapshots {
        let identity = Identity::new(&[("pve_cluster", "main"), ("id", "qemu/100")]);
        Snapshots {
            identity,
            count,
            with_memory,
            oldest,
            newest,
        }
    }

    fn named(name: &str, taken: u64) -> Snapshot {
        Snapshot {
            identity: Identity::new(&[("pve_cluster", "main"), ("id", "qemu/100"), ("snapshot", name)]),
            taken,
        }
    }

    macro_rules! recorded {
        ($name:literal) => {
            include_bytes!(concat!(
                "../../tests/fixtures/pve-9.2/nodes__",
                $name,
                "__snapshot.json"
            ))
            .as_slice()
        };
    }

    #[test]
    fn recorded_snapshots_are_counted() {
        let two = read(recorded!("pve1__qemu__102"));
        assert_eq!(two.all, all(2, 0, Some(1_795_150_190), Some(1_795_150_191)));
        let names = [
            named("after-upgrade", 1_795_150_191),
            named("before-upgrade", 1_795_150_190),
        ];
        assert_eq!(two.named, names);
        let unnamed = convert(recorded!("pve1__qemu__102"), "main", "qemu/100", false).unwrap();
        assert_eq!((unnamed.all, unnamed.named.len()), (two.all, 0));
    }

    #[test]
    fn the_guest_as_it_is_now_is_no_snapshot() {
        for body in [
            recorded!("pve1__qemu__100"),
            recorded!("pve1__qemu__101"),
            recorded!("pve1__qemu__103"),
            recorded!("pve1__qemu__104"),
            recorded!("pve1__qemu__105"),
            recorded!("pve1__qemu__106"),
            recorded!("pve1__qemu__107"),
            recorded!("pve2__qemu__110"),
            recorded!("pve2__qemu__111"),
            recorded!("pve1__lxc__200"),
            recorded!("pve1__lxc__201"),
            recorded!("pve2__lxc__210"),
        ] {
            let none = read(body);
            assert_eq!((none.all, none.damaged_rows), (all(0, 0, None, None), 0));
        }
    }

    /// This body and those below were constructed.
    #[test]
    fn snapshots_with_memory_are_counted_apart() {
        let body = include_bytes!("../../tests/fixtures/pve-9/nodes__pve1__qemu__100__snapshot.json");
        assert_eq!(read(body).all, all(2, 1, Some(1_778_160_000), Some(1_785_936_000)));
    }

    #[test]
    fn a_damaged_row_costs_only_itself() {
        let snapshots = read(
            br#"{"data":[{"name":"a","snaptime":"5","vmstate":"1"},{"snaptime":1},7,{"name":"b","snaptime":"soon"},
                {"name":"current"}]}"#,
        );
        assert_eq!(snapshots.all, all(2, 1, Some(5), Some(5)));
        assert_eq!(snapshots.damaged_rows, 2);
        assert_eq!(snapshots.named, [named("a", 5)]);
        assert!(convert(br#"{"data":{}}"#, "main", "qemu/100", true).is_err());
    }

    #[test]
    fn no_more_than_the_oldest_hundred_are_named() {
        let rows: Vec<_> = (0..150)
            .map(|number| serde_json::json!({"name": format!("s{number}"), "snaptime": 1000 - number}))
            .collect();
        let snapshots = read(serde_json::json!({ "data": rows }).to_string().as_bytes());
        assert_eq!((snapshots.all.count, snapshots.named.len()), (150, 100));
        assert!(snapshots.named.iter().all(|snapshot| snapshot.taken < 951));
    }
}
