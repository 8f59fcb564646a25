//! One request at one endpoint: how it gets in, how often it is sent, and what is noted of how it ends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Answer, Client, Place, Request};
use crate::pve::authorization::{LogIn, Pass};
use crate::pve::budget::{Cost, STORAGE_PATIENCE};
use crate::pve::endpoints::Endpoint;
use crate::pve::error::ApiError;
use crate::pve::login::Entrance;
use crate::pve::transport::{Failure, Limits};

/// How long an endpoint may take to begin an answer of its own, which it has in memory: longer than that and it hangs. A request
/// for another node may take as long as the whole.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// What a login gets at least and at most: PVE says only after 3 s that it is refused, and may have to ask a directory that answers
/// late.
const LOGIN_TIMEOUT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(15));

/// Why there is no answer: because of the request, or of the login before it, about which the node that was to execute the request
/// knows nothing.
pub(super) enum Failed {
    Request(ApiError),
    Login(ApiError),
}

impl Client {
    /// Sends it, and once more with a new pass where the endpoint refuses the first one.
    pub(super) async fn get_authorized(
        &self,
        request: &Request,
        index: usize,
        endpoint: &Endpoint,
        for_other_node: bool,
    ) -> Result<Answer, Failed> {
        let is_of_agent = request.cost == Cost::Agent;
        let may_log_in = match request.cost {
            Cost::Agent => LogIn::Never,
            // It is executed behind the endpoint, where this request has no place.
            _ if for_other_node => LogIn::IfNeeded,
            _ => LogIn::IfDue,
        };
        let entrance = self.authorization.entrance(&endpoint.url, may_log_in).await;
        let pass = self.enter(index, endpoint, entrance).await.map_err(Failed::Login)?;
        let mut outcome = self.get_and_note(request, index, endpoint, &pass).await;
        // A call of an agent was decided on by what was true of the guest then: another second decides anew.
        let is_refused = !is_of_agent
            && matches!(outcome, Err(ApiError::Unauthorized { .. }))
            && (!for_other_node || self.refuses(index, endpoint, &pass).await);
        let mut again = None;
        if is_refused {
            let entrance = self.authorization.entrance_after(&pass, &endpoint.url).await;
            let pass = self.enter(index, endpoint, entrance).await.map_err(Failed::Login)?;
            outcome = self.get_and_note(request, index, endpoint, &pass).await;
            again = (!for_other_node).then_some(pass);
        }
        let outcome = outcome.map_err(|error| self.authorization.named(error));
        self.authorization.note(&endpoint.url, &outcome, again.as_ref());
        outcome.map_err(Failed::Request)
    }

    /// Whether it is the endpoint that refuses a pass, and not the node to which it has handed a request on: that one has a clock and
    /// a key of its own, by which it may refuse a ticket that is good everywhere else.
    async fn refuses(&self, index: usize, endpoint: &Endpoint, pass: &Pass) -> bool {
        let own = Request {
            place: Place::Endpoint(index),
            ..Request::entry("/version")
        };
        let outcome = self.get_from(&own, index, endpoint, pass).await;
        matches!(outcome, Err(ApiError::Unauthorized { .. }))
    }

    /// Logs in if that is the way in.
    async fn enter(
        &self,
        index: usize,
        endpoint: &Endpoint,
        entrance: Result<Entrance<'_>, ApiError>,
    ) -> Result<Pass, ApiError> {
        let login = match entrance? {
            Entrance::Open(pass) => return Ok(pass),
            Entrance::Login(login) => login,
        };
        let whole = self.request_timeout.clamp(LOGIN_TIMEOUT.0, LOGIN_TIMEOUT.1);
        let limits = Limits { head: whole, whole };
        let answer = self
            .once_more_if_cut(index, || {
                self.traffic.note(self.clock.now());
                self.transport.log_in(&endpoint.url, login.form(), limits)
            })
            .await;
        login.ended(answer)
    }

    /// Notes how it ended before anybody else gets its places.
    async fn get_and_note(
        &self,
        request: &Request,
        index: usize,
        endpoint: &Endpoint,
        pass: &Pass,
    ) -> Result<Answer, ApiError> {
        let Place::Node(node) = &request.place else {
            return self.get_from(request, index, endpoint, pass).await;
        };
        let under_way = UnderWay {
            client: self,
            node,
            request,
            endpoint: index,
            since: self.clock.now(),
        };
        let outcome = self.get_from(request, index, endpoint, pass).await;
        under_way.ended();
        // Who refuses it tells nothing about how the node is.
        if !matches!(outcome, Err(ApiError::Unauthorized { .. })) {
            self.silent
                .note(node, &request.path, request.cost, &outcome, self.clock.now());
            self.note_hung(node, request, index, &outcome);
        }
        outcome
    }

