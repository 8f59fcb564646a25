//! What a sample tells of a guest, area by area.
//!
//! Values are raw: counters as the kernel counts them, in its own units (ticks, sectors, kB, pages, milliseconds), which the
//! field's name or text says. `None` is what this kernel does not tell. The texts of the fields are the specification: the tables
//! of `PROTOCOL.md` are made of them.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::MAX_ROWS_PER_LINE;

mod compute;
mod network;
mod storage;
mod system;

pub use compute::{Cpu, Kernel, Load, Memory, Paging, Pressure, Processes, SchedulerCpu, Softirqs, SoftnetCpu};
pub use network::{ArpEntries, Conntrack, Interface, NetworkCounters, Protocols, Sockets, UdpQueues};
pub use storage::{Disk, FileSystem, FileSystemError};
pub use system::{Collector, Dmi, Entropy, System, Time, Users};

/// A field of an area as the specification lists it.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// Its Rust type.
    pub kind: &'static str,
    /// Stands in every object of its kind.
    pub required: bool,
    /// What it means.
    pub text: &'static str,
}

impl Field {
    pub(crate) const fn new(name: &'static str, kind: &'static str, required: bool, text: &'static str) -> Self {
        Self {
            name,
            kind,
            required,
            text,
        }
    }
}

/// Defines an object of the wire: its required fields, its optional ones, which are left out when unknown, and those that are left
/// out when they are what they mostly are.
macro_rules! wire {
    ($(#[$outer:meta])* $name:ident {
        $(required { $(#[doc = $rtext:literal] $required:ident: $rtype:ty,)* })?
        $(optional { $(#[doc = $otext:literal] $optional:ident: $otype:ty,)* })?
        $(sparse { $(#[doc = $stext:literal] $sparse:ident: $stype:ty, unless $mostly:literal,)* })?
    }) => {
        $(#[$outer])*
        #[derive(Clone, Debug, Default, PartialEq, serde::Deserialize, serde::Serialize)]
        pub struct $name {
            $($(#[doc = $rtext] pub $required: $rtype,)*)?
            $($(#[doc = $otext] #[serde(skip_serializing_if = "Option::is_none")] pub $optional: Option<$otype>,)*)?
            $($(#[doc = $stext] #[serde(default, skip_serializing_if = $mostly)] pub $sparse: $stype,)*)?
        }

        impl $name {
            /// The fields of this object, in the order in which they are written.
            pub const FIELDS: &[$crate::areas::Field] = &[
                $($($crate::areas::Field::new(stringify!($required), stringify!($rtype), true, $rtext),)*)?
                $($($crate::areas::Field::new(stringify!($optional), stringify!($otype), false, $otext),)*)?
                $($($crate::areas::Field::new(stringify!($sparse), stringify!($stype), false, $stext),)*)?
            ];
        }
    };
}
pub(crate) use wire;

/// Defines the areas: those that are one object, then those that are a list of rows.
macro_rules! areas {
    (objects { $(#[doc = $otext:literal] $oarea:ident $object:ident: $otype:ident,)* }
     rows { $(#[doc = $rtext:literal] $rarea:ident $rows:ident: $rtype:ident,)* }) => {
        /// The name of an area.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Area {
            $(#[doc = $otext] $oarea,)*
            $(#[doc = $rtext] $rarea,)*
        }

        impl Area {
            /// All areas, in the order in which a sample holds them.
            pub const ALL: &[Self] = &[$(Self::$oarea,)* $(Self::$rarea,)*];

            /// The key of this area on the wire.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$oarea => stringify!($object),)*
                    $(Self::$rarea => stringify!($rows),)*
                }
            }

            /// What this area holds.
            pub fn text(self) -> &'static str {
                match self {
                    $(Self::$oarea => $otext,)*
                    $(Self::$rarea => $rtext,)*
                }
            }

            /// The fields of the object, or of each row.
            pub fn fields(self) -> &'static [Field] {
                match self {
                    $(Self::$oarea => $otype::FIELDS,)*
                    $(Self::$rarea => $rtype::FIELDS,)*
                }
            }

            /// Whether this area is a list of rows, not one object.
            pub fn is_list(self) -> bool {
                match self {
                    $(Self::$oarea => false,)*
                    $(Self::$rarea => true,)*
                }
            }
        }

        /// The areas of a sample, or of one line of it. `None`: not part of it.
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        pub struct Areas {
            $(#[doc = $otext] #[serde(default, deserialize_with = "object")] pub $object: Option<$otype>,)*
            $(#[doc = $rtext] #[serde(default, deserialize_with = "rows")] pub $rows: Option<Vec<$rtype>>,)*
        }

        impl Areas {
            /// Which areas are here.
            pub fn present(&self) -> AreaSet {
                let mut set = AreaSet::NONE;
                $(if self.$object.is_some() { set.insert(Area::$oarea); })*
                $(if self.$rows.is_some() { set.insert(Area::$rarea); })*
                set
            }

            /// Takes over the areas of `newer`; what `newer` does not hold stays.
            pub fn update(&mut self, newer: Self) {
                $(if newer.$object.is_some() { self.$object = newer.$object; })*
                $(if newer.$rows.is_some() { self.$rows = newer.$rows; })*
            }

            /// Takes over the areas of a further line of the same sample: rows go behind those that are here.
            pub(crate) fn append(&mut self, further: Self) {
                $(if further.$object.is_some() { self.$object = further.$object; })*
                $(match (&mut self.$rows, further.$rows) {
                    (Some(rows), Some(further)) => rows.extend(further),
                    (rows @ None, Some(further)) => *rows = Some(further),
                    (_, None) => {}
                })*
            }

            /// Hands `area` to `visitor` when it is here.
            pub(crate) fn visit(&self, area: Area, visitor: &mut impl Visit) {
                match area {
                    $(Area::$oarea => if let Some(object) = &self.$object { visitor.object(area, object) },)*
                    $(Area::$rarea => if let Some(rows) = &self.$rows { visitor.rows(area, rows) },)*
                }
            }
        }
    };
}

areas! {
    objects {
        /// The machine as a whole: `/proc/stat` but for its CPUs.
        Kernel kernel: Kernel,
        /// `/proc/loadavg`.
        Load load: Load,
        /// `/proc/meminfo`.
        Memory memory: Memory,
        /// `/proc/vmstat`.
        Paging paging: Paging,
        /// `/proc/pressure/*`: since when tasks have waited, in microseconds.
        Pressure pressure: Pressure,
        /// Processes, threads and open files.
        Processes processes: Processes,
        /// `/proc/net/sockstat` and `/proc/net/sockstat6`.
        Sockets sockets: Sockets,
        /// `/proc/net/netstat`, `/proc/net/snmp` and `/proc/net/snmp6`.
        Protocols protocols: Protocols,
        /// Connection tracking.
        Conntrack conntrack: Conntrack,
        /// Bytes that wait in UDP sockets.
        UdpQueues udp_queues: UdpQueues,
        /// The kernel's entropy.
        Entropy entropy: Entropy,
        /// The clock and how it is kept: `adjtimex(2)`.
        Time time: Time,
        /// Who is logged in, in numbers.
        Users users: Users,
        /// The operating system and the machine. Sent once a minute, and first after a host has attached.
        System system: System,
        /// The collector itself.
        Collector collector: Collector,
    }
    rows {
        /// The time of each CPU that is online, in ticks: `/proc/stat`.
        Cpus cpus: Cpu,
        /// Each CPU's run queue: `/proc/schedstat`.
        Scheduler scheduler: SchedulerCpu,
        /// Packets handled by each CPU: `/proc/net/softnet_stat`.
        Softnet softnet: SoftnetCpu,
        /// `/proc/diskstats`.
        Disks disks: Disk,
        /// Mounted file systems, but for pseudo ones.
        FileSystems file_systems: FileSystem,
        /// The counters of each interface: `/proc/net/dev`.
        Network network: NetworkCounters,
        /// What `/sys/class/net` says of each interface. May be sent less often than the counters.
        Interfaces interfaces: Interface,
        /// ARP entries by device.
        Arp arp: ArpEntries,
    }
}

/// Gets areas one by one, each with its own type.
pub(crate) trait Visit {
    fn object(&mut self, area: Area, object: &impl Serialize);
    fn rows(&mut self, area: Area, rows: &[impl Serialize]);
}

/// A set of areas; on the wire a list of names, in which names that are not known are skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AreaSet(u32);

impl AreaSet {
    /// No area.
    pub const NONE: Self = Self(0);
    /// All areas.
    pub const ALL: Self = Self((1 << Area::ALL.len()) - 1);

    /// Puts an area in.
    pub fn insert(&mut self, area: Area) {
        self.0 |= 1 << area as u32;
    }

    /// Takes an area out.
    pub fn remove(&mut self, area: Area) {
        self.0 &= !(1 << area as u32);
    }

    /// The same with this area.
    #[must_use]
    pub fn with(mut self, area: Area) -> Self {
        self.insert(area);
        self
    }

    /// The areas of either.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The areas of both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether an area is in.
    pub fn contains(self, area: Area) -> bool {
        self.0 & (1 << area as u32) != 0
    }

    /// Whether no area is in.
    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    /// The areas, in their order.
    pub fn iter(self) -> impl Iterator<Item = Area> {
        Area::ALL.iter().copied().filter(move |area| self.contains(*area))
    }
}

impl FromIterator<Area> for AreaSet {
    fn from_iter<I: IntoIterator<Item = Area>>(areas: I) -> Self {
        areas.into_iter().fold(Self::NONE, Self::with)
    }
}

impl Serialize for AreaSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut names = serializer.serialize_seq(None)?;
        for area in self.iter() {
            names.serialize_element(area.name())?;
        }
        names.end()
    }
}

impl<'de> Deserialize<'de> for AreaSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;
        impl<'de> Visitor<'de> for Names {
            type Value = AreaSet;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list of names of areas")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut names: A) -> Result<AreaSet, A::Error> {
                let mut set = AreaSet::NONE;
                while let Some(Name(area)) = names.next_element()? {
                    set.0 |= area.map_or(0, |area| 1 << area as u32);
                }
                Ok(set)
            }
        }
        deserializer.deserialize_seq(Names)
    }
}

/// One name, borrowed from the line or not.
struct Name(Option<Area>);

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Name;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the name of an area")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<Name, E> {
                Ok(Name(Area::ALL.iter().copied().find(|area| area.name() == name)))
            }
        }
        deserializer.deserialize_str(Text)
    }
}

/// An area that is an object is never `null`: it is there or it is not.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

fn rows<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Vec<T>>, D::Error> {
    struct Rows<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Rows<T> {
        type Value = Vec<T>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(formatter, "a list of at most {MAX_ROWS_PER_LINE} rows")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut rows = Vec::new();
            while let Some(row) = list.next_element()? {
                if rows.len() == MAX_ROWS_PER_LINE {
                    return Err(de::Error::invalid_length(rows.len() + 1, &self));
                }
                rows.push(row);
            }
            Ok(rows)
        }
    }
    deserializer.deserialize_seq(Rows(PhantomData)).map(Some)
}
