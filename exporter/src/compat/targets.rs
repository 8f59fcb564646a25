//! Which targets may be asked with the credentials at hand.
//!
//! A target is a text from whoever scrapes. It is compared as it stands: a name with names, an address with addresses and ranges.
//! No name is resolved to find out whether it is allowed, so that nothing can change between the check and the connection.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use ipnet::IpNet;
use thiserror::Error;
use url::{Host, Url};

/// The port of PVE's API.
pub const PVE_PORT: u16 = 8006;

/// A host, with a port where one is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    host: Host<String>,
    port: Option<u16>,
}

/// A text that names no host.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no host; write a name or an address, and a port behind a colon where it is not 8006")]
pub struct TargetError(String);

impl FromStr for Target {
    type Err = TargetError;

    /// Reads `host`, `host:port`, `[v6]`, `[v6]:port` and `v6`.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let error = || TargetError(text.to_owned());
        if let Ok(address) = text.parse::<Ipv6Addr>() {
            return Ok(Self {
                host: canonical(IpAddr::V6(address)),
                port: None,
            });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|port| is_number && *port > 0);
                (host, Some(port.ok_or_else(error)?))
            }
            _ => (text, None),
        };
        let allowed = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '[' | ']' | ':');
        if host.is_empty() || !host.chars().all(allowed) {
            return Err(error());
        }
        // As the URL of the request is read, so that no two spellings of an address are two hosts.
        let host = host.strip_suffix('.').unwrap_or(host);
        // `011..` would be the name `011` here and the address 0.0.0.9 to who asks it.
        if host.split('.').any(str::is_empty) {
            return Err(error());
        }
        let host = match Host::parse(host).map_err(|_| error())? {
            Host::Ipv4(address) => canonical(IpAddr::V4(address)),
            Host::Ipv6(address) => canonical(IpAddr::V6(address)),
            Host::Domain(name) => Host::Domain(name),
        };
        Ok(Self { host, port })
    }
}

impl Target {
    /// This machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match &self.host {
            Host::Domain(name) => name == "localhost",
            Host::Ipv4(address) => *address == Ipv4Addr::LOCALHOST,
            Host::Ipv6(address) => *address == Ipv6Addr::LOCALHOST,
        }
    }

    /// The port, where `default` is that of a target without one.
    #[must_use]
    pub fn port_or(&self, default: u16) -> u16 {
        self.port.unwrap_or(default)
    }

    /// The base URL of the API there.
    #[must_use]
    pub fn url(&self, default_port: u16) -> Option<Url> {
        crate::config::parse_endpoint(&format!("https://{}:{}", self.host, self.port_or(default_port))).ok()
    }

    /// Whether `url` leads there; without a port of its own the target means that of `url`.
    #[must_use]
    pub fn is_at(&self, url: &Url) -> bool {
        let port = url.port_or_known_default();
        url.host().map(|host| host.to_owned()) == Some(self.host.clone()) && (self.port.is_none() || self.port == port)
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

fn canonical(address: IpAddr) -> Host<String> {
    match address.to_canonical() {
        IpAddr::V4(address) => Host::Ipv4(address),
        IpAddr::V6(address) => Host::Ipv6(address),
    }
}

/// What may be asked beside this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed(Vec<Entry>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Host(Target),
    Range(IpNet),
}

/// An entry that is neither a host nor a range.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum EntryError {
    /// No host.
    #[error(transparent)]
    Host(#[from] TargetError),
    /// No range.
    #[error("{0:?} is no range of addresses; write one such as \"10.0.0.0/24\" or \"2001:db8::/64\"")]
    Range(String),
}

impl Allowed {
    /// Adds an entry: `host`, `host:port`, or a range of addresses such as `10.0.0.0/24`.
    ///
    /// # Errors
    /// When it is neither.
    pub fn add(&mut self, entry: &str) -> Result<(), EntryError> {
        let entry = entry.trim();
        self.0.push(if entry.contains('/') {
            Entry::Range(entry.parse().map_err(|_| EntryError::Range(entry.to_owned()))?)
        } else {
            Entry::Host(entry.parse()?)
        });
        Ok(())
    }

