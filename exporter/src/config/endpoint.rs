//! The URLs of a cluster: its endpoints and the proxy before them.

use serde::Deserialize;
use url::{Host, Url};

/// The port on which `pveproxy` listens.
const PVE_PORT: u16 = 8006;

/// Why a text is not the URL of an endpoint or proxy.
///
/// A text with user information is never repeated: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Not a URL at all.
    #[error("{text:?} is not a URL ({reason}); write one such as \"{example}\"")]
    Malformed {
        /// What was written.
        text: String,
        /// What the parser says.
        reason: String,
        /// One that would do.
        example: &'static str,
    },
    /// A scheme that is not spoken.
    #[error("{text:?} does not begin with {expected}; write one such as \"{example}\"")]
    Scheme {
        /// What was written.
        text: String,
        /// Which schemes there are.
        expected: &'static str,
        /// One that would do.
        example: &'static str,
    },
    /// Plain HTTP to PVE.
    #[error("{text:?} would send the token unencrypted; write https://, which is all that PVE answers")]
    Unencrypted {
        /// What was written.
        text: String,
    },
    /// A user or password before the host.
    #[error("holds a user or password before the host (not shown here); {remedy}")]
    UserInformation {
        /// Where credentials belong.
        remedy: &'static str,
    },
    /// Something after the host and port.
    #[error("{text:?} has a path, a query or a fragment; end it after host and port")]
    Path {
        /// What was written.
        text: String,
    },
}

const ENDPOINT: &str = "https://pve1.example:8006";
const PROXY: &str = "http://proxy.example:3128";

/// An endpoint of PVE, as a field of the file.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Endpoint(pub(super) Url);

impl TryFrom<String> for Endpoint {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        parse_endpoint(&text).map(Self)
    }
}

/// A proxy, as a field of the file.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Proxy(pub(super) Url);

impl TryFrom<String> for Proxy {
    type Error = UrlError;

    fn try_from(text: String) -> Result<Self, UrlError> {
        parse_proxy(&text).map(Self)
    }
}

/// The URL of a PVE API: https, a host, and port 8006 where none is written. The dot at the end of an absolute name is left out:
/// who asks for `target=pve1.example` means the same host, and so do certificates.
///
/// # Errors
///
/// When the text is anything else, with what to write instead.
pub fn parse_endpoint(text: &str) -> Result<Url, UrlError> {
    let text = text.trim();
    let mut url = parse(text, ENDPOINT, "write the token in token_id and token_file")?;
    match url.scheme() {
        "https" => {}
        "http" => return Err(UrlError::Unencrypted { text: text.to_owned() }),
        _ => {
            return Err(UrlError::Scheme {
                text: text.to_owned(),
                expected: "https://",
                example: ENDPOINT,
            });
        }
    }
    only_host_and_port(text, &url)?;
    let relative = url
        .host_str()
        .and_then(|host| host.strip_suffix('.'))
        .map(str::to_owned);
    if let Some(host) = relative {
        url.set_host(Some(&host))
            .map_err(|error| malformed(text, &error.to_string(), ENDPOINT))?;
    }
    if url.port().is_none() && !names_port(text) && url.set_port(Some(PVE_PORT)).is_err() {
        return Err(malformed(text, "no host", ENDPOINT));
    }
    Ok(url)
}

/// The URL of an HTTP proxy.
fn parse_proxy(text: &str) -> Result<Url, UrlError> {
    let text = text.trim();
    let url = parse(text, PROXY, "only proxies without a password are supported")?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(UrlError::Scheme {
            text: text.to_owned(),
            expected: "http:// or https://",
            example: PROXY,
        });
    }
    only_host_and_port(text, &url)?;
    Ok(url)
}

fn parse(text: &str, example: &'static str, remedy: &'static str) -> Result<Url, UrlError> {
    if text.contains('@') {
        return Err(UrlError::UserInformation { remedy });
    }
    let url = Url::parse(text).map_err(|error| malformed(text, &error.to_string(), example))?;
    if let Some(Host::Domain(host)) = url.host()
        && host.strip_suffix('.').unwrap_or(host).split('.').any(str::is_empty)
    {
        return Err(malformed(text, "empty label in the host", example));
    }
    Ok(url)
}

fn malformed(text: &str, reason: &str, example: &'static str) -> UrlError {
    UrlError::Malformed {
        text: text.to_owned(),
        reason: reason.to_owned(),
        example,
    }
}

fn only_host_and_port(text: &str, url: &Url) -> Result<(), UrlError> {
    if url.path() == "/" && url.query().is_none() && url.fragment().is_none() {
        Ok(())
    } else {
        Err(UrlError::Path { text: text.to_owned() })
    }
}

/// Whether `text` names a port, even one that [`Url`] forgets because it is the scheme's own: a reverse proxy on 443 is meant
/// when it is written.
fn names_port(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let after_address = authority.rsplit(']').next().unwrap_or(authority);
    after_address.contains(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_and_addresses() {
        for (text, expected) in [
            ("https://pve1", "https://pve1:8006/"),
            ("https://pve1.example:8006", "https://pve1.example:8006/"),
            ("https://pve1:8443/", "https://pve1:8443/"),
            ("HTTPS://PVE1", "https://pve1:8006/"),
            ("https://pve1.example.", "https://pve1.example:8006/"),
            ("https://pve1.example.:443", "https://pve1.example/"),
            ("https://192.0.2.7", "https://192.0.2.7:8006/"),
            ("https://[2001:db8::7]", "https://[2001:db8::7]:8006/"),
            ("https://[2001:db8::443]", "https://[2001:db8::443]:8006/"),
            ("https://[2001:db8::7]:9000", "https://[2001:db8::7]:9000/"),
            ("https://pve1:443", "https://pve1/"),
            ("https://[::1]:443", "https://[::1]/"),
        ] {
            assert_eq!(parse_endpoint(text).unwrap().as_str(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_endpoint() {
        for (text, essential) in [
            ("http://pve1:8006", "unencrypted; write https://"),
            ("http://127.0.0.1:8006", "unencrypted"),
            ("pve1.example:8006", "does not begin with https://"),
            ("pve1", "write one such as \"https://pve1.example:8006\""),
            ("https://", "is not a URL"),
            ("https://pve1:8006/api2/json", "end it after host and port"),
            ("https://pve1?x=1", "end it after host and port"),
            ("https://pve1:99999", "is not a URL"),
            ("https://2001:db8::7", "is not a URL"),
            ("https://pve..example", "empty label"),
            ("https://pve..example.", "empty label"),
            ("https://pve1..", "empty label"),
            ("https://.", "empty label"),
        ] {
            let error = parse_endpoint(text).unwrap_err().to_string();
            assert!(error.contains(essential), "{text}: {error}");
        }
    }

    #[test]
    fn passwords_are_not_repeated() {
        for error in [
            parse_endpoint("https://root:hunter2@pve1").unwrap_err(),
            parse_endpoint("http://root:hunter2@pve1:x").unwrap_err(),
            parse_proxy("http://me:hunter2@proxy").unwrap_err(),
        ] {
            assert!(!format!("{error} {error:?}").contains("hunter2"));
        }
    }

    #[test]
    fn proxies() {
        assert_eq!(parse_proxy("http://proxy:3128").unwrap().as_str(), "http://proxy:3128/");
        let error = parse_proxy("socks5://proxy:1080").unwrap_err().to_string();
        assert!(error.contains("http:// or https://"), "{error}");
    }
}
