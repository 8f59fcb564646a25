//! The guest's clock, and how it is kept.

use pve_guest_protocol::areas::{System, Time};

use super::{Guest, Row, one, only, rows, signed, whole};
use crate::metrics::catalog::{Group, group};
use crate::metrics::exposition::Section;
use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit, Value};

const MICROSECONDS: f64 = 1e6;

/// What `adjtimex` returns when nothing keeps the clock right.
const TIME_ERROR: i64 = 5;

/// The bit of the status by which some of its figures are in nanoseconds.
const STA_NANO: i64 = 0x2000;

/// More clocks than any machine has.
const MOST_SOURCES: usize = 16;

/// Parts per million, times this.
const FREQUENCY: f64 = 65_536.0 * 1e6;

pub(super) fn sections(guest: Guest<'_>) -> Vec<Box<dyn Section>> {
    let system = guest.areas.system.as_ref();
    vec![
        rows(vec![only(Now(guest.time))]),
        rows(zone(system).into_iter().collect()),
        rows(sources(system)),
        one(guest.areas.time.as_ref()),
    ]
}

pub(super) fn groups() -> Vec<Group> {
    vec![
        group::<Row<Now>>(),
        group::<Row<Zone>>(),
        group::<Row<ClockSource>>(),
        group::<Row<Time>>(),
    ]
}

/// When the sample was taken.
pub(super) struct Now(f64);

impl Subject for Row<Now> {
    const NAME: &'static str = "time";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "node_time_seconds",
        Unit::Seconds,
        "The guest's clock when it took the sample.",
        |now| Some(now.0.into()),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// A time zone, by its offset.
pub(super) struct Zone(i64);

fn zone(system: Option<&System>) -> Option<Row<Zone>> {
    let system = system?;
    Some(Row {
        identity: Identity::new(&[("time_zone", system.time_zone.as_ref()?)]),
        value: Zone(system.time_zone_offset_seconds?),
    })
}

impl Subject for Row<Zone> {
    const NAME: &'static str = "time zone";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &["time_zone"];
    const TABLE: &'static [Metric<Self>] = &[Metric::gauge(
        "node_time_zone_offset_seconds",
        Unit::Seconds,
        "How far the guest's local time is ahead of UTC now.",
        |zone| signed(Some(zone.0)),
    )];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// What a clock can run by.
#[derive(Clone)]
pub(super) struct ClockSource {
    current: bool,
    available: bool,
}

fn sources(system: Option<&System>) -> Vec<Row<ClockSource>> {
    let Some(system) = system else { return Vec::new() };
    let current = system.clock_source.as_deref();
    let available = || {
        let all = system.clock_sources.as_deref().unwrap_or_default();
        all.split_whitespace().take(MOST_SOURCES)
    };
    let row = |name: &str| Row {
        identity: Identity::new(&[("device", "0"), ("clocksource", name)]),
        value: ClockSource {
            current: Some(name) == current,
            available: available().any(|one| one == name),
        },
    };
    available().chain(current).map(row).collect()
}

