//! One HTTP exchange with one endpoint, and what may go wrong in it.

use std::error::Error as _;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::ext::ReasonPhrase;
use reqwest::RequestBuilder;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::time::timeout;
use url::Url;

use crate::config::Cluster;
use crate::pve::budget::PER_ENDPOINT;
use crate::pve::client::ClientError;
use crate::pve::error::ApiError;
use crate::pve::login;
use crate::pve::trust::{Authorities, Learned, Trust, TrustError, tls_config};
use crate::pve::upid::without_users;

/// pveproxy closes a connection that is idle for 5 s; ours must be gone before.
const POOL_IDLE: Duration = Duration::from_secs(4);

/// How much of an error's body is read.
const ERROR_BODY_LIMIT: u64 = 16 * 1024;

/// How long an exchange may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// To the head of the answer.
    pub head: Duration,
    /// To its last byte.
    pub whole: Duration,
}

/// What the transport counts; the exporter turns it into metrics.
pub trait Observer: Send + Sync {
    /// A request ended with an HTTP status, or without one.
    fn request(&self, endpoint: &Url, status: Option<u16>, took: Duration);
}

/// A failed exchange.
pub struct Failure {
    /// What went wrong.
    pub error: ApiError,
    /// Whether an HTTP status came all the same: the endpoint was reached.
    pub reached: bool,
    /// Whether the connection broke under the request, as a pooled one does that the server has closed.
    pub cut: bool,
}

/// The connections to one cluster.
pub struct Transport {
    http: reqwest::Client,
    connect_timeout: Duration,
    body_limit: u64,
    observer: Arc<dyn Observer>,
}

impl Transport {
    /// Connections as `config` wants them, which trust what `tls` does.
    ///
    /// # Errors
    /// When the HTTP library refuses the set-up.
    pub fn new(config: &Cluster, tls: ClientConfig, observer: Arc<dyn Observer>) -> Result<Self, ClientError> {
        let failed = |error: reqwest::Error| ClientError::Transport(error.to_string());
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
            builder = builder.proxy(reqwest::Proxy::all(proxy.clone()).map_err(failed)?);
        }
        Ok(Self {
            http: builder.build().map_err(failed)?,
            connect_timeout: config.connect_timeout,
            body_limit: config.body_limit,
            observer,
        })
    }

    /// Sends a GET, or a POST without a body, for `path` below `/api2/json` and reads the whole answer within `limits`.
    ///
    /// # Errors
    /// Everything but a success with a body no larger than the limit.
    pub async fn send(
        &self,
        endpoint: &Url,
        path: &str,
        posts: bool,
        headers: HeaderMap,
        limits: Limits,
    ) -> Result<Bytes, Failure> {
        let url = below(endpoint, path);
        let request = if posts { self.http.post(url) } else { self.http.get(url) };
        self.exchange(request.headers(headers), endpoint, path, limits).await
    }

    /// Posts the form of a login and reads the answer.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub async fn log_in(&self, endpoint: &Url, form: String, limits: Limits) -> Result<Bytes, Failure> {
        let request = self.http.post(below(endpoint, login::PATH));
        let request = request
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form);
        self.exchange(request, endpoint, login::PATH, limits).await
    }

    async fn exchange(
        &self,
        request: RequestBuilder,
        endpoint: &Url,
        path: &str,
        limits: Limits,
    ) -> Result<Bytes, Failure> {
        let started = Instant::now();
        let request = request.timeout(limits.whole);
        let late = |limit| ApiError::Timeout {
            endpoint: endpoint.to_string(),
            path: without_users(path),
            limit,
        };
        let Ok(sent) = timeout(limits.head, request.send()).await else {
            self.observer.request(endpoint, None, started.elapsed());
            return Err(Failure {
                error: late(limits.head),
                reached: false,
                cut: false,
            });
        };
        let status = sent.as_ref().ok().map(|response| response.status());
        let outcome = match sent {
            Err(error) => Err(self.not_reached(&error, endpoint, late(limits.whole))),
            Ok(response) if response.status().is_success() => read(response, self.body_limit).await.map_err(|error| {
                let path = without_users(path);
                let error = match error {
                    None => ApiError::TooLarge {
                        path,
                        limit: self.body_limit,
                    },
                    Some(error) if error.is_timeout() => late(limits.whole),
                    Some(error) => ApiError::Incomplete {
                        path,
                        problem: innermost(&error),
                    },
                };
                Failure {
                    error,
                    reached: true,
                    cut: false,
                }
            }),
            Ok(response) => {
                let error = refusal(response, endpoint, path).await;
                Err(Failure {
                    error,
                    reached: true,
                    cut: false,
                })
            }
        };
        self.observer
            .request(endpoint, status.map(|status| status.as_u16()), started.elapsed());
        outcome
    }

    fn not_reached(&self, error: &reqwest::Error, endpoint: &Url, late: ApiError) -> Failure {
        let (mut cut, mut tls) = (false, false);
        let mut source = error.source();
        while let Some(cause) = source {
            if let Some(error) = cause.downcast_ref::<hyper::Error>() {
                cut |= error.is_incomplete_message() || error.is_canceled();
            }
            if let Some(error) = cause.downcast_ref::<std::io::Error>() {
                let kinds = [
                    ErrorKind::ConnectionReset,
                    ErrorKind::BrokenPipe,
                    ErrorKind::ConnectionAborted,
                    // What TLS makes of a connection that was closed without its close_notify.
                    ErrorKind::UnexpectedEof,
                ];
                cut |= kinds.contains(&error.kind());
                tls |= is_of_tls(error);
            }
            source = cause.source();
        }
        let endpoint = endpoint.to_string();
        let connected = !error.is_connect();
        let error = match (error.is_timeout(), connected) {
            (true, false) => {
                let problem = format!("no connection within {:?}", self.connect_timeout);
                ApiError::Unreachable { endpoint, problem }
            }
            (true, true) => late,
            _ if tls => ApiError::Tls {
                endpoint,
                problem: innermost(error),
            },
            _ => ApiError::Unreachable {
                endpoint,
                problem: innermost(error),
            },
        };
        Failure {
            cut: cut && connected && matches!(error, ApiError::Unreachable { .. }),
            error,
            reached: false,
        }
    }
}

