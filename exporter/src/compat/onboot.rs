//! Which guests start with their node: it stands in the configuration of each guest, which is a call for each.
//!
//! prometheus-pve-exporter makes all of these calls in every scrape. Here a guest is asked for when it is new, and then about
//! once an hour, one after the other. One that cannot be read costs itself and is tried again later, behind the others.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::compat::families::Onboot;
use crate::compat::part::Part;
use crate::compat::rows::{self, Kind, Resource, Resources};
use crate::pve::budget::Cost;
use crate::pve::client::{Client, Request};
use crate::pve::endpoints::doubling;
use crate::pve::error::ApiError;
use crate::sources::pace::Pace;

/// How old the configuration of a guest gets.
const OF_GUEST: Pace = Pace {
    max_age: Duration::from_secs(3600),
    awaited: false,
    live: false,
};

/// How often a few of them are read.
const ROUND: Pace = Pace {
    max_age: Duration::from_secs(60),
    awaited: false,
    live: false,
};

/// How long a guest that could not be read is left alone, the first time and at most, and how many such a round asks for.
const REST: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(900));
const MOST_RETRIED: usize = 10;

/// What the configurations of the guests of one node say.
pub(super) struct OnbootConfigs {
    asker: Arc<Asker>,
    clock: Clock,
    resources: Arc<Part<Resources>>,
    round: Part<()>,
}

/// Asks for the configurations, and knows what came of it.
struct Asker {
    title: String,
    client: Arc<Client>,
    node: Arc<str>,
    limit: Duration,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    configs: BTreeMap<Box<str>, Config>,
    /// When the last round began in which the node answered.
    round: Option<Instant>,
}

