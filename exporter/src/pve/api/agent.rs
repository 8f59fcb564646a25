//! `/nodes/{node}/qemu/{vmid}/agent/{command}`: what the agent inside a virtual machine tells, passed on by PVE.
//!
//! A guest may say anything. So answers are bounded in bytes and rows, and text in length; numbers that a sample
//! could not hold exactly are unknown, all but counters, and errors tell nothing of a body.

use std::borrow::Cow;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::pve::error::DecodeError;
use crate::pve::perl;

mod file_systems;
mod info;
mod interfaces;
mod operating_system;
mod silence;
pub(crate) mod text;
mod time_zone;
mod vcpus;

pub use file_systems::FileSystem;
pub use info::Info;
pub use interfaces::{Address, Counters, Interface};
pub use operating_system::OperatingSystem;
pub use silence::{Silence, silence};
pub use time_zone::TimeZone;
pub use vcpus::Vcpus;

use text::clean;

/// The longest answer that is read: a guest with a thousand mounts needs a third of it.
const LONGEST: usize = 1 << 20;

/// The most rows of a list that are read.
const MOST_ROWS: usize = 4096;

/// Numbers up to this one are exact in a sample, and no guest has more bytes.
const LARGEST: u64 = 1 << 53;

/// A command of the agent that changes nothing in the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Command {
    /// `get-fsinfo`.
    FileSystems,
    /// `network-get-interfaces`.
    Interfaces,
    /// `get-time`.
    Time,
    /// `get-users`.
    Users,
    /// `get-osinfo`.
    OperatingSystem,
    /// `get-host-name`.
    HostName,
    /// `get-timezone`.
    TimeZone,
    /// `get-vcpus`.
    Vcpus,
    /// `get-memory-block-info`.
    MemoryBlocks,
    /// `info`.
    Info,
    /// `fsfreeze-status`, a POST for PVE.
    FreezeStatus,
}

impl Command {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::FileSystems,
        Self::Interfaces,
        Self::Time,
        Self::Users,
        Self::OperatingSystem,
        Self::HostName,
        Self::TimeZone,
        Self::Vcpus,
        Self::MemoryBlocks,
        Self::Info,
        Self::FreezeStatus,
    ];

    /// The path below `/nodes/{node}/qemu/{vmid}/agent/`.
    #[must_use]
    pub fn path(self) -> &'static str {
        let name = self.qga_name();
        name.strip_prefix("guest-").unwrap_or(name)
    }

    /// The agent's own name of it.
    #[must_use]
    pub const fn qga_name(self) -> &'static str {
        match self {
            Self::FileSystems => "guest-get-fsinfo",
            Self::Interfaces => "guest-network-get-interfaces",
            Self::Time => "guest-get-time",
            Self::Users => "guest-get-users",
            Self::OperatingSystem => "guest-get-osinfo",
            Self::HostName => "guest-get-host-name",
            Self::TimeZone => "guest-get-timezone",
            Self::Vcpus => "guest-get-vcpus",
            Self::MemoryBlocks => "guest-get-memory-block-info",
            Self::Info => "guest-info",
            Self::FreezeStatus => "guest-fsfreeze-status",
        }
    }

    /// Whether PVE takes it as a POST.
    #[must_use]
    pub const fn is_post(self) -> bool {
        matches!(self, Self::FreezeStatus)
    }

    /// How often it is asked.
    #[must_use]
    pub const fn interval(self) -> Duration {
        const MINUTE: u64 = 60;
        Duration::from_secs(match self {
            Self::FileSystems | Self::Interfaces | Self::FreezeStatus => 5 * MINUTE,
            Self::Time | Self::Users => 120 * MINUTE,
            Self::OperatingSystem | Self::HostName | Self::TimeZone | Self::Vcpus | Self::MemoryBlocks | Self::Info => {
                360 * MINUTE
            }
        })
    }
}

/// What came of a call that PVE answered with 200.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// The agent's data.
    Data(Reply),
    /// An error of the agent.
    Refused(Refusal),
}

/// Why an agent that runs does not do a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is disabled in the guest, or file systems are frozen: newer agents say the same for both.
    Disabled,
    /// The agent, or the guest's system, does not have it.
    NotFound,
    /// The guest's file systems are frozen.
    Frozen,
    /// It failed.
    Other,
}

/// The data of a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// The mounted file systems, in the agent's order, duplicates among them.
    FileSystems(Vec<FileSystem>),
    /// The network interfaces, in the agent's order, duplicates among them.
    Interfaces(Vec<Interface>),
    /// The guest's clock in Unix seconds.
    Time(f64),
    /// How many users are logged in.
    Users(u64),
    /// What runs in it.
    OperatingSystem(OperatingSystem),
    /// Its name for itself; not empty.
    HostName(Box<str>),
    /// Its time zone.
    TimeZone(TimeZone),
    /// Its processors.
    Vcpus(Vcpus),
    /// The bytes of memory that are plugged at once.
    MemoryBlockSize(u64),
    /// What the agent can do.
    Info(Info),
    /// Whether file systems are frozen.
    FreezeStatus(bool),
}

/// Reads PVE's answer: `{"data":{"result":...}}`.
///
/// # Errors
/// When the body is no JSON, larger than a mebibyte, has no `result`, or one that says nothing of what the command promises.
pub fn decode(command: Command, body: &[u8]) -> Result<Answer, DecodeError> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        data: Data<'a>,
    }
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        result: &'a RawValue,
    }
    let body = readable(body)?;
    let parsed: Body<'_> = parse(&body)?;
    let result = parsed.data.result.get();
    let refusal = if result.starts_with('{') {
        parse::<Outcome<'_>>(result).ok().and_then(|outcome| outcome.refusal())
    } else {
        None
    };
    match refusal {
        Some(refusal) => Ok(Answer::Refused(refusal)),
        None => read(command, result).map(Answer::Data),
    }
}

