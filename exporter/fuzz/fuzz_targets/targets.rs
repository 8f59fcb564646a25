//! Any lines as the entries of `allow_targets` and, the last one, as a target: where it is allowed an entry names it, as another
//! reader of URLs and addresses understands both.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use pve_exporter::compat::config::allow;
use pve_exporter::compat::targets::{Allowed, PVE_PORT, Target};
use url::{Host, Url};

fuzz_target!(|text: &str| {
    let (entries, target) = text.rsplit_once('\n').unwrap_or(("", text));
    let Ok(target) = target.parse::<Target>() else { return };
    assert_eq!(
        target.to_string().parse(),
        Ok(target.clone()),
        "it is read as it is shown"
    );
    let port = if text.len() % 2 == 0 { PVE_PORT } else { 443 };
    let Some(url) = target.url(port) else { return };
    assert_eq!(url.scheme(), "https");
    assert!(url.username().is_empty() && url.password().is_none());
    assert_eq!((url.path(), url.query(), url.fragment()), ("/", None, None));
    let Some(asked) = place(&url) else {
        panic!("{url} has no host")
    };
    assert!(target.is_at(&url));
    if target.is_local() {
        assert!(["localhost", "127.0.0.1", "::1"].contains(&&*asked.0), "{url}");
    }
    let mut allowed = Allowed::default();
    let entries: Vec<_> = entries
        .lines()
        .filter(|entry| allow(&mut allowed, entry).is_ok())
        .collect();
    if allowed.allows(&target, port) {
        assert!(
            entries.iter().any(|entry| names(entry.trim(), &asked, port)),
            "{entries:?} do not name {url}"
        );
    }
});

/// Host and port, addresses in the shortest way.
type HostAndPort = (String, u16);

fn place(url: &Url) -> Option<HostAndPort> {
    let host = match url.host()? {
        Host::Domain(name) => name.strip_suffix('.').unwrap_or(name).to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => IpAddr::V6(address).to_canonical().to_string(),
    };
    Some((host, url.port_or_known_default()?))
}

/// Whether an entry means what is asked.
fn names(entry: &str, asked: &HostAndPort, port: u16) -> bool {
    if let Some((address, length)) = entry.split_once('/') {
        let (Ok(range), Ok(asked_address), Ok(length)) = (address.parse(), asked.0.parse(), length.parse()) else {
            return false;
        };
        return asked.1 == port && agree(range, asked_address, length);
    }
    if let Ok(address) = entry.parse::<IpAddr>() {
        return *asked == (address.to_canonical().to_string(), port);
    }
    let after_host = entry.rsplit(']').next().unwrap_or(entry);
    let with_port = if after_host.contains(':') {
        format!("https://{entry}")
    } else {
        format!("https://{entry}:{port}")
    };
    Url::parse(&with_port).ok().and_then(|url| place(&url)).as_ref() == Some(asked)
}

/// Whether the first `length` bits of both are the same.
fn agree(one: IpAddr, other: IpAddr, length: u32) -> bool {
    let differ = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => u128::from(one.to_bits() ^ other.to_bits()) << 96,
        (IpAddr::V6(one), IpAddr::V6(other)) => one.to_bits() ^ other.to_bits(),
        _ => return false,
    };
    differ.leading_zeros() >= length
}
