//! `[guest_telemetry]`: what collectors in guests of this node publish.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error};

use super::quantity;

const VMID: &str = "{vmid}";
const NODE: &str = "{node}";

/// `[guest_telemetry]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuestTelemetry {
    /// Whether the ports are read.
    pub enabled: bool,
    /// Where QEMU has their sockets, and the files with its processes.
    pub directory: PathBuf,
    /// How the sockets are named.
    pub socket: SocketName,
    /// The socket of the opener; the exporter connects itself when absent.
    pub opener: Option<PathBuf>,
    /// The cluster, where several are configured.
    pub cluster: Option<String>,
    /// The node; the name of the host when absent.
    pub node: Option<String>,
    /// The address of a node's exporter; it holds `{node}`.
    #[serde(deserialize_with = "target")]
    pub target: String,
    /// How much of what a guest sends is looked at.
    #[serde(deserialize_with = "quantity::bytes_per_second")]
    pub bytes_per_second: u64,
    /// How many of its lines are.
    #[serde(deserialize_with = "lines_per_second")]
    pub lines_per_second: u32,
    /// The most series of a guest, about.
    pub series_per_guest: usize,
    /// How many new label sets a guest may tell in a day.
    pub new_label_sets_per_day: u32,
}

impl Default for GuestTelemetry {
    fn default() -> Self {
        Self {
            enabled: false,
            directory: PathBuf::from("/var/run/qemu-server"),
            socket: SocketName::default(),
            opener: None,
            cluster: None,
            node: None,
            target: format!("{NODE}:{}", super::DEFAULT_PORT),
            bytes_per_second: 128 * 1024,
            lines_per_second: 20,
            series_per_guest: 10_000,
            new_label_sets_per_day: 64,
        }
    }
}

impl GuestTelemetry {
    /// Where the exporter on `node` answers.
    #[must_use]
    pub fn target_on(&self, node: &str) -> String {
        self.target.replace(NODE, node)
    }
}

/// What the socket of a guest is called: a file name with `{vmid}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketName {
    before: String,
    after: String,
}

impl Default for SocketName {
    fn default() -> Self {
        Self {
            before: String::new(),
            after: ".telemetry".to_owned(),
        }
    }
}

impl SocketName {
    /// The name for a guest.
    #[must_use]
    pub fn of(&self, vmid: u32) -> String {
        format!("{}{vmid}{}", self.before, self.after)
    }

    /// The guest whose socket has this name.
    #[must_use]
    pub fn vmid(&self, name: &str) -> Option<u32> {
        let digits = name.strip_prefix(&*self.before)?.strip_suffix(&*self.after)?;
        parse_vmid(digits)
    }
}

/// A number as PVE writes it, which has one form only.
#[must_use]
pub(crate) fn parse_vmid(digits: &str) -> Option<u32> {
    let plain = digits.len() <= 9 && digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| plain)
}

/// What PVE calls its own files of a guest: whoever speaks with `.qmp` owns the guest.
const OF_PVE: [&str; 9] = [
    ".pid", ".qmp", ".qga", ".vnc", ".mon", ".serial", ".swtpm", ".dbus", "event",
];

impl FromStr for SocketName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once(VMID);
        let good = |text: &str| !text.contains(['/', '{', '}', '\0']);
        let of_pve = |text: &str| OF_PVE.iter().any(|name| text.contains(name));
        match parts.filter(|(before, after)| good(before) && good(after) && !of_pve(after)) {
            Some((before, after)) => Ok(Self {
                before: before.to_owned(),
                after: after.to_owned(),
            }),
            None => Err(format!(
                "{text:?} is no name of a socket; write a file name with {VMID} once, such as \"{VMID}.telemetry\""
            )),
        }
    }
}

impl fmt::Display for SocketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{VMID}{}", self.before, self.after)
    }
}

impl<'de> Deserialize<'de> for SocketName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

fn target<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let target = String::deserialize(deserializer)?;
    if target.contains(NODE) {
        return Ok(target);
    }
    Err(D::Error::custom(format!(
        "{target:?} is the same for all nodes; write one with {NODE}, such as \"{NODE}.example:9221\""
    )))
}

fn lines_per_second<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = u32::deserialize(deserializer)?;
    if (1..=1000).contains(&number) {
        return Ok(number);
    }
    Err(D::Error::custom(format!(
        "{number} is not possible; write a number from 1 to 1000"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_one_guest() {
        let name = SocketName::default();
        assert_eq!(
            (name.of(100), name.vmid("100.telemetry")),
            ("100.telemetry".to_owned(), Some(100))
        );
        for other in [
            "100.qga",
            ".telemetry",
            "0100.telemetry",
            "1e2.telemetry",
            "+1.telemetry",
            "9999999999.telemetry",
        ] {
            assert_eq!(name.vmid(other), None, "{other}");
        }
        let name: SocketName = "tel-{vmid}.sock".parse().unwrap();
        assert_eq!(
            (name.of(7), name.vmid("tel-7.sock")),
            ("tel-7.sock".to_owned(), Some(7))
        );
        assert_eq!(name.to_string(), "tel-{vmid}.sock");
        for wrong in [
            "",
            "{vmid}",
            "{vmid}.pid",
            "{vmid}.qmp",
            "{vmid}.qga",
            "a/{vmid}",
            "{vmid}{vmid}",
            "{node}{vmid}",
        ] {
            assert_eq!(wrong.parse::<SocketName>().is_ok(), wrong == "{vmid}", "{wrong}");
        }
    }
}
