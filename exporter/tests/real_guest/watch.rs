//! The exporter's sessions with guests, and somebody who looks at what they show all the time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use pve_exporter::clock::Clock;
use pve_exporter::config::GuestTelemetry;
use pve_exporter::telemetry::{GuestSample, State, Telemetry, Timing};
use pve_guest_protocol::BootId;
use tokio::task::JoinHandle;

use crate::machine::{Node, wait_for};

/// How much older than it should be a sample may seem: the guest's clock starts with whole seconds.
const MARGIN: f64 = 3.0;

/// The sessions of one node; what they show is looked at every few milliseconds until this is dropped.
pub(crate) struct Watched {
    pub(crate) telemetry: Arc<Telemetry>,
    vmid: u32,
    seen: Arc<Mutex<Seen>>,
    looking: JoinHandle<()>,
}

/// What has been shown of the guest so far.
#[derive(Default)]
struct Seen {
    newest: Option<Place>,
    /// How far the guest's clock is behind at most.
    behind: f64,
    complaints: Vec<String>,
}

/// Where a sample stands among all of its guest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) boot: BootId,
    pub(crate) start: f64,
    pub(crate) sequence: u64,
    /// Seconds since the boot.
    pub(crate) monotonic: f64,
}

impl Place {
    pub(crate) fn of(sample: &GuestSample) -> Self {
        let header = &sample.header;
        Self {
            boot: header.boot_id,
            start: header.start_seconds,
            sequence: header.sequence,
            monotonic: header.monotonic_seconds,
        }
    }

    /// Whether this may be shown after `other` was.
    fn may_follow(&self, other: &Self) -> bool {
        self.boot != other.boot || (self.start, self.sequence) >= (other.start, other.sequence)
    }
}

impl Watched {
    pub(crate) fn start(node: &Node, vmid: u32) -> Self {
        let settings = GuestTelemetry {
            enabled: true,
            directory: node.directory().to_owned(),
            ..GuestTelemetry::default()
        };
        // Waiting is shortened where it tests nothing.
        let timing = Timing {
            scan: Duration::from_millis(200),
            back_off: (Duration::from_millis(200), Duration::from_millis(500)),
            nudge: Duration::from_secs(1),
            ..Timing::default()
        };
        let telemetry = Telemetry::start_with(&settings, Clock::default(), timing);
        let seen = Arc::<Mutex<Seen>>::default();
        let looking = tokio::spawn(look(Arc::clone(&telemetry), vmid, Arc::clone(&seen)));
        Self {
            telemetry,
            vmid,
            seen,
            looking,
        }
    }

    /// The guest's clock has stood still for so long.
    pub(crate) fn stood_still(&self, time: Duration) {
        self.seen.lock().unwrap().behind += time.as_secs_f64();
    }

    /// The guest goes back to an earlier moment.
    pub(crate) fn goes_back(&self) {
        self.seen.lock().unwrap().newest = None;
    }

    pub(crate) fn state(&self) -> Option<State> {
        self.telemetry.guest(self.vmid).map(|guest| guest.snapshot().state)
    }

    /// Waits until a sample is shown for which `holds`.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Place) -> bool) -> Place {
        wait_for(what, || {
            let sample = self.telemetry.guest(self.vmid)?.snapshot().sample?;
            let place = Place::of(&sample);
            holds(&place).then_some(place)
        })
    }

    /// Waits until one is shown that was taken after `other`, and in the same run of the collector.
    #[track_caller]
    pub(crate) fn until_after(&self, what: &str, other: &Place) -> Place {
        let place = self.until(what, |place| place.sequence > other.sequence);
        assert_eq!((place.boot, place.start), (other.boot, other.start), "{what}");
        place
    }

    /// Waits until the guest is known to run no more: QEMU may have taken its files with it.
    #[track_caller]
    pub(crate) fn until_gone(&self) {
        wait_for("it is gone", || {
            matches!(self.state(), None | Some(State::Absent)).then_some(())
        });
    }

    /// Waits until a state is shown.
    #[track_caller]
    pub(crate) fn until_state(&self, state: State) {
        wait_for(state.as_str(), || (self.state() == Some(state)).then_some(()));
    }

    /// Ends the sessions as the exporter does when it is told to; nothing wrong was shown until then.
    pub(crate) async fn stop(self) {
        self.telemetry.stop().await;
        self.looking.abort();
        let complaints = std::mem::take(&mut self.seen.lock().unwrap().complaints);
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

async fn look(telemetry: Arc<Telemetry>, vmid: u32, seen: Arc<Mutex<Seen>>) {
    loop {
        let snapshot = telemetry.guest(vmid).map(|guest| guest.snapshot());
        if let Some(sample) = snapshot.and_then(|snapshot| snapshot.sample) {
            seen.lock().unwrap().judge(&sample);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

impl Seen {
    fn judge(&mut self, sample: &GuestSample) {
        let place = Place::of(sample);
        if let Some(newest) = self.newest.filter(|newest| !place.may_follow(newest)) {
            self.complaints.push(format!("{place:?} was shown after {newest:?}"));
        }
        let age = sample.received - sample.header.time_seconds;
        if age > self.behind + MARGIN {
            self.complaints.push(format!("{place:?} was {age} s old when it came"));
        }
        self.newest = Some(place);
    }
}