    pub(super) fn why_hung(&self, node: &Arc<str>, request: &Request) -> Option<ApiError> {
        let may_hang = request.cost == Cost::Storage;
        may_hang.then(|| self.hung.why_resting(node, &request.path, self.clock.now()))?
    }

    /// Notes whether `node` did not answer in time, and not the endpoint through which it was asked.
    fn note_hung(&self, node: &Arc<str>, request: &Request, endpoint: usize, outcome: &Result<Answer, ApiError>) {
        if request.cost != Cost::Storage {
            return;
        }
        match outcome {
            // PVE's own proxy has given the node up.
            Err(error @ ApiError::Status { status: 596, .. }) => {
                self.hung.hangs(node, &request.path, error, self.clock.now());
            }
            Err(error @ ApiError::Timeout { .. }) if !self.endpoints.out_of_use(endpoint) => {
                self.hung.hangs(node, &request.path, error, self.clock.now());
            }
            Ok(_) | Err(ApiError::Status { status: ..=594, .. } | ApiError::NotImplemented { .. }) => {
                self.hung.answers(node, &request.path);
            }
            Err(_) => {}
        }
    }

    async fn get_from(
        &self,
        request: &Request,
        index: usize,
        endpoint: &Endpoint,
        pass: &Pass,
    ) -> Result<Answer, ApiError> {
        let is_of_agent = request.cost == Cost::Agent;
        let most = if is_of_agent {
            self.agent_timeout
        } else {
            self.request_timeout
        };
        let whole = request.timeout.unwrap_or(most).min(most);
        let head = if matches!(request.place, Place::Node(_)) {
            whole
        } else {
            whole.min(HEAD_TIMEOUT)
        };
        let limits = Limits { head, whole };
        let posts = request.verb.posts();
        let started = Instant::now();
        let send = || {
            if !is_of_agent {
                // Agents have a ceiling of their own, and what is read guest by guest must not starve beside them.
                self.traffic.note(self.clock.now());
            }
            let headers = pass.headers(posts);
            self.transport
                .send(&endpoint.url, &request.path, posts, headers, limits)
        };
        let body = if is_of_agent {
            self.noted(index, send().await).map_err(|failure| failure.error)
        } else {
            self.once_more_if_cut(index, send).await
        };
        Ok(Answer {
            body: body?,
            endpoint: index,
            took: started.elapsed(),
        })
    }

    /// Sends once more where a pooled connection turned out to be dead; what changes nothing is safe to repeat.
    async fn once_more_if_cut<F: Future<Output = Result<Bytes, Failure>>>(
        &self,
        index: usize,
        send: impl Fn() -> F,
    ) -> Result<Bytes, ApiError> {
        let mut outcome = self.noted(index, send().await);
        if matches!(outcome, Err(Failure { cut: true, .. })) {
            outcome = self.noted(index, send().await);
        }
        outcome.map_err(|failure| failure.error)
    }

    /// Notes whether the endpoint was reached.
    fn noted(&self, index: usize, outcome: Result<Bytes, Failure>) -> Result<Bytes, Failure> {
        if outcome.as_ref().map_or_else(|failure| failure.reached, |_| true) {
            self.endpoints.reached(index);
        }
        outcome
    }
}

/// A request that a node is at work on. The refresh that it belongs to may have to end before it is given up itself, and drops it:
/// nothing else would tell that it hangs.
struct UnderWay<'a> {
    client: &'a Client,
    node: &'a Arc<str>,
    request: &'a Request,
    endpoint: usize,
    since: Instant,
}

impl UnderWay<'_> {
    fn ended(self) {
        std::mem::forget(self);
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let passed = self.client.clock.now().saturating_duration_since(self.since);
        if passed > STORAGE_PATIENCE {
            let error = self.client.timed_out(self.endpoint, self.request, passed);
            self.client
                .note_hung(self.node, self.request, self.endpoint, &Err(error));
        }
    }
}
