//! The API token, and the 401 rule: read the secret again, try once more, then send nothing for a while.

use std::time::{Duration, Instant};

use reqwest::header::HeaderValue;
use tokio::sync::Mutex;
use url::Url;

use crate::clock::Clock;
use crate::config::Cluster;
use crate::pve::endpoints::doubling;
use crate::pve::error::ApiError;

/// How long nothing is sent after a second 401, the first time and at most.
const REST: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(900));

/// The header of a token, and which reading of the secret it came from.
#[derive(Clone)]
pub struct Header {
    /// The value of `Authorization`, marked as sensitive.
    pub value: HeaderValue,
    reading: u64,
}

/// The token of one cluster.
pub struct Authorization {
    config: Cluster,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    header: Option<Header>,
    refused: u32,
    rests: Option<(Instant, ApiError)>,
}

impl Authorization {
    /// The token that `config` names. Its secret is read with the first request.
    #[must_use]
    pub fn new(config: Cluster, clock: Clock) -> Self {
        Self {
            config,
            clock,
            state: Mutex::default(),
        }
    }

    /// The header to send.
    ///
    /// # Errors
    /// When the secret cannot be read, or while a refused one rests.
    pub async fn header(&self, endpoint: &Url) -> Result<Header, ApiError> {
        let mut state = self.state.lock().await;
        self.end_rest_of_replaced(&mut state, endpoint);
        self.unless_resting(&state)?;
        match &state.header {
            Some(header) => Ok(header.clone()),
            None => {
                let header = self.read(endpoint, 0)?;
                state.header = Some(header.clone());
                Ok(header)
            }
        }
    }

    /// The header to try once more after a 401 on `refused`: with the secret read again, once for all requests that were
    /// refused together.
    ///
    /// # Errors
    /// When the secret cannot be read, or another request has found out already that it is refused as well.
    pub async fn header_after(&self, refused: &Header, endpoint: &Url) -> Result<Header, ApiError> {
        let mut state = self.state.lock().await;
        self.unless_resting(&state)?;
        match &state.header {
            Some(newer) if newer.reading != refused.reading => Ok(newer.clone()),
            _ => {
                let header = self
                    .read(endpoint, refused.reading + 1)
                    .inspect_err(|error| self.rest(&mut state, error))?;
                state.header = Some(header.clone());
                Ok(header)
            }
        }
    }

    /// A refusal, with the token that it is about.
    #[must_use]
    pub fn named(&self, error: ApiError) -> ApiError {
        match error {
            ApiError::Unauthorized { endpoint, problem } => ApiError::Unauthorized {
                endpoint,
                problem: format!("token {}: {problem}", self.config.token_id),
            },
            error => error,
        }
    }

    /// Notes how a request ended, and with which header it was tried once more, if it was.
    pub async fn note<T>(&self, outcome: &Result<T, ApiError>, again: Option<&Header>) {
        match (outcome, again) {
            (Err(error @ ApiError::Unauthorized { .. }), Some(refused)) => {
                let mut state = self.state.lock().await;
                // The secret may have been corrected while PVE let this request wait.
                if state.header.as_ref().is_none_or(|header| header.value == refused.value) {
                    self.rest(&mut state, error);
                }
            }
            (Err(_), _) => {}
            (Ok(_), _) => {
                let mut state = self.state.lock().await;
                state.refused = 0;
                state.rests.take_if(|(until, _)| *until <= self.clock.now());
            }
        }
    }

    /// Ends the rest when the secret is another one by now: whoever has corrected it must not wait for 15 minutes.
    fn end_rest_of_replaced(&self, state: &mut State, endpoint: &Url) {
        if state.rests.is_none() {
            return;
        }
        let refused = state.header.as_ref().map_or(0, |header| header.reading);
        if let Ok(header) = self.read(endpoint, refused + 1)
            && state
                .header
                .as_ref()
                .is_none_or(|refused| refused.value != header.value)
        {
            *state = State {
                header: Some(header),
                ..State::default()
            };
        }
    }

    fn unless_resting(&self, state: &State) -> Result<(), ApiError> {
        match &state.rests {
            Some((until, error)) if *until > self.clock.now() => Err(ApiError::Resting(Box::new(error.clone()))),
            _ => Ok(()),
        }
    }

    fn rest(&self, state: &mut State, error: &ApiError) {
        let now = self.clock.now();
        if state.rests.as_ref().is_none_or(|(until, _)| *until <= now) {
            state.rests = Some((now + doubling(REST, state.refused), error.clone()));
            state.refused = state.refused.saturating_add(1);
        }
    }

    fn read(&self, endpoint: &Url, reading: u64) -> Result<Header, ApiError> {
        let unauthorized = |problem: String| ApiError::Unauthorized {
            endpoint: endpoint.to_string(),
            problem,
        };
        let secret = self.config.secret().map_err(|error| unauthorized(error.to_string()))?;
        let text = format!(
            "PVEAPIToken={}={}",
            escaped(self.config.token_id.as_str()),
            escaped(secret.expose())
        );
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| unauthorized("the token has characters that no HTTP header can carry".to_owned()))?;
        value.set_sensitive(true);
        Ok(Header { value, reading })
    }
}

/// PVE decodes percent escapes in the token, so a percent sign and what is not ASCII must be escaped.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'!'..=b'$' | b'&'..=b'~' => escaped.push(char::from(byte)),
            _ => escaped += &format!("%{byte:02X}"),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TokenSource;

    #[tokio::test]
    async fn a_late_refusal_says_nothing_of_a_secret_that_has_been_corrected() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let write = |secret: &str| {
            std::fs::write(&path, secret).unwrap();
            std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        };
        write("wrong");
        let endpoint = Url::parse("https://pve1.example:8006").unwrap();
        let config = Cluster::new(
            vec!["https://pve1.example:8006".parse().unwrap()],
            "exporter@pve!prometheus".parse().unwrap(),
            TokenSource::file(&path),
        );
        let authorization = Authorization::new(config, Clock::default());
        let refusal = || -> Result<(), ApiError> {
            Err(ApiError::Unauthorized {
                endpoint: endpoint.to_string(),
                problem: String::new(),
            })
        };
        let wrong = authorization.header(&endpoint).await.unwrap();
        authorization.note(&refusal(), Some(&wrong)).await;
        assert!(authorization.header(&endpoint).await.is_err(), "it rests");

        write("right");
        let right = authorization.header(&endpoint).await.unwrap();
        authorization.note(&refusal(), Some(&wrong)).await;
        assert!(authorization.header(&endpoint).await.is_ok());
        authorization.note(&refusal(), Some(&right)).await;
        assert!(authorization.header(&endpoint).await.is_err());
    }

    #[test]
    fn odd_characters_survive_the_way_to_pve() {
        assert_eq!(escaped("exporter@pve!prometheus"), "exporter@pve!prometheus");
        assert_eq!(escaped("50%é"), "50%25%C3%A9");
    }
}
