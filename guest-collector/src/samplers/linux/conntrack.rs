//! Connection tracking, where netfilter is loaded.

use pve_guest_protocol::Areas;
use pve_guest_protocol::areas::Conntrack;

use super::Roots;
use super::source::{Reading, Shape, Source};
use super::text::{Words, hexadecimal, lines, number, single};

pub(super) struct Connections {
    entries: Source,
    limit: Source,
    counters: Source,
}

impl Connections {
    pub(super) fn new(roots: &Roots) -> Self {
        let file = |name: &str| Source::new(roots.proc.join(name), Shape::Whole);
        Self {
            entries: file("sys/net/netfilter/nf_conntrack_count"),
            limit: file("sys/net/netfilter/nf_conntrack_max"),
            counters: Source::new(roots.proc.join("net/stat/nf_conntrack"), Shape::Rows),
        }
    }

    pub(super) fn sample(&mut self, reading: &mut Reading, areas: &mut Areas) {
        let mut value = |file: &mut Source| file.read(reading).and_then(single).and_then(number);
        let (entries, entry_limit) = (value(&mut self.entries), value(&mut self.limit));
        let counters = self.counters.read(reading).map(parse).unwrap_or_default();
        let conntrack = Conntrack {
            entries,
            entry_limit,
            ..counters
        };
        areas.conntrack = (conntrack != Conntrack::default()).then_some(conntrack);
    }
}

/// A line of names, and one of hexadecimal values for each CPU.
fn parse(contents: &[u8]) -> Conntrack {
    let mut sums = Conntrack::default();
    let mut lines = lines(contents);
    let names = Words::of(lines.next().unwrap_or_default());
    for line in lines {
        for (name, value) in names.clone().zip(Words::of(line)) {
            let sum = match name {
                b"found" => &mut sums.found,
                b"invalid" => &mut sums.invalid,
                b"ignore" => &mut sums.ignored,
                b"insert" => &mut sums.inserted,
                b"insert_failed" => &mut sums.insert_failed,
                b"drop" => &mut sums.dropped,
                b"early_drop" => &mut sums.early_dropped,
                b"search_restart" => &mut sums.search_restarted,
                _ => continue,
            };
            // Each CPU counts in 32 bits.
            if let Some(value) = hexadecimal(value).filter(|value| *value <= u64::from(u32::MAX)) {
                *sum = Some(sum.unwrap_or(0) + value);
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_added_up() {
        let table = b"entries  searched found new invalid drop\n00000017  00000012 00000abc 00000102 00000007 00000000\n00000017  00000001 00000001 00000002 xyz\n";
        let expected = Conntrack {
            found: Some(0xabd),
            invalid: Some(7),
            dropped: Some(0),
            ..Conntrack::default()
        };
        assert_eq!(parse(table), expected);
        assert_eq!(parse(b"entries found"), Conntrack::default());
    }
}
