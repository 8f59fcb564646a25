//! The secret goes to PVE and nowhere else.

use std::io;
use std::sync::{Arc, Mutex};

use pve_exporter::metrics::exposition::Format;
use pve_exporter::pve::api;
use pve_exporter::pve::budget::Cost;
use pve_exporter::pve::client::Request;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::exporters;
use crate::support::scripted_server::{Answer, SECRET, ScriptedServer};
use crate::{client, version};

#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    /// Takes down everything that this program and its libraries log through tracing.
    pub(crate) fn watch(&self) -> tracing::subscriber::DefaultGuard {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(self.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

#[tokio::test]
async fn a_refused_secret_is_in_no_log_and_no_exposition() {
    let log = Log::default();
    let _guard = log.watch();

    let server = ScriptedServer::start(|_| Answer::Close(b"HTTP/1.1 401 No ticket\r\n\r\n".to_vec())).await;
    let (exporter, _) = exporters::exporter(&[("main", server.cluster())]);
    let text = exporters::text(&exporter, Format::OpenMetrics).await;
    assert!(server.received()[0].head.contains(SECRET), "it was sent");
    assert!(text.contains("reason=\"unauthorized\""), "{text}");
    assert!(
        log.text().contains("No ticket"),
        "the refusal is logged: {}",
        log.text()
    );
    assert!(!log.text().contains(SECRET));
    assert!(!text.contains(SECRET));
}

#[tokio::test]
async fn no_error_has_it() {
    for answer in [
        "HTTP/1.1 401 no\r\n\r\n",
        "HTTP/1.1 403 no\r\n\r\n",
        "HTTP/1.1 500 no\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nno JSON",
        "no HTTP\r\n\r\n",
        "",
    ] {
        let server = ScriptedServer::start(move |_| Answer::Close(answer.into())).await;
        let config = server.cluster();
        assert!(!format!("{config:?}").contains(SECRET));
        let client = client(&config);
        let outcome = client.get(&version()).await;
        let error = match outcome {
            Err(error) => error,
            Ok(answer) => answer
                .decode("/version", |body| {
                    pve_exporter::pve::api::version::decode(body).map(drop)
                })
                .unwrap_err(),
        };
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error:?}");
    }
}

#[tokio::test]
async fn no_error_about_a_task_names_its_user() {
    const UPID: &str = "UPID:pve1:0000024E:000488B4:6AFFD186:vzdump:201:alice@corp!token:";
    let repeated = format!(r#"{{"data":["{UPID}"#);
    for answer in [
        format!("HTTP/1.1 403 {UPID} is not yours\r\n\r\n"),
        format!("HTTP/1.1 401 {UPID}\r\n\r\n"),
        format!("HTTP/1.1 501 Method 'GET {UPID}' not implemented\r\n\r\n"),
        format!("HTTP/1.1 500 x\r\n\r\n{{\"message\":\"no such task {UPID}\"}}"),
        format!("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{repeated}"),
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{repeated}",
            repeated.len()
        ),
        format!("HTTP/1.1 200 OK\r\n\r\n{{\"data\":\"{UPID}\"}}"),
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n".to_owned(),
        "no HTTP\r\n\r\n".to_owned(),
        String::new(),
    ] {
        let server = ScriptedServer::start(move |_| Answer::Close(answer.clone().into_bytes())).await;
        let client = client(&server.cluster());
        let log = Request::node(&"pve1".into(), &format!("tasks/{UPID}/log"), Cost::Cheap);
        for (request, is_log) in [(log, true), (Request::entry("/cluster/tasks"), false)] {
            let outcome = client.get(&request).await;
            let error = outcome.and_then(|answer| {
                answer.decode(&request.path, |body| {
                    if is_log {
                        api::task_log::decode(body, drop)
                    } else {
                        api::tasks::decode(body, drop)
                    }
                })
            });
            let error = error.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("alice"), "{error:?}");
        }
    }
}

#[tokio::test]
async fn a_second_refusal_rests_the_token() {
    let server = ScriptedServer::start(|_| Answer::Close(b"HTTP/1.1 401 No ticket\r\n\r\n".to_vec())).await;
    let client = client(&server.cluster());
    for _ in 0..3 {
        let error = client.get(&Request::entry("/cluster/resources")).await.unwrap_err();
        assert!(error.to_string().contains("No ticket"), "{error}");
    }
    assert_eq!(
        server.received().len(),
        2,
        "one retry with the secret read again, then nothing"
    );
}
