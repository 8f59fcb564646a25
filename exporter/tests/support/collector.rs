//! A virtual machine with the port, and the collector inside, played by this process.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate includes this module and uses its own part of it"
)]
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use pve_exporter::clock::Clock;
use pve_guest_protocol::{AreaSet, Areas, BootId, Encoder, Header};
use pve_simulator::{Heard, PlayedMachine};

/// How often it publishes.
const INTERVAL: Duration = Duration::from_millis(100);

/// What it does of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// It says something that is no message, publishes, and answers.
    Talks,
    /// It answers what it is asked, once it may.
    Answers,
    /// It says nothing.
    Silent,
}

/// The machine.
pub struct Machine {
    requests: Arc<AtomicUsize>,
    may_answer: Arc<AtomicBool>,
    _machine: PlayedMachine,
}

/// Every area with every field.
pub fn areas() -> Areas {
    serde_json::from_str(include_str!("../fixtures/telemetry/areas.json")).unwrap()
}

impl Machine {
    /// One that runs, with its socket in `directory`.
    pub fn start(directory: &Path, vmid: u32, manner: Manner) -> Self {
        Self::of_process(directory, vmid, manner, std::process::id())
    }

    /// The same, while PVE takes another process for it.
    pub fn of_process(directory: &Path, vmid: u32, manner: Manner, process: u32) -> Self {
        let (requests, may_answer) = (Arc::default(), Arc::default());
        let mut collector = Collector {
            manner,
            requests: Arc::clone(&requests),
            may_answer: Arc::clone(&may_answer),
            asked: Vec::new(),
            header: Header {
                boot_id: BootId([7; 16]),
                start_seconds: 4.0,
                monotonic_seconds: 100.0,
                time_seconds: Clock::default().unix_seconds(),
                interval_seconds: 10.0,
                ..Header::default()
            },
        };
        let machine = PlayedMachine::start(directory, vmid, process).unwrap();
        let machine = machine.with_collector(INTERVAL, move |heard| collector.says(heard));
        Self {
            requests,
            may_answer,
            _machine: machine.unwrap(),
        }
    }

    /// How often it was asked for a sample.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Lets it answer what it was asked, and will be.
    pub fn answer(&self) {
        self.may_answer.store(true, Ordering::SeqCst);
    }
}

struct Collector {
    manner: Manner,
    requests: Arc<AtomicUsize>,
    may_answer: Arc<AtomicBool>,
    asked: Vec<u64>,
    header: Header,
}

impl Collector {
    fn says(&mut self, heard: Heard) -> Vec<u8> {
        let talks = self.manner == Manner::Talks;
        match heard {
            Heard::Connected => {
                self.asked.clear();
                return if talks { b"login: \n".to_vec() } else { Vec::new() };
            }
            Heard::Nothing if talks => return self.sample(None),
            Heard::Nothing => {}
            Heard::Asked(id) => {
                self.requests.fetch_add(1, Ordering::SeqCst);
                self.asked.push(id);
            }
        }
        if talks || self.manner == Manner::Answers && self.may_answer.load(Ordering::SeqCst) {
            let asked = std::mem::take(&mut self.asked);
            return asked.into_iter().flat_map(|id| self.sample(Some(id))).collect();
        }
        Vec::new()
    }

    fn sample(&mut self, id: Option<u64>) -> Vec<u8> {
        self.header.sequence += 1;
        let mut lines = Vec::new();
        Encoder::default().encode(&self.header, &areas(), AreaSet::ALL, id, &mut lines);
        lines
    }
}
