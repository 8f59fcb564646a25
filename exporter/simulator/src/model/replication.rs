//! Replication jobs: every 15 minutes the volumes of a guest go to another node.

use super::Guest;
use crate::{
    Options,
    clock::Milliseconds,
    random::{hash, index, unit},
};

/// How often a job runs, in seconds.
const PERIOD: u64 = 900;

/// No cluster has more jobs from the start.
const MOST_JOBS: usize = 20;

/// A job that replicates a guest between two nodes; whichever of them the guest is on is the source.
#[derive(Debug)]
pub(crate) struct Replication {
    pub(crate) guest: u32,
    between: [usize; 2],
    pub(crate) comment: Option<&'static str>,
    /// In MB/s.
    pub(crate) rate: Option<u64>,
    pub(crate) disabled_since: Option<Milliseconds>,
    pub(crate) failing_since: Option<Milliseconds>,
    stream: u64,
}

/// How a job is doing; times are in seconds, and 0 for what never happened.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ReplicationState {
    pub(crate) last_sync: u64,
    pub(crate) last_try: u64,
    pub(crate) next_sync: u64,
    pub(crate) fail_count: u64,
    /// How long the last run took, in seconds, if there was one.
    pub(crate) duration: Option<f64>,
}

/// The jobs of a new cluster: every sixth guest has one, the third job was disabled before it ever ran, and in a lively
/// cluster the second one fails.
pub(super) fn replications(options: &Options, guests: &[Guest], start: Milliseconds) -> Vec<Replication> {
    if options.nodes < 2 || options.standalone {
        return Vec::new();
    }
    let jobs = guests.iter().step_by(6).filter(|guest| !guest.settings.template);
    jobs.take(MOST_JOBS)
        .enumerate()
        .map(|(number, guest)| {
            let stream = hash(&[guest.stream, 0x7265_706C]);
            let others: Vec<usize> = (0..options.nodes).filter(|node| *node != guest.node).collect();
            Replication {
                guest: guest.vmid,
                between: [guest.node, others[index(others.len(), &[stream])]],
                comment: (number == 2).then_some("paused"),
                rate: (number % 4 == 0).then_some(50),
                disabled_since: (number == 2).then_some(0),
                failing_since: (options.is_troubled() && number == 1).then(|| start.saturating_sub(5_400_000)),
                stream,
            }
        })
        .collect()
}

impl Replication {
    /// The only job of its guest, so its number is 0.
    pub(crate) fn id(&self) -> String {
        format!("{}-0", self.guest)
    }

    pub(crate) fn target(&self, source: usize) -> usize {
        let [origin, target] = self.between;
        if source == target { origin } else { target }
    }

    /// How the job is doing at a time, when its target is out of reach since another time.
    pub(crate) fn state(&self, at: Milliseconds, target_lost: Option<Milliseconds>) -> ReplicationState {
        let at = self.disabled_since.map_or(at, |disabled| disabled.min(at));
        let failing = self.failing_since.into_iter().chain(target_lost).min();
        let failing = failing.filter(|since| *since <= at).map(|since| since / 1_000);
        let at = at / 1_000;
        let Some(since) = failing else {
            let last = at / PERIOD * PERIOD;
            return ReplicationState {
                last_sync: last,
                last_try: last,
                next_sync: last + PERIOD,
                fail_count: 0,
                duration: (last > 0).then(|| self.duration(last)),
            };
        };
        // It is tried again after 5, 10 and 15 minutes, and then every half an hour.
        let (fail_count, waited) = match at - since {
            0..300 => (1, 0),
            300..900 => (2, 300),
            900..1_800 => (3, 900),
            late => (late / 1_800 + 3, late / 1_800 * 1_800),
        };
        let last_try = since + waited;
        ReplicationState {
            last_sync: since.saturating_sub(1) / PERIOD * PERIOD,
            last_try,
            next_sync: last_try + if fail_count > 3 { 1_800 } else { fail_count * 300 },
            fail_count,
            duration: Some(self.duration(last_try)),
        }
    }

    fn duration(&self, run: u64) -> f64 {
        ((2.0 + 20.0 * unit(&[self.stream]) + 4.0 * unit(&[self.stream, run])) * 1e6).round() / 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::population;

    const START: Milliseconds = 1_786_800_000_000;

    fn jobs(events: bool) -> Vec<Replication> {
        let options = Options {
            events,
            ..Options::default()
        };
        replications(&options, &population::guests(&options, START), START)
    }

    #[test]
    fn a_failing_job_is_tried_less_and_less_often() {
        let job = &mut jobs(false)[0];
        let healthy = job.state(START, None);
        assert_eq!((healthy.last_sync, healthy.next_sync), (1_786_799_700, 1_786_800_600));
        let tries = |job: &Replication| -> Vec<(u64, u64, u64)> {
            [0, 299, 300, 900, 1_800, 3_599, 3_600]
                .map(|seconds| job.state(START + seconds * 1_000, None))
                .map(|state| {
                    (
                        state.fail_count,
                        state.last_try - START / 1_000,
                        state.next_sync - state.last_try,
                    )
                })
                .to_vec()
        };
        job.failing_since = Some(START);
        let expected = [
            (1, 0, 300),
            (1, 0, 300),
            (2, 300, 600),
            (3, 900, 900),
            (4, 1_800, 1_800),
            (4, 1_800, 1_800),
            (5, 3_600, 1_800),
        ];
        assert_eq!(tries(job), expected);
        assert_eq!(job.state(START + 9_000_000, None).last_sync, healthy.last_sync);
    }

    #[test]
    fn one_job_is_disabled_and_one_fails_in_a_lively_cluster() {
        let jobs = jobs(true);
        let never = jobs[2].state(START, None);
        assert_eq!((never.last_sync, never.next_sync, never.duration), (0, 900, None));
        assert!(jobs[1].state(START, None).fail_count > 1);
        assert_eq!(jobs[0].state(START, None).fail_count, 0);
        assert!(
            jobs[0].state(START + 60_000, Some(START)).fail_count == 1,
            "its target is gone"
        );
    }
}
