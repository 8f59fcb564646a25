//! The sections that hold for every cluster: `[web]`, `[log]`, `[scrape]`, `[metrics]`, `[sources.<name>]`.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::StrDeserializer;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use super::quantity;

/// The port that the Prometheus project lists for exporters of PVE.
pub const DEFAULT_PORT: u16 = 9221;

/// `[web]`: where and how the exporter answers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Web {
    /// The addresses to listen on.
    #[serde(deserialize_with = "listen_addresses")]
    pub listen_address: Vec<SocketAddr>,
    /// How many scrapes may be answered at the same time.
    pub max_concurrent_scrapes: NonZeroUsize,
    /// What HTTPS is served with, as flags say.
    #[serde(skip)]
    pub tls: Option<Tls>,
}

/// A certificate and its key, in files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            listen_address: vec![SocketAddr::from((Ipv6Addr::UNSPECIFIED, DEFAULT_PORT))],
            max_concurrent_scrapes: const { NonZeroUsize::new(20).expect("20 is not 0") },
            tls: None,
        }
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What needs somebody to act.
    Error,
    /// What may need somebody to act.
    Warn,
    /// Changes of state.
    #[default]
    Info,
    /// Single requests.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The level as it is written in the configuration, which is also how `tracing` names it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// What a log line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `key=value` pairs.
    #[default]
    Logfmt,
    /// One JSON object per line.
    Json,
}

/// `[log]`: what is logged, to standard error.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How much is logged.
    pub level: LogLevel,
    /// What a line looks like.
    pub format: LogFormat,
}

impl Log {
    /// The settings that the flags `--log.level` and `--log.format` give, and defaults where they are absent.
    ///
    /// # Errors
    ///
    /// The flag, what was wrong and what is possible.
    pub fn from_flags(level: Option<&str>, format: Option<&str>) -> Result<Self, String> {
        fn read<T: for<'de> Deserialize<'de> + Default>(flag: &str, value: Option<&str>) -> Result<T, String> {
            let Some(value) = value else { return Ok(T::default()) };
            let deserializer: StrDeserializer<'_, serde::de::value::Error> = value.into_deserializer();
            T::deserialize(deserializer).map_err(|error| format!("{flag}: {error}"))
        }
        Ok(Self {
            level: read("--log.level", level)?,
            format: read("--log.format", format)?,
        })
    }
}

/// `[scrape]`: how long one scrape may take.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scrape {
    /// How much earlier than the scraper gives up the exporter answers with what it has.
    #[serde(deserialize_with = "quantity::duration")]
    pub timeout_margin: Duration,
    /// The time for a scrape whose scraper does not say how long it waits.
    #[serde(deserialize_with = "quantity::timeout")]
    pub default_timeout: Duration,
}

impl Default for Scrape {
    fn default() -> Self {
        Self {
            timeout_margin: Duration::from_millis(500),
            default_timeout: Duration::from_secs(10),
        }
    }
}

/// The most failed tasks that are named one by one.
pub const MOST_FAILED_TASKS: usize = 100;

/// `[metrics]`: which metrics are exposed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Names of metrics that are left out; `*` stands for any text.
    #[serde(deserialize_with = "name_patterns")]
    pub drop: Vec<String>,
    /// The most series that one scrape may return; none means no limit.
    pub series_budget: Option<u64>,
    /// Whether each drive of a guest has counters of its own.
    pub guest_drives: bool,
    /// Whether each network interface of a guest has counters of its own.
    pub guest_interfaces: bool,
    /// Whether it is exposed how long all of a guest stood still for want of a resource, beside how long some of it did.
    pub guest_pressure_full: bool,
    /// Whether the balloon statistics of virtual machines are exposed.
    pub guest_balloon: bool,
    /// Whether the interfaces that guest agents tell have counters.
    pub guest_agent_interfaces: bool,
    /// Whether the addresses that guest agents tell are exposed.
    pub guest_agent_addresses: bool,
    /// Whether guest agents are asked for more than most look at.
    pub guest_agent_details: bool,
    /// Whether each snapshot has a series of its own.
    pub snapshot_names: bool,
    /// How many of the newest failed tasks are named one by one.
    #[serde(deserialize_with = "failed_tasks")]
    pub failed_tasks: usize,
}

impl Metrics {
    /// Whether the metric `name` is to be left out.
    #[must_use]
    pub fn drops(&self, name: &str) -> bool {
        let full_pressure = !self.guest_pressure_full && matches("pve_guest_pressure_*_full_ratio", name);
        full_pressure || self.drop.iter().any(|pattern| matches(pattern, name))
    }
}

