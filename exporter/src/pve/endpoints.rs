//! The endpoints of one cluster: which of them is asked, which are left alone for a while, and what is known of each.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use url::Url;

use crate::pve::error::ApiError;

/// How long an endpoint that failed is left alone, the first time and at most.
const REST: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// How often an endpoint that is out of use is asked whether it is back.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(10);

/// What is known of one endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its base URL.
    pub url: Arc<Url>,
    /// The node behind it, once `/cluster/status` told.
    pub node: Option<Arc<str>>,
    /// Whether its side of the cluster has quorum, once `/cluster/status` told. A standalone node has.
    pub quorate: Option<bool>,
    /// Whether its last request reached it; `None` before the first.
    pub reachable: Option<bool>,
    /// Whether its last request connected and brought no whole answer: a path that hangs, or the endpoint.
    doubtful: bool,
    /// Until when it is left alone, and why.
    rests_until: Option<(Instant, ApiError)>,
    next_probe: Option<Instant>,
    failures: u32,
}

impl Endpoint {
    fn rest(&self, now: Instant) -> Option<&ApiError> {
        let (_, error) = self.rests_until.as_ref().filter(|(until, _)| *until > now)?;
        Some(error)
    }
}

/// The endpoints in the order of preference that the configuration gives.
#[derive(Debug)]
pub struct Endpoints {
    all: Mutex<Vec<Endpoint>>,
}

