//! Versions of PVE, and what changed between them.

use std::{fmt, str::FromStr};

/// The version of a node's pve-manager, for example 9.2.11.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Major release of PVE.
    pub major: u16,
    /// Minor release of PVE.
    pub minor: u16,
    /// Package revision within the release.
    pub patch: u16,
}

impl Version {
    /// A version from its three numbers.
    #[must_use]
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// Whether JSON error bodies repeat the reason of the status line.
    pub(crate) fn has_error_message(self) -> bool {
        self >= Self::new(8, 4, 0)
    }

    /// Whether a refused login does not say why.
    pub(crate) fn has_generic_login_error(self) -> bool {
        self >= Self::new(9, 1, 5)
    }

    /// Whether guests report what they cost the host, and nodes the memory that is available.
    pub(crate) fn has_host_memory(self) -> bool {
        self >= Self::new(9, 0, 0)
    }

    /// Whether a year of history is kept by periods of six hours in place of seven days.
    pub(crate) fn has_long_history(self) -> bool {
        self >= Self::new(9, 0, 0)
    }

    /// Whether the newest period of a history is left out as long as nothing is known of it.
    pub(crate) fn has_no_empty_newest_period(self) -> bool {
        self >= Self::new(9, 1, 0)
    }

    /// Whether what holds up guests is known as pressure.
    pub(crate) fn has_pressure(self) -> bool {
        self >= Self::new(9, 0, 0)
    }

    /// Whether a list leaves out the disk counters that it does not know, in place of zeros.
    pub(crate) fn omits_unknown_counters(self) -> bool {
        self >= Self::new(9, 1, 0)
    }

    /// Whether the id of a container in a list is a string.
    pub(crate) fn has_textual_container_ids(self) -> bool {
        self < Self::new(8, 2, 0)
    }

    /// Whether HA has rules in place of groups.
    pub(crate) fn has_ha_rules(self) -> bool {
        self >= Self::new(9, 0, 0)
    }

    /// Whether HA says if it is armed.
    pub(crate) fn has_ha_fencing_row(self) -> bool {
        self >= Self::new(9, 2, 0)
    }

    /// Whether `network` rows stand in place of `sdn` rows.
    pub(crate) fn has_network_rows(self) -> bool {
        self >= Self::new(9, 0, 12)
    }

    /// Whether an error of the guest agent's socket names it `qga`, not `qmp`.
    pub(crate) fn names_agent_socket(self) -> bool {
        self >= Self::new(9, 1, 0)
    }

    /// Whether the guest agent has privileges of its own.
    pub(crate) fn has_agent_privileges(self) -> bool {
        self >= Self::new(9, 0, 0)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A text that is not a version such as `9.2.11`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidVersion(String);

impl fmt::Display for InvalidVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "expected a PVE version such as 9.2.11, got {:?}", self.0)
    }
}

impl std::error::Error for InvalidVersion {}

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split('.').map(str::parse::<u16>).collect::<Result<Vec<_>, _>>();
        match parts.as_deref() {
            Ok([major, minor, patch]) => Ok(Self::new(*major, *minor, *patch)),
            Ok([major, minor]) => Ok(Self::new(*major, *minor, 0)),
            _ => Err(InvalidVersion(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_parse_and_compare() {
        let version: Version = "9.2.11".parse().unwrap();
        assert_eq!(version, Version::new(9, 2, 11));
        assert!(version > "8.4.1".parse().unwrap());
        assert_eq!(version.to_string(), "9.2.11");
        assert!("nine".parse::<Version>().is_err());
        assert!("9.2.11.4".parse::<Version>().is_err());
    }
}
