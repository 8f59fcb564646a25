//! The transport to one cluster: failover, budget, the 401 rule, limits. It can only read.
//!
//! Every request takes a place at the node that executes it (two, of which one slow) and at the endpoint that it enters
//! through (eight). It goes to the best endpoint and, where that one gives no answer, to the next.

use std::collections::HashMap;
use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::ext::ReasonPhrase;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use crate::clock::Clock;
use crate::config::Cluster;
use crate::pve::api;
use crate::pve::endpoints::{Endpoint, Endpoints, doubling};
use crate::pve::error::{ApiError, DecodeError};
use crate::pve::offline::OfflineNodes;
use crate::pve::trust::{Learned, Trust, TrustError, tls_config};
use crate::sources::name::Cost;

/// Requests in flight at one node, and at one endpoint.
const PER_NODE: usize = 2;
const PER_ENDPOINT: usize = 8;

/// pveproxy closes a connection that is idle for 5 s; ours must be gone before.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// How long nothing is sent after a second 401, the first time and at most.
const UNAUTHORIZED_REST: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(900));

/// How much of an error's body is read.
const ERROR_BODY_LIMIT: u64 = 16 * 1024;

/// Where a request is executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// At whatever endpoint is the best.
    Entry,
    /// At one endpoint and no other.
    Endpoint(usize),
    /// At a node, through whatever endpoint is the best.
    Node(Arc<str>),
}

/// A GET request.
#[derive(Clone, Debug)]
pub struct Request {
    /// The path below `/api2/json`, with its query.
    pub path: String,
    /// Where it is executed.
    pub place: Place,
    /// What it occupies there.
    pub cost: Cost,
    /// The time it gets from its sending to the last byte, if less than the configured one.
    pub timeout: Option<Duration>,
}

impl Request {
    /// A cheap request that any endpoint answers by itself.
    #[must_use]
    pub fn entry(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            place: Place::Entry,
            cost: Cost::Cheap,
            timeout: None,
        }
    }

    /// A request that `node` executes; `path` is relative to `/nodes/{node}/`.
    #[must_use]
    pub fn node(node: &Arc<str>, path: &str, cost: Cost) -> Self {
        let place = Place::Node(Arc::clone(node));
        Self {
            path: format!("/nodes/{node}/{path}"),
            place,
            cost,
            timeout: None,
        }
    }
}

