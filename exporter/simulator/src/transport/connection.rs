//! One client connection: TLS, HTTP/1.1, keep-alive limits.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    ext::ReasonPhrase,
    header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, PRAGMA, SERVER},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::Notify, time::Instant};
use tokio_rustls::TlsAcceptor;

use super::body::{AtEnd, ReplyBody};
use crate::{cluster::Cluster, dispatch, dispatch::Received, reply::Reply};

/// The longest form that PVE reads.
const LONGEST_FORM: usize = 512 * 1024;

/// When the connection last did something, and whether it is to be closed.
#[derive(Debug)]
struct Activity {
    /// Nothing while a request is being answered.
    idle_since: Mutex<Option<Instant>>,
    changed: Notify,
    close: Notify,
}

/// Ends a response when its body has been sent.
struct ResponseEnd {
    activity: Arc<Activity>,
    close: bool,
}

impl AtEnd for ResponseEnd {}

impl Drop for ResponseEnd {
    fn drop(&mut self) {
        self.activity.set_idle(Some(Instant::now()));
        if self.close {
            self.activity.close.notify_one();
        }
    }
}

impl Activity {
    fn set_idle(&self, since: Option<Instant>) {
        *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = since;
        self.changed.notify_one();
    }

    /// Returns when nothing was asked for the whole time-out.
    async fn idle_for(&self, timeout: Duration) {
        loop {
            let since = *self.idle_since.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(since) = since else {
                self.changed.notified().await;
                continue;
            };
            if since.elapsed() >= timeout {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(since + timeout) => {}
                () = self.changed.notified() => {}
            }
        }
    }
}

/// Serves one connection to its end.
pub(super) async fn serve(cluster: Arc<Cluster>, node: usize, stream: TcpStream, acceptor: TlsAcceptor) {
    if cluster.is_black_hole(node) {
        cluster.until(|cluster| !cluster.is_black_hole(node)).await;
        return;
    }
    // Small answers must not wait for the acknowledgement of the ones before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot switch off Nagle's algorithm");
    }
    let stream = match acceptor.accept(stream).await {
        Ok(stream) => stream,
        Err(error) => {
            tracing::debug!(%error, "no TLS with the client");
            return;
        }
    };
    let activity = Arc::new(Activity {
        idle_since: Mutex::new(Some(Instant::now())),
        changed: Notify::new(),
        close: Notify::new(),
    });
    let served = AtomicUsize::new(0);
    let service = service_fn(|request: Request<Incoming>| {
        let last = served.fetch_add(1, Ordering::Relaxed) + 1 >= cluster.options.requests_per_connection;
        respond(&cluster, node, request, &activity, last)
    });
    let connection = http1::Builder::new()
        .title_case_headers(true)
        .max_headers(64)
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut closing = false;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%error, "connection ended");
                }
                return;
            }
            () = activity.idle_for(cluster.options.idle_timeout), if !closing => {}
            () = activity.close.notified(), if !closing => {}
        }
        closing = true;
        connection.as_mut().graceful_shutdown();
    }
}

/// Reads the body of a request, which may be no longer than PVE allows.
async fn read(body: &mut Incoming) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        if let Ok(data) = frame.map_err(io::Error::other)?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > LONGEST_FORM {
            return Err(io::Error::other("for data too large"));
        }
    }
    Ok(bytes.into())
}

async fn respond(
    cluster: &Arc<Cluster>,
    node: usize,
    mut request: Request<Incoming>,
    activity: &Arc<Activity>,
    last: bool,
) -> io::Result<Response<ReplyBody<ResponseEnd>>> {
    activity.set_idle(None);
    let has_body = request.body().size_hint().exact() != Some(0);
    let form = if request.method() == Method::POST && has_body {
        read(request.body_mut()).await?
    } else {
        Bytes::new()
    };
    let received = Received {
        method: request.method().as_str().to_owned(),
        path: request.uri().path().to_owned(),
        query: request.uri().query().map(str::to_owned),
        has_body,
        form,
        headers: request.headers().clone(),
    };
    let answer = dispatch::answer(cluster, node, &received).await;
    let Some((reply, damage)) = answer else {
        return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "closed by a fault"));
    };
    let end = ResponseEnd {
        activity: Arc::clone(activity),
        close: damage.close_after,
    };
    let Reply {
        status,
        reason,
        is_json,
        body,
    } = reply;
    let mut response = Response::new(ReplyBody::new(body, damage.fill_to, damage.truncated, end));
    *response.status_mut() = StatusCode::from_u16(status).map_err(io::Error::other)?;
    if let Some(reason) = reason {
        let reason = ReasonPhrase::try_from(reason.into_bytes()).map_err(io::Error::other)?;
        response.extensions_mut().insert(reason);
    }
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=0"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(SERVER, HeaderValue::from_static("pve-api-daemon/3.0"));
    if is_json {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    }
    if last || status >= 400 {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}
