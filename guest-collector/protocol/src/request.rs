//! What the exporter asks, what the collector makes of it, and the answers that are no samples.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::areas::AreaSet;
use crate::encode::{append, write_all};
use crate::report::{BootId, Version};

/// A request with the id that its answer carries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// Chosen by the exporter, different for each request of a connection.
    pub id: u64,
    /// What is asked.
    pub call: Call,
}

/// What can be asked. Nothing changes the guest; `subscribe` changes when the collector publishes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Call {
    /// A report without areas: the collector lives, and what its clock says.
    Ping,
    /// [`AgentInfo`].
    GetAgentInfo,
    /// A report with `system`, `kernel`, `load`, `memory`, `processes`, `time`, `users`.
    GetSystemInfo,
    /// A report with `network`, `interfaces`, `sockets`, `protocols`, `conntrack`, `udp_queues`, `arp`.
    GetNetworkInfo,
    /// A report with `disks`, `file_systems`.
    GetDiskUsage,
    /// A report with `users`.
    GetUsers,
    /// A report with all areas that are switched on, sampled now.
    GetMetrics,
    /// Sets the interval of publication until the host leaves; answered with [`Subscription`].
    Subscribe {
        /// The interval that is asked for, more than 0.
        interval_seconds: f64,
    },
}

impl Call {
    /// The method's name.
    pub fn method(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::GetAgentInfo => "get_agent_info",
            Self::GetSystemInfo => "get_system_info",
            Self::GetNetworkInfo => "get_network_info",
            Self::GetDiskUsage => "get_disk_usage",
            Self::GetUsers => "get_users",
            Self::GetMetrics => "get_metrics",
            Self::Subscribe { .. } => "subscribe",
        }
    }

    /// The areas of the report that answers; `None` when no report does.
    pub fn areas(&self) -> Option<AreaSet> {
        use crate::areas::Area::*;
        let areas: &[_] = match self {
            Self::GetAgentInfo | Self::Subscribe { .. } => return None,
            Self::GetMetrics => return Some(AreaSet::ALL),
            Self::Ping => &[],
            Self::GetSystemInfo => &[System, Kernel, Load, Memory, Processes, Time, Users],
            Self::GetNetworkInfo => &[Network, Interfaces, Sockets, Protocols, Conntrack, UdpQueues, Arp],
            Self::GetDiskUsage => &[Disks, FileSystems],
            Self::GetUsers => &[Users],
        };
        Some(areas.iter().copied().collect())
    }
}

/// What a collector says of itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
pub struct AgentInfo {
    /// The version of the protocol.
    pub version: Version,
    /// The program's name.
    pub name: String,
    /// The program's version.
    pub release: String,
    /// The boot.
    pub boot_id: BootId,
    /// `CLOCK_BOOTTIME` at its start.
    pub start_seconds: f64,
    /// The interval of publication now.
    pub interval_seconds: f64,
    /// The areas that are switched on.
    pub areas: AreaSet,
}

/// The answer to `subscribe`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
pub struct Subscription {
    /// The interval from now on: what was asked for, within what the collector's configuration allows.
    pub interval_seconds: f64,
}

/// Why a request is not answered with a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The line is not JSON.
    ParseError,
    /// The line is JSON and no request.
    InvalidRequest,
    /// There is no such method.
    MethodNotFound,
    /// The method's parameters are wrong.
    InvalidParams,
    /// The collector could not do it.
    InternalError,
    /// All that would be told is switched off in the collector's configuration.
    PermissionDenied,
    /// It took too long.
    Timeout,
}

impl ErrorCode {
    /// All codes.
    pub const ALL: [Self; 7] = [
        Self::ParseError,
        Self::InvalidRequest,
        Self::MethodNotFound,
        Self::InvalidParams,
        Self::InternalError,
        Self::PermissionDenied,
        Self::Timeout,
    ];

    /// The number on the wire.
    pub fn code(self) -> i64 {
        match self {
            Self::ParseError => -32_700,
            Self::InvalidRequest => -32_600,
            Self::MethodNotFound => -32_601,
            Self::InvalidParams => -32_602,
            Self::InternalError => -32_603,
            Self::PermissionDenied => -32_001,
            Self::Timeout => -32_003,
        }
    }

