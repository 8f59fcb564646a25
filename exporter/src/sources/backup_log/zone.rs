//! Unix times from the node's local ones.
//!
//! A vzdump log tells the time of day at the node and not its zone. The task's own start and end are Unix times, and all lines
//! lie between them: with offsets being multiples of 15 minutes, hardly ever more than one fits.

use crate::sources::backup_log::parser::Run;

/// Offsets are multiples of this.
const QUARTER: i64 = 15 * 60;

/// How much a clock that is being set may disagree with itself.
const SLACK: i64 = 5;

/// How far a change to or from summer time moves the clock.
const SUMMER: i64 = 3600;

const WEST: i64 = -12 * 3600;
const EAST: i64 = 14 * 3600;

/// When the runs of a task began and ended, in Unix seconds.
///
/// Where the log has no times, or none that fit, the runs follow each other from the task's start.
pub(super) fn unix_times(runs: &[Run], waited: bool, start: u64, end: u64) -> Vec<(u64, u64)> {
    let end = end.max(start);
    let mut known = resolve(runs, waited, start, end).into_iter();
    let mut cursor = start;
    let mut times = Vec::with_capacity(runs.len());
    for (index, run) in runs.iter().enumerate() {
        let (known_start, known_end) = known.next().unwrap_or_default();
        let duration = run.duration.unwrap_or(0);
        let began = known_start
            .or_else(|| known_end.map(|end| end.saturating_sub(duration)))
            .unwrap_or(cursor)
            .clamp(start, end);
        // A run without an end lasted as long as the task, if it is the last.
        let open = run.result.is_none() && index + 1 == runs.len();
        let ended = if open {
            end
        } else {
            known_end
                .unwrap_or_else(|| began.saturating_add(duration))
                .clamp(began, end)
        };
        times.push((began, ended));
        cursor = ended;
    }
    times
}

type Times = Vec<(Option<u64>, Option<u64>)>;

fn resolve(runs: &[Run], waited: bool, start: u64, end: u64) -> Times {
    let (stamps, told) = stamps(runs);
    let (Ok(start), Ok(end)) = (i64::try_from(start), i64::try_from(end)) else {
        return Times::new();
    };
    // The end of a task that was killed is when somebody noticed: maybe hours later, so that only its start tells anything.
    let open = runs.last().is_some_and(|run| run.result.is_none());
    let side = match (open, waited) {
        (true, _) => Side::Start,
        (false, true) => Side::End,
        (false, false) => Side::Nearer,
    };
    let Some(offset) = told.or_else(|| offset(&stamps, &side, start, end)) else {
        return Times::new();
    };
    let mut unix = stamps
        .into_iter()
        .map(|stamp| u64::try_from((stamp - offset).clamp(start, end)).ok());
    let mut next = |local: Option<i64>| local.and_then(|_| unix.next().flatten());
    runs.iter().map(|run| (next(run.started), next(run.finished))).collect()
}

/// The times in their order, with a change to or from summer time taken out where a measured duration or a step back shows it; and
/// the offset, where a line tells one of the times in UTC.
fn stamps(runs: &[Run]) -> (Vec<i64>, Option<i64>) {
    let (mut stamps, mut told) = (Vec::new(), None);
    let (mut before, mut jumps) = (None, 0);
    for run in runs {
        let first = stamps.len();
        let duration = run.duration.filter(|_| run.started.is_some());
        let duration = duration.and_then(|duration| i64::try_from(duration).ok());
        for (local, measured) in [(run.started, None), (run.finished, duration)] {
            let Some(local) = local else { continue };
            let gap = local - before.unwrap_or(local);
            let jump = match measured {
                Some(elapsed) => {
                    (gap.saturating_sub(elapsed).saturating_add(QUARTER / 2)).div_euclid(QUARTER) * QUARTER
                }
                None if gap < -SLACK => -SUMMER,
                None => 0,
            };
            if (-SUMMER..=SUMMER).contains(&jump) {
                jumps += jump;
            }
            before = Some(local);
            stamps.push(local - jumps);
        }
        if let (None, Some(utc), Some(_), Some(started)) = (told, run.started_utc, run.started, stamps.get(first)) {
            let offset = (started - utc + QUARTER / 2).div_euclid(QUARTER) * QUARTER;
            told = Some(offset).filter(|offset| (WEST..=EAST).contains(offset));
        }
    }
    (stamps, told)
}

/// Which end of the task the times in its log are close to.
enum Side {
    Start,
    End,
    Nearer,
}