/// The body of an answer, and which endpoint gave it.
#[derive(Debug)]
pub struct Answer {
    /// The body.
    pub body: Bytes,
    /// The index of the endpoint.
    pub endpoint: usize,
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
            path: path.to_owned(),
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

/// What the client counts; the exporter turns it into metrics.
pub trait Observer: Send + Sync {
    /// A request ended with an HTTP status, or without one.
    fn request(&self, endpoint: &Url, status: Option<u16>, took: Duration);
}

struct Authorization {
    header: Option<HeaderValue>,
    generation: u64,
    refused: u32,
    rests_until: Option<(Instant, String)>,
}

/// The client of one cluster.
pub struct Client {
    http: reqwest::Client,
    config: Cluster,
    clock: Clock,
    endpoints: Endpoints,
    offline: OfflineNodes,
    learned: Learned,
    authorization: tokio::sync::Mutex<Authorization>,
    places: Mutex<HashMap<String, Arc<Semaphore>>>,
    observer: Arc<dyn Observer>,
}

impl Client {
    /// A client for `config`. Nothing is sent yet and no secret is read.
    ///
    /// # Errors
    /// When the certificate authorities cannot be read.
    pub fn new(config: &Cluster, clock: Clock, observer: Arc<dyn Observer>) -> Result<Self, ClientError> {
        let learned = Learned::default();
        let tls = tls_config(&trust(config), &learned)?;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .http1_only()
            .gzip(config.compression)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(config.connect_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(PER_ENDPOINT)
            .user_agent(concat!("pve-exporter/", env!("CARGO_PKG_VERSION")))
            .no_proxy();
        if let Some(proxy) = &config.proxy {
            let proxy =
                reqwest::Proxy::all(proxy.clone()).map_err(|error| ClientError::Transport(error.to_string()))?;
            builder = builder.proxy(proxy);
        }
        Ok(Self {
            http: builder
                .build()
                .map_err(|error| ClientError::Transport(error.to_string()))?,
            endpoints: Endpoints::new(config.endpoints.iter().cloned()),
            config: config.clone(),
            clock,
            offline: OfflineNodes::default(),
            learned,
            authorization: tokio::sync::Mutex::new(Authorization {
                header: None,
                generation: 0,
                refused: 0,
                rests_until: None,
            }),
            places: Mutex::default(),
            observer,
        })
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

    /// The endpoint that the next request goes to.
    #[must_use]
    pub fn active_endpoint(&self) -> Option<usize> {
        self.endpoints.preferred(self.clock.now())
    }

    /// Sends `request` and reads the whole answer.
    ///
    /// # Errors
    /// Every [`ApiError`].
    pub async fn get(&self, request: &Request) -> Result<Answer, ApiError> {
        if let Place::Node(node) = &request.place
            && self.offline.contains(node)
        {
            return Err(ApiError::Offline { node: node.to_string() });
        }
        let candidates = match request.place {
            Place::Endpoint(index) => vec![index],
            Place::Entry | Place::Node(_) => self.endpoints.candidates(self.clock.now()),
        };
        let all = self.endpoints.all();
        let (mut last, mut silent) = (None, Vec::new());
        for index in candidates {
            let Some(endpoint) = all.get(index) else { continue };
            match self.get_from(request, index, endpoint).await {
                Err(error) if error.another_endpoint_may_answer() => {
                    if !error.connected() {
                        self.endpoints.failed(index, &error, self.clock.now());
                    } else if matches!((&request.place, &error), (Place::Node(_), ApiError::Timeout { .. })) {
                        // A node that hangs behind a healthy endpoint says nothing about the endpoint.
                        last = Some(error);
                        break;
                    } else {
                        // Whether the path or the endpoint is broken, other answers tell.
                        self.endpoints.doubted(index);
                        silent.push((index, error.clone()));
                    }
                    last = Some(error);
                }
                outcome => {
                    self.endpoints.reached(index);
                    for (index, error) in silent {
                        self.endpoints.failed(index, &error, self.clock.now());
                    }
                    return outcome;
                }
            }
        }
        Err(last.unwrap_or_else(|| ApiError::Unreachable {
            endpoint: all
                .first()
                .map_or_else(String::new, |endpoint| endpoint.url.to_string()),
            problem: "every endpoint failed lately and rests before it is tried again".to_owned(),
            connected: false,
        }))
    }

    /// Asks the endpoints that are out of use whether they are back.
    pub async fn probe(&self) {
        for index in self.endpoints.take_due_for_probe(self.clock.now()) {
            let request = Request {
                place: Place::Endpoint(index),
                ..Request::entry("/cluster/status")
            };
            match self.get(&request).await {
                Ok(answer) => drop(answer.decode(&request.path, |body| self.learn_from_status(index, body))),
                Err(error) if error.another_endpoint_may_answer() => {
                    self.endpoints.failed(index, &error, self.clock.now());
                }
                // Without the privilege for it the answer is an error, and the endpoint is back all the same.
                Err(_) => {}
            }
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
        self.endpoints.learned(endpoint, node, quorate);
        Ok(quorate)
    }

    /// Learns the certificate fingerprints of all nodes over the connection that is trusted already, so that a failover to
    /// a node with a certificate of its own finds trust.
    ///
    /// # Errors
    /// Every [`ApiError`].
    pub async fn learn_fingerprints(&self) -> Result<(), ApiError> {
        let request = Request::entry("/nodes");
        let answer = self.get(&request).await?;
        let fingerprints = answer.decode(&request.path, api::nodes::fingerprints)?;
        self.learned
            .replace(fingerprints.iter().filter_map(|text| text.parse().ok()));
        Ok(())
    }

    async fn get_from(&self, request: &Request, index: usize, endpoint: &Endpoint) -> Result<Answer, ApiError> {
        let _places = self.take_places(request, endpoint).await;
        if !matches!(request.place, Place::Endpoint(_))
            && let Some(error) = self.endpoints.rest(index, self.clock.now())
        {
            // It failed while this request waited for its turn.
            return Err(error);
        }
        let limit = request.timeout.map_or(self.config.request_timeout, |limit| {
            limit.min(self.config.request_timeout)
        });
        let (header, generation) = self.authorization_header(&endpoint.url).await?;
        let first = self.send_once_more_if_cut(request, endpoint, header, limit).await;
        let outcome = match first {
            Err(ApiError::Unauthorized { problem, .. }) => {
                match self.header_after_refusal(&endpoint.url, generation, &problem).await? {
                    Some(header) => {
                        let second = self.send_once_more_if_cut(request, endpoint, header, limit).await;
                        self.note_authorization(&second).await;
                        second
                    }
                    None => Err(ApiError::Unauthorized {
                        endpoint: endpoint.url.to_string(),
                        problem,
                    }),
                }
            }
            first => first,
        };
        outcome.map(|body| Answer { body, endpoint: index })
    }

    async fn take_places(&self, request: &Request, endpoint: &Endpoint) -> Vec<OwnedSemaphorePermit> {
        // A node that is an endpoint has one name from the start, before `/cluster/status` tells which node that is.
        let at = |url: &Url| format!("node of {url}");
        let node = match &request.place {
            Place::Entry | Place::Endpoint(_) => at(&endpoint.url),
            Place::Node(node) => {
                let all = self.endpoints.all();
                let own = all.iter().find(|endpoint| endpoint.node.as_ref() == Some(node));
                own.map_or_else(|| format!("node {node}"), |endpoint| at(&endpoint.url))
            }
        };
        // The slow place first: whoever waits for it must not hold one of the two others.
        let mut wanted = Vec::with_capacity(3);
        if request.cost == Cost::Slow {
            wanted.push((format!("slow {node}"), 1));
        }
        wanted.push((node, PER_NODE));
        wanted.push((format!("endpoint {}", endpoint.url), PER_ENDPOINT));
        let mut permits = Vec::with_capacity(wanted.len());
        for (key, size) in wanted {
            let semaphore = {
                let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(places.entry(key).or_insert_with(|| Arc::new(Semaphore::new(size))))
            };
            // The semaphores are never closed.
            permits.extend(semaphore.acquire_owned().await);
        }
        permits
    }

    /// The header to send, or the error while a refused token rests. Reads the secret where none is held.
    async fn authorization_header(&self, endpoint: &Url) -> Result<(HeaderValue, u64), ApiError> {
        let mut authorization = self.authorization.lock().await;
        if let Some((until, problem)) = &authorization.rests_until
            && *until > self.clock.now()
        {
            return Err(ApiError::Unauthorized {
                endpoint: endpoint.to_string(),
                problem: problem.clone(),
            });
        }
        if authorization.header.is_none() {
            authorization.header = Some(self.read_header(endpoint)?);
        }
        let header = authorization.header.clone();
        header
            .map(|header| (header, authorization.generation))
            .ok_or_else(|| ApiError::Unauthorized {
                endpoint: endpoint.to_string(),
                problem: "no secret".to_owned(),
            })
    }

    fn read_header(&self, endpoint: &Url) -> Result<HeaderValue, ApiError> {
        let unauthorized = |problem: String| ApiError::Unauthorized {
            endpoint: endpoint.to_string(),
            problem,
        };
        let secret = self.config.secret().map_err(|error| unauthorized(error.to_string()))?;
        let text = format!("PVEAPIToken={}={}", self.config.token_id, secret.expose());
        let mut header = HeaderValue::from_str(&text)
            .map_err(|_| unauthorized("the token has characters that no HTTP header can carry".to_owned()))?;
        header.set_sensitive(true);
        Ok(header)
    }

    /// After a 401: the header to try once more, freshly read, or none where another request has found out already that it
    /// is refused as well.
    async fn header_after_refusal(
        &self,
        endpoint: &Url,
        generation: u64,
        problem: &str,
    ) -> Result<Option<HeaderValue>, ApiError> {
        let mut authorization = self.authorization.lock().await;
        if authorization
            .rests_until
            .as_ref()
            .is_some_and(|(until, _)| *until > self.clock.now())
        {
            return Ok(None);
        }
        if authorization.generation == generation {
            match self.read_header(endpoint) {
                Ok(header) => {
                    authorization.header = Some(header);
                    authorization.generation += 1;
                }
                Err(error) => {
                    self.rest(&mut authorization, format!("{problem}; {error}"));
                    return Err(error);
                }
            }
        }
        Ok(authorization.header.clone())
    }

    async fn note_authorization(&self, second: &Result<Bytes, ApiError>) {
        let mut authorization = self.authorization.lock().await;
        match second {
            Err(ApiError::Unauthorized { problem, .. }) => {
                self.rest(&mut authorization, problem.clone());
            }
            _ => authorization.refused = 0,
        }
    }

    fn rest(&self, authorization: &mut Authorization, problem: String) {
        let now = self.clock.now();
        if authorization
            .rests_until
            .as_ref()
            .is_none_or(|(until, _)| *until <= now)
        {
            let rest = doubling(UNAUTHORIZED_REST, authorization.refused);
            authorization.refused = authorization.refused.saturating_add(1);
            authorization.rests_until = Some((now + rest, problem));
        }
    }

    /// Sends, and sends again where a pooled connection turned out to be dead: a GET is safe to repeat.
    async fn send_once_more_if_cut(
        &self,
        request: &Request,
        endpoint: &Endpoint,
        header: HeaderValue,
        limit: Duration,
    ) -> Result<Bytes, ApiError> {
        match self.send(request, endpoint, header.clone(), limit).await {
            Err(Sending { cut: true, .. }) => self
                .send(request, endpoint, header, limit)
                .await
                .map_err(|failure| failure.error),
            outcome => outcome.map_err(|failure| failure.error),
        }
    }

    async fn send(
        &self,
        request: &Request,
        endpoint: &Endpoint,
        header: HeaderValue,
        limit: Duration,
    ) -> Result<Bytes, Sending> {
        let started = Instant::now();
        let mut url = Url::clone(&endpoint.url);
        let (path, query) = request
            .path
            .split_once('?')
            .map_or((request.path.as_str(), None), |(path, query)| (path, Some(query)));
        url.set_path(&format!("/api2/json{path}"));
        url.set_query(query);
        let failed = |error: &reqwest::Error| self.transport_error(error, request, endpoint, limit);
        let sent = self
            .http
            .get(url)
            .header(AUTHORIZATION, header)
            .timeout(limit)
            .send()
            .await;
        let status = sent.as_ref().ok().map(|response| response.status().as_u16());
        let outcome = match sent {
            Err(error) => Err(failed(&error)),
            Ok(response) if response.status().is_success() => read_body(response, self.config.body_limit)
                .await
                .map_err(|error| match error {
                    Some(error) => failed(&error),
                    None => ApiError::TooLarge {
                        path: request.path.clone(),
                        limit: self.config.body_limit,
                    }
                    .into(),
                }),
            Ok(response) => Err(self.status_error(response, request, endpoint).await.into()),
        };
        self.observer.request(&endpoint.url, status, started.elapsed());
        outcome
    }

    async fn status_error(&self, response: reqwest::Response, request: &Request, endpoint: &Endpoint) -> ApiError {
        let status = response.status();
        let reason = response
            .extensions()
            .get::<ReasonPhrase>()
            .map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned())
            .or_else(|| status.canonical_reason().map(str::to_owned))
            .unwrap_or_default();
        // From 8.4 on the body repeats the reason, whole where the status line has only its first line.
        let body = read_body(response, ERROR_BODY_LIMIT).await.unwrap_or_default();
        let problem = message(&body)
            .filter(|message| message.len() > reason.len())
            .unwrap_or(reason);
        let path = request.path.clone();
        match status.as_u16() {
            401 => ApiError::Unauthorized {
                endpoint: endpoint.url.to_string(),
                problem,
            },
            403 => ApiError::Forbidden { path, problem },
            501 if problem.starts_with("Method '") => ApiError::NotImplemented { path },
            status => ApiError::Status { path, status, problem },
        }
    }

    fn transport_error(
        &self,
        error: &reqwest::Error,
        request: &Request,
        endpoint: &Endpoint,
        limit: Duration,
    ) -> Sending {
        let mut cut = false;
        let mut tls = false;
        let mut problem = String::new();
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(error) = cause.downcast_ref::<hyper::Error>() {
                cut |= error.is_incomplete_message() || error.is_canceled();
            }
            if let Some(error) = cause.downcast_ref::<std::io::Error>() {
                cut |= matches!(
                    error.kind(),
                    std::io::ErrorKind::ConnectionReset
                        | std::io::ErrorKind::BrokenPipe
                        | std::io::ErrorKind::ConnectionAborted
                        // What TLS makes of a connection that was closed without its close_notify.
                        | std::io::ErrorKind::UnexpectedEof
                );
                tls |= error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
            }
            // The innermost cause says most, and the outer ones mostly repeat it.
            problem = cause.to_string();
            source = cause.source();
        }
        let url = endpoint.url.to_string();
        let connected = !error.is_connect();
        // Once the answer has begun it is no dead connection from the pool.
        cut &= connected && error.is_request() && !tls && !error.is_timeout();
        let error = if error.is_timeout() {
            ApiError::Timeout {
                endpoint: url,
                path: request.path.clone(),
                limit: if connected { limit } else { self.config.connect_timeout },
                connected,
            }
        } else if tls {
            ApiError::Tls { endpoint: url, problem }
        } else {
            ApiError::Unreachable {
                endpoint: url,
                problem,
                connected,
            }
        };
        Sending { error, cut }
    }
}

/// A request that failed; `cut` when the connection broke under it.
struct Sending {
    error: ApiError,
    cut: bool,
}

impl From<ApiError> for Sending {
    fn from(error: ApiError) -> Self {
        Self { error, cut: false }
    }
}

fn trust(config: &Cluster) -> Trust {
    if config.insecure_skip_verify {
        Trust::Insecure
    } else if let Some(path) = &config.ca_file {
        Trust::CaFile(path.clone())
    } else if !config.fingerprints.is_empty() {
        Trust::Fingerprints(config.fingerprints.clone())
    } else {
        Trust::SystemRoots
    }
}

/// Reads a body of at most `limit` bytes; the error is `None` where it is larger.
async fn read_body(mut response: reqwest::Response, limit: u64) -> Result<Bytes, Option<reqwest::Error>> {
    let announced = response.content_length().unwrap_or(0);
    if announced > limit {
        return Err(None);
    }
    let mut body = Vec::with_capacity(usize::try_from(announced).unwrap_or(0));
    while let Some(chunk) = response.chunk().await.map_err(Some)? {
        if (body.len() + chunk.len()) as u64 > limit {
            return Err(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}

fn message(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    Some(refusal.message.trim_end().to_owned())
}
