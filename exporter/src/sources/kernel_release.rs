//! The releases of Proxmox kernels, such as `6.17.4-1-pve`, and which of two is newer.

use std::cmp::Ordering;

/// The release of the kernel that a package holds; none where the package is something else, such as the one that only depends
/// on the newest kernel of a series.
#[must_use]
pub fn of_package(package: &str) -> Option<&str> {
    let name = package
        .strip_prefix("proxmox-kernel-")
        .or_else(|| package.strip_prefix("pve-kernel-"))?;
    let release = name.strip_suffix("-signed").unwrap_or(name);
    is_proxmox(release).then_some(release)
}

/// Whether a release is one of a Proxmox kernel and not Debian's or one that somebody has built.
#[must_use]
pub fn is_proxmox(release: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+' | b'~');
    release.len() <= 64
        && release.bytes().all(plain)
        && release.starts_with(|first: char| first.is_ascii_digit())
        && release.ends_with("-pve")
}

/// Compares as dpkg does: runs of digits by their value, everything else letter by letter, where `~` is before the end, the end
/// before letters, and letters before all others.
#[must_use]
pub fn compare(left: &str, right: &str) -> Ordering {
    let (mut left, mut right) = (left.as_bytes(), right.as_bytes());
    while !left.is_empty() || !right.is_empty() {
        let (left_text, right_text) = (take(&mut left, false), take(&mut right, false));
        let (left_number, right_number) = (take(&mut left, true), take(&mut right, true));
        let order = text(left_text, right_text).then_with(|| number(left_number, right_number));
        if order != Ordering::Equal {
            return order;
        }
    }
    Ordering::Equal
}

/// Takes the run of digits, or of all else, that `rest` begins with.
fn take<'a>(rest: &mut &'a [u8], digits: bool) -> &'a [u8] {
    let end = rest.iter().position(|byte| byte.is_ascii_digit() != digits);
    let (run, after) = rest.split_at(end.unwrap_or(rest.len()));
    *rest = after;
    run
}

fn text(left: &[u8], right: &[u8]) -> Ordering {
    let weight = |byte: Option<&u8>| match byte {
        Some(b'~') => 0,
        None => 1,
        Some(byte) if byte.is_ascii_alphabetic() => 2 + u16::from(*byte),
        Some(byte) => 258 + u16::from(*byte),
    };
    let orders = (0..left.len().max(right.len())).map(|at| weight(left.get(at)).cmp(&weight(right.get(at))));
    orders.fold(Ordering::Equal, Ordering::then)
}

fn number(left: &[u8], right: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| {
        digits
            .iter()
            .copied()
            .skip_while(|digit| *digit == b'0')
            .collect::<Vec<u8>>()
    };
    let (left, right) = (significant(left), significant(right));
    left.len().cmp(&right.len()).then(left.cmp(&right))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packages_of_all_versions_name_their_kernel() {
        for (package, release) in [
            ("proxmox-kernel-6.17.4-1-pve-signed", Some("6.17.4-1-pve")),
            ("proxmox-kernel-6.8.12-10-pve", Some("6.8.12-10-pve")),
            ("pve-kernel-5.15.158-2-pve", Some("5.15.158-2-pve")),
            ("proxmox-kernel-6.17", None),
            ("pve-kernel-5.15", None),
            ("proxmox-kernel-helper", None),
            ("proxmox-kernel-x-pve", None),
            ("pve-manager", None),
            ("linux-image-6.12.41+deb13-amd64", None),
        ] {
            assert_eq!(of_package(package), release, "{package}");
        }
        assert!(!is_proxmox("6.12.41+deb13-amd64") && !is_proxmox("6.2.16-3-pve-relaxed") && !is_proxmox(""));
    }

    #[test]
    fn numbers_count_by_their_value() {
        let ascending = [
            "5.4.203-1-pve",
            "5.15.30-2-pve",
            "5.15.158-2-pve",
            "6.8.4-2-pve",
            "6.8.12-9-pve",
            "6.8.12-10-pve",
            "6.11.0~rc1-1-pve",
            "6.11.0-1-pve",
            "6.17.4-1-pve",
            "7.0.2-1-pve",
        ];
        for pair in ascending.windows(2) {
            assert_eq!(compare(pair[0], pair[1]), Ordering::Less, "{pair:?}");
            assert_eq!(compare(pair[1], pair[0]), Ordering::Greater, "{pair:?}");
        }
        assert_eq!(compare("6.08.1-pve", "6.8.1-pve"), Ordering::Equal);
        assert_eq!(compare("1.0a", "1.0+"), Ordering::Less);
        assert_eq!(compare("1.0~", "1.0"), Ordering::Less);
        assert_eq!(compare("1.0", "1.0.1"), Ordering::Less);
    }

    proptest! {
        #[test]
        fn is_an_order(a in "[0-9a-c.~+-]{0,8}", b in "[0-9a-c.~+-]{0,8}", c in "[0-9a-c.~+-]{0,8}") {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
            prop_assert_eq!(compare(&a, &a), Ordering::Equal);
            let mut sorted = [&a, &b, &c];
            sorted.sort_by(|left, right| compare(left, right));
            prop_assert_ne!(compare(sorted[0], sorted[2]), Ordering::Greater);
        }
    }
}
