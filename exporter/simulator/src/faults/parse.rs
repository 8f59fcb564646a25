//! Faults as text: `KIND[=ARGUMENT][:NODE][:/PATH]`, for example `offline:pve2` or `status=500:/cluster/resources`.

use std::{fmt, str::FromStr, time::Duration};

use super::{Fault, FaultKind};

/// Every kind of fault in its textual form.
pub const FAULT_NAMES: [&str; 23] = [
    "offline",
    "dead-but-running",
    "proxy-down",
    "hang",
    "black-hole",
    "slow=DURATION",
    "status=CODE[ REASON]",
    "truncated",
    "string-numbers",
    "wrong-types",
    "garbage-rows",
    "huge=BYTES",
    "garbage",
    "no-permission",
    "revoked",
    "qmp-timeout[=VMID]",
    "vanished=VMID",
    "storage-unavailable=STORAGE",
    "frozen-pvestatd",
    "zero-timestamp",
    "partition",
    "close-idle",
    "standalone",
];

/// A text that names no fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidFault {
    text: String,
    problem: String,
}

impl fmt::Display for InvalidFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{:?} is no fault: {}; expected KIND[:NODE][:/PATH] with one of {}",
            self.text,
            self.problem,
            FAULT_NAMES.join(", ")
        )
    }
}

impl std::error::Error for InvalidFault {}

impl FromStr for Fault {
    type Err = InvalidFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text).map_err(|problem| InvalidFault {
            text: text.to_owned(),
            problem,
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(formatter)?;
        if let Some(node) = &self.node {
            write!(formatter, ":{node}")?;
        }
        if let Some(path) = &self.path {
            write!(formatter, ":{path}")?;
        }
        Ok(())
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline => formatter.write_str("offline"),
            Self::DeadButRunning => formatter.write_str("dead-but-running"),
            Self::ProxyDown => formatter.write_str("proxy-down"),
            Self::Hang => formatter.write_str("hang"),
            Self::BlackHole => formatter.write_str("black-hole"),
            Self::Slow(duration) => write!(formatter, "slow={}ms", duration.as_millis()),
            Self::Status { code, reason } => write!(formatter, "status={code} {reason}"),
            Self::Truncated => formatter.write_str("truncated"),
            Self::StringNumbers => formatter.write_str("string-numbers"),
            Self::WrongTypes => formatter.write_str("wrong-types"),
            Self::GarbageRows => formatter.write_str("garbage-rows"),
            Self::Huge(bytes) => write!(formatter, "huge={bytes}"),
            Self::Garbage => formatter.write_str("garbage"),
            Self::NoPermission => formatter.write_str("no-permission"),
            Self::Revoked => formatter.write_str("revoked"),
            Self::QmpTimeout(None) => formatter.write_str("qmp-timeout"),
            Self::QmpTimeout(Some(vmid)) => write!(formatter, "qmp-timeout={vmid}"),
            Self::Vanished(vmid) => write!(formatter, "vanished={vmid}"),
            Self::StorageUnavailable(storage) => write!(formatter, "storage-unavailable={storage}"),
            Self::FrozenPvestatd => formatter.write_str("frozen-pvestatd"),
            Self::ZeroTimestamp => formatter.write_str("zero-timestamp"),
            Self::Partition => formatter.write_str("partition"),
            Self::CloseIdle => formatter.write_str("close-idle"),
            Self::Standalone => formatter.write_str("standalone"),
        }
    }
}

fn parse(text: &str) -> Result<Fault, String> {
    let (text, path) = match text.split_once(":/") {
        Some((front, path)) => (front, Some(format!("/{path}"))),
        None => (text, None),
    };
    let (text, node) = match text.rsplit_once(':') {
        Some((_, "")) => return Err("the name of the node is empty".to_owned()),
        Some((front, node)) => (front, Some(node.to_owned())),
        None => (text, None),
    };
    let (name, argument) = match text.split_once('=') {
        Some((name, argument)) => (name, Some(argument)),
        None => (text, None),
    };
    Ok(Fault {
        kind: kind(name, argument)?,
        node,
        path,
    })
}

