//! Which guests start with their node: it stands in the configuration of each guest, which is a call for each.
//!
//! prometheus-pve-exporter makes all of these calls in every scrape. Here a guest is asked for when it is new, and then about
//! once an hour, a few guests at a time.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use futures_util::stream;

use crate::clock::Clock;
use crate::compat::families::Onboot;
use crate::compat::part::Part;
use crate::compat::rows::{self, Kind, Resource, Resources};
use crate::pve::budget::Cost;
use crate::pve::client::{Client, Request};
use crate::pve::error::ApiError;
use crate::sources::pace::Pace;

/// The age at which the configuration of a guest is read again.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// How often a few of them are.
const ROUND: Pace = Pace {
    max_age: Duration::from_secs(60),
    awaited: false,
    live: false,
};

/// How many are asked for at once: the node has room for one more call of ours beside them.
const AT_ONCE: usize = 1;

/// What the configurations of the guests of one node say.
pub(super) struct OnbootConfigs {
    known: Arc<Known>,
    node: Arc<str>,
    resources: Arc<Part<Resources>>,
    round: Part<()>,
}

type Known = Mutex<BTreeMap<Box<str>, Config>>;

#[derive(Clone, Copy, Debug)]
struct Config {
    onboot: Option<f64>,
    read: Instant,
}

impl OnbootConfigs {
    /// Those of `node`, whose guests `resources` tells.
    pub(super) fn new(
        title: String,
        clock: &Clock,
        client: &Arc<Client>,
        node: &Arc<str>,
        resources: Arc<Part<Resources>>,
        limit: Duration,
    ) -> Self {
        let known: Arc<Known> = Arc::default();
        let round = {
            let (known, clock, client) = (Arc::clone(&known), clock.clone(), Arc::clone(client));
            let (node, resources) = (Arc::clone(node), Arc::clone(&resources));
            let last = Arc::new(Mutex::new(None));
            move || {
                let now = clock.now();
                let before = last.lock().unwrap_or_else(PoisonError::into_inner).replace(now);
                let passed = before.map_or(Duration::ZERO, |before| now.saturating_duration_since(before));
                let resources = resources.latest();
                let guests = resources
                    .iter()
                    .flat_map(|resources| guests(&resources.rows, &node))
                    .map(|row| row.id.clone());
                let due = due(&known, guests.collect(), passed);
                read(
                    Arc::clone(&client),
                    Arc::clone(&node),
                    due,
                    Arc::clone(&known),
                    clock.clone(),
                    limit,
                )
            }
        };
        Self {
            known,
            node: Arc::clone(node),
            resources,
            round: Part::new(title, clock, ROUND, round),
        }
    }

    /// Reads a few configurations if it is time for that; waits for those of guests that are new.
    pub(super) async fn refresh(&self, interval: Duration, deadline: tokio::time::Instant) {
        let has_new = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let resources = self.resources.latest();
            resources
                .iter()
                .flat_map(|resources| guests(&resources.rows, &self.node))
                .any(|row| !known.contains_key(&row.id))
        };
        if has_new {
            self.round.refresh_now(deadline).await;
        } else {
            self.round.refresh(interval, deadline).await;
        }
    }

    pub(super) fn retry(&self) {
        self.round.retry();
    }

    pub(super) fn is_up(&self) -> bool {
        self.round.is_up()
    }

    /// What is known of the guests of the node among `resources`; nothing once the node has not answered for long.
    pub(super) fn shown(&self, resources: &[Resource], interval: Duration) -> Vec<Onboot> {
        if self.round.latest().is_some() && self.round.servable(interval).is_none() {
            return Vec::new();
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = guests(resources, &self.node).filter_map(|row| {
            let Kind::Guest(kind) = row.kind else { return None };
            Some(Onboot {
                value: known.get(&row.id)?.onboot?,
                id: row.id.clone(),
                kind,
            })
        });
        shown.collect()
    }
}