    /// The text beside it.
    pub fn message(self) -> &'static str {
        match self {
            Self::ParseError => "parse error",
            Self::InvalidRequest => "invalid request",
            Self::MethodNotFound => "method not found",
            Self::InvalidParams => "invalid params",
            Self::InternalError => "internal error",
            Self::PermissionDenied => "permission denied",
            Self::Timeout => "timeout",
        }
    }
}

/// A line that is answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The id of the request, where it could be read.
    pub id: Option<u64>,
    /// What is wrong.
    pub code: ErrorCode,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.code.message())
    }
}

impl std::error::Error for Refusal {}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
}

/// A field that is there, be it `null`.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads a line from the host. `None` is a notification, which is neither known nor answered.
///
/// # Errors
/// When the line is no request: what to answer.
pub fn decode_request(line: &[u8]) -> Result<Option<Request>, Refusal> {
    let refuse = |id, code| Err(Refusal { id, code });
    let envelope: Envelope<'_> = match object(line) {
        Ok(envelope) => envelope,
        Err(Category::Data) => return refuse(None, ErrorCode::InvalidRequest),
        Err(_) => return refuse(None, ErrorCode::ParseError),
    };
    let Some(id) = envelope.id else { return Ok(None) };
    let Ok(id) = serde_json::from_str(id.get()) else {
        return refuse(None, ErrorCode::InvalidRequest);
    };
    if envelope.jsonrpc != "2.0" {
        return refuse(Some(id), ErrorCode::InvalidRequest);
    }
    let call = match &*envelope.method {
        "ping" => Call::Ping,
        "get_agent_info" => Call::GetAgentInfo,
        "get_system_info" => Call::GetSystemInfo,
        "get_network_info" => Call::GetNetworkInfo,
        "get_disk_usage" => Call::GetDiskUsage,
        "get_users" => Call::GetUsers,
        "get_metrics" => Call::GetMetrics,
        "subscribe" => match envelope.params.and_then(|params| object(params.get().as_bytes()).ok()) {
            Some(Subscription { interval_seconds }) if interval_seconds > 0.0 => Call::Subscribe { interval_seconds },
            _ => return refuse(Some(id), ErrorCode::InvalidParams),
        },
        _ => return refuse(Some(id), ErrorCode::MethodNotFound),
    };
    Ok(Some(Request { id, call }))
}

/// Reads an object: derived code would also take a list of its values.
pub(crate) fn object<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Category> {
    let text = std::str::from_utf8(json).map_err(|_| Category::Syntax)?;
    let value = serde_json::from_str(text).map_err(|error| error.classify())?;
    if text.trim_start().starts_with('{') {
        Ok(value)
    } else {
        Err(Category::Data)
    }
}

/// Appends a request as one line.
pub fn write_request(request: &Request, out: &mut Vec<u8>) {
    let method = request.call.method();
    write_all(
        out,
        format_args!("{{\"jsonrpc\":\"2.0\",\"id\":{},\"method\":\"{method}\"", request.id),
    );
    if let Call::Subscribe { interval_seconds } = request.call {
        out.extend_from_slice(b",\"params\":");
        append(out, &Subscription { interval_seconds });
    }
    out.extend_from_slice(b"}\n");
}

/// Appends a response with a result that is no report: [`AgentInfo`] or [`Subscription`]. Reports come from the
/// [`Encoder`](crate::Encoder).
pub fn write_result(id: u64, result: &impl Serialize, out: &mut Vec<u8>) {
    write_all(out, format_args!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":"));
    append(out, result);
    out.extend_from_slice(b"}\n");
}

/// Appends a response with an error.
pub fn write_failure(refusal: Refusal, out: &mut Vec<u8>) {
    let (code, message) = (refusal.code.code(), refusal.code.message());
    out.extend_from_slice(b"{\"jsonrpc\":\"2.0\",\"id\":");
    append(out, &refusal.id);
    write_all(
        out,
        format_args!(",\"error\":{{\"code\":{code},\"message\":\"{message}\"}}}}\n"),
    );
}
