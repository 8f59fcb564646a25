//! Every recorded error, byte for byte.

use std::path::Path;

use pve_exporter::pve::client::Request;
use pve_exporter::pve::error::ApiError;

use crate::client;
use crate::support::scripted_server::{Answer, ScriptedServer};

const PATH: &str = "/nodes/pve1/qemu/100/agent/get-fsinfo";

/// File, variant, label, PVE's words.
const RECORDED: [(&str, &str, &str, &str); 21] = [
    ("400-param.pve9", "Status", "status", "Parameter verification failed."),
    (
        "401-bad-token.pve8",
        "Unauthorized",
        "unauthorized",
        "invalid token value!",
    ),
    (
        "401-bad-token.pve9.1.5+",
        "Unauthorized",
        "unauthorized",
        "Authentication failed!",
    ),
    ("401-no-credentials", "Unauthorized", "unauthorized", "No ticket"),
    (
        "401-ticket-expired.pve8",
        "Unauthorized",
        "unauthorized",
        "permission denied - invalid PVE ticket",
    ),
    (
        "401-unknown-token.pve8",
        "Unauthorized",
        "unauthorized",
        "no such token 'prom' for user 'exporter@pve'",
    ),
    (
        "403-any-of.pve9",
        "Forbidden",
        "forbidden",
        "Permission check failed (/vms/100, VM.GuestAgent.FileRead|VM.GuestAgent.Unrestricted)",
    ),
    (
        "403-perm.pve8.3",
        "Forbidden",
        "forbidden",
        "Permission check failed (/, Sys.Audit)",
    ),
    (
        "403-perm.pve8.4+",
        "Forbidden",
        "forbidden",
        "Permission check failed (/, Sys.Audit)",
    ),
    (
        "500-agent-not-configured.pve9",
        "Status",
        "status",
        "No QEMU guest agent configured",
    ),
    (
        "500-agent-not-running.pve8.3",
        "Status",
        "status",
        "QEMU guest agent is not running",
    ),
    (
        "500-agent-not-running.pve9",
        "Status",
        "status",
        "QEMU guest agent is not running",
    ),
    (
        "500-agent-timeout.pve9",
        "Status",
        "status",
        "VM 100 qga command 'guest-get-fsinfo' failed - got timeout",
    ),
    (
        "500-ceph-not-installed.pve9",
        "Status",
        "status",
        "binary not installed: /usr/bin/ceph-mon",
    ),
    (
        "500-file-read-disabled.pve9",
        "Status",
        "status",
        "Agent error: Command guest-file-open has been disabled: the command is not allowed",
    ),
    (
        "500-file-read-missing.pve9",
        "Status",
        "status",
        "Agent error: failed to open file '/proc/nope' (mode: 'r'): No such file or directory",
    ),
    (
        "500-vm-migrated-away.pve9",
        "Status",
        "status",
        "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist",
    ),
    ("500-vm-not-running.pve9", "Status", "status", "VM 101 is not running"),
    ("501-no-such-endpoint.pve9", "NotImplemented", "status", ""),
    ("595-node-offline", "Status", "status", "No route to host"),
    ("596-node-hung", "Status", "status", "Connection timed out"),
];

async fn error_from(answer: Vec<u8>) -> ApiError {
    let server = ScriptedServer::start(move |_| Answer::Close(answer.clone())).await;
    client(&server.cluster()).get(&Request::entry(PATH)).await.unwrap_err()
}

fn parts(error: &ApiError) -> (&'static str, &str) {
    match error {
        ApiError::Status { problem, .. } => ("Status", problem),
        ApiError::Unauthorized { problem, .. } => ("Unauthorized", problem),
        ApiError::Forbidden { problem, .. } => ("Forbidden", problem),
        ApiError::NotImplemented { .. } => ("NotImplemented", ""),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn recorded_errors() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/errors");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), RECORDED.len());
    for (file, variant, label, problem) in RECORDED {
        let bytes = std::fs::read(folder.join(format!("{file}.http"))).unwrap();
        let error = error_from(bytes).await;
        let (kind, words) = parts(&error);
        let words = words.strip_prefix("token exporter@pve!test: ").unwrap_or(words);
        assert_eq!((kind, words), (variant, problem), "{file}");
        assert_eq!(error.reason().as_str(), label, "{file}");
        let expected = if variant == "NotImplemented" { PATH } else { problem };
        assert!(error.to_string().contains(expected), "{file}: {error}");
        if let ApiError::Status { status, .. } = error {
            assert!(file.starts_with(&status.to_string()), "{file}: {status}");
        }
    }
}

#[tokio::test]
async fn a_body_tells_what_the_status_line_cuts_off() {
    let error = error_from(
        b"HTTP/1.1 500 first line\r\nContent-Length: 46\r\n\r\n{\"data\":null,\"message\":\"first line\\nsecond\\n\"}\n".to_vec(),
    )
    .await;
    assert_eq!(parts(&error), ("Status", "first line\nsecond"));
}

#[tokio::test]
async fn a_huge_error_body_leaves_the_reason() {
    let body = format!("{{\"message\":\"{}\"}}", "x".repeat(100_000));
    let head = format!("HTTP/1.1 500 short\r\nContent-Length: {}\r\n\r\n", body.len());
    assert_eq!(
        parts(&error_from((head + &body).into_bytes()).await),
        ("Status", "short")
    );
}

#[tokio::test]
async fn reasons_that_are_no_ascii_and_statuses_that_nobody_knows() {
    let error = error_from(b"HTTP/1.1 500 caf\xe9\r\nContent-Length: 0\r\n\r\n".to_vec()).await;
    assert_eq!(parts(&error), ("Status", "Internal Server Error"));
    let body = b"HTTP/1.1 500 caf\xc3\xa9\r\nContent-Length: 19\r\n\r\n{\"message\":\"caf\xc3\xa9\"}";
    assert_eq!(parts(&error_from(body.to_vec()).await), ("Status", "caf\u{e9}"));
    let error = error_from(b"HTTP/1.1 799 \r\nContent-Length: 0\r\n\r\n".to_vec()).await;
    assert_eq!(parts(&error), ("Status", ""));
}

#[tokio::test]
async fn what_is_no_http_is_unreachable() {
    let error = error_from(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()).await;
    assert_eq!(error.reason().as_str(), "unreachable", "{error}");
}
