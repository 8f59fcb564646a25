//! The rows of guests that come node by node.
//!
//! A guest that has just migrated stands in the lists of two nodes, since they are read at different times. The list that was
//! read last is right; both together would be two series of one name. What a list says of a guest that has stopped or gone
//! elsewhere since is not shown.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use crate::sources::cached::Cached;
use crate::sources::cluster::Placed;
use crate::sources::held::Dated;
use crate::subjects::guest::GuestKey;

/// The rows of one kind, of all nodes.
pub struct Merged<S>(Cached<(Vec<Instant>, u64), Arc<[S]>>);

impl<S> Default for Merged<S> {
    fn default() -> Self {
        Self(Cached::default())
    }
}

impl<S: Clone> Merged<S> {
    /// The rows that `rows` finds in `parts`, by guest, for the guests that run where they are `placed`.
    pub fn of<T>(
        &self,
        parts: &BTreeMap<Arc<str>, Dated<T>>,
        placed: &Placed,
        rows: impl Fn(&T) -> &[S],
        guest: impl Fn(&S) -> GuestKey,
    ) -> Arc<[S]> {
        let key = parts.values().map(|part| part.at).collect();
        self.0.of((key, placed.fingerprint()), || {
            let mut newest: HashMap<GuestKey, (Instant, &Arc<str>)> = HashMap::new();
            for (node, part) in parts {
                for row in rows(&part.value) {
                    let read = newest.entry(guest(row)).or_insert((part.at, node));
                    *read = (part.at, node).max(*read);
                }
            }
            let mut merged: Vec<&S> = Vec::with_capacity(newest.len());
            for (node, part) in parts {
                let own = rows(&part.value).iter();
                merged.extend(own.filter(|row| {
                    let guest = guest(row);
                    newest.get(&guest) == Some(&(part.at, node)) && placed.may_run_at(guest, node)
                }));
            }
            // Stable, so that the rows of one guest stay in their order.
            merged.sort_by_key(|row| guest(row));
            merged.into_iter().cloned().collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::GuestKind;

    type Row = (GuestKey, &'static str);

    fn part(at: Instant, rows: &[(u32, &'static str)]) -> Dated<Vec<Row>> {
        let rows = rows.iter().map(|(vmid, text)| ((GuestKind::Qemu, *vmid), *text));
        Dated {
            value: Arc::new(rows.collect()),
            at,
            unix_seconds: 0.0,
        }
    }

    #[test]
    fn a_guest_in_two_lists_is_where_the_newer_one_says() {
        let (now, merged) = (Instant::now(), Merged::default());
        let mut parts = BTreeMap::from([
            (Arc::from("pve1"), part(now, &[(101, "old"), (100, "a")])),
            (
                Arc::from("pve2"),
                part(now + Duration::from_secs(1), &[(101, "new"), (101, "new too")]),
            ),
        ]);
        let of = |parts: &BTreeMap<_, _>| {
            let rows = merged.of(parts, &Placed::default(), |part: &Vec<Row>| part, |row| row.0);
            rows.iter().map(|(_, text)| *text).collect::<Vec<_>>()
        };
        assert_eq!(of(&parts), ["a", "new", "new too"]);
        parts.insert(Arc::from("pve1"), part(now + Duration::from_secs(2), &[(101, "back")]));
        assert_eq!(of(&parts), ["back"]);
    }
}
