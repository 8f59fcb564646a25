//! The drives and interfaces of a guest: those whose names may be labels, few enough, each with its counters.

use std::borrow::Cow;

use crate::metrics::labels::Identity;
use crate::sources::counters::Counter;

/// The most drives or interfaces of a guest that are reported on: more than PVE lets it have.
const MOST: usize = 64;

/// The drives or the interfaces of one guest, with what is remembered of each while the guest runs on; a new run starts anew.
#[derive(Debug, Default)]
pub struct Devices<const COUNTERS: usize>(Vec<Device<COUNTERS>>);

#[derive(Debug)]
struct Device<const COUNTERS: usize> {
    name: Box<str>,
    identity: Identity,
    counters: [Counter; COUNTERS],
}

impl<const COUNTERS: usize> Devices<COUNTERS> {
    /// Takes the readings of all devices that the guest has, by name, and gives `each`, in the order of their names, what may
    /// be exposed. `identity` renders the labels of a device that is new.
    /// One whose name may not be a label is left out.
    pub fn read(
        &mut self,
        mut readings: Vec<(Cow<'_, str>, [Option<u64>; COUNTERS])>,
        identity: impl Fn(&str) -> Identity,
        mut each: impl FnMut(&Identity, [Option<u64>; COUNTERS]),
    ) {
        readings.retain(|(name, _)| may_be_label(name));
        readings.sort_by(|(left, _), (right, _)| left.cmp(right));
        readings.dedup_by(|(next, _), (name, _)| next == name);
        readings.truncate(MOST);
        let mut known = std::mem::take(&mut self.0);
        for (name, values) in readings {
            let mut device = match known.iter().position(|device| *device.name == *name) {
                Some(index) => known.swap_remove(index),
                None => Device {
                    identity: identity(&name),
                    name: name.into(),
                    counters: [Counter::default(); COUNTERS],
                },
            };
            let mut counters = device.counters.iter_mut();
            each(
                &device.identity,
                values.map(|value| counters.next().and_then(|counter| counter.read(value, true))),
            );
            self.0.push(device);
        }
    }
}

/// Whether `name` is short and plain enough for a label.
pub(crate) fn may_be_label(name: &str) -> bool {
    (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(devices: &mut Devices<1>, readings: &[(&str, u64)]) -> Vec<(String, Option<u64>)> {
        let readings = readings
            .iter()
            .map(|(name, value)| (Cow::Owned((*name).to_owned()), [Some(*value)]))
            .collect();
        let mut given = Vec::new();
        devices.read(
            readings,
            |name| Identity::new(&[("d", name)]),
            |identity, [value]| given.push((String::from_utf8(identity.pairs().to_vec()).unwrap(), value)),
        );
        given
    }

    fn named(rows: &[(&str, Option<u64>)]) -> Vec<(String, Option<u64>)> {
        rows.iter()
            .map(|(name, value)| (format!("d=\"{name}\""), *value))
            .collect()
    }

    #[test]
    fn each_device_has_its_own_counters() {
        let mut devices = Devices::default();
        let first = read(&mut devices, &[("b", 5), ("a", 7)]);
        assert_eq!(first, named(&[("a", Some(7)), ("b", Some(5))]));
        let hiccup = read(&mut devices, &[("a", 8), ("b", 0)]);
        assert_eq!(hiccup, named(&[("a", Some(8)), ("b", None)]));
        read(&mut devices, &[("b", 6)]);
        let plugged_again = read(&mut devices, &[("a", 0), ("b", 7)]);
        assert_eq!(plugged_again, named(&[("a", Some(0)), ("b", Some(7))]));
    }

    #[test]
    fn names_and_numbers_are_bounded() {
        let mut devices = Devices::default();
        let long = "x".repeat(33);
        let bad = [
            ("", 1),
            (&*long, 1),
            ("a b", 1),
            ("a\"", 1),
            ("é", 1),
            ("ok", 1),
            ("ok", 9),
        ];
        assert_eq!(read(&mut devices, &bad), named(&[("ok", Some(1))]));
        let names: Vec<String> = (0..1000).map(|number| format!("net{number:03}")).collect();
        let many: Vec<_> = names.iter().rev().map(|name| (&**name, 1)).collect();
        let given = read(&mut devices, &many);
        assert_eq!(given.len(), 64);
        assert_eq!(given.last().unwrap().0, "d=\"net063\"", "the same ones each time");
        assert_eq!(devices.0.len(), 64);
    }
}
