//! API tokens.

use hyper::{HeaderMap, header::AUTHORIZATION};

use crate::cluster::Cluster;

/// What a 401 says about the credentials of a request, or nothing if they are good.
pub(crate) fn problem(cluster: &Cluster, entry: usize, path: &str, headers: &HeaderMap) -> Option<String> {
    let name = cluster.node_name(entry);
    let header = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let Some(token) = header
        .strip_prefix("PVEAPIToken")
        .and_then(|rest| rest.strip_prefix(['=', ' ']))
    else {
        return Some("No ticket".to_owned());
    };
    let token = unescape(token);
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