fn guests<'a>(rows: &'a [Resource], node: &'a str) -> impl Iterator<Item = &'a Resource> {
    let is_guest = |row: &&Resource| matches!(row.kind, Kind::Guest(_));
    rows.iter().filter(is_guest).filter(move |row| &*row.node == node)
}

/// The guests to ask for, those that are new first, then those that were read longest ago: as many as keep all of them within
/// the age, where `passed` is the time since the last round. What is known of guests that are gone is forgotten.
fn due(known: &Known, guests: Vec<Box<str>>, passed: Duration) -> Vec<Box<str>> {
    let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|id, _| guests.contains(id));
    let (mut due, mut old): (Vec<_>, Vec<_>) = guests.into_iter().partition(|id| !known.contains_key(id));
    old.sort_by_key(|id| Reverse(known.get(id).map(|config| config.read)));
    let share = passed.as_secs_f64() / MAX_AGE.as_secs_f64();
    let number = rows::float(old.len() as u64) * share;
    let number = crate::pve::perl::float_to_whole(number.ceil()).and_then(|number| usize::try_from(number).ok());
    for _ in 0..number.unwrap_or(0) {
        due.extend(old.pop());
    }
    due
}

async fn read(
    client: Arc<Client>,
    node: Arc<str>,
    due: Vec<Box<str>>,
    known: Arc<Known>,
    clock: Clock,
    limit: Duration,
) -> Result<(), ApiError> {
    let started = tokio::time::Instant::now();
    let mut answers = stream::iter(due)
        .map(|id| {
            let (client, node) = (&client, &node);
            async move {
                let request = Request::node(node, &format!("{id}/pending"), Cost::Cheap);
                let answer = client.get(&request).await;
                let onboot = answer.and_then(|answer| answer.decode(&request.path, rows::onboot));
                (id, onboot)
            }
        })
        .buffer_unordered(AT_ONCE);
    let mut failure = None;
    loop {
        let Ok(answer) = tokio::time::timeout_at(started + limit, answers.next()).await else {
            return Err(ApiError::Timeout {
                endpoint: format!("node {node}"),
                path: "/nodes/{node}/{qemu,lxc}/{vmid}/pending".to_owned(),
                limit,
            });
        };
        match answer {
            None => return failure.map_or(Ok(()), Err),
            Some((id, Ok(onboot))) => {
                let config = Config {
                    onboot,
                    read: clock.now(),
                };
                known.lock().unwrap_or_else(PoisonError::into_inner).insert(id, config);
            }
            // It may have been deleted or migrated since the list was made; that costs only itself.
            Some((
                _,
                Err(error @ (ApiError::Status { .. } | ApiError::Forbidden { .. } | ApiError::Decode { .. })),
            )) => {
                failure.get_or_insert(error);
            }
            Some((_, Err(error))) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(names: &[&str]) -> Vec<Box<str>> {
        names.iter().map(|name| (*name).into()).collect()
    }

    #[test]
    fn new_guests_come_first_and_all_within_the_hour() {
        let start = Instant::now();
        let known = Known::default();
        let all = ids(&["qemu/1", "qemu/2", "qemu/3", "qemu/4"]);
        assert_eq!(due(&known, all.clone(), Duration::ZERO), all);
        for (age, id) in (0..).zip(&all) {
            let config = Config {
                onboot: None,
                read: start + age * Duration::from_secs(60),
            };
            known.lock().unwrap().insert(id.clone(), config);
        }
        assert!(due(&known, all.clone(), Duration::ZERO).is_empty());
        assert_eq!(due(&known, all.clone(), Duration::from_secs(60)), ids(&["qemu/1"]));
        assert_eq!(
            due(&known, all.clone(), Duration::from_secs(1800)),
            ids(&["qemu/1", "qemu/2"])
        );
        assert_eq!(due(&known, all, Duration::from_secs(7200)).len(), 4);
        let changed = ids(&["qemu/2", "lxc/9"]);
        assert_eq!(due(&known, changed, Duration::from_secs(60)), ids(&["lxc/9", "qemu/2"]));
        assert!(!known.lock().unwrap().contains_key("qemu/1"));
    }
}
