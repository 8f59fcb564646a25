//! Reads the history of one object from PVE.

use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::backfill::columns::Kind;
use crate::backfill::merge::{Moment, merge};
use crate::backfill::plan::{Object, TIMEFRAMES, Timeframe};
use crate::pve::api::rrddata::{Row, decode};
use crate::pve::client::{Answer, Client, Request};
use crate::pve::error::{ApiError, DecodeError};

/// PVE gives at most 1,510 rows.
const MOST_ROWS: usize = 10_000;

/// What is wanted of a history.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// From when to when, in Unix seconds.
    pub span: RangeInclusive<u64>,
    /// The seconds of the shortest period.
    pub finest: u64,
}

/// A client that asks one question at a time, and not more often than it may.
pub struct Paced<'a> {
    client: &'a Client,
    turns: Interval,
}

impl<'a> Paced<'a> {
    /// Makes one that asks so often at most.
    #[must_use]
    pub fn new(client: &'a Client, calls_per_minute: u32) -> Self {
        let mut turns = interval(Duration::from_secs(60) / calls_per_minute.max(1));
        // After an answer that took long, nothing is made up for.
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { client, turns }
    }

    async fn get(&mut self, request: &Request) -> Result<Answer, ApiError> {
        self.turns.tick().await;
        self.client.get(request).await
    }
}

/// Reads what there is of an object's history; nothing when PVE has none.
///
/// # Errors
/// Every [`ApiError`].
pub async fn history(
    client: &mut Paced<'_>,
    object: &Object,
    wanted: &Wanted,
    now: u64,
) -> Result<Vec<Moment>, ApiError> {
    let Wanted { span, finest } = wanted;
    let mut timeframes = Vec::new();
    for timeframe in needed(wanted, now) {
        let request = object.request(timeframe.name);
        let answer = match client.get(&request).await {
            Err(ApiError::Status { status: 400, .. }) if timeframe.name == "decade" => break,
            Err(ApiError::Status {
                status: 500, problem, ..
            }) if problem.contains("RRD error") && problem.contains("No such file") => break,
            answer => answer?,
        };
        let moments = answer.decode(&request.path, |body| moments(body, object.kind))?;
        let reaches_back = moments
            .iter()
            .find(|moment| moment.values.iter().any(|value| !value.is_nan()))
            .is_some_and(|first| first.time <= *span.start());
        timeframes.push(moments);
        if reaches_back && timeframe.step >= *finest {
            break;
        }
    }
    Ok(merge(timeframes, span, *finest))
}

/// How many calls an object takes at most, and about how many moments its history has on PVE 9, which keeps the most.
#[must_use]
pub fn expected(wanted: &Wanted, now: u64) -> (u64, u64) {
    let oldest = now.saturating_sub(*wanted.span.start());
    let mut from = now.saturating_sub(*wanted.span.end());
    let (mut calls, mut moments) = (0, 0);
    for timeframe in needed(wanted, now) {
        calls += 1;
        if timeframe.step >= wanted.finest {
            let to = (timeframe.count * timeframe.step).min(oldest).max(from);
            moments += (to - from).div_ceil(timeframe.step);
            from = to;
        }
    }
    (calls, moments)
}

/// The timeframes that may tell something of what is wanted.
fn needed(wanted: &Wanted, now: u64) -> impl Iterator<Item = &'static Timeframe> {
    let Wanted { span, finest } = wanted;
    let (oldest, newest) = (now.saturating_sub(*span.start()), now.saturating_sub(*span.end()));
    let last = TIMEFRAMES
        .iter()
        .position(|timeframe| timeframe.least >= oldest && timeframe.step >= *finest)
        .unwrap_or(TIMEFRAMES.len() - 1);
    TIMEFRAMES
        .iter()
        .take(last + 1)
        .filter(move |timeframe| timeframe.most >= newest)
}

