//! Which guests of a cluster are reported on.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// The two kinds of guests, as PVE names them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GuestKind {
    /// A virtual machine.
    Qemu,
    /// A container.
    Lxc,
}

impl GuestKind {
    /// PVE's name for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Qemu => "qemu",
            Self::Lxc => "lxc",
        }
    }
}

/// `[clusters.<name>.guests]`: the guests that are reported on.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuestFilter {
    /// What a guest must match; empty means that every guest does.
    pub include: GuestSelector,
    /// What a guest must not match.
    pub exclude: GuestSelector,
}

/// A description of guests.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GuestSelector {
    /// Kinds of guests.
    pub types: Vec<GuestKind>,
    /// Tags, of which a guest carries at least one.
    pub tags: Vec<String>,
    /// Pools.
    pub pools: Vec<String>,
    /// Numbers of guests.
    pub vmids: Vec<VmidRange>,
}

impl GuestFilter {
    /// Whether a guest is reported on.
    ///
    /// Of `include`, each dimension that lists anything must match; of `exclude`, any match leaves the guest out.
    #[must_use]
    pub fn admits<'a>(
        &self,
        kind: GuestKind,
        vmid: u32,
        tags: impl Iterator<Item = &'a str> + Clone,
        pool: Option<&str>,
    ) -> bool {
        let included = self.include.matches(kind, vmid, tags.clone(), pool);
        let excluded = self.exclude.matches(kind, vmid, tags, pool);
        included.into_iter().all(|dimension| dimension != Some(false))
            && excluded.into_iter().all(|dimension| dimension != Some(true))
    }
}

impl GuestSelector {
    /// Whether each dimension matches; `None` for one that lists nothing.
    fn matches<'a>(
        &self,
        kind: GuestKind,
        vmid: u32,
        mut tags: impl Iterator<Item = &'a str>,
        pool: Option<&str>,
    ) -> [Option<bool>; 4] {
        let listed = |is_empty: bool| (!is_empty).then_some(());
        [
            listed(self.types.is_empty()).map(|()| self.types.contains(&kind)),
            listed(self.tags.is_empty()).map(|()| tags.any(|tag| self.tags.iter().any(|wanted| wanted == tag))),
            listed(self.pools.is_empty())
                .map(|()| pool.is_some_and(|pool| self.pools.iter().any(|wanted| wanted == pool))),
            listed(self.vmids.is_empty()).map(|()| self.vmids.iter().any(|range| range.contains(vmid))),
        ]
    }
}

/// One VMID, or several in a row: `100`, `200-299`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VmidRange {
    first: u32,
    last: u32,
}

/// Why a text is not a [`VmidRange`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a VMID or a range of them; write 100, \"100\" or \"200-299\"")]
pub struct VmidRangeError {
    text: String,
}

impl VmidRange {
    /// Whether `vmid` is in the range, both ends included.
    #[must_use]
    pub const fn contains(self, vmid: u32) -> bool {
        self.first <= vmid && vmid <= self.last
    }
}

impl FromStr for VmidRange {
    type Err = VmidRangeError;

    fn from_str(text: &str) -> Result<Self, VmidRangeError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (first.trim().parse(), last.trim().parse()) {
            (Ok(first), Ok(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(VmidRangeError { text: text.to_owned() }),
        }
    }
}

impl<'de> Deserialize<'de> for VmidRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(VmidRangeVisitor)
    }
}

struct VmidRangeVisitor;

impl Visitor<'_> for VmidRangeVisitor {
    type Value = VmidRange;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a VMID or a range such as \"200-299\"")
    }

    fn visit_u64<E: Error>(self, vmid: u64) -> Result<VmidRange, E> {
        vmid.to_string().parse().map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, vmid: i64) -> Result<VmidRange, E> {
        vmid.to_string().parse().map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<VmidRange, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(filter: &GuestFilter, kind: GuestKind, vmid: u32, tags: &str, pool: Option<&str>) -> bool {
        filter.admits(kind, vmid, tags.split(';').filter(|tag| !tag.is_empty()), pool)
    }

    #[test]
    fn an_empty_filter_admits_every_guest() {
        assert!(admits(&GuestFilter::default(), GuestKind::Lxc, 100, "", None));
    }

    #[test]
    fn every_listed_dimension_of_include_must_match() {
        let filter = GuestFilter {
            include: GuestSelector {
                types: vec![GuestKind::Qemu],
                tags: vec!["web".into(), "mail".into()],
                vmids: vec!["100".parse().unwrap(), "200-299".parse().unwrap()],
                ..GuestSelector::default()
            },
            ..GuestFilter::default()
        };
        assert!(admits(&filter, GuestKind::Qemu, 100, "old;mail", None));
        assert!(admits(&filter, GuestKind::Qemu, 299, "web", Some("any")));
        assert!(!admits(&filter, GuestKind::Lxc, 100, "web", None));
        assert!(!admits(&filter, GuestKind::Qemu, 100, "old", None));
        assert!(!admits(&filter, GuestKind::Qemu, 101, "web", None));
        assert!(!admits(&filter, GuestKind::Qemu, 300, "web", None));
    }

    #[test]
    fn any_match_of_exclude_leaves_the_guest_out() {
        let filter = GuestFilter {
            exclude: GuestSelector {
                tags: vec!["scratch".into()],
                pools: vec!["lab".into()],
                ..GuestSelector::default()
            },
            ..GuestFilter::default()
        };
        assert!(admits(&filter, GuestKind::Qemu, 100, "web", Some("production")));
        assert!(admits(&filter, GuestKind::Qemu, 100, "", None));
        assert!(!admits(&filter, GuestKind::Qemu, 100, "scratch", None));
        assert!(!admits(&filter, GuestKind::Qemu, 100, "web", Some("lab")));
    }

    #[test]
    fn ranges() {
        for wrong in ["", "x", "300-200", "-5", "1-2-3", "99999999999"] {
            assert!(wrong.parse::<VmidRange>().is_err(), "{wrong:?}");
        }
    }
}