/// Local time less Unix time: what puts all stamps between the task's start and end.
fn offset(stamps: &[i64], side: &Side, start: i64, end: i64) -> Option<i64> {
    let (first, last) = (stamps.first()?, stamps.last()?);
    let most = ((first - start + SLACK).div_euclid(QUARTER) * QUARTER).min(EAST);
    let least = (-(end - last + SLACK).div_euclid(QUARTER) * QUARTER).max(WEST);
    if least > most {
        return None;
    }
    // A task that did something else for a quarter of an hour or more did so before its first line or after its last: the
    // smaller remainder tells which. The wait for another job's end comes before the first.
    let (head, tail) = ((first - most - start).abs(), (end - (last - least)).abs());
    Some(match side {
        Side::Start => most,
        Side::End => least,
        Side::Nearer if tail < head => least,
        Side::Nearer => most,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sources::backup_log::parser;

    const HOUR: i64 = 3600;
    /// 2026-11-20 00:00:00 UTC.
    const DAY: u64 = 1_795_132_800;

    /// What `date` shows `offset` seconds east of Greenwich.
    fn shown(unix: u64, offset: i64) -> String {
        let local = std::time::UNIX_EPOCH + std::time::Duration::from_secs(unix.checked_add_signed(offset).unwrap());
        humantime::format_rfc3339_seconds(local)
            .to_string()
            .replace('T', " ")
            .replace('Z', "")
    }

    /// A log of guests that succeed: when each begins, how long it takes, and the offset at either time.
    fn log(guests: &[(u64, u64, i64, i64)]) -> Vec<String> {
        guests
            .iter()
            .enumerate()
            .flat_map(|(index, (start, took, before, after))| {
                let vmid = 100 + index;
                [
                    format!("INFO: Starting Backup of VM {vmid} (qemu)"),
                    format!("INFO: Backup started at {}", shown(*start, *before)),
                    format!(
                        "INFO: Finished Backup of VM {vmid} ({:02}:{:02}:{:02})",
                        took / 3600,
                        took / 60 % 60,
                        took % 60
                    ),
                    format!("INFO: Backup finished at {}", shown(start + took, *after)),
                ]
            })
            .collect()
    }

    fn times(guests: &[(u64, u64, i64, i64)], start: u64, end: u64) -> Vec<(u64, u64)> {
        let log = parser::read(log(guests));
        unix_times(&log.runs, log.waited, start, end)
    }

    #[test]
    fn the_zone_is_that_of_the_node() {
        for offset in [0, 2 * HOUR, -(3 * HOUR + 1800), 5 * HOUR + 2700, 14 * HOUR, -12 * HOUR] {
            // 23:50 to 02:10 UTC: it crosses midnight in some zones.
            let start = DAY - 600;
            let guests = [(start + 1, 4000, offset, offset), (start + 4002, 4398, offset, offset)];
            assert_eq!(
                times(&guests, start, start + 8401),
                [(start + 1, start + 4001), (start + 4002, start + 8400)],
                "{offset}"
            );
        }
    }

    #[test]
    fn summer_time_may_begin_or_end_while_it_runs() {
        for (before, after) in [(HOUR, 2 * HOUR), (2 * HOUR, HOUR)] {
            // In the midst of a guest.
            let guests = [(DAY, 1200, before, before), (DAY + 1200, 1800, before, after)];
            let expected = [(DAY, DAY + 1200), (DAY + 1200, DAY + 3000)];
            assert_eq!(times(&guests, DAY, DAY + 3001), expected, "{before} {after}");
            // Between two guests.
            let guests = [(DAY, 1200, before, before), (DAY + 1200, 1800, after, after)];
            assert_eq!(times(&guests, DAY, DAY + 3001), expected, "{before} {after}");
        }
    }

    #[test]
    fn a_wait_before_the_first_guest_or_after_the_last_is_told_from_the_zone() {
        let offset = 2 * HOUR;
        let waited = DAY + 3 * 3600 + 100;
        let guests = [(waited, 60, offset, offset)];
        let expected = [(waited, waited + 60)];
        assert_eq!(times(&guests, DAY, waited + 62), expected);
        let mut lines = vec!["INFO: trying to get global lock - waiting...".to_owned()];
        lines.extend(log(&guests));
        let log = parser::read(lines);
        assert_eq!(unix_times(&log.runs, log.waited, DAY, waited + 400), expected);
        // A hook at the end of the job takes 100 minutes.
        let guests = [(DAY + 1, 60, offset, offset)];
        assert_eq!(times(&guests, DAY, DAY + 6061), [(DAY + 1, DAY + 61)]);
    }

    #[test]
    fn a_time_in_utc_tells_the_zone() {
        // Killed with its node at 00:05, which was back after two hours.
        for offset in [2 * HOUR, -2 * HOUR] {
            let lines = |archive: String| {
                [
                    "INFO: Starting Backup of VM 100 (qemu)".to_owned(),
                    format!("INFO: Backup started at {}", shown(DAY + 1, offset)),
                    archive,
                ]
            };
            let utc = shown(DAY + 2, 0).replace(' ', "T");
            let archive = format!("INFO: creating Proxmox Backup Server archive 'vm/100/{utc}Z'");
            let log = parser::read(lines(archive));
            assert_eq!(
                unix_times(&log.runs, false, DAY, DAY + 2 * 3600),
                [(DAY + 1, DAY + 7200)]
            );
            let finished = |archive| {
                let mut lines = lines(archive).to_vec();
                lines.push("INFO: Finished Backup of VM 100 (00:01:00)".to_owned());
                unix_times(&parser::read(lines).runs, true, DAY, DAY + 2 * 3600)
            };
            let archive = format!("INFO: creating Proxmox Backup Server archive 'vm/100/{utc}Z'");
            assert_eq!(finished(archive), [(DAY + 1, DAY + 61)], "it waited for no lock");
        }
    }

    #[test]
    fn only_the_start_of_a_killed_task_is_to_be_trusted() {
        for end in [DAY + 7201, DAY + 4 * 3600 + 1, DAY + 86_400] {
            let lines = [
                "INFO: Starting Backup of VM 100 (lxc)".to_owned(),
                format!("INFO: Backup started at {}", shown(DAY + 1, HOUR)),
            ];
            let log = parser::read(lines);
            assert_eq!(unix_times(&log.runs, false, DAY, end), [(DAY + 1, end)]);
        }
    }

    #[test]
    fn without_times_that_fit_the_guests_follow_each_other() {
        let guests = [(DAY - 5000, 60, 20 * HOUR, 20 * HOUR), (DAY, 30, 20 * HOUR, 20 * HOUR)];
        let expected = [(DAY + 100, DAY + 160), (DAY + 160, DAY + 190)];
        assert_eq!(times(&guests, DAY + 100, DAY + 300), expected);
        let log = parser::read(log(&guests).into_iter().filter(|line| !line.contains(" at ")));
        assert_eq!(unix_times(&log.runs, log.waited, DAY + 100, DAY + 300), expected);
    }
}
