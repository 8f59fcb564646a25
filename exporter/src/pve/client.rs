//! The client of one cluster: which endpoint a request goes to, and to which one next. It can only read.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use rustls::ClientConfig;
use thiserror::Error;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::config::Cluster;
use crate::pve::api;
use crate::pve::authorization::Authorization;
use crate::pve::budget::{Budget, Cost, Places};
use crate::pve::endpoints::Endpoints;
use crate::pve::error::{ApiError, DecodeError};
use crate::pve::hung::HungStorages;
use crate::pve::nodes::SilentNodes;
use crate::pve::offline::OfflineNodes;
pub use crate::pve::request::{Place, Request, Verb};
use crate::pve::traffic::Traffic;
use crate::pve::transport::{self, Observer, Transport};
use crate::pve::trust::{Learned, TrustError};
use crate::pve::upid::without_users;

mod at_endpoint;

use at_endpoint::Failed;

/// What a probe gets: it asks for what every endpoint has in memory.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a call of a guest agent gets at least: PVE itself waits up to 8 s before it says that the agent does not answer.
const AGENT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request waits for a place at an endpoint before it asks another one: the main figures not for long.
const ENTRY_PATIENCE: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(5);

/// The places of a call of a guest agent.
#[derive(Debug)]
pub struct Reservation {
    index: usize,
    places: Places,
}

/// The body of an answer, and which endpoint gave it.
#[derive(Debug)]
pub struct Answer {
    /// The body.
    pub body: Bytes,
    /// The index of the endpoint.
    pub endpoint: usize,
    /// The time from the sending to the last byte, without the wait for a place.
    pub took: Duration,
}

impl Answer {
    /// Reads the body with `decode`; an error names the `path`.
    ///
    /// # Errors
    /// [`ApiError::Decode`].
    pub fn decode<'a, T>(
        &'a self,
        path: &str,
        decode: impl FnOnce(&'a [u8]) -> Result<T, DecodeError>,
    ) -> Result<T, ApiError> {
        decode(&self.body).map_err(|problem| ApiError::Decode {
            path: without_users(path),
            problem,
        })
    }
}

/// A client that cannot be built.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The trust cannot be set up.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The transport cannot be set up.
    #[error("the HTTP client cannot be set up: {0}")]
    Transport(String),
}

/// The client of one cluster.
pub struct Client {
    transport: Transport,
    authorization: Authorization,
    budget: Budget,
    endpoints: Endpoints,
    offline: OfflineNodes,
    silent: SilentNodes,
    hung: HungStorages,
    learned: Learned,
    traffic: Traffic,
    request_timeout: Duration,
    agent_timeout: Duration,
    clock: Clock,
}

impl Client {
    /// A client for `config`. Nothing is sent yet and no secret is read.
    ///
    /// # Errors
    /// When the certificate authorities cannot be read.
    pub fn new(config: &Cluster, clock: Clock, observer: Arc<dyn Observer>) -> Result<Self, ClientError> {
        let learned = Learned::default();
        let tls = transport::tls(config, &learned)?;
        Self::with(config, tls, learned, clock, observer)
    }

