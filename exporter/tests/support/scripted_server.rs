//! A TLS server on loopback that answers with whatever bytes a test gives it.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test crate includes this module and uses its own part of it"
)]
#![expect(clippy::unwrap_used, reason = "a fault of the set-up fails the test")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest;
use pve_exporter::config::{Cluster, Fingerprint, Secret, SecretSource};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use url::Url;

/// The secret that [`ScriptedServer::cluster`] sends.
pub const SECRET: &str = "5ec2e75e-c2e7-4ec2-8ec2-e75ec2e75ec2";

/// What the server does with one request.
pub enum Answer {
    /// Sends the bytes and waits for the next request.
    Keep(Vec<u8>),
    /// Sends the bytes and closes the connection.
    Close(Vec<u8>),
    /// Sends the bytes and nothing more.
    Stall(Vec<u8>),
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    /// Request line and headers.
    pub head: String,
    /// What followed them.
    pub body: String,
    /// The connection, counted from 0.
    pub connection: usize,
    /// The request on this connection, counted from 0.
    pub index: usize,
    /// What ALPN agreed on.
    pub alpn: Option<String>,
}

impl Received {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    /// The path and query.
    pub fn target(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }
}

type Script = dyn Fn(&Received) -> Answer + Send + Sync;

/// The server; it ends when it is dropped.
pub struct ScriptedServer {
    pub url: Url,
    pub fingerprint: Fingerprint,
    received: Arc<Mutex<Vec<Received>>>,
    _task: JoinSet<()>,
}

impl ScriptedServer {
    /// A server on 127.0.0.1 whose answers `script` gives.
    pub async fn start(script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0", script).await
    }

    /// A server on `address`.
    pub async fn start_on(address: &str, script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(vec![address.ip().to_string()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let mut tls =
            rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![cert.der().clone()], key)
                .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let received = Arc::new(Mutex::new(Vec::new()));
        let digest = digest::digest(&digest::SHA256, cert.der());
        let mut task = JoinSet::new();
        task.spawn(accept(
            listener,
            TlsAcceptor::from(Arc::new(tls)),
            Arc::clone(&received),
            Arc::new(script),
        ));
        Self {
            url: format!("https://{address}").parse().unwrap(),
            fingerprint: Fingerprint::new(digest.as_ref().try_into().unwrap()),
            received,
            _task: task,
        }
    }

    /// The requests so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// A configuration for this server.
    pub fn cluster(&self) -> Cluster {
        let token = SecretSource::Environment {
            variable: "TEST".to_owned(),
            secret: Secret::new(SECRET.to_owned()),
        };
        let mut cluster = Cluster::new(vec![self.url.clone()], "exporter@pve!test".parse().unwrap(), token);
        cluster.fingerprints = vec![self.fingerprint];
        cluster
    }
}

/// A 200 with this JSON body.
pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    received: Arc<Mutex<Vec<Received>>>,
    script: Arc<Script>,
) {
    let mut connections = JoinSet::new();
    for connection in 0.. {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let (acceptor, received, script) = (acceptor.clone(), Arc::clone(&received), Arc::clone(&script));
        connections.spawn(async move {
            // A client that hangs up is no fault.
            drop(serve(connection, stream, acceptor, &received, &*script).await);
        });
    }
}

async fn serve(
    connection: usize,
    stream: TcpStream,
    acceptor: TlsAcceptor,
    received: &Mutex<Vec<Received>>,
    script: &Script,
) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let alpn = stream
        .get_ref()
        .1
        .alpn_protocol()
        .map(|name| String::from_utf8_lossy(name).into_owned());
    for index in 0.. {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let mut request = Received {
            head: String::from_utf8_lossy(&head).into_owned(),
            body: String::new(),
            connection,
            index,
            alpn: alpn.clone(),
        };
        let length = request
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await?;
        request.body = String::from_utf8_lossy(&body).into_owned();
        received.lock().unwrap().push(request.clone());
        let answer = script(&request);
        let (Answer::Keep(bytes) | Answer::Close(bytes) | Answer::Stall(bytes)) = &answer;
        stream.write_all(bytes).await?;
        stream.flush().await?;
        match answer {
            Answer::Keep(_) => {}
            Answer::Close(_) => return stream.shutdown().await,
            Answer::Stall(_) => std::future::pending().await,
        }
    }
    Ok(())
}
