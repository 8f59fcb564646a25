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
    /// The node behind it, once an answer told.
    pub node: Option<Arc<str>>,
    /// Whether its side of the cluster has quorum, once `/cluster/status` told. A standalone node has.
    pub quorate: Option<bool>,
    /// Whether its last request reached it; `None` before the first.
    pub reachable: Option<bool>,
    /// Until when nothing is sent to it, since it could not be reached, and how that showed.
    rests: Option<(Instant, ApiError)>,
    /// Whether it was reached and did not answer in time: others are preferred until a probe tells what is wrong, the path or
    /// the endpoint.
    doubtful: bool,
    next_probe: Option<Instant>,
    failures: u32,
}

impl Endpoint {
    fn rests(&self, now: Instant) -> bool {
        self.rests.as_ref().is_some_and(|(until, _)| *until > now)
    }

    /// Whether others are to be preferred: it could not be reached, or did not answer in time.
    #[must_use]
    pub fn out_of_use(&self) -> bool {
        self.reachable == Some(false) || self.doubtful
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
            rests: None,
            doubtful: false,
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

    /// The endpoints to try, best first: of those not resting the ones in use, the quorate before those of a minority, then as
    /// configured.
    #[must_use]
    pub fn candidates(&self, now: Instant) -> Vec<usize> {
        let all = self.lock();
        let mut usable: Vec<usize> = (0..all.len()).filter(|&index| !all[index].rests(now)).collect();
        usable.sort_by_key(|&index| (all[index].out_of_use(), all[index].quorate == Some(false)));
        usable
    }

    /// The endpoint that the next request would go to.
    #[must_use]
    pub fn preferred(&self, now: Instant) -> Option<usize> {
        self.candidates(now).first().copied()
    }

    /// Whether nothing is sent to `index` for now.
    #[must_use]
    pub fn rests(&self, index: usize, now: Instant) -> bool {
        self.lock().get(index).is_some_and(|endpoint| endpoint.rests(now))
    }

    /// Whether others are to be preferred to `index`.
    #[must_use]
    pub fn out_of_use(&self, index: usize) -> bool {
        self.lock().get(index).is_some_and(Endpoint::out_of_use)
    }

    /// How one of the endpoints that rest failed.
    #[must_use]
    pub fn why_resting(&self, now: Instant) -> Option<ApiError> {
        let all = self.lock();
        let resting = all
            .iter()
            .find_map(|endpoint| endpoint.rests.as_ref().filter(|(until, _)| *until > now));
        resting.map(|(_, error)| error.clone())
    }

    /// Takes the endpoints worth a probe now: those that are out of use with their rest over, or without quorum. Each is given
    /// again after [`PROBE_INTERVAL`] at the earliest.
    #[must_use]
    pub fn take_due_for_probe(&self, now: Instant) -> Vec<usize> {
        let mut due = Vec::new();
        for (index, endpoint) in self.lock().iter_mut().enumerate() {
            let worth = endpoint.out_of_use() || endpoint.quorate == Some(false);
            if worth && !endpoint.rests(now) && endpoint.next_probe.is_none_or(|next| next <= now) {
                endpoint.next_probe = Some(now + PROBE_INTERVAL);
                due.push(index);
            }
        }
        due
    }

    /// Notes that an answer came from `index`, whatever it said.
    pub fn reached(&self, index: usize) {
        if let Some(endpoint) = self.lock().get_mut(index) {
            if endpoint.reachable == Some(false) {
                tracing::info!(endpoint = %endpoint.url, "endpoint answers again");
            }
            endpoint.reachable = Some(true);
            endpoint.doubtful = false;
            endpoint.failures = 0;
            endpoint.rests = None;
        }
    }

    /// Notes that `index` could not be reached; it rests for a time that doubles with each failure.
    pub fn failed(&self, index: usize, now: Instant, error: &ApiError) {
        if let Some(endpoint) = self.lock().get_mut(index) {
            // Requests that were under way together fail together: that is one failure.
            if endpoint.rests(now) {
                return;
            }
            if endpoint.reachable != Some(false) {
                tracing::warn!(endpoint = %endpoint.url, problem = %error, "endpoint is left alone for a while");
            }
            endpoint.reachable = Some(false);
            endpoint.rests = Some((now + doubling(REST, endpoint.failures), error.clone()));
            endpoint.failures = endpoint.failures.saturating_add(1);
        }
    }

    /// Notes that `index` was reached and did not answer in time.
    pub fn doubted(&self, index: usize) {
        if let Some(endpoint) = self.lock().get_mut(index) {
            endpoint.doubtful = true;
        }
    }

    /// Ends the rest of endpoints whose certificates were not trusted: what is trusted has changed.
    pub fn trust_changed(&self) {
        for endpoint in self.lock().iter_mut() {
            endpoint
                .rests
                .take_if(|(_, error)| matches!(error, ApiError::Tls { .. }));
        }
    }

    /// Notes which node is behind `index`, and whether its side has quorum.
    pub fn learned(&self, index: usize, node: Option<Arc<str>>, quorate: Option<bool>) {
        if let Some(endpoint) = self.lock().get_mut(index) {
            endpoint.node = node.or(endpoint.node.take());
            endpoint.quorate = quorate.or(endpoint.quorate);
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

    fn refused() -> ApiError {
        ApiError::Unreachable {
            endpoint: "https://a:8006".to_owned(),
            problem: "refused".to_owned(),
        }
    }

    #[test]
    fn a_failed_endpoint_rests_longer_each_time_and_returns_to_its_place() {
        let (endpoints, start) = (three(), Instant::now());
        endpoints.failed(0, start, &refused());
        assert_eq!(endpoints.candidates(start), [1, 2]);
        endpoints.failed(0, start + Duration::from_secs(1), &refused());
        assert_eq!(
            endpoints.candidates(start + Duration::from_secs(5)),
            [1, 2, 0],
            "failures together are one"
        );
        endpoints.failed(0, start + Duration::from_secs(5), &refused());
        assert_eq!(endpoints.candidates(start + Duration::from_secs(14)), [1, 2]);
        assert_eq!(endpoints.take_due_for_probe(start + Duration::from_secs(15)), [0]);
        assert!(endpoints.take_due_for_probe(start + Duration::from_secs(16)).is_empty());
        endpoints.reached(0);
        assert_eq!(endpoints.candidates(start + Duration::from_secs(15)), [0, 1, 2]);
    }

    #[test]
    fn a_doubtful_endpoint_comes_last_until_it_answers() {
        let (endpoints, now) = (three(), Instant::now());
        endpoints.doubted(0);
        assert_eq!(endpoints.candidates(now), [1, 2, 0]);
        assert_eq!(endpoints.take_due_for_probe(now), [0]);
        endpoints.failed(1, now, &refused());
        endpoints.failed(2, now, &refused());
        assert_eq!(endpoints.candidates(now), [0], "but it is asked when alone");
        assert_eq!(
            endpoints.candidates(now + Duration::from_secs(3600)),
            [0, 1, 2],
            "nothing is better by itself"
        );
        endpoints.reached(0);
        assert!(!endpoints.out_of_use(0));
    }

    #[test]
    fn a_minority_that_answers_comes_before_a_majority_that_does_not() {
        let (endpoints, now) = (three(), Instant::now());
        endpoints.learned(0, None, Some(false));
        endpoints.failed(1, now, &refused());
        endpoints.doubted(2);
        assert_eq!(endpoints.candidates(now + REST.0), [0, 1, 2]);
    }

    #[test]
    fn the_minority_side_comes_last_but_is_asked_when_alone() {
        let (endpoints, now) = (three(), Instant::now());
        endpoints.learned(0, Some("pve1".into()), Some(false));
        assert_eq!(endpoints.candidates(now), [1, 2, 0]);
        endpoints.failed(1, now, &refused());
        endpoints.failed(2, now, &refused());
        assert_eq!(endpoints.candidates(now), [0]);
    }

    #[test]
    fn rests_are_bounded() {
        assert_eq!(doubling(REST, 0), Duration::from_secs(5));
        assert_eq!(doubling(REST, 3), Duration::from_secs(40));
        assert_eq!(doubling(REST, 40), Duration::from_secs(60));
    }
}