fn kind(name: &str, argument: Option<&str>) -> Result<FaultKind, String> {
    let needed = || {
        argument
            .filter(|argument| !argument.is_empty())
            .ok_or(format!("{name} needs a value after ="))
    };
    let kind = match name {
        "slow" => return Ok(FaultKind::Slow(duration(needed()?)?)),
        "status" => return status(needed()?),
        "huge" => return Ok(FaultKind::Huge(number(needed()?)?)),
        "vanished" => return Ok(FaultKind::Vanished(number(needed()?)?)),
        "qmp-timeout" => return Ok(FaultKind::QmpTimeout(argument.map(number).transpose()?)),
        "storage-unavailable" => return Ok(FaultKind::StorageUnavailable(needed()?.to_owned())),
        "offline" => FaultKind::Offline,
        "dead-but-running" => FaultKind::DeadButRunning,
        "proxy-down" => FaultKind::ProxyDown,
        "hang" => FaultKind::Hang,
        "black-hole" => FaultKind::BlackHole,
        "truncated" => FaultKind::Truncated,
        "string-numbers" => FaultKind::StringNumbers,
        "wrong-types" => FaultKind::WrongTypes,
        "garbage-rows" => FaultKind::GarbageRows,
        "garbage" => FaultKind::Garbage,
        "no-permission" => FaultKind::NoPermission,
        "revoked" => FaultKind::Revoked,
        "frozen-pvestatd" => FaultKind::FrozenPvestatd,
        "zero-timestamp" => FaultKind::ZeroTimestamp,
        "partition" => FaultKind::Partition,
        "close-idle" => FaultKind::CloseIdle,
        "standalone" => FaultKind::Standalone,
        _ => return Err(format!("there is no fault {name:?}")),
    };
    match argument {
        Some(_) => Err(format!("{name} takes no value")),
        None => Ok(kind),
    }
}

fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("{text:?} is no number in range"))
}

fn duration(text: &str) -> Result<Duration, String> {
    if let Some(number_text) = text.strip_suffix("ms") {
        return Ok(Duration::from_millis(number(number_text)?));
    }
    let seconds: f64 = number(text.strip_suffix('s').unwrap_or(text))?;
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("{text:?} is no duration such as 500ms or 2s"))
}

fn status(text: &str) -> Result<FaultKind, String> {
    let (code, reason) = text.split_once(' ').unwrap_or((text, ""));
    let code: u16 = number(code)?;
    if !(200..=999).contains(&code) {
        return Err(format!("{code} is no status code"));
    }
    let reason = if reason.is_empty() {
        default_reason(code)
    } else {
        reason
    };
    Ok(FaultKind::Status {
        code,
        reason: reason.to_owned(),
    })
}

/// What PVE says most often with a status.
fn default_reason(code: u16) -> &'static str {
    match code {
        401 => "Authentication failed!",
        403 => "Permission check failed (/, Sys.Audit)",
        595 => "No route to host",
        596 => "Connection timed out",
        599 => "Too many redirections",
        _ => hyper::StatusCode::from_u16(code)
            .ok()
            .and_then(|status| status.canonical_reason())
            .unwrap_or("failed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_where_and_what() {
        let parse = |text: &str| text.parse::<Fault>().unwrap();
        assert_eq!(parse("offline:pve2"), Fault::new(FaultKind::Offline).on("pve2"));
        let status = FaultKind::Status {
            code: 500,
            reason: "Internal Server Error".to_owned(),
        };
        assert_eq!(
            parse("status=500:/cluster/resources"),
            Fault::new(status).at("/cluster/resources")
        );
        let slow = FaultKind::Slow(Duration::from_millis(1500));
        assert_eq!(
            parse("slow=1.5s:pve1:/nodes/*/status"),
            Fault::new(slow).on("pve1").at("/nodes/*/status")
        );
        assert_eq!(parse("qmp-timeout"), FaultKind::QmpTimeout(None).into());
        assert_eq!(parse("qmp-timeout=101").kind, FaultKind::QmpTimeout(Some(101)));
    }

    #[test]
    fn every_name_parses_and_prints_back() {
        for name in FAULT_NAMES {
            let text = name
                .replace("DURATION", "20ms")
                .replace("CODE[ REASON]", "503 busy with itself")
                .replace("BYTES", "4096")
                .replace("[=VMID]", "=100")
                .replace("=VMID", "=100")
                .replace("=STORAGE", "=nas");
            let fault: Fault = text.parse().unwrap();
            assert_eq!(fault.to_string(), text);
            assert_eq!(
                fault.clone().on("pve1").at("/a/b").to_string().parse(),
                Ok(fault.on("pve1").at("/a/b"))
            );
        }
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, problem) in [
            ("explode", "no fault \"explode\""),
            ("slow", "slow needs a value"),
            ("slow=fast", "no number"),
            ("offline=pve2", "offline takes no value"),
            ("offline:", "node is empty"),
            ("status=42", "42 is no status code"),
        ] {
            let error = text.parse::<Fault>().unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
