//! A PVE that answers with recorded bodies, over HTTPS on loopback.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate includes this module and uses its own part of it"
)]
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest;
use bytes::Bytes;
use http_body_util::Full;
use hyper::ext::ReasonPhrase;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use pve_exporter::config::{Cluster, Fingerprint, Secret, SecretSource};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use url::Url;

/// An answer: status, reason, body.
pub type Reply = (u16, String, Bytes);

/// The server; it ends with the runtime.
#[derive(Clone)]
pub struct FixtureServer {
    pub url: Url,
    fingerprint: Fingerprint,
    replies: Arc<Mutex<BTreeMap<String, Reply>>>,
    calls: Arc<Mutex<Vec<String>>>,
    cuts: Arc<AtomicUsize>,
}

impl FixtureServer {
    /// Answers with the bodies of a folder, as [`path_of`] names them, and 501 otherwise. Where an answer was not 200,
    /// `name.meta.json` beside `name.json` has its `status` and `reason`.
    pub async fn with_folder(folder: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures")
            .join(folder);
        let server = Self::empty().await;
        for entry in std::fs::read_dir(folder).unwrap() {
            let file = entry.unwrap().path();
            let name = file.file_stem().unwrap().to_str().unwrap();
            if name.ends_with(".meta") {
                continue;
            }
            let (mut status, mut reason) = (200, "OK".to_owned());
            if let Ok(meta) = std::fs::read(file.with_extension("meta.json")) {
                let meta: serde_json::Value = serde_json::from_slice(&meta).unwrap();
                status = meta["status"].as_u64().unwrap().try_into().unwrap();
                reason = meta["reason"].as_str().unwrap().to_owned();
            }
            server.reply(&path_of(name), status, &reason, std::fs::read(&file).unwrap());
        }
        server
    }

    /// Answers every path with 501.
    pub async fn empty() -> Self {
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let digest = digest::digest(&digest::SHA256, cert.der());
        let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            url: format!("https://{}", listener.local_addr().unwrap()).parse().unwrap(),
            fingerprint: Fingerprint::new(digest.as_ref().try_into().unwrap()),
            replies: Arc::default(),
            calls: Arc::default(),
            cuts: Arc::default(),
        };
        let (acceptor, serving) = (TlsAcceptor::from(Arc::new(tls)), server.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, server) = (acceptor.clone(), serving.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
                        let response = server.respond(request.uri());
                        let cut = server
                            .cuts
                            .try_update(Ordering::SeqCst, Ordering::SeqCst, |cuts| cuts.checked_sub(1));
                        async move {
                            if cut.is_ok() {
                                Err(io::Error::other("cut"))
                            } else {
                                Ok(response)
                            }
                        }
                    });
                    drop(
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
        });
        server
    }

    /// Sets the answer to `path`, below `/api2/json` and with its query.
    pub fn reply(&self, path: &str, status: u16, reason: &str, body: impl Into<Bytes>) {
        self.replies
            .lock()
            .unwrap()
            .insert(path.to_owned(), (status, reason.to_owned(), body.into()));
    }

    /// The paths that have an answer of their own.
    pub fn paths(&self) -> BTreeSet<String> {
        self.replies.lock().unwrap().keys().cloned().collect()
    }

    /// The paths that were asked for since the last [`FixtureServer::take_calls`], without what asks for a part of a list only.
    pub fn asked(&self) -> BTreeSet<String> {
        let replies = self.replies.lock().unwrap();
        let known = |path: String| {
            if replies.contains_key(&path) {
                path
            } else {
                whole(&path)
            }
        };
        self.calls().into_iter().map(known).collect()
    }

    /// The paths asked for since the last [`FixtureServer::take_calls`].
    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    /// Closes the connection in place of the next answers.
    pub fn cut(&self, answers: usize) {
        self.cuts.store(answers, Ordering::SeqCst);
    }

    /// The paths asked for since the last call.
    pub fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    /// A configuration for this server.
    pub fn cluster(&self) -> Cluster {
        let secret = Secret::new("00000000-0000-4000-8000-000000000000".to_owned());
        let token = SecretSource::Environment {
            variable: "TEST".to_owned(),
            secret,
        };
        let mut cluster = Cluster::new(vec![self.url.clone()], "exporter@pve!prom".parse().unwrap(), token);
        cluster.fingerprints = vec![self.fingerprint];
        cluster
    }

    fn respond(&self, uri: &hyper::Uri) -> Response<Full<Bytes>> {
        let path = uri
            .path_and_query()
            .unwrap()
            .as_str()
            .strip_prefix("/api2/json")
            .unwrap_or_default()
            .to_owned();
        let reply = {
            let replies = self.replies.lock().unwrap();
            replies.get(&path).or_else(|| replies.get(&whole(&path))).cloned()
        };
        let (status, reason, body) = reply.unwrap_or_else(|| {
            let reason = format!("Method 'GET {path}' not implemented");
            let body = serde_json::json!({"data": null, "message": reason}).to_string();
            (501, reason, body.into())
        });
        self.calls.lock().unwrap().push(path);
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
            .extensions_mut()
            .insert(ReasonPhrase::try_from(reason.into_bytes()).unwrap());
        response
    }
}

/// The path that a file is named after: `__` stands for `/`, `%2F` for that in a query, and `@` for `?` where a query follows;
/// the `@` of a user stays.
fn path_of(name: &str) -> String {
    let path = match name.rsplit_once('@') {
        Some((path, query)) if query.contains('=') && !query.contains("__") => {
            format!("{path}?{}", query.replace("%2F", "/"))
        }
        _ => name.to_owned(),
    };
    format!("/{}", path.replace("__", "/"))
}

/// The path without what asks for a part of a list only, or of each row: bodies are given whole.
fn whole(path: &str) -> String {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let is_part = |parameter: &&str| {
        let parts = ["limit=", "since=", "verbose=0"];
        parts.iter().any(|part| parameter.starts_with(part))
    };
    let query: Vec<_> = query.split('&').filter(|parameter| !is_part(parameter)).collect();
    if query.join("&").is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{}", query.join("&"))
    }
}