    /// The same, trusting what `tls` does, which many clients may share: what one learns is trusted by none of them.
    ///
    /// # Errors
    /// When the HTTP library refuses the set-up.
    pub fn trusting(
        config: &Cluster,
        tls: ClientConfig,
        clock: Clock,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, ClientError> {
        Self::with(config, tls, Learned::default(), clock, observer)
    }

    fn with(
        config: &Cluster,
        tls: ClientConfig,
        learned: Learned,
        clock: Clock,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, ClientError> {
        // A request that lasts as long as the whole refresh would leave no time to note how it ended.
        let longest = config.refresh_timeout * 9 / 10;
        Ok(Self {
            transport: Transport::new(config, tls, observer)?,
            authorization: Authorization::new(config.clone(), clock.clone()),
            budget: Budget::default(),
            endpoints: Endpoints::new(config.endpoints.iter().cloned()),
            offline: OfflineNodes::default(),
            silent: SilentNodes::default(),
            hung: HungStorages::default(),
            learned,
            traffic: Traffic::default(),
            request_timeout: config.request_timeout.min(longest),
            agent_timeout: config.request_timeout.max(AGENT_TIMEOUT).min(longest),
            clock,
        })
    }

    /// How many requests a minute have been sent lately.
    #[must_use]
    pub fn sent_lately(&self) -> usize {
        self.traffic.a_minute(self.clock.now())
    }

    /// The endpoints.
    #[must_use]
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The nodes that are not asked.
    #[must_use]
    pub fn offline(&self) -> &OfflineNodes {
        &self.offline
    }

    /// The nodes that do not answer.
    #[must_use]
    pub fn silent(&self) -> &SilentNodes {
        &self.silent
    }

    /// The endpoint that the next request goes to.
    #[must_use]
    pub fn active_endpoint(&self) -> Option<usize> {
        self.endpoints.preferred(self.clock.now())
    }

    /// Sends `request` and reads the whole answer, from the first endpoint that gives one.
    ///
    /// An endpoint that cannot be reached rests, and the next is tried. So it is where one answers with an error of its own
    /// (pmxcfs or pvedaemon down, say) or hangs, but that one does not rest.
    ///
    /// # Errors
    /// Every [`ApiError`].
    pub async fn get(&self, request: &Request) -> Result<Answer, ApiError> {
        self.ask(request, None).await
    }

    /// Sends a `request` of [`Request::agent`] from the places that [`Self::reserve`] has taken for it. Nothing repeats it.
    ///
    /// # Errors
    /// Every [`ApiError`].
    pub async fn get_at_once(&self, request: &Request, reservation: Reservation) -> Result<Answer, ApiError> {
        self.ask(request, Some(reservation)).await
    }

    /// Takes the places for a `request` of [`Request::agent`], if they are free. It never waits for them: what was true of the
    /// guest when the call was decided on need not be later.
    #[must_use]
    pub fn reserve(&self, request: &Request) -> Option<Reservation> {
        let Place::Node(node) = &request.place else { return None };
        let all = self.endpoints.all();
        let candidates = self.endpoints.candidates(self.clock.now());
        candidates.into_iter().find_map(|index| {
            let endpoint = all.get(index)?;
            let for_other_node = endpoint.node.as_ref() != Some(node);
            let places = self.budget.take_for_agent(node, &endpoint.url, for_other_node)?;
            Some(Reservation { index, places })
        })
    }

    async fn ask(&self, request: &Request, reservation: Option<Reservation>) -> Result<Answer, ApiError> {
        if let Place::Node(node) = &request.place
            && self.offline.contains(node)
        {
            self.hung.forget(node);
            return Err(ApiError::Offline { node: node.to_string() });
        }
        if let Place::Node(node) = &request.place
            && let Some(error) = self
                .silent
                .why_resting(node, self.clock.now())
                .or_else(|| self.why_hung(node, request))
        {
            return Err(ApiError::Resting(Box::new(error)));
        }
        let candidates = match (&reservation, &request.place) {
            (Some(Reservation { index, .. }), _) | (None, Place::Endpoint(index)) => vec![*index],
            (None, Place::Entry | Place::Node(_)) => self.endpoints.candidates(self.clock.now()),
        };
        let mut reserved = reservation.map(|reservation| reservation.places);
        let all = self.endpoints.all();
        let mut failure = None;
        let mut left = candidates.len();
        for index in candidates {
            left -= 1;
            let Some(endpoint) = all.get(index) else { continue };
            let (node, for_other_node) = match &request.place {
                Place::Node(node) => (Some(node), endpoint.node.as_ref() != Some(node)),
                Place::Entry | Place::Endpoint(_) => (endpoint.node.as_ref(), false),
            };
            let node = node.map(|node| &**node);
            let places = self.budget.take(node, &endpoint.url, request.cost, for_other_node);
            let places = if let Some(places) = reserved.take() {
                places
            } else if left == 0 {
                places.await
            } else {
                // What hangs there may hold all places for long, and others may be free.
                let patience = if request.place == Place::Entry {
                    ENTRY_PATIENCE
                } else {
                    PATIENCE
                };
                let Ok(places) = timeout(patience, places).await else {
                    continue;
                };
                places
            };
            let worse = !endpoint.out_of_use() && self.endpoints.out_of_use(index);
            if self.endpoints.rests(index, self.clock.now()) || worse && left > 0 {
                // Somebody found it dead or hanging while this request waited for its place.
                continue;
            }
            if let Place::Node(node) = &request.place
                && let Some(error) = self
                    .why_hung(node, request)
                    .or_else(|| self.silent.admit(node, self.clock.now(), self.request_timeout))
            {
                // It turned out to be silent, or to hang, while this request waited for its place.
                return Err(ApiError::Resting(Box::new(error)));
            }
            let asked = self.get_authorized(request, index, endpoint, for_other_node);
            let (error, of_login) = match places.hold(asked).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::Request(error)) => (error, false),
                Err(Failed::Login(error)) => (error, true),
            };
            let (now, entry) = (self.clock.now(), of_login || request.place == Place::Entry);
            match &error {
                // It may have been a pooled connection that was dead.
                _ if request.cost == Cost::Agent => return Err(error),
                ApiError::Unreachable { .. } | ApiError::Tls { .. } => self.endpoints.failed(index, now, &error),
                ApiError::Status { status: 500.., .. } | ApiError::Incomplete { .. } if entry => {}
                ApiError::Timeout { .. } if of_login || entry && request.timeout.is_none() => {
                    self.endpoints.doubted(index);
                }
                ApiError::Resting(error) if of_login && !matches!(**error, ApiError::Unauthorized { .. }) => {}
                _ => return Err(error),
            }
            failure.get_or_insert(error);
        }
        Err(failure
            .or_else(|| {
                self.endpoints
                    .why_resting(self.clock.now())
                    .map(|error| ApiError::Resting(Box::new(error)))
            })
            .unwrap_or_else(|| {
                let endpoint = all
                    .first()
                    .map_or_else(String::new, |endpoint| endpoint.url.to_string());
                ApiError::Unreachable {
                    endpoint,
                    problem: "there is no endpoint to ask".to_owned(),
                }
            }))
    }

