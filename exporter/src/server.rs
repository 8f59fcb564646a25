//! The HTTP side: routes, limits, and the end of it all.

use std::convert::Infallible;
use std::future::Future;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::select_all;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HOST, HeaderName, RETRY_AFTER, VARY,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_io_timeout::TimeoutStream;

use crate::compat::drop_in::Refusal;
use crate::compat::parameters::Parameters;
use crate::compat::text::CONTENT_TYPE as CONTENT_TYPE_OF_PVE;
use crate::metrics::exposition::{Exposition, Format};
use crate::scrape::{Exporter, ScrapeRequest};

mod body;
mod certificate;
mod guests;
mod negotiation;
mod parameters;
pub mod tls;

use body::ExpositionBody;
use certificate::Certificate;
use tls::TlsError;

/// Connections held at once; more wait to be accepted.
const MAX_CONNECTIONS: usize = 512;

/// Guests scraped at once: none of them waits for PVE, or for its collector for long.
const MAX_GUESTS: usize = 64;

/// The request line and headers together, and how many headers.
const MAX_HEAD_BYTES: usize = 16 * 1024;
const MAX_HEADERS: usize = 64;

/// How long a client may take to send a request's head, and may stay idle between two requests: a little longer than the usual
/// interval between scrapes, so that Prometheus keeps its connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);

/// How long a client may take to agree on encryption.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client may refuse to take more of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long answers under way get to finish after the signal to end.
const GRACE: Duration = Duration::from_secs(10);

/// The longest that a scrape waits for PVE, whatever its header says.
const MAX_WAIT: Duration = Duration::from_secs(120);

const SCRAPE_TIMEOUT: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

/// How many answers may be under way.
struct Limits {
    scrapes: Arc<Semaphore>,
    guests: Arc<Semaphore>,
}

type Body = Either<Full<Bytes>, ExpositionBody>;

/// Listens on each of `addresses`. Where all addresses are asked for and the machine has no IPv6, IPv4 alone does.
///
/// # Errors
/// When one of them cannot be listened on; the error names it.
pub async fn bind(addresses: &[SocketAddr]) -> std::io::Result<Vec<TcpListener>> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for &address in addresses {
        let listener = match TcpListener::bind(address).await {
            Err(error) if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && error.kind() != ErrorKind::AddrInUse => {
                TcpListener::bind((Ipv4Addr::UNSPECIFIED, address.port())).await
            }
            outcome => outcome,
        };
        listeners.push(listener.map_err(|error| std::io::Error::new(error.kind(), format!("{address}: {error}")))?);
    }
    Ok(listeners)
}

/// Serves `exporter` on `listeners` until `shutdown` ends; then accepts nothing more and lets answers under way finish.
///
/// # Errors
/// When there is a certificate to serve with that cannot be used.
pub async fn serve(
    listeners: Vec<TcpListener>,
    exporter: Arc<Exporter>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), TlsError> {
    let certificate = exporter.config().web.tls.as_ref().map(Certificate::read).transpose()?;
    let certificate = certificate.map(Arc::new);
    let limits = Arc::new(Limits {
        scrapes: Arc::new(Semaphore::new(exporter.config().web.max_concurrent_scrapes.get())),
        guests: Arc::new(Semaphore::new(MAX_GUESTS)),
    });
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let (ending, _) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        while tasks.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listeners, &connections) => accepted,
        };
        let Some((stream, permit)) = accepted else { continue };
        let (exporter, limits, ending) = (Arc::clone(&exporter), Arc::clone(&limits), ending.subscribe());
        let certificate = certificate.clone();
        tasks.spawn(async move {
            let mut stream = TimeoutStream::new(stream);
            stream.set_write_timeout(Some(WRITE_TIMEOUT));
            let stream = Box::pin(stream);
            match certificate {
                None => connection(stream, exporter, limits, ending).await,
                Some(certificate) => match timeout(HANDSHAKE_TIMEOUT, certificate.acceptor().accept(stream)).await {
                    Ok(Ok(stream)) => connection(stream, exporter, limits, ending).await,
                    Ok(Err(error)) => tracing::debug!(%error, "no TLS connection"),
                    Err(_) => tracing::debug!("no TLS connection in time"),
                },
            }
            drop(permit);
        });
    }
    drop(listeners);
    ending.send_replace(true);
    let finish = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, finish).await.is_err() {
        tracing::warn!("answers still under way were cut off");
    }
    Ok(())
}

