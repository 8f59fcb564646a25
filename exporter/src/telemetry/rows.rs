//! Which rows of a guest are taken: text that may be a label, no label set twice, and no more than its budget.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, Hash, RandomState};

use pve_guest_protocol::areas::{ArpEntries, Disk, FileSystem, Interface, NetworkCounters, System};
use pve_guest_protocol::{Area, AreaSet, Areas};

use super::dropped::{Dropped, Reason};
use super::exposition::{Filter, is_disk};
use crate::config::GuestTelemetry;
use crate::pve::api::agent::text::clean;
use crate::sources::agent::labels::LabelSets;

/// The most bytes of a label's value.
const LONGEST_LABEL: usize = 256;

/// More CPUs than QEMU gives any guest.
const MOST_CPUS: u32 = 4096;

/// CPUs that were not seen before, in a day.
const NEW_CPUS: u32 = 512;

/// How often a day the texts of the system may be others.
const NEW_SYSTEMS: u32 = 8;

/// Of so many series one may have a new label set on the first day. A row of which there may be many becomes more than that: however
/// many of these a guest has, they leave room for others.
const SERIES_OF_A_LABEL_SET: usize = 8;

/// Series that a row becomes, about.
mod series {
    pub(super) const CPU: usize = 10;
    pub(super) const SCHEDULER: usize = 3;
    pub(super) const SOFTNET: usize = 7;
    pub(super) const DISK: usize = 18;
    pub(super) const FILE_SYSTEM: usize = 8;
    pub(super) const NETWORK: usize = 16;
    pub(super) const INTERFACE: usize = 16;
    pub(super) const ARP: usize = 1;
}

/// Admits rows.
#[derive(Debug)]
pub(super) struct Admission {
    most_series: usize,
    systems: LabelSets,
    cpus: LabelSets,
    labels: LabelSets,
    hasher: RandomState,
    /// Of the sample that is being read.
    sample: Sample,
}

#[derive(Debug, Default)]
struct Sample {
    series: [usize; 2],
    seen: HashSet<u64>,
}

/// What is taken first, should there be too much. Disks and CPUs may be too many by themselves, and come before the others on the
/// wire; so each rank has room for itself until the sample is whole.
#[derive(Clone, Copy, Debug)]
enum Rank {
    First,
    Last,
}

impl Admission {
    pub(super) fn new(settings: &GuestTelemetry) -> Self {
        let first_day = u32::try_from(settings.series_per_guest / SERIES_OF_A_LABEL_SET).unwrap_or(u32::MAX);
        Self {
            most_series: settings.series_per_guest,
            systems: LabelSets::new(NEW_SYSTEMS),
            cpus: LabelSets::new(NEW_CPUS),
            labels: LabelSets::new(settings.new_label_sets_per_day).with_first_day(first_day),
            hasher: RandomState::new(),
            sample: Sample::default(),
        }
    }

    /// The next rows are of another sample.
    pub(super) fn begin(&mut self) {
        self.sample = Sample::default();
    }

    /// Takes out of `areas`, those of one line, what is not shown and what may not be shown at `now`, in Unix seconds.
    pub(super) fn filter(&mut self, areas: &mut Areas, now: f64, dropped: &mut Dropped) {
        if let Some(system) = &mut areas.system {
            shorten(system);
            if !self.systems.admit(format!("{system:?}"), now) {
                dropped.count(Reason::LabelSets);
                areas.system = None;
            }
        }
        let mut rows = Rows {
            admission: self,
            now,
            dropped,
        };
        keep(&mut areas.file_systems, |row| rows.file_system(row));
        keep(&mut areas.network, |row| rows.network(row));
        keep(&mut areas.interfaces, |row| rows.interface(row));
        keep(&mut areas.arp, |row| rows.arp(row));
        keep(&mut areas.cpus, |row| rows.cpu(Area::Cpus, row.cpu, series::CPU));
        keep(&mut areas.scheduler, |row| {
            rows.cpu(Area::Scheduler, row.cpu, series::SCHEDULER)
        });
        keep(&mut areas.softnet, |row| {
            rows.cpu(Area::Softnet, row.cpu, series::SOFTNET)
        });
        keep(&mut areas.disks, |row| rows.disk(row));
    }