    /// Asks the endpoints that are out of use whether they are back, and those of a minority whether they still are.
    pub async fn probe(&self) {
        let due = self.endpoints.take_due_for_probe(self.clock.now());
        join_all(due.into_iter().map(|index| self.probe_one(index))).await;
    }

    async fn probe_one(&self, index: usize) {
        let at = |path| Request {
            place: Place::Endpoint(index),
            timeout: Some(PROBE_TIMEOUT),
            ..Request::entry(path)
        };
        // The wait for a place counts as well: an endpoint whose places hang is no better than one that hangs itself.
        let version = at("/version");
        let answer = timeout(PROBE_TIMEOUT, self.get(&version))
            .await
            .unwrap_or_else(|_| Err(self.timed_out(index, &version, PROBE_TIMEOUT)));
        if let Err(error @ ApiError::Timeout { .. }) = &answer {
            self.endpoints.failed(index, self.clock.now(), error);
        }
        if answer.is_ok() {
            let status = at("/cluster/status");
            // Without the privilege for it there is nothing to learn, and the endpoint is back all the same.
            if let Ok(Ok(answer)) = timeout(PROBE_TIMEOUT, self.get(&status)).await {
                drop(answer.decode(&status.path, |body| self.learn_from_status(index, body)));
            }
        }
    }

    fn timed_out(&self, index: usize, request: &Request, limit: Duration) -> ApiError {
        let endpoint = self
            .endpoints
            .all()
            .get(index)
            .map_or_else(String::new, |endpoint| endpoint.url.to_string());
        ApiError::Timeout {
            endpoint,
            path: without_users(&request.path),
            limit,
        }
    }

    /// Notes which node answered `/cluster/status` and whether it has quorum; returns the latter.
    ///
    /// # Errors
    /// When the body is not what the endpoint promises.
    pub fn learn_from_status(&self, endpoint: usize, body: &[u8]) -> Result<bool, DecodeError> {
        let (mut node, mut quorate) = (None, true);
        api::cluster_status::decode(body, |row| {
            if row.kind == "cluster" {
                quorate = row.quorate.unwrap_or(true);
            } else if row.local == Some(true) {
                node = Some(Arc::from(row.name.as_ref()));
            }
        })?;
        self.learn_node(endpoint, node, Some(quorate));
        Ok(quorate)
    }

    /// Notes which node is behind an endpoint.
    pub fn learn_node(&self, endpoint: usize, node: Option<Arc<str>>, quorate: Option<bool>) {
        if let (Some(node), Some(known)) = (&node, self.endpoints.all().get(endpoint)) {
            self.budget.learned(&known.url, node);
        }
        self.endpoints.learned(endpoint, node, quorate);
    }

    /// Learns the certificate fingerprints of all nodes over the connection that is trusted already, so that a failover to
    /// a node with a certificate of its own finds trust.
    ///
    /// # Errors
    /// Every [`ApiError`].
    pub async fn learn_fingerprints(&self) -> Result<(), ApiError> {
        let request = Request::entry("/nodes");
        let answer = self.get(&request).await?;
        self.learned
            .learn(answer.decode(&request.path, api::nodes::fingerprints)?);
        self.endpoints.trust_changed();
        Ok(())
    }
}
