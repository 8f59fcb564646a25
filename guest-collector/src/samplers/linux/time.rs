//! How the clock is kept: `adjtimex(2)`, which asks and sets nothing here.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::Time;
use rtime_clock::adjtime::{Timex, adjtimex};

/// Fills `time`; a system call filter may forbid the question.
pub(super) fn sample(areas: &mut Areas) {
    // No mode is set: a question.
    let mut timex = Timex::new();
    areas.time = adjtimex(&mut timex).ok().map(|state| {
        let told = timex.0;
        Time {
            state: known(state),
            status: known(told.status),
            offset: known(told.offset),
            frequency: known(told.freq),
            maximum_error: known(told.maxerror),
            estimated_error: known(told.esterror),
            loop_time_constant: known(told.constant),
            tick: known(told.tick),
            pps_frequency: known(told.ppsfreq),
            pps_jitter: known(told.jitter),
            pps_shift: known(told.shift),
            pps_stability: known(told.stabil),
            pps_jitter_exceeded: known(told.jitcnt),
            pps_calibrations: known(told.calcnt),
            pps_errors: known(told.errcnt),
            pps_stability_exceeded: known(told.stbcnt),
            tai_offset: known(told.tai),
        }
    });
}

/// Fields are as long as the platform's words.
fn known(value: impl Into<i64>) -> Option<i64> {
    Some(value.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_tells_its_clock() {
        let mut areas = Areas::default();
        sample(&mut areas);
        let time = areas.time.unwrap();
        assert_eq!(
            time.tick.map(|tick| tick / 1000),
            Some(10),
            "a hundredth of a second, a tenth more or less at most"
        );
        assert!(time.maximum_error >= time.estimated_error.map(|_| 0));
    }
}