    /// Leaves out of all that is known of a guest what is more than it may have: of what is `told` with the newest sample the last
    /// rows, and areas of earlier ones as a whole.
    pub(super) fn limit(&self, areas: &mut Areas, told: AreaSet, dropped: &mut Dropped) {
        let mut room = Room {
            left: self.most_series,
            told,
            dropped,
        };
        room.limit(Area::FileSystems, &mut areas.file_systems, series::FILE_SYSTEM);
        room.limit(Area::Network, &mut areas.network, series::NETWORK);
        room.limit(Area::Interfaces, &mut areas.interfaces, series::INTERFACE);
        room.limit(Area::Arp, &mut areas.arp, series::ARP);
        room.limit(Area::Cpus, &mut areas.cpus, series::CPU);
        room.limit(Area::Scheduler, &mut areas.scheduler, series::SCHEDULER);
        room.limit(Area::Softnet, &mut areas.softnet, series::SOFTNET);
        room.limit(Area::Disks, &mut areas.disks, series::DISK);
    }
}

/// Keeps the rows that are `good`, and no memory for many more.
fn keep<T>(list: &mut Option<Vec<T>>, good: impl FnMut(&mut T) -> bool) {
    let Some(list) = list else { return };
    list.retain_mut(good);
    if list.len() < list.capacity() / 2 {
        list.shrink_to_fit();
    }
}

/// What is left of the series that a guest may have.
struct Room<'a> {
    left: usize,
    told: AreaSet,
    dropped: &'a mut Dropped,
}

impl Room<'_> {
    fn limit<T>(&mut self, area: Area, list: &mut Option<Vec<T>>, series: usize) {
        let Some(rows) = list else { return };
        let over = rows.len().saturating_sub(self.left / series);
        if over > 0 && !self.told.contains(area) {
            self.dropped.add(Reason::Series, rows.len() as u64);
            *list = None;
            return;
        }
        self.dropped.add(Reason::Series, over as u64);
        rows.truncate(rows.len() - over);
        self.left -= rows.len() * series;
    }
}

/// Rows of one line.
struct Rows<'a> {
    admission: &'a mut Admission,
    now: f64,
    dropped: &'a mut Dropped,
}

