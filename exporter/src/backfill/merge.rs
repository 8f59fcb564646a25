//! One history out of several timeframes: for each moment the finest that covers it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// What is known of one period.
#[derive(Clone, Debug, PartialEq)]
pub struct Moment {
    /// The end of the period in Unix seconds.
    pub time: u64,
    /// A value for each column; NaN where it is not known.
    pub values: Vec<f64>,
}

impl Moment {
    fn is_known(&self) -> bool {
        self.values.iter().any(|value| !value.is_nan())
    }
}

/// The moments of one resolution, one after the other.
struct Run {
    step: u64,
    moments: Vec<Moment>,
}

/// The step of a timeframe of a single moment: the finest that PVE keeps.
const FINEST: u64 = 60;

/// Merges timeframes, each as PVE gave it.
///
/// A resolution covers what lies between its first known moment and its end: a moment in there of which it knows nothing is a
/// gap, whatever a coarser one, which sees the edges of the gap as part of its own long periods, may say. Before its first
/// known moment the coarser one goes on: PVE had not begun to keep the finer one.
///
/// Resolutions finer than `finest` seconds are left out. The result is strictly increasing and has known moments only.
#[must_use]
pub fn merge(timeframes: Vec<Vec<Moment>>, span: &RangeInclusive<u64>, finest: u64) -> Vec<Moment> {
    let mut runs: Vec<Run> = timeframes.into_iter().flat_map(runs).collect();
    runs.retain(|run| run.step >= finest);
    // Stable: of equal resolutions the timeframe that was asked for first.
    runs.sort_by_key(|run| run.step);
    let mut covered: Vec<RangeInclusive<u64>> = Vec::new();
    let mut merged = BTreeMap::new();
    for Run { step, moments } in runs {
        let Some(first) = moments.iter().find(|moment| moment.is_known()) else {
            continue;
        };
        let last = moments.last().map_or(first.time, |moment| moment.time);
        let own = (first.time + 1).saturating_sub(step)..=last;
        for moment in moments {
            if moment.is_known() && !covered.iter().any(|finer| finer.contains(&moment.time)) {
                merged.entry(moment.time).or_insert(moment);
            }
        }
        covered.push(own);
    }
    merged
        .into_values()
        .filter(|moment| span.contains(&moment.time))
        .collect()
}

/// Cuts a timeframe where time does not go on: after an upgrade to PVE 9 there are two resolutions in it, and the last period
/// of the old one ends after the first of the new one.
fn runs(moments: Vec<Moment>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for moment in moments {
        match runs.last_mut() {
            Some(run) if run.goes_on_with(moment.time) => {
                if let Some(last) = run.moments.last() {
                    run.step = moment.time - last.time;
                }
                run.moments.push(moment);
            }
            _ => runs.push(Run {
                step: 0,
                moments: vec![moment],
            }),
        }
    }
    // Who stands alone between damaged rows has the step of the others.
    let step = runs.iter().map(|run| run.step).filter(|step| *step > 0).min();
    for run in runs.iter_mut().filter(|run| run.step == 0) {
        run.step = step.unwrap_or(FINEST);
    }
    runs
}

