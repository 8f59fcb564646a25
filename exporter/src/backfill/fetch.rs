//! Reads the history of one object from PVE.

use std::ops::RangeInclusive;

use crate::backfill::columns::Kind;
use crate::backfill::merge::{Moment, merge};
use crate::backfill::plan::{Object, TIMEFRAMES, Timeframe};
use crate::pve::api::rrddata::{Row, decode};
use crate::pve::client::Client;
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

/// Reads what there is of an object's history; nothing when PVE has none.
///
/// # Errors
/// Every [`ApiError`].
pub async fn history(client: &Client, object: &Object, wanted: &Wanted, now: u64) -> Result<Vec<Moment>, ApiError> {
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
        assert_eq!(names(360 * day, 0, 60), ["hour", "day", "week", "month", "year"]);
        assert_eq!(names(30 * day, 3 * HOUR, 60), ["day", "week", "month"]);
        assert_eq!(names(HOUR, 0, 60), ["hour"]);
        assert_eq!(names(200 * day, 40 * day, 60), ["year"]);
        assert_eq!(names(2 * day, 3 * HOUR, 12 * HOUR).last(), Some(&"decade"));
        assert_eq!(names(20_000 * day, 400 * day, 60), ["year", "decade"]);
    }

    #[test]
    fn recorded_bodies_become_moments() {
        let body = include_bytes!("../../tests/fixtures/pve-9.2/nodes__pve1__rrddata@timeframe=hour.json");
        let read = moments(body, Kind::Node).unwrap();
        assert_eq!(read.len(), 60);
        assert!(read[0].values.iter().all(|value| value.is_nan()));
        assert!(read[59].values.iter().all(|value| !value.is_nan()));
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
