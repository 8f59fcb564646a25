//! What a source remembers of guests from one answer to the next.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::metrics::labels::Identity;
use crate::subjects::guest::GuestKey;

/// How long a guest that is gone is remembered.
const REMEMBERED: Duration = Duration::from_secs(24 * 3600);

/// With more guests than any cluster holds, only those of the newest answer are remembered.
const MOST: usize = 1 << 16;

/// Guests, each with a `T` and the time it was last seen.
#[derive(Debug)]
pub struct GuestMemory<T>(HashMap<GuestKey, (Instant, T)>);

impl<T> Default for GuestMemory<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<T> GuestMemory<T> {
    /// What is remembered of a guest that was seen `now`; `new` where that is nothing.
    pub fn seen(&mut self, guest: GuestKey, now: Instant, new: impl FnOnce() -> T) -> &mut T {
        let (seen_at, remembered) = self.0.entry(guest).or_insert_with(|| (now, new()));
        *seen_at = now;
        remembered
    }

    /// Forgets one guest.
    pub fn remove(&mut self, guest: GuestKey) {
        self.0.remove(&guest);
    }

    /// Forgets the guests that have been gone for a day.
    pub fn forget(&mut self, now: Instant) {
        let most = if self.0.len() > MOST {
            Duration::ZERO
        } else {
            REMEMBERED
        };
        self.0
            .retain(|_, (seen_at, _)| now.saturating_duration_since(*seen_at) <= most);
    }
}

/// The labels of a guest.
#[must_use]
pub fn identity(cluster: &str, guest: GuestKey) -> Identity {
    Identity::new(&[("pve_cluster", cluster), ("id", &id(guest))])
}

/// The labels of a device of a guest, such as a `drive`.
#[must_use]
pub fn device_identity(cluster: &str, guest: GuestKey, label: &'static str, device: &str) -> Identity {
    Identity::new(&[("pve_cluster", cluster), ("id", &id(guest)), (label, device)])
}

/// PVE's id of a guest: `qemu/100`.
pub(crate) fn id((kind, vmid): GuestKey) -> String {
    format!("{}/{vmid}", kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GuestKind;

    #[test]
    fn a_guest_is_forgotten_a_day_after_it_was_last_seen() {
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        let (gone, stays) = ((GuestKind::Qemu, 100), (GuestKind::Lxc, 200));
        let mut memory = GuestMemory::default();
        for guest in [gone, stays] {
            *memory.seen(guest, start, || 0) = 1;
        }
        memory.seen(stays, later(10), || 0);
        memory.forget(later(24 * 3600 + 5));
        assert_eq!(*memory.seen(stays, later(20), || 0), 1);
        assert_eq!(*memory.seen(gone, later(20), || 0), 0);
    }

    #[test]
    fn it_is_bounded() {
        let start = Instant::now();
        let mut memory = GuestMemory::default();
        for vmid in 0..=1 << 16 {
            memory.seen((GuestKind::Qemu, vmid), start, || ());
        }
        let later = start + Duration::from_secs(60);
        memory.seen((GuestKind::Qemu, 7), later, || ());
        memory.forget(later);
        assert_eq!(memory.0.len(), 1);
    }
}