impl Rows<'_> {
    fn file_system(&mut self, row: &FileSystem) -> bool {
        let labels = [&*row.device, &*row.mount_point, &*row.kind];
        Filter::default().file_system(row)
            && self.text(&labels)
            && self.fits(Rank::First, series::FILE_SYSTEM)
            && self.known(("file system", labels, row.major, row.minor))
            && self.once(("file system", labels))
            && self.add(Rank::First, series::FILE_SYSTEM)
    }

    fn network(&mut self, row: &NetworkCounters) -> bool {
        let labels = [&*row.interface];
        Filter::default().interface(&row.interface)
            && self.text(&labels)
            && self.fits(Rank::First, series::NETWORK)
            && self.known(("interface", labels))
            && self.once(("network", labels))
            && self.add(Rank::First, series::NETWORK)
    }

    /// What an interface says of itself is cut; one that says something new too often is not shown.
    fn interface(&mut self, row: &mut Interface) -> bool {
        let name = [&*row.interface];
        let good = Filter::default().interface(&row.interface)
            && self.text(&name)
            && self.fits(Rank::First, series::INTERFACE)
            && self.known(("interface", name));
        if !good {
            return false;
        }
        let texts = [&mut row.address, &mut row.broadcast, &mut row.duplex, &mut row.alias];
        for text in texts.into_iter().flatten().chain([&mut row.operational_state]) {
            cut(text);
        }
        let said = (
            &row.operational_state,
            [&row.address, &row.broadcast, &row.duplex, &row.alias],
        );
        self.known(("said", &row.interface, said))
            && self.once(("interface", &row.interface))
            && self.add(Rank::First, series::INTERFACE)
    }

    fn arp(&mut self, row: &ArpEntries) -> bool {
        let labels = [&*row.device];
        Filter::default().interface(&row.device)
            && self.text(&labels)
            && self.fits(Rank::First, series::ARP)
            && self.known(("interface", labels))
            && self.once(("arp", labels))
            && self.add(Rank::First, series::ARP)
    }

    fn cpu(&mut self, area: Area, cpu: u32, series: usize) -> bool {
        (cpu < MOST_CPUS || self.refuse(Reason::Label))
            && self.fits(Rank::Last, series)
            && (self.admission.cpus.admit(cpu, self.now) || self.refuse(Reason::LabelSets))
            && self.once((area, cpu))
            && self.add(Rank::Last, series)
    }

    fn disk(&mut self, row: &Disk) -> bool {
        let labels = [&*row.device];
        is_disk(&row.device)
            && self.text(&labels)
            && self.fits(Rank::Last, series::DISK)
            && self.known(("disk", labels, row.major, row.minor))
            && self.once(("disk", labels))
            && self.add(Rank::Last, series::DISK)
    }

    fn refuse(&mut self, reason: Reason) -> bool {
        self.dropped.count(reason);
        false
    }

    fn text(&mut self, labels: &[&str]) -> bool {
        let good = |label: &&str| (1..=LONGEST_LABEL).contains(&label.len()) && !label.chars().any(char::is_control);
        labels.iter().all(good) || self.refuse(Reason::Label)
    }

    /// Whether there is room for so many series.
    fn fits(&mut self, rank: Rank, series: usize) -> bool {
        let taken = self.admission.sample.series[rank as usize];
        taken + series <= self.admission.most_series || self.refuse(Reason::Series)
    }

    fn known(&mut self, labels: impl Hash) -> bool {
        self.admission.labels.admit(labels, self.now) || self.refuse(Reason::LabelSets)
    }

    /// Whether the sample has no such row yet. It is asked last: what it remembers is bounded by what is taken.
    fn once(&mut self, labels: impl Hash) -> bool {
        let hash = self.admission.hasher.hash_one(labels);
        self.admission.sample.seen.insert(hash) || self.refuse(Reason::Duplicate)
    }

    fn add(&mut self, rank: Rank, series: usize) -> bool {
        self.admission.sample.series[rank as usize] += series;
        true
    }
}

fn cut(text: &mut String) {
    let good = text.len() <= 128 && text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_control());
    if !good {
        *text = clean(text).into();
    }
}

fn shorten(system: &mut System) {
    let System {
        id,
        id_like,
        name,
        pretty_name,
        variant,
        variant_id,
        version,
        version_codename,
        version_id,
        build_id,
        image_id,
        image_version,
        support_end,
        kernel_name,
        kernel_release,
        kernel_version,
        machine,
        host_name,
        domain_name,
        virtualization,
        time_zone,
        time_zone_offset_seconds: _,
        clock_source,
        clock_sources,
        dmi,
    } = system;
    let texts = [
        id,
        id_like,
        name,
        pretty_name,
        variant,
        variant_id,
        version,
        version_codename,
        version_id,
        build_id,
        image_id,
        image_version,
        support_end,
        kernel_name,
        kernel_release,
        kernel_version,
        machine,
        host_name,
        domain_name,
        virtualization,
        time_zone,
        clock_source,
        clock_sources,
    ];
    texts.into_iter().flatten().for_each(cut);
    let Some(dmi) = dmi else { return };
    let pve_guest_protocol::areas::Dmi {
        bios_date,
        bios_release,
        bios_vendor,
        bios_version,
        board_name,
        board_vendor,
        board_version,
        chassis_vendor,
        chassis_version,
        product_family,
        product_name,
        product_sku,
        product_version,
        system_vendor,
    } = dmi;
    let texts = [
        bios_date,
        bios_release,
        bios_vendor,
        bios_version,
        board_name,
        board_vendor,
        board_version,
        chassis_vendor,
        chassis_version,
        product_family,
        product_name,
        product_sku,
        product_version,
        system_vendor,
    ];
    texts.into_iter().flatten().for_each(cut);
}