impl Endpoints {
    /// Endpoints of which nothing is known yet.
    #[must_use]
    pub fn new(urls: impl IntoIterator<Item = Url>) -> Self {
        let endpoint = |url| Endpoint {
            url: Arc::new(url),
            node: None,
            quorate: None,
            reachable: None,
            doubtful: false,
            rests_until: None,
            next_probe: None,
            failures: 0,
        };
        Self {
            all: Mutex::new(urls.into_iter().map(endpoint).collect()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Endpoint>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All of them, as they are now.
    #[must_use]
    pub fn all(&self) -> Vec<Endpoint> {
        self.lock().clone()
    }

    /// The endpoints to try, best first: those not resting, the quorate before those of a minority, then as configured.
    #[must_use]
    pub fn candidates(&self, now: Instant) -> Vec<usize> {
        let all = self.lock();
        let mut usable: Vec<usize> = (0..all.len()).filter(|&index| all[index].rest(now).is_none()).collect();
        let broken = |endpoint: &Endpoint| endpoint.reachable == Some(false) || endpoint.doubtful;
        usable.sort_by_key(|&index| (all[index].quorate == Some(false), broken(&all[index])));
        usable
    }

    /// The endpoint that the next request would go to.
    #[must_use]
    pub fn preferred(&self, now: Instant) -> Option<usize> {
        self.candidates(now).first().copied()
    }

    /// Takes the endpoints worth a probe now: those that are doubtful, down with their rest over, or without quorum. Each is
    /// given again after [`PROBE_INTERVAL`] at the earliest.
    #[must_use]
    pub fn take_due_for_probe(&self, now: Instant) -> Vec<usize> {
        let mut due = Vec::new();
        for (index, endpoint) in self.lock().iter_mut().enumerate() {
            let out_of_use = endpoint.reachable == Some(false) || endpoint.doubtful || endpoint.quorate == Some(false);
            let rested = endpoint.rest(now).is_none();
            if out_of_use && rested && endpoint.next_probe.is_none_or(|next| next <= now) {
                endpoint.next_probe = Some(now + PROBE_INTERVAL);
                due.push(index);
            }
        }
        due
    }

    /// Why `index` is left alone at this moment, if it is.
    #[must_use]
    pub fn rest(&self, index: usize, now: Instant) -> Option<ApiError> {
        self.lock().get(index)?.rest(now).cloned()
    }

    /// Notes that an answer came from `index`.
    pub fn reached(&self, index: usize) {
        if let Some(endpoint) = self.lock().get_mut(index) {
            endpoint.reachable = Some(true);
            endpoint.doubtful = false;
            endpoint.failures = 0;
            endpoint.rests_until = None;
        }
    }

    /// Notes that `index` was reached and gave no whole answer. It does not rest for that: one hanging path must not cost the
    /// others; a probe finds out what is broken.
    pub fn doubted(&self, index: usize) {
        if let Some(endpoint) = self.lock().get_mut(index) {
            endpoint.doubtful = true;
        }
    }

    /// Notes that `index` cannot be reached; it rests for a time that doubles with each failure.
    pub fn failed(&self, index: usize, error: &ApiError, now: Instant) {
        if let Some(endpoint) = self.lock().get_mut(index) {
            // Requests that were under way together fail together: that is one failure.
            if endpoint.rest(now).is_some() {
                return;
            }
            endpoint.reachable = Some(false);
            endpoint.rests_until = Some((now + doubling(REST, endpoint.failures), error.clone()));
            endpoint.failures = endpoint.failures.saturating_add(1);
        }
    }

    /// Notes what `/cluster/status` said of the node behind `index`.
    pub fn learned(&self, index: usize, node: Option<Arc<str>>, quorate: bool) {
        if let Some(endpoint) = self.lock().get_mut(index) {
            if node.is_some() {
                endpoint.node = node;
            }
            endpoint.quorate = Some(quorate);
        }
    }
}

/// `first`, doubled `times` times, and never more than `most`.
#[must_use]
pub fn doubling((first, most): (Duration, Duration), times: u32) -> Duration {
    first.saturating_mul(2u32.saturating_pow(times)).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Endpoints {
        Endpoints::new(["https://a:8006", "https://b:8006", "https://c:8006"].map(|url| Url::parse(url).unwrap()))
    }

    fn gone() -> ApiError {
        ApiError::Offline {
            node: "pve1".to_owned(),
        }
    }

    #[test]
    fn a_failed_endpoint_rests_longer_each_time_and_returns_to_its_place() {
        let (endpoints, start) = (three(), Instant::now());
        endpoints.failed(0, &gone(), start);
        assert_eq!(endpoints.candidates(start), [1, 2]);
        endpoints.failed(0, &gone(), start + Duration::from_secs(1));
        assert_eq!(
            endpoints.candidates(start + Duration::from_secs(5)),
            [1, 2, 0],
            "failures together are one"
        );
        endpoints.failed(0, &gone(), start + Duration::from_secs(5));
        assert_eq!(endpoints.candidates(start + Duration::from_secs(14)), [1, 2]);
        assert_eq!(endpoints.take_due_for_probe(start + Duration::from_secs(15)), [0]);
        endpoints.reached(0);
        assert_eq!(endpoints.candidates(start + Duration::from_secs(15)), [0, 1, 2]);
    }

    #[test]
    fn a_doubtful_endpoint_is_asked_last_and_probed() {
        let (endpoints, now) = (three(), Instant::now());
        endpoints.doubted(0);
        assert_eq!(endpoints.candidates(now), [1, 2, 0]);
        assert_eq!(endpoints.take_due_for_probe(now), [0]);
        endpoints.reached(0);
        assert_eq!(endpoints.candidates(now), [0, 1, 2]);
        assert!(endpoints.take_due_for_probe(now + PROBE_INTERVAL).is_empty());
    }

    #[test]
    fn the_minority_side_comes_last_but_is_asked_when_alone() {
        let (endpoints, now) = (three(), Instant::now());
        endpoints.learned(0, Some("pve1".into()), false);
        assert_eq!(endpoints.candidates(now), [1, 2, 0]);
        endpoints.failed(1, &gone(), now);
        endpoints.failed(2, &gone(), now);
        assert_eq!(endpoints.candidates(now), [0]);
    }

    #[test]
    fn rests_are_bounded() {
        assert_eq!(doubling(REST, 0), Duration::from_secs(5));
        assert_eq!(doubling(REST, 3), Duration::from_secs(40));
        assert_eq!(doubling(REST, 40), Duration::from_secs(60));
    }
}