impl Subject for Row<ClockSource> {
    const NAME: &'static str = "clock source";
    const ROWS: &'static str = "one per source that the kernel could take the time from";
    const LABELS: &'static [&'static str] = &["device", "clocksource"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge_info(
            "node_time_clocksource_available_info",
            &[],
            "That the kernel could take the time from it.",
            |source, _| source.available,
        ),
        Metric::gauge_info(
            "node_time_clocksource_current_info",
            &[],
            "That the kernel takes the time from it.",
            |source, _| source.current,
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

/// Whether something keeps the clock right.
pub(super) fn synchronized(time: &Time) -> Option<bool> {
    time.state.map(|state| state != TIME_ERROR)
}

impl Row<Time> {
    /// A figure in nanoseconds or microseconds, as the status says.
    fn seconds(&self, figure: Option<i64>) -> Option<Value> {
        let nanoseconds = self.status.is_some_and(|status| status & STA_NANO != 0);
        divided(figure, if nanoseconds { 1e9 } else { MICROSECONDS })
    }
}

#[expect(clippy::cast_precision_loss, reason = "so precise are samples")]
fn divided(figure: Option<i64>, by: f64) -> Option<Value> {
    figure.map(|figure| (figure as f64 / by).into())
}

/// A counter that the kernel keeps with a sign.
fn counted(figure: Option<i64>) -> Option<Value> {
    whole(u64::try_from(figure?).ok())
}

impl Subject for Row<Time> {
    const NAME: &'static str = "clock's discipline";
    const ROWS: &'static str = "one";
    const LABELS: &'static [&'static str] = &[];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "node_timex_sync_status",
            Unit::None,
            "Whether something keeps the clock right.",
            |time| synchronized(time).map(Into::into),
        ),
        Metric::gauge(
            "node_timex_offset_seconds",
            Unit::Seconds,
            "How far the clock is from what keeps it.",
            |time| time.seconds(time.offset),
        ),
        Metric::gauge(
            "node_timex_frequency_adjustment_ratio",
            Unit::Ratio,
            "How much faster the clock is made to run.",
            #[expect(clippy::cast_precision_loss, reason = "so precise are samples")]
            |time| {
                time.frequency
                    .map(|frequency| (1.0 + frequency as f64 / FREQUENCY).into())
            },
        ),
        Metric::gauge(
            "node_timex_maxerror_seconds",
            Unit::Seconds,
            "How far off the clock is at most.",
            |time| divided(time.maximum_error, MICROSECONDS),
        ),
        Metric::gauge(
            "node_timex_estimated_error_seconds",
            Unit::Seconds,
            "How far off the clock is probably.",
            |time| divided(time.estimated_error, MICROSECONDS),
        ),
        Metric::gauge(
            "node_timex_status",
            Unit::None,
            "The kernel's flags of the clock, STA_PLL and so on, as one number.",
            |time| signed(time.status),
        ),
        Metric::gauge(
            "node_timex_loop_time_constant",
            Unit::None,
            "How slowly the clock is corrected.",
            |time| signed(time.loop_time_constant),
        ),
        Metric::gauge(
            "node_timex_tick_seconds",
            Unit::Seconds,
            "How far the clock moves at each tick.",
            |time| divided(time.tick, MICROSECONDS),
        ),
        Metric::gauge(
            "node_timex_tai_offset_seconds",
            Unit::Seconds,
            "How far International Atomic Time is ahead of UTC, where the kernel was told.",
            |time| signed(time.tai_offset),
        ),
        Metric::gauge(
            "node_timex_pps_frequency_hertz",
            Unit::Hertz,
            "Frequency of the pulses that the clock is kept by.",
            |time| divided(time.pps_frequency, FREQUENCY),
        ),
        Metric::gauge(
            "node_timex_pps_jitter_seconds",
            Unit::Seconds,
            "How unsteady the pulses are.",
            |time| time.seconds(time.pps_jitter),
        ),
        Metric::gauge(
            "node_timex_pps_shift_seconds",
            Unit::Seconds,
            "How long the pulses are watched.",
            |time| signed(time.pps_shift),
        ),
        Metric::gauge(
            "node_timex_pps_stability_hertz",
            Unit::Hertz,
            "How much the frequency of the pulses wanders.",
            |time| divided(time.pps_stability, FREQUENCY),
        ),
        Metric::counter(
            "node_timex_pps_jitter_total",
            Unit::None,
            "Pulses that were too unsteady.",
            |time| counted(time.pps_jitter_exceeded),
        ),
        Metric::counter(
            "node_timex_pps_calibration_total",
            Unit::None,
            "How often the pulses were watched to the end.",
            |time| counted(time.pps_calibrations),
        ),
        Metric::counter(
            "node_timex_pps_error_total",
            Unit::None,
            "How often watching the pulses failed.",
            |time| counted(time.pps_errors),
        ),
        Metric::counter(
            "node_timex_pps_stability_exceeded_total",
            Unit::None,
            "How often the frequency of the pulses wandered too far.",
            |time| counted(time.pps_stability_exceeded),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_has_few_clocks() {
        let names: Vec<_> = (0..64).map(|number| number.to_string()).collect();
        let system = System {
            clock_source: Some("kvm-clock".to_owned()),
            clock_sources: Some(names.join(" ")),
            ..System::default()
        };
        assert_eq!(sources(Some(&system)).len(), MOST_SOURCES + 1);
    }
}