/// Whether `name` is what `pattern` describes, `*` standing for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    true
}

/// `[sources.<name>]`: what differs from the built-in treatment of a source; the same table stands below a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SourceSettings {
    /// Whether the source is read at all.
    pub enabled: Option<bool>,
    /// The age at which its data is read again.
    #[serde(deserialize_with = "quantity::max_age")]
    pub max_age: Option<Duration>,
}

impl SourceSettings {
    /// These settings, with those of `fallback` where they say nothing.
    pub(super) fn or(&self, fallback: &Self) -> Self {
        Self {
            enabled: self.enabled.or(fallback.enabled),
            max_age: self.max_age.or(fallback.max_age),
        }
    }
}

/// `[guest_agent_socket]`: guest agents on the node that the exporter runs on, asked without PVE.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuestAgentSocket {
    /// Whether they are asked.
    pub enabled: bool,
    /// Where QEMU has their sockets, and the files with its processes.
    pub directory: PathBuf,
    /// The node; the name of the host when absent.
    pub node: Option<String>,
}

impl Default for GuestAgentSocket {
    fn default() -> Self {
        Self {
            enabled: false,
            directory: PathBuf::from("/var/run/qemu-server"),
            node: None,
        }
    }
}

fn failed_tasks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let number = usize::deserialize(deserializer)?;
    if number > MOST_FAILED_TASKS {
        return Err(D::Error::custom(format!(
            "{number} is too many; write a number from 0 to {MOST_FAILED_TASKS}"
        )));
    }
    Ok(number)
}

fn name_patterns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let patterns = Vec::<String>::deserialize(deserializer)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':' | '*');
    match patterns
        .iter()
        .find(|text| text.is_empty() || !text.chars().all(allowed))
    {
        Some(wrong) => Err(D::Error::custom(format!(
            "{wrong:?} is no name of a metric; write names such as \"pve_guest_state\" or \"pve_guest_disk_*\""
        ))),
        None => Ok(patterns),
    }
}

fn parse_listen_address(text: &str) -> Result<SocketAddr, String> {
    let text = text.trim();
    // Prometheus programs write ":9221" for a port on all addresses.
    let parsed = match text.strip_prefix(':') {
        Some(port) => port.parse().ok().map(|port: u16| (Ipv6Addr::UNSPECIFIED, port).into()),
        None => text.parse().ok(),
    };
    parsed.ok_or_else(|| {
        format!("{text:?} is not an IP address with a port; write one such as \"127.0.0.1:{DEFAULT_PORT}\", \"[::1]:{DEFAULT_PORT}\" or, for all addresses, \":{DEFAULT_PORT}\"")
    })
}

fn listen_addresses<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<SocketAddr>, D::Error> {
    deserializer.deserialize_any(ListenAddresses)
}

struct ListenAddresses;

impl<'de> Visitor<'de> for ListenAddresses {
    type Value = Vec<SocketAddr>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address or a list of addresses")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        parse_listen_address(text)
            .map(|address| vec![address])
            .map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Self::Value, A::Error> {
        let mut addresses = Vec::new();
        while let Some(text) = sequence.next_element::<String>()? {
            addresses.push(parse_listen_address(&text).map_err(A::Error::custom)?);
        }
        if addresses.is_empty() {
            return Err(A::Error::custom(format!(
                "holds no address; write one such as \":{DEFAULT_PORT}\""
            )));
        }
        Ok(addresses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses_as_prometheus_programs_write_them() {
        let all: SocketAddr = "[::]:9221".parse().unwrap();
        assert_eq!(parse_listen_address(":9221"), Ok(all));
        assert_eq!(parse_listen_address("[::]:9221"), Ok(all));
        assert_eq!(parse_listen_address("0.0.0.0:80"), Ok("0.0.0.0:80".parse().unwrap()));
        for wrong in ["9221", "localhost:9221", ":99999", "::1:9221", ""] {
            assert!(
                parse_listen_address(wrong).unwrap_err().contains("\":9221\""),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn patterns_of_dropped_metrics() {
        for (pattern, name, expected) in [
            ("pve_up", "pve_up", true),
            ("pve_up", "pve_up_total", false),
            ("pve_*", "pve_up", true),
            ("*_bytes", "pve_guest_disk_size_bytes", true),
            ("pve_*_disk_*", "pve_guest_disk_size_bytes", true),
            ("pve_*_disk_*", "pve_guest_memory_size_bytes", false),
            ("a*a", "a", false),
            ("*", "anything", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }
}