/// What is known of the configuration of one guest.
#[derive(Clone, Copy, Debug)]
struct Config {
    /// What it said last, and when.
    answer: Option<(Option<f64>, Instant)>,
    /// When it was asked for last, and how often in vain since it was read.
    asked: Instant,
    failures: u32,
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
        let asker = Arc::new(Asker {
            title: title.clone(),
            client: Arc::clone(client),
            node: Arc::clone(node),
            limit,
            known: Mutex::default(),
        });
        let round = {
            let (asker, clock, resources) = (Arc::clone(&asker), clock.clone(), Arc::clone(&resources));
            move || {
                let resources = resources.latest();
                let guests = resources
                    .iter()
                    .flat_map(|resources| guests(&resources.rows, &asker.node))
                    .map(|row| row.id.clone());
                let due = asker.lock().due(guests.collect(), clock.now());
                let (asker, clock) = (Arc::clone(&asker), clock.clone());
                async move { asker.read(due, &clock).await }
            }
        };
        Self {
            asker,
            clock: clock.clone(),
            resources,
            round: Part::new(title, clock, ROUND, round),
        }
    }

    /// Reads a few configurations if it is time for that; waits for those of guests that are new.
    pub(super) async fn refresh(&self, interval: Duration, deadline: tokio::time::Instant) {
        if self.every_guest(|config| config.is_some()) {
            self.round.refresh(interval, deadline).await;
        } else {
            self.round.refresh_now(deadline).await;
        }
    }

    pub(super) fn retry(&self) {
        self.round.retry();
    }

    /// Whether the last attempt at each guest brought its configuration.
    pub(super) fn is_up(&self) -> bool {
        self.round.is_up() && self.every_guest(|config| config.is_some_and(|config| config.failures == 0))
    }

    fn every_guest(&self, fits: impl Fn(Option<&Config>) -> bool) -> bool {
        let (resources, known) = (self.resources.latest(), self.asker.lock());
        let rows = resources.as_deref().map_or(&[][..], |resources| &resources.rows);
        guests(rows, &self.asker.node).all(|row| fits(known.configs.get(&row.id)))
    }

    /// What is known of the guests of the node among `resources`; nothing once the node has not answered for long.
    pub(super) fn shown(&self, resources: &[Resource], interval: Duration) -> Vec<Onboot> {
        if self.round.latest().is_some() && self.round.servable(interval).is_none() {
            return Vec::new();
        }
        let (known, now) = (self.asker.lock(), self.clock.now());
        let shown = guests(resources, &self.asker.node).filter_map(|row| {
            let Kind::Guest(kind) = row.kind else { return None };
            let (onboot, read) = known.configs.get(&row.id)?.answer?;
            let value = onboot.filter(|_| now.saturating_duration_since(read) < OF_GUEST.max_stale(interval))?;
            Some(Onboot {
                value,
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

impl Known {
    /// The guests to ask for: those that are new, then a few that could not be read, then those that were read longest ago, as many
    /// as keep all of them within the age. What is known of guests that are gone is forgotten.
    fn due(&mut self, guests: Vec<Box<str>>, now: Instant) -> Vec<Box<str>> {
        self.configs.retain(|id, _| guests.contains(id));
        let (mut failed, mut old) = (Vec::new(), Vec::new());
        for (id, config) in &self.configs {
            let age = now.saturating_duration_since(config.asked);
            match config.failures {
                0 => old.push((config.asked, id)),
                times if age >= doubling(REST, times - 1) => failed.push((config.asked, id)),
                _ => {}
            }
        }
        failed.sort_unstable();
        old.sort_unstable();
        let passed = self
            .round
            .map_or(Duration::ZERO, |round| now.saturating_duration_since(round));
        let share = passed.as_secs_f64() / OF_GUEST.max_age.as_secs_f64();
        let number = crate::pve::perl::float_to_whole((rows::float(old.len() as u64) * share).ceil());
        let number = number.and_then(|number| usize::try_from(number).ok()).unwrap_or(0);
        let again = failed
            .into_iter()
            .take(MOST_RETRIED)
            .chain(old.into_iter().take(number));
        let again: Vec<_> = again.map(|(_, id)| id.clone()).collect();
        let new = guests.into_iter().filter(|id| !self.configs.contains_key(id));
        new.chain(again).collect()
    }

    fn failing(&self) -> usize {
        self.configs.values().filter(|config| config.failures > 0).count()
    }

    fn note(&mut self, id: Box<str>, onboot: Option<Option<f64>>, asked: Instant) {
        let before = self.configs.get(&id).copied();
        let config = match onboot {
            Some(onboot) => Config {
                answer: Some((onboot, asked)),
                asked,
                failures: 0,
            },
            None => Config {
                answer: before.and_then(|before| before.answer),
                asked,
                failures: before.map_or(0, |before| before.failures).saturating_add(1),
            },
        };
        self.configs.insert(id, config);
    }
}

impl Asker {
    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the configurations of those who are `due`, as many as the time allows.
    async fn read(&self, due: Vec<Box<str>>, clock: &Clock) -> Result<(), ApiError> {
        let (began, end) = (clock.now(), tokio::time::Instant::now() + self.limit);
        let failing = self.lock().failing();
        let mut answered = due.is_empty();
        let mut late = None;
        for id in due {
            if tokio::time::Instant::now() >= end {
                break;
            }
            let asked = clock.now();
            match self.ask(&id, end).await {
                Ok(onboot) => {
                    self.lock().note(id, Some(onboot), asked);
                    (answered, late) = (true, None);
                }
                Err(error) if !may_be_of_guest(&error) => return Err(error),
                Err(error) => {
                    if failing == 0 && self.lock().failing() == 0 {
                        let source = &self.title;
                        tracing::warn!(source, guest = &*id, problem = %error, "the configuration of a guest cannot be read");
                    }
                    self.lock().note(id, None, asked);
                    let is_late = matches!(error, ApiError::Timeout { .. });
                    if is_late && late.is_some() {
                        // Two in a row: it is not the guests.
                        return Err(error);
                    }
                    answered |= !is_late;
                    late = is_late.then_some(error);
                }
            }
        }
        if let Some(error) = late.filter(|_| !answered) {
            return Err(error);
        }
        let mut known = self.lock();
        known.round = Some(began);
        if failing > 0 && known.failing() == 0 {
            tracing::info!(
                source = self.title,
                "the configurations of all guests can be read again"
            );
        }
        Ok(())
    }

    async fn ask(&self, id: &str, end: tokio::time::Instant) -> Result<Option<f64>, ApiError> {
        let request = Request::node(&self.node, &format!("{id}/pending"), Cost::Cheap);
        let Ok(answer) = tokio::time::timeout_at(end, self.client.get(&request)).await else {
            return Err(ApiError::Timeout {
                endpoint: format!("node {}", self.node),
                path: request.path,
                limit: self.limit,
            });
        };
        answer?.decode(&request.path, rows::onboot)
    }
}

/// Whether only this guest may be at fault: it may have been deleted or migrated since the list was made. Else the node is, or the
/// way there.
const fn may_be_of_guest(error: &ApiError) -> bool {
    matches!(
        error,
        ApiError::Status { status: ..=594, .. }
            | ApiError::Forbidden { .. }
            | ApiError::NotImplemented { .. }
            | ApiError::Decode { .. }
            | ApiError::Incomplete { .. }
            | ApiError::TooLarge { .. }
            | ApiError::Timeout { .. }
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ids(names: &[&str]) -> Vec<Box<str>> {
        names.iter().map(|name| (*name).into()).collect()
    }

    /// What is due when the last round was `passed` before `now`.
    fn due(known: &mut Known, guests: &[&str], now: Instant, passed: Duration) -> Vec<Box<str>> {
        known.round = Some(now - passed);
        known.due(ids(guests), now)
    }

    #[test]
    fn new_guests_come_first_and_all_within_the_hour() {
        let start = Instant::now() + 7200 * SECOND;
        let mut known = Known::default();
        let all = ["qemu/1", "qemu/2", "qemu/3", "qemu/4"];
        assert_eq!(known.due(ids(&all), start), ids(&all));
        for (age, id) in (0..).zip(&all) {
            known.note((*id).into(), Some(None), start + age * 60 * SECOND);
        }
        let now = start + 300 * SECOND;
        assert!(due(&mut known, &all, now, Duration::ZERO).is_empty());
        assert_eq!(due(&mut known, &all, now, 60 * SECOND), ids(&["qemu/1"]));
        assert_eq!(due(&mut known, &all, now, 1800 * SECOND), ids(&["qemu/1", "qemu/2"]));
        assert_eq!(due(&mut known, &all, now, 7200 * SECOND).len(), 4);
        let changed = ["qemu/2", "lxc/9"];
        assert_eq!(due(&mut known, &changed, now, 60 * SECOND), ids(&["lxc/9", "qemu/2"]));
        assert!(!known.configs.contains_key("qemu/1"));
    }

    #[test]
    fn those_that_fail_take_turns_behind_the_new_and_rest_longer_each_time() {
        let start = Instant::now();
        let mut known = Known::default();
        let names: Vec<_> = (0..12).map(|vmid| format!("qemu/{vmid}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        for name in &names {
            known.note((*name).into(), None, start);
        }
        assert!(due(&mut known, &names, start + 59 * SECOND, 60 * SECOND).is_empty());
        let now = start + 60 * SECOND;
        let first = due(&mut known, &names, now, 60 * SECOND);
        assert_eq!(first.len(), MOST_RETRIED);
        for id in &first {
            known.note(id.clone(), None, now);
        }
        let next = due(
            &mut known,
            &[&names[..], &["lxc/9"]].concat(),
            now + 60 * SECOND,
            60 * SECOND,
        );
        assert_eq!(next[0], "lxc/9".into());
        assert_eq!(
            next.len(),
            3,
            "{next:?}: those whose turn it is, the others rest for two minutes"
        );
        assert!(next.iter().all(|id| !first.contains(id)));
    }
}