    /// Whether it is this machine alone.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is a range among them.
    #[must_use]
    pub fn has_range(&self) -> bool {
        self.0.iter().any(|entry| matches!(entry, Entry::Range(_)))
    }

    /// Whether `target` may be asked; an entry without a port, and a range, mean `default_port`.
    #[must_use]
    pub fn allows(&self, target: &Target, default_port: u16) -> bool {
        let port = target.port_or(default_port);
        self.0.iter().any(|entry| match entry {
            Entry::Host(host) => host.host == target.host && host.port_or(default_port) == port,
            Entry::Range(range) => {
                let address: IpAddr = match target.host {
                    Host::Domain(_) => return false,
                    Host::Ipv4(address) => address.into(),
                    Host::Ipv6(address) => address.into(),
                };
                port == default_port && range.contains(&address)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(text: &str) -> Target {
        text.parse().unwrap()
    }

    #[test]
    fn targets_are_hosts_with_or_without_a_port() {
        for (text, url) in [
            ("localhost", "https://localhost:8006/"),
            ("PVE1.example", "https://pve1.example:8006/"),
            ("pve1:443", "https://pve1/"),
            ("192.0.2.7:8007", "https://192.0.2.7:8007/"),
            ("[2001:db8::7]", "https://[2001:db8::7]:8006/"),
            ("[2001:db8::7]:9000", "https://[2001:db8::7]:9000/"),
            ("2001:db8::7", "https://[2001:db8::7]:8006/"),
            ("::ffff:192.0.2.7", "https://192.0.2.7:8006/"),
            ("0x7f.1", "https://127.0.0.1:8006/"),
            ("pve_1.example.", "https://pve_1.example:8006/"),
        ] {
            assert_eq!(target(text).url(PVE_PORT).unwrap().as_str(), url, "{text}");
        }
        for text in [
            "",
            " ",
            ":8006",
            "pve1:",
            "pve1:0",
            "pve1:x",
            "pve1:99999",
            "pve1:+1",
            "a b",
            "user@pve1",
            "pve1/x",
            "pve1?x",
            "pve1#x",
            "https://pve1",
            "[::1",
            "[pve1]",
            "1:2:3",
            ".",
            "%31",
            "\\pve1",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn only_what_is_listed_is_allowed() {
        let mut allowed = Allowed::default();
        for entry in ["pve1.example", "192.0.2.7:9000", "10.0.0.0/24", "2001:db8::/64"] {
            allowed.add(entry).unwrap();
        }
        for (text, expected) in [
            ("pve1.example", true),
            ("PVE1.EXAMPLE.", true),
            ("pve1.example:8006", true),
            ("pve1.example:22", false),
            ("pve1", false),
            ("evil.example", false),
            ("pve1.example.evil.example", false),
            ("192.0.2.7", false),
            ("192.0.2.7:9000", true),
            ("10.0.0.77", true),
            ("10.0.77", true),
            ("10.0.0.77:22", false),
            ("10.0.1.77", false),
            ("::ffff:10.0.0.77", true),
            ("2001:db8::77", true),
            ("[2001:db8::77]:8006", true),
            ("2001:db9::77", false),
            // A name is no address, whatever it resolves to.
            ("10.0.0.77.nip.io", false),
        ] {
            assert_eq!(allowed.allows(&target(text), PVE_PORT), expected, "{text}");
        }
        assert!(
            allowed.allows(&target("pve1.example:8443"), 8443),
            "the port of the module"
        );
        assert!(!allowed.allows(&target("pve1.example:8006"), 8443));
    }

    #[test]
    fn entries_that_are_neither() {
        let mut allowed = Allowed::default();
        for entry in [
            "10.0.0.0/33",
            "pve1/24",
            "*.example",
            "",
            ".",
            "011..",
            "a..b",
            "https://pve1",
        ] {
            assert!(allowed.add(entry).is_err(), "{entry}");
        }
        assert!(!allowed.has_range());
    }

    #[test]
    fn this_machine_has_three_spellings() {
        for (text, local) in [
            ("localhost", true),
            ("LOCALHOST:8006", true),
            ("127.0.0.1", true),
            ("[::1]", true),
            ("127.0.0.2", false),
            ("localhost.example", false),
        ] {
            assert_eq!(target(text).is_local(), local, "{text}");
        }
    }
}