/// Reads an answer as the agent itself writes it: `{"return":...}` or `{"error":{...}}`.
///
/// # Errors
/// As [`decode`].
pub fn decode_line(command: Command, line: &[u8]) -> Result<Answer, DecodeError> {
    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow, rename = "return")]
        value: &'a RawValue,
    }
    let line = readable(line)?;
    if let Some(refusal) = parse::<Outcome<'_>>(&line).ok().and_then(|outcome| outcome.refusal()) {
        return Ok(Answer::Refused(refusal));
    }
    let parsed: Line<'_> = parse(&line)?;
    read(command, parsed.value.get()).map(Answer::Data)
}

/// An object that may be an error.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Outcome<'a> {
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AgentError<'a> {
    #[serde(borrow, deserialize_with = "perl::text")]
    class: Cow<'a, str>,
    #[serde(borrow, deserialize_with = "perl::text")]
    desc: Cow<'a, str>,
}

impl Outcome<'_> {
    fn refusal(&self) -> Option<Refusal> {
        let error: AgentError<'_> = parse(self.error?.get()).unwrap_or_default();
        Some(match &*error.desc {
            desc if desc.contains("frozen state") => Refusal::Frozen,
            desc if desc.contains("has been disabled") => Refusal::Disabled,
            desc if desc.contains("not currently supported") => Refusal::NotFound,
            _ if error.class == "CommandNotFound" => Refusal::NotFound,
            _ => Refusal::Other,
        })
    }
}

fn read(command: Command, result: &str) -> Result<Reply, DecodeError> {
    Ok(match command {
        Command::FileSystems => Reply::FileSystems(file_systems::read(result)?),
        Command::Interfaces => Reply::Interfaces(interfaces::read(result)?),
        Command::Time => {
            #[derive(Deserialize)]
            struct Nanoseconds(#[serde(deserialize_with = "perl::float")] Option<f64>);
            let Nanoseconds(time) = parse(result)?;
            let time = time.filter(|time| (0.0..9.3e18).contains(time));
            Reply::Time(time.map(|time| time / 1e9).ok_or_else(|| useless(result))?)
        }
        Command::Users => {
            #[derive(Deserialize)]
            struct User {}
            let mut users = 0;
            rows(result, |_: User| users += 1)?;
            Reply::Users(users)
        }
        Command::OperatingSystem => Reply::OperatingSystem(operating_system::read(result)?),
        Command::HostName => {
            #[derive(Default, Deserialize)]
            #[serde(default, rename_all = "kebab-case")]
            struct Host<'a> {
                #[serde(borrow, deserialize_with = "perl::text")]
                host_name: Cow<'a, str>,
            }
            let name = clean(&object::<Host<'_>>(result)?.host_name);
            Reply::HostName(
                Some(name)
                    .filter(|name| !name.is_empty())
                    .ok_or_else(|| useless(result))?,
            )
        }
        Command::TimeZone => Reply::TimeZone(time_zone::read(result)?),
        Command::Vcpus => Reply::Vcpus(vcpus::read(result)?),
        Command::MemoryBlocks => {
            #[derive(Default, Deserialize)]
            #[serde(default)]
            struct Block {
                #[serde(deserialize_with = "exact")]
                size: Option<u64>,
            }
            let size = object::<Block>(result)?.size.filter(|size| *size > 0);
            Reply::MemoryBlockSize(size.ok_or_else(|| useless(result))?)
        }
        Command::Info => Reply::Info(info::read(result)?),
        Command::FreezeStatus => match result {
            r#""frozen""# => Reply::FreezeStatus(true),
            r#""thawed""# => Reply::FreezeStatus(false),
            _ => return Err(useless(result)),
        },
    })
}

/// The body as text. Bytes that are no UTF-8 become U+FFFD: they cost the name that they stand in, and no more.
fn readable(body: &[u8]) -> Result<Cow<'_, str>, DecodeError> {
    if body.len() > LONGEST {
        let problem = serde_json::Error::custom("longer than any honest answer");
        return Err(DecodeError::new(&problem, body).without_beginning());
    }
    Ok(String::from_utf8_lossy(body))
}

fn parse<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, DecodeError> {
    serde_json::from_str(json).map_err(|error| DecodeError::new(&error, json.as_bytes()).without_beginning())
}

/// The object, or the default where something else stands in its place.
fn object<'a, T: Deserialize<'a> + Default>(json: &'a str) -> Result<T, DecodeError> {
    #[derive(Deserialize)]
    #[serde(bound(deserialize = "T: Deserialize<'de> + Default"))]
    struct Object<T>(#[serde(deserialize_with = "perl::object")] T);
    parse(json).map(|Object(object)| object)
}

/// Gives each row of a list to `each`. One that is damaged costs only itself.
fn rows<'a, T: Deserialize<'a>>(list: &'a str, each: impl FnMut(T)) -> Result<(), DecodeError> {
    perl::for_each_row(list.as_bytes(), &[], each)
        .map(drop)
        .map_err(DecodeError::without_beginning)
}

fn useless(result: &str) -> DecodeError {
    let problem = serde_json::Error::custom("nothing of what the command promises");
    DecodeError::new(&problem, result.as_bytes()).without_beginning()
}

/// A number that is not negative, and that a sample holds exactly.
fn exact<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(perl::whole(deserializer)?.filter(|number| *number <= LARGEST))
}

#[cfg(test)]
mod tests;
