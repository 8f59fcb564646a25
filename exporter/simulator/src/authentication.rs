//! API tokens and tickets.

use hyper::{
    HeaderMap,
    header::{AUTHORIZATION, COOKIE},
};

use crate::cluster::Cluster;

/// The headers that hold credentials.
pub(crate) const HEADERS: [&str; 3] = ["authorization", "cookie", CSRF];

const CSRF: &str = "csrfpreventiontoken";

/// What a 401 says about the credentials of a request, or nothing if they are good.
pub(crate) fn problem(
    cluster: &Cluster,
    entry: usize,
    method: &str,
    path: &str,
    headers: &HeaderMap,
) -> Option<String> {
    if path == "/access/ticket" {
        return None;
    }
    let name = cluster.node_name(entry);
    let header = |name| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    };
    let authorization = header(AUTHORIZATION);
    let ticket = value(header(COOKIE), "PVEAuthCookie").or_else(|| value(authorization, "PVEAuthCookie"));
    if let Some(ticket) = ticket {
        let csrf = (method != "GET").then(|| headers.get(CSRF).and_then(|value| value.to_str().ok()));
        return problem_of_ticket(cluster, entry, path, &ticket, csrf);
    }
    let Some(token) = value(authorization, "PVEAPIToken") else {
        return Some("No ticket".to_owned());
    };
    let (id, secret) = token.rsplit_once('=').unwrap_or((&token, ""));
    let known = id == cluster.options.token_id && !cluster.with_faults(|faults| faults.revoked(name, path));
    if known && secret == cluster.token_secret() {
        return None;
    }
    if cluster.with_model(|model| model.nodes[entry].version.has_generic_login_error()) {
        return Some("Authentication failed!".to_owned());
    }
    Some(if known {
        "invalid token value!".to_owned()
    } else {
        let (user, token) = id.split_once('!').unwrap_or((id, ""));
        // What a client sent must not break the status line.
        let printable = |text: &str| text.chars().filter(|c| c.is_ascii_graphic()).collect::<String>();
        format!("no such token '{}' for user '{}'", printable(token), printable(user))
    })
}

/// What is wrong with a ticket. `csrf` is what stands beside it, where something has to.
fn problem_of_ticket(
    cluster: &Cluster,
    entry: usize,
    path: &str,
    ticket: &str,
    csrf: Option<Option<&str>>,
) -> Option<String> {
    let (name, now) = (cluster.node_name(entry), cluster.time.now());
    let revoked = cluster.with_faults(|faults| faults.revoked(name, path));
    let Some(user) = cluster.tickets.user_of(ticket, now).filter(|_| !revoked) else {
        let is_generic = cluster.with_model(|model| model.nodes[entry].version.has_generic_login_error());
        let reason = if is_generic {
            "Authentication failed!"
        } else {
            "permission denied - invalid PVE ticket"
        };
        return Some(reason.to_owned());
    };
    let is_missing = csrf.is_some_and(|token| !cluster.tickets.is_csrf_token(token.unwrap_or_default(), &user, now));
    is_missing.then(|| "Permission denied - invalid csrf token".to_owned())
}

/// The value of a cookie, or of what is written like one, without its escapes.
fn value(header: &str, key: &str) -> Option<String> {
    let mut starts = header
        .match_indices(key)
        .map(|(at, _)| at)
        .filter(|at| *at == 0 || header.as_bytes()[at - 1].is_ascii_whitespace());
    let rest = header.get(starts.next()? + key.len()..)?.strip_prefix(['=', ' '])?;
    Some(unescape(rest.split(';').next().unwrap_or_default())).filter(|value| !value.is_empty())
}

/// Replaces `%XX`; what is no escape stays as it is.
pub(crate) fn unescape(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let escaped = match tail {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            out.push(high << 4 | low);
            rest = &tail[2..];
        } else {
            out.push(*first);
            rest = tail;
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn unescapes_what_is_escaped() {
        assert_eq!(unescape("prom%40pve%21exporter=1%2"), "prom@pve!exporter=1%2");
    }
}