impl Run {
    fn goes_on_with(&self, time: u64) -> bool {
        let Some(last) = self.moments.last().filter(|last| last.time < time) else {
            return false;
        };
        self.moments.len() == 1 || time - last.time == self.step
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Moments at these steps before `end`, the newest `known` of them with a value.
    fn timeframe(end: u64, step: u64, count: u64, known: u64, value: f64) -> Vec<Moment> {
        let value = |ago: u64| if ago < known { value } else { f64::NAN };
        let moment = |ago| Moment {
            time: end - ago * step,
            values: vec![value(ago)],
        };
        (0..count).rev().map(moment).collect()
    }

    fn times(merged: &[Moment]) -> Vec<(u64, f64)> {
        merged.iter().map(|moment| (moment.time, moment.values[0])).collect()
    }

    const ALL: RangeInclusive<u64> = 0..=u64::MAX;

    #[test]
    fn the_finest_that_covers_a_moment_wins() {
        let fine = timeframe(6_000, 60, 4, 4, 1.0);
        let coarse = timeframe(6_000, 600, 4, 4, 2.0);
        let expected = [
            (4_200, 2.0),
            (4_800, 2.0),
            (5_400, 2.0),
            (5_820, 1.0),
            (5_880, 1.0),
            (5_940, 1.0),
            (6_000, 1.0),
        ];
        assert_eq!(times(&merge(vec![fine.clone(), coarse.clone()], &ALL, 0)), expected);
        assert_eq!(times(&merge(vec![coarse.clone(), fine.clone()], &ALL, 0)), expected);
        assert_eq!(times(&merge(vec![fine, coarse], &(5_400..=5_900), 0)), expected[2..5]);
    }

    #[test]
    fn finer_ones_than_wanted_are_left_out() {
        let (fine, coarse) = (timeframe(6_000, 60, 4, 4, 1.0), timeframe(6_000, 600, 2, 2, 2.0));
        let merged = merge(vec![fine, coarse], &ALL, 600);
        assert_eq!(times(&merged), [(5_400, 2.0), (6_000, 2.0)]);
    }

    #[test]
    fn before_its_first_known_moment_a_timeframe_covers_nothing() {
        let fine = timeframe(6_000, 60, 60, 2, 1.0);
        let coarse = timeframe(6_000, 600, 4, 4, 2.0);
        assert_eq!(
            times(&merge(vec![fine, coarse], &ALL, 0)),
            [(4_200, 2.0), (4_800, 2.0), (5_400, 2.0), (5_940, 1.0), (6_000, 1.0)]
        );
        let unknown = timeframe(6_000, 60, 60, 0, 1.0);
        let coarse = timeframe(6_000, 600, 2, 2, 2.0);
        assert_eq!(
            times(&merge(vec![unknown, coarse], &ALL, 0)),
            [(5_400, 2.0), (6_000, 2.0)]
        );
    }

    #[test]
    fn a_gap_stays_one() {
        let mut fine = timeframe(6_000, 60, 40, 40, 1.0);
        for moment in &mut fine[10..30] {
            moment.values[0] = f64::NAN;
        }
        let coarse = timeframe(6_000, 600, 10, 10, 2.0);
        let merged = times(&merge(vec![fine, coarse], &ALL, 0));
        let (before, after) = (3_660 + 9 * 60, 3_660 + 30 * 60);
        assert!(merged.contains(&(before, 1.0)) && merged.contains(&(after, 1.0)));
        assert!(merged.iter().all(|(time, _)| *time <= before || *time >= after));
        assert!(merged.contains(&(3_600, 2.0)), "it goes on before the finer one");
    }

    #[test]
    fn a_node_that_is_off_ends_in_a_gap() {
        let mut fine = timeframe(6_000, 60, 40, 40, 1.0);
        for moment in &mut fine[20..] {
            moment.values[0] = f64::NAN;
        }
        let merged = merge(vec![fine, timeframe(6_000, 600, 10, 10, 2.0)], &ALL, 0);
        assert_eq!(merged.last().unwrap().time, 3_660 + 19 * 60);
    }

    #[test]
    fn rows_of_the_old_file_reach_into_the_new_ones() {
        // The old file was written until 5,100; its last period ends at 5,400.
        let mut body = timeframe(5_400, 600, 4, 4, 2.0);
        body.extend(timeframe(6_000, 60, 15, 15, 1.0));
        let merged = times(&merge(vec![body], &ALL, 0));
        assert_eq!(merged[..4], [(3_600, 2.0), (4_200, 2.0), (4_800, 2.0), (5_160, 1.0)]);
        assert_eq!(merged.len(), 3 + 15);
    }

    #[test]
    fn after_an_upgrade_each_side_has_its_own_resolutions() {
        const DAY: u64 = 86_400;
        let (now, upgraded) = (1_000 * DAY + 3_600, 990 * DAY + 1_000);
        // Periods that end after `from`, up to the one that `to` is in or, of the file in use, up to `to`.
        let file = |step: u64, from: u64, to: u64, value: f64| -> Vec<Moment> {
            let ends = (from / step + 1..=to / step).map(|number| number * step);
            let moment = |time| Moment {
                time,
                values: vec![value],
            };
            ends.map(moment).collect()
        };
        let both = |old: u64, new: u64| {
            let mut rows = file(old, now - 70 * old, upgraded + old, 8.0);
            rows.extend(file(new, upgraded, now, 9.0));
            rows
        };
        let timeframes = vec![
            file(60, now - DAY, now, 9.0),
            file(1_800, now - 7 * DAY, now, 9.0),
            both(DAY / 2, 1_800),
            both(7 * DAY, 6 * 3_600),
            both(7 * DAY, 7 * DAY),
        ];
        let merged = merge(timeframes, &(now - 365 * DAY..=now), 0);
        let (old, new): (Vec<_>, Vec<_>) = merged.iter().partition(|moment| moment.time <= upgraded);
        assert!(old.iter().all(|moment| moment.values == [8.0]));
        assert!(new.iter().all(|moment| moment.values == [9.0]));
        let steps = |moments: &[&Moment]| {
            let mut steps: Vec<_> = moments.windows(2).map(|pair| pair[1].time - pair[0].time).collect();
            steps.dedup();
            steps
        };
        assert_eq!(steps(&new), [1_800, 60]);
        let old = steps(&old);
        assert_eq!(
            (old.first(), old.last()),
            (Some(&(7 * DAY)), Some(&(DAY / 2))),
            "{old:?}"
        );
    }

    proptest! {
        #[test]
        fn whatever_comes_the_result_is_strictly_increasing(
            timeframes in proptest::collection::vec(
                proptest::collection::vec((0_u64..50_000, proptest::option::of(0.0..9.0)), 0..60),
                0..5,
            )
        ) {
            let moment = |(time, value): (u64, Option<f64>)| Moment { time, values: vec![value.unwrap_or(f64::NAN)] };
            let timeframes = timeframes.into_iter().map(|rows| rows.into_iter().map(moment).collect()).collect();
            let merged = merge(timeframes, &(10..=40_000), 0);
            prop_assert!(merged.windows(2).all(|pair| pair[0].time < pair[1].time));
            prop_assert!(merged.iter().all(|moment| moment.is_known() && (10..=40_000).contains(&moment.time)));
        }
    }
}
