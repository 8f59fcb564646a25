//! What can go wrong between the exporter and PVE, and the closed list of reasons that labels and logs speak of.

use std::time::Duration;

use thiserror::Error;

use crate::pve::api::agent::Command;
use crate::pve::login;

/// Why a source has no new data: a label value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FailureReason {
    /// No connection to any endpoint.
    Unreachable,
    /// The certificate is not trusted, or the handshake failed.
    Tls,
    /// No answer in time.
    Timeout,
    /// 401: the token is wrong, expired or unreadable.
    Unauthorized,
    /// 403: a privilege is missing.
    Forbidden,
    /// Another status that is no success.
    Status,
    /// The body is not what the endpoint promises, or not all of it came.
    Decode,
    /// The body is larger than the limit.
    TooLarge,
    /// The node that would have to answer is offline.
    Offline,
}

impl FailureReason {
    /// The label value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::Status => "status",
            Self::Decode => "decode",
            Self::TooLarge => "too_large",
            Self::Offline => "offline",
        }
    }
}

/// A body that is not what its endpoint promises.
#[derive(Clone, Debug, Error)]
#[error("{problem}; the body has {length} bytes{beginning}")]
pub struct DecodeError {
    problem: String,
    /// What may be said where the problem itself may repeat the body.
    place: String,
    length: usize,
    beginning: String,
}

impl DecodeError {
    pub(crate) fn new(error: &serde_json::Error, body: &[u8]) -> Self {
        let beginning = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        Self {
            problem: error.to_string(),
            place: format!(
                "not what was expected at line {} column {}",
                error.line(),
                error.column()
            ),
            length: body.len(),
            beginning: format!(" and begins with {beginning:?}"),
        }
    }

    /// The same without any of the body, for one that holds what nobody else may read.
    #[must_use]
    pub fn without_beginning(mut self) -> Self {
        self.problem.clone_from(&self.place);
        self.beginning.clear();
        self
    }
}

/// A call by its method and path: most are GET.
fn sent(path: &str) -> String {
    let posts = path == login::PATH || path.rsplit('/').next() == Some(Command::FreezeStatus.path());
    format!("{} {path}", if posts { "POST" } else { "GET" })
}

/// A call that brought no usable answer. It never holds a secret.
#[derive(Clone, Debug, Error)]
pub enum ApiError {
    /// No connection, or it broke.
    #[error("cannot reach {endpoint}: {problem}")]
    Unreachable {
        /// The endpoint's URL.
        endpoint: String,
        /// What the transport said.
        problem: String,
    },
    /// The TLS handshake failed.
    #[error("no trusted TLS connection to {endpoint}: {problem}")]
    Tls {
        /// The endpoint's URL.
        endpoint: String,
        /// What the TLS library or the fingerprint check said.
        problem: String,
    },
    /// No answer in time.
    #[error("no complete answer from {endpoint} to {} within {limit:?}", sent(.path))]
    Timeout {
        /// The endpoint's URL.
        endpoint: String,
        /// The path asked for.
        path: String,
        /// The time it was given.
        limit: Duration,
    },
    /// 401, or a secret that cannot be read.
    #[error("not authorized at {endpoint}: {problem}")]
    Unauthorized {
        /// The endpoint's URL.
        endpoint: String,
        /// PVE's words, or why the secret cannot be read.
        problem: String,
    },
    /// 403.
    #[error("{} is forbidden: {problem}", sent(.path))]
    Forbidden {
        /// The path asked for.
        path: String,
        /// PVE's words, which name the privilege.
        problem: String,
    },
    /// 501 for an unknown method: this PVE does not have the endpoint.
    #[error("this PVE has no {}", sent(.path))]
    NotImplemented {
        /// The path asked for.
        path: String,
    },
    /// Any other status that is no success.
    #[error("{} answered {status} {problem}", sent(.path))]
    Status {
        /// The path asked for.
        path: String,
        /// The HTTP status, PVE's own 595 to 599 among them.
        status: u16,
        /// PVE's words.
        problem: String,
    },
    /// A body that is not what the endpoint promises.
    #[error("{}: {problem}", sent(.path))]
    Decode {
        /// The path asked for.
        path: String,
        /// What was expected and what came.
        problem: DecodeError,
    },
    /// The connection broke within the body.
    #[error("{}: the answer broke off: {problem}", sent(.path))]
    Incomplete {
        /// The path asked for.
        path: String,
        /// What the transport said.
        problem: String,
    },
    /// A body larger than the limit.
    #[error("{}: the body is larger than the limit of {limit} bytes", sent(.path))]
    TooLarge {
        /// The path asked for.
        path: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// Every endpoint, or the token, failed lately and rests before it is tried again; nothing was sent.
    #[error("{0}; not tried again yet")]
    Resting(Box<ApiError>),
    /// The sockets of guest agents on the exporter's own node cannot be used; PVE has no part in it.
    #[error("{problem}")]
    Socket {
        /// What is wrong, and what to do.
        problem: String,
        /// The reason.
        reason: FailureReason,
    },
    /// The refresh ended without an outcome.
    #[error("the refresh was interrupted")]
    Interrupted,
    /// The node is known to be offline; nothing was sent.
    #[error("node {node} is offline")]
    Offline {
        /// The node.
        node: String,
    },
}

impl ApiError {
    /// The reason, as labels tell it.
    #[must_use]
    pub fn reason(&self) -> FailureReason {
        match self {
            Self::Resting(error) => error.reason(),
            Self::Unreachable { .. } => FailureReason::Unreachable,
            Self::Tls { .. } => FailureReason::Tls,
            Self::Timeout { .. } => FailureReason::Timeout,
            Self::Unauthorized { .. } => FailureReason::Unauthorized,
            Self::Forbidden { .. } => FailureReason::Forbidden,
            Self::NotImplemented { .. } | Self::Status { .. } => FailureReason::Status,
            Self::Decode { .. } | Self::Incomplete { .. } | Self::Interrupted => FailureReason::Decode,
            Self::TooLarge { .. } => FailureReason::TooLarge,
            Self::Offline { .. } => FailureReason::Offline,
            Self::Socket { reason, .. } => *reason,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_told_by_their_method() {
        let told = |path: &str| {
            let (path, problem) = (path.to_owned(), "no".to_owned());
            ApiError::Forbidden { path, problem }.to_string()
        };
        assert_eq!(told("/version"), "GET /version is forbidden: no");
        assert_eq!(told("/access/ticket"), "POST /access/ticket is forbidden: no");
        let agent = format!("/nodes/pve1/qemu/100/agent/{}", Command::FreezeStatus.path());
        assert_eq!(told(&agent), format!("POST {agent} is forbidden: no"));
    }
}