fn below(endpoint: &Url, path: &str) -> Url {
    let mut url = endpoint.clone();
    let (before, query) = path
        .split_once('?')
        .map_or((path, None), |(before, query)| (before, Some(query)));
    url.set_path(&format!("/api2/json{before}"));
    url.set_query(query);
    url
}

/// The trust that `config` asks for, and in what is `learned` later.
///
/// # Errors
/// When the certificate authorities cannot be read.
pub fn tls(config: &Cluster, learned: &Learned) -> Result<ClientConfig, TrustError> {
    let authorities = match &config.ca_file {
        _ if config.insecure_skip_verify => Authorities::Anybody,
        Some(path) => Authorities::File(path.clone()),
        None if config.fingerprints.is_empty() => Authorities::System,
        None => Authorities::Nobody,
    };
    let trust = Trust {
        authorities,
        fingerprints: config.fingerprints.clone(),
    };
    tls_config(&trust, learned)
}

/// Whether rustls failed here. Its error may lie in more than one I/O error, and [`std::error::Error::source`] skips it then.
fn is_of_tls(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| {
        inner.is::<rustls::Error>() || inner.downcast_ref::<std::io::Error>().is_some_and(is_of_tls)
    })
}

/// The innermost cause says most, and the outer ones mostly repeat it.
fn innermost(error: &reqwest::Error) -> String {
    let mut source = error.source();
    let mut words = error.to_string();
    while let Some(cause) = source {
        words = cause.to_string();
        source = cause.source();
    }
    // What rustls puts before the words of a verifier that is not its own, and behind those of its own.
    let words = words.strip_prefix("unexpected error: ").unwrap_or(&words);
    without_users(words.split(": https://docs.rs/").next().unwrap_or(words))
}

/// Reads a body of at most `limit` bytes; the error is `None` where it is larger.
async fn read(mut response: reqwest::Response, limit: u64) -> Result<Bytes, Option<reqwest::Error>> {
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

/// A status that is no success, in PVE's own words.
async fn refusal(response: reqwest::Response, endpoint: &Url, path: &str) -> ApiError {
    let status = response.status();
    let reason = response
        .extensions()
        .get::<ReasonPhrase>()
        .map(|reason| String::from_utf8_lossy(reason.as_bytes()).into_owned())
        .unwrap_or_default();
    // From 8.4 on the body repeats the reason, whole where the status line has only its first line.
    let body = read(response, ERROR_BODY_LIMIT).await.unwrap_or_default();
    let problem = message(&body)
        .filter(|message| message.len() > reason.len())
        .or_else(|| (!reason.is_empty()).then_some(reason))
        // The HTTP library drops a reason that is not ASCII.
        .or_else(|| status.canonical_reason().map(str::to_owned))
        .unwrap_or_default();
    let (path, problem) = (without_users(path), without_users(&problem));
    match status.as_u16() {
        401 => ApiError::Unauthorized {
            endpoint: endpoint.to_string(),
            problem,
        },
        403 => ApiError::Forbidden { path, problem },
        501 if problem.starts_with("Method '") => ApiError::NotImplemented { path },
        status => ApiError::Status { path, status, problem },
    }
}

fn message(body: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let refusal: Refusal = serde_json::from_slice(body).ok()?;
    Some(refusal.message.trim_end().to_owned())
}