fn moments(body: &[u8], kind: Kind) -> Result<Vec<Moment>, DecodeError> {
    let columns = kind.columns();
    let mut moments = Vec::new();
    decode(body, |row: Row<'_>| {
        if let Some(time) = row.time.filter(|_| moments.len() < MOST_ROWS) {
            let values = columns.iter().map(|column| column.value(&row)).collect();
            moments.push(Moment { time, values });
        }
    })?;
    Ok(moments)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_786_800_000;
    const HOUR: u64 = 3_600;

    fn names(since: u64, until: u64, finest: u64) -> Vec<&'static str> {
        let span = NOW - since..=NOW - until;
        let wanted = Wanted { span, finest };
        needed(&wanted, NOW).map(|timeframe| timeframe.name).collect()
    }

    #[test]
    fn only_timeframes_that_tell_something_are_asked_for() {
        let day = 24 * HOUR;
        assert_eq!(
            names(365 * day, 3 * HOUR, 60),
            ["day", "week", "month", "year", "decade"]
        );
        assert_eq!(names(285 * day, 0, 60), ["hour", "day", "week", "month", "year"]);
        assert_eq!(names(286 * day, 0, 60).last(), Some(&"decade"));
        assert_eq!(names(30 * day, 3 * HOUR, 60), ["day", "week", "month"]);
        assert_eq!(names(HOUR, 0, 60), ["hour"]);
        assert_eq!(names(200 * day, 40 * day, 60), ["year"]);
        assert_eq!(names(2 * day, 3 * HOUR, 12 * HOUR).last(), Some(&"decade"));
        assert_eq!(names(20_000 * day, 400 * day, 60), ["year", "decade"]);
    }

    #[test]
    fn what_it_takes_is_known_before() {
        let day = 24 * HOUR;
        let wanted = |since: u64, until: u64, finest| Wanted {
            span: NOW - since..=NOW - until,
            finest,
        };
        let year = 21 * 60 + 6 * 48 + 23 * 48 + 330 * 4 + 1;
        assert_eq!(expected(&wanted(365 * day, 3 * HOUR, 60), NOW), (5, year));
        assert_eq!(expected(&wanted(7 * day, 0, 1_800), NOW), (3, 7 * 48));
        assert_eq!(expected(&wanted(HOUR, 0, 60), NOW), (1, 60));
    }

    #[test]
    fn recorded_bodies_become_moments() {
        let body = include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__rrddata@timeframe=hour.json");
        let read = moments(body, Kind::Node).unwrap();
        assert_eq!(read.len(), 60);
        assert!(read[0].values.iter().all(|value| value.is_nan()));
        let unknown = |moment: &Moment| {
            let columns = Kind::Node.columns().iter().zip(&moment.values);
            let unknown = columns.filter(|(_, value)| value.is_nan());
            unknown.map(|(column, _)| column.rrd).collect::<Vec<_>>()
        };
        assert_eq!(unknown(&read[59]), ["arcsize"], "it has no ZFS");
        let body = include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__qemu__104__rrddata@timeframe=hour.json");
        let last = moments(body, Kind::Qemu).unwrap().pop().unwrap();
        let known: Vec<_> = Kind::Qemu
            .columns()
            .iter()
            .zip(&last.values)
            .filter(|(_, value)| !value.is_nan())
            .map(|(column, _)| column.rrd)
            .collect();
        assert_eq!(known, ["maxcpu", "maxmem", "maxdisk"]);
    }

    #[test]
    fn damaged_bodies_cost_their_rows() {
        let body = br#"{"data":[{"time":60,"cpu":0.5},null,{"cpu":0.5},{"time":"x","cpu":1},{"time":180,"cpu":"no"}]}"#;
        let read = moments(body, Kind::Node).unwrap();
        assert_eq!(read.iter().map(|moment| moment.time).collect::<Vec<_>>(), [60, 180]);
        assert!(read[1].values.iter().all(|value| value.is_nan()));
        let many: Vec<_> = (1..20_000).map(|time| format!(r#"{{"time":{time}}}"#)).collect();
        let body = format!(r#"{{"data":[{}]}}"#, many.join(","));
        assert_eq!(moments(body.as_bytes(), Kind::Node).unwrap().len(), MOST_ROWS);
        assert!(moments(b"<html>", Kind::Node).is_err());
    }
}