async fn accept(listeners: &[TcpListener], connections: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    // The semaphore is never closed.
    let permit = Arc::clone(connections).acquire_owned().await.ok()?;
    let (accepted, _, _) = select_all(listeners.iter().map(|listener| Box::pin(listener.accept()))).await;
    match accepted {
        Ok((stream, _)) => Some((stream, permit)),
        Err(error) => {
            // Out of file descriptors, most likely: some will be free in a moment.
            tracing::warn!(%error, "cannot accept a connection");
            tokio::time::sleep(Duration::from_millis(100)).await;
            None
        }
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    exporter: Arc<Exporter>,
    limits: Arc<Limits>,
    mut ending: watch::Receiver<bool>,
) {
    let service = service_fn(move |request| {
        let (exporter, limits) = (Arc::clone(&exporter), Arc::clone(&limits));
        async move { Ok::<_, Infallible>(answer(&request, &exporter, &limits).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // The only change there is tells the end.
    let outcome = tokio::select! {
        outcome = connection.as_mut() => Some(outcome),
        _ = ending.changed() => None,
    };
    let outcome = match outcome {
        Some(outcome) => outcome,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "connection ended early");
    }
}

async fn answer(request: &Request<Incoming>, exporter: &Exporter, limits: &Limits) -> Response<Body> {
    if request.method() == Method::HEAD && ["/metrics", "/pve"].contains(&request.uri().path()) {
        // Not worth a scrape.
        return text(StatusCode::OK, "");
    }
    // Of an answer to HEAD the body is left out on its way.
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered here\n");
        response
            .headers_mut()
            .insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => metrics(request, exporter, &limits.scrapes).await,
        "/pve" => pve(request, exporter, &limits.scrapes).await,
        "/sd/clusters" => service_discovery(request.headers(), exporter),
        "/sd/guests" => guests::discovery(request, exporter).await,
        "/-/healthy" => text(StatusCode::OK, "healthy\n"),
        "/-/ready" if exporter.is_ready() => text(StatusCode::OK, "ready\n"),
        "/-/ready" => text(
            StatusCode::SERVICE_UNAVAILABLE,
            "the first data are still being fetched\n",
        ),
        "/" => html(include_str!("server/index.html")),
        path => match guests::parse(path) {
            Some(guest) => guests::metrics(request, &guest, exporter, &limits.guests).await,
            None => text(StatusCode::NOT_FOUND, "not found; metrics are at /metrics\n"),
        },
    }
}

async fn metrics(request: &Request<Incoming>, exporter: &Exporter, scrapes: &Arc<Semaphore>) -> Response<Body> {
    let started = Instant::now();
    let parameters = match parameters::parse(request.uri().query().unwrap_or_default()) {
        Ok(parameters) => parameters,
        Err(problem) => return text(StatusCode::BAD_REQUEST, problem.to_string()),
    };
    let permit = match place(exporter, scrapes) {
        Ok(permit) => permit,
        Err(response) => return *response,
    };
    let headers = request.headers();
    let format = negotiation::format(headers.get_all(ACCEPT));
    let wait = wait(headers, exporter).saturating_sub(started.elapsed());
    let scrape = ScrapeRequest {
        clusters: parameters.clusters,
        selection: parameters.selection,
        format,
        wait,
    };
    match exporter.scrape(&scrape).await {
        Ok(exposition) => shown(exposition, headers, format, permit),
        Err(error) => text(StatusCode::NOT_FOUND, format!("{error}\n")),
    }
}

/// An exposition as an answer, compressed where the client wants that.
fn shown(exposition: Exposition, asked: &HeaderMap, format: Format, permit: OwnedSemaphorePermit) -> Response<Body> {
    let gzip = negotiation::accepts_gzip(asked.get_all(ACCEPT_ENCODING));
    let body = ExpositionBody::new(exposition, gzip, permit);
    exposed(body, gzip, format.content_type(), "accept, accept-encoding")
}

/// What prometheus-pve-exporter answers there.
async fn pve(request: &Request<Incoming>, exporter: &Exporter, scrapes: &Arc<Semaphore>) -> Response<Body> {
    let started = Instant::now();
    let permit = match place(exporter, scrapes) {
        Ok(permit) => permit,
        Err(response) => return *response,
    };
    let headers = request.headers();
    let gzip = negotiation::accepts_gzip(headers.get_all(ACCEPT_ENCODING));
    let wait = wait(headers, exporter).saturating_sub(started.elapsed());
    let parameters = Parameters::parse(request.uri().query().unwrap_or_default());
    match exporter.scrape_pve(&parameters, wait).await {
        Ok(page) => {
            let body = ExpositionBody::new(page, gzip, permit);
            exposed(body, gzip, CONTENT_TYPE_OF_PVE, "accept-encoding")
        }
        Err(refusal) => {
            let status = match refusal {
                Refusal::Module(_) | Refusal::Credentials(..) => StatusCode::BAD_REQUEST,
                Refusal::Target { .. } => StatusCode::FORBIDDEN,
                Refusal::Full(_) => StatusCode::SERVICE_UNAVAILABLE,
                Refusal::Client { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            };
            text(status, refusal.to_string())
        }
    }
}

/// A place among the scrapes under way, or the answer that there is none.
fn place(exporter: &Exporter, places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Box<Response<Body>>> {
    Arc::clone(places).try_acquire_owned().map_err(|_| {
        exporter.own().refused();
        let mut response = text(
            StatusCode::SERVICE_UNAVAILABLE,
            "as many scrapes as allowed are under way\n",
        );
        response
            .headers_mut()
            .insert(RETRY_AFTER, hyper::header::HeaderValue::from_static("1"));
        Box::new(response)
    })
}

/// A body as an answer that depends on the headers which `vary` names.
fn exposed(body: ExpositionBody, gzip: bool, content_type: &'static str, vary: &'static str) -> Response<Body> {
    let mut response = Response::new(Either::Right(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    headers.insert(VARY, hyper::header::HeaderValue::from_static(vary));
    if gzip {
        headers.insert(CONTENT_ENCODING, hyper::header::HeaderValue::from_static("gzip"));
    }
    response
}

/// How long the scrape may wait for PVE: the scraper's own time-out less a margin for the way back.
fn wait(headers: &HeaderMap, exporter: &Exporter) -> Duration {
    let settings = &exporter.config().scrape;
    let told = headers
        .get(&SCRAPE_TIMEOUT)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let timeout = told
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .unwrap_or(settings.default_timeout);
    // A margin larger than half of a short time-out would leave nothing to wait.
    timeout
        .saturating_sub(settings.timeout_margin.min(timeout / 2))
        .min(MAX_WAIT)
}

/// One target for each cluster, each with an `instance` of its own: all have the exporter's address.
fn service_discovery(headers: &HeaderMap, exporter: &Exporter) -> Response<Body> {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        return text(
            StatusCode::BAD_REQUEST,
            "the request has no Host header to tell the target's address\n",
        );
    };
    let groups = exporter.cluster_names().into_iter().map(|name| {
        serde_json::json!({
            "targets": [host],
            "labels": {
                "__metrics_path__": "/metrics",
                "__param_cluster": name,
                "__meta_pve_cluster": name,
                "instance": name,
            },
        })
    });
    let body = serde_json::Value::Array(groups.collect()).to_string();
    plain(StatusCode::OK, "application/json", body)
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    plain(status, "text/plain; charset=utf-8", body)
}

fn html(body: &'static str) -> Response<Body> {
    plain(StatusCode::OK, "text/html; charset=utf-8", body)
}

fn plain(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(content_type));
    response
}
