//! A small raw HTTP client: it shows the status line and every byte as they came.

use std::{io, sync::Arc, time::Duration};

use pve_simulator::{Clock, Options, Simulator};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Options of a quiet cluster whose time stands still and whose delays are short. Only waiting for a hung node is long,
/// so that a busy machine does not look like one.
pub(crate) fn quick() -> Options {
    let short = Duration::from_millis(10);
    Options {
        clock: Clock::Manual,
        unauthorized_delay: short,
        dead_node_delay: short,
        idle_timeout: Duration::from_secs(3_600),
        ..Options::default()
    }
}

/// A response as it came.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status_line: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.status_line.split(' ').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn data(&self) -> Value {
        self.json()["data"].take()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.status_line))
    }
}

/// A connection to the endpoint of a node.
pub(crate) struct Connection {
    stream: BufReader<TlsStream<TcpStream>>,
    authorization: Option<String>,
}

impl Connection {
    pub(crate) async fn open(simulator: &Simulator, node: &str) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(simulator.ca_pem().as_bytes()).unwrap())
            .unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let endpoint = simulator.endpoint(node).unwrap();
        let stream = TcpStream::connect(endpoint.strip_prefix("https://").unwrap()).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
        let token = format!("PVEAPIToken={}={}", simulator.token_id(), simulator.token_secret());
        Ok(Self {
            stream: BufReader::new(stream),
            authorization: Some(token),
        })
    }

    pub(crate) fn authorized_by(mut self, authorization: Option<&str>) -> Self {
        self.authorization = authorization.map(str::to_owned);
        self
    }

    /// The certificate that the node showed.
    pub(crate) fn certificate(&self) -> Vec<u8> {
        self.stream.get_ref().get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }

    pub(crate) async fn get(&mut self, path: &str) -> io::Result<Answer> {
        self.send("GET", path, "").await
    }

    /// Reads a body that ends early: the status line, the announced length, and what came.
    pub(crate) async fn get_truncated(&mut self, path: &str) -> io::Result<(String, usize, Vec<u8>)> {
        self.write("GET", path, "").await?;
        let (status_line, headers) = self.head().await?;
        let mut body = Vec::new();
        // The connection ends without the farewell of TLS, which is an error after the last bytes.
        let ended = self.stream.read_to_end(&mut body).await;
        assert!(ended.is_ok_and(|size| size > 0) || !body.is_empty());
        let length = Answer {
            status_line: String::new(),
            headers,
            body: Vec::new(),
        };
        Ok((
            status_line,
            length.header("content-length").unwrap().parse().unwrap(),
            body,
        ))
    }

    /// Posts a form.
    pub(crate) async fn post(&mut self, path: &str, form: &str) -> io::Result<Answer> {
        let length = format!(
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            form.len()
        );
        // The body follows the empty line that ends the head.
        self.write("POST", path, &length).await?;
        self.stream.write_all(form.as_bytes()).await?;
        self.stream.flush().await?;
        self.answer().await
    }

    async fn write(&mut self, method: &str, path: &str, more_headers: &str) -> io::Result<()> {
        let authorization = self
            .authorization
            .iter()
            .map(|value| format!("Authorization: {value}\r\n"));
        let authorization: String = authorization.collect();
        let request = format!("{method} /api2/json{path} HTTP/1.1\r\nHost: pve\r\n{authorization}{more_headers}\r\n");
        self.stream.write_all(request.as_bytes()).await?;
        self.stream.flush().await
    }

    /// Sends a request and reads the answer; fails if the body ends early.
    pub(crate) async fn send(&mut self, method: &str, path: &str, more_headers: &str) -> io::Result<Answer> {
        self.write(method, path, more_headers).await?;
        if method != "HEAD" {
            return self.answer().await;
        }
        let (status_line, headers) = self.head().await?;
        Ok(Answer {
            status_line,
            headers,
            body: Vec::new(),
        })
    }

    async fn answer(&mut self) -> io::Result<Answer> {
        let (status_line, headers) = self.head().await?;
        let mut answer = Answer {
            status_line,
            headers,
            body: Vec::new(),
        };
        let length: usize = answer
            .header("content-length")
            .map_or(0, |length| length.parse().unwrap());
        answer.body.resize(length, 0);
        self.stream.read_exact(&mut answer.body).await?;
        Ok(answer)
    }

    /// Reads the head of a response.
    async fn head(&mut self) -> io::Result<(String, Vec<(String, String)>)> {
        let status_line = self.line().await?;
        let mut headers = Vec::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(": ") else {
                return Ok((status_line, headers));
            };
            headers.push((name.to_owned(), value.to_owned()));
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }

    /// Waits for the other side to close; true if nothing came before.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        let end = tokio::time::timeout(Duration::from_secs(10), self.stream.read(&mut byte));
        match end.await.expect("the connection stays open") {
            Ok(size) => size == 0,
            Err(_) => true,
        }
    }
}

/// One request on a connection of its own.
pub(crate) async fn get(simulator: &Simulator, node: &str, path: &str) -> Answer {
    Connection::open(simulator, node)
        .await
        .unwrap()
        .get(path)
        .await
        .unwrap()
}

/// The rows of a list.
pub(crate) async fn rows(simulator: &Simulator, node: &str, path: &str) -> Vec<Value> {
    let answer = get(simulator, node, path).await;
    assert_eq!(answer.status(), 200, "{path}: {}", answer.status_line);
    let data = answer.json()["data"].take();
    let rows = if data.is_array() { data } else { data["data"].clone() };
    rows.as_array().unwrap().clone()
}

/// The row with an id.
pub(crate) fn row<'a>(rows: &'a [Value], id: &str) -> &'a Value {
    rows.iter()
        .find(|row| row["id"] == id)
        .unwrap_or_else(|| panic!("no row {id}"))
}
