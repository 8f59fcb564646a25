//! What a request shows to be let in, and the 401 rule: read the secret again, try once more, then send nothing for a while.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::clock::Clock;
use crate::config::{Caller, Cluster};
use crate::pve::endpoints::doubling;
use crate::pve::error::ApiError;
use crate::pve::login::{Entrance, Logins};

/// How long nothing is sent after a second 401, the first time and at most.
pub(super) const REST: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(900));

/// What a request shows.
#[derive(Clone)]
pub struct Pass {
    /// The header and its value, which is marked as sensitive.
    pub(super) header: (HeaderName, HeaderValue),
    /// What everything but a GET has to show beside a ticket.
    pub(super) csrf: Option<HeaderValue>,
    /// Which reading of the secret, or which login, it came from.
    pub(super) number: u64,
}

impl Pass {
    /// The headers of a GET, or of a request that posts.
    #[must_use]
    pub fn headers(&self, posts: bool) -> HeaderMap {
        let mut headers = HeaderMap::from_iter([self.header.clone()]);
        if let Some(csrf) = self.csrf.as_ref().filter(|_| posts) {
            headers.insert("csrfpreventiontoken", csrf.clone());
        }
        headers
    }
}

/// Whether a request may log in first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogIn {
    /// No: it cannot wait.
    Never,
    /// If there is no ticket for it.
    IfNeeded,
    /// Also to renew one that soon ends.
    IfDue,
}

/// How long nothing is sent, and why.
#[derive(Default)]
pub(super) struct Rest {
    until: Option<(Instant, ApiError)>,
    times: u32,
}

impl Rest {
    /// Begins one that is the longer the more there were since something was answered. Those who fail together begin one only.
    pub(super) fn begin(&mut self, now: Instant, times: (Duration, Duration), error: &ApiError) {
        if self.until.as_ref().is_none_or(|(until, _)| *until <= now) {
            self.until = Some((now + doubling(times, self.times), error.clone()));
            self.times = self.times.saturating_add(1);
        }
    }

    /// Whether one has begun and nothing was answered since.
    pub(super) const fn has_begun(&self) -> bool {
        self.until.is_some()
    }

    /// Notes that a request was let in.
    pub(super) fn answered(&mut self, now: Instant) {
        self.times = 0;
        self.until.take_if(|(until, _)| *until <= now);
    }

    /// # Errors
    /// Why nothing is sent now.
    pub(super) fn check(&self, now: Instant) -> Result<(), ApiError> {
        match &self.until {
            Some((until, error)) if *until > now => Err(ApiError::Resting(Box::new(error.clone()))),
            _ => Ok(()),
        }
    }
}

/// How the requests to one cluster are authorized.
pub struct Authorization {
    caller: Caller,
    kind: Kind,
}

enum Kind {
    Token(Token),
    User(Logins),
}

impl Authorization {
    /// As `config` says. A secret is read with the first request.
    #[must_use]
    pub fn new(config: Cluster, clock: Clock) -> Self {
        let caller = config.caller.clone();
        let kind = match &caller {
            Caller::Token(_) => Kind::Token(Token {
                config,
                clock,
                state: Mutex::default(),
            }),
            Caller::User(_) => Kind::User(Logins::new(config, clock)),
        };
        Self { caller, kind }
    }

    /// How a request to `endpoint` gets in.
    ///
    /// # Errors
    /// When the secret cannot be read, or while a refused one rests.
    pub async fn entrance(&self, endpoint: &Url, may: LogIn) -> Result<Entrance<'_>, ApiError> {
        match &self.kind {
            Kind::Token(token) => token.pass(endpoint).map(Entrance::Open),
            Kind::User(logins) => logins.entrance(endpoint, may).await,
        }
    }

    /// How to try once more after a 401 on `refused`: with the secret read again, or by one more login, once for all requests that
    /// were refused together.
    ///
    /// # Errors
    /// As [`Self::entrance`], or when another request has found out already that it is refused as well.
    pub async fn entrance_after(&self, refused: &Pass, endpoint: &Url) -> Result<Entrance<'_>, ApiError> {
        match &self.kind {
            Kind::Token(token) => token.pass_after(refused, endpoint).map(Entrance::Open),
            Kind::User(logins) => logins.entrance_after(refused, endpoint).await,
        }
    }

    /// A refusal, with the token or user that it is about.
    #[must_use]
    pub fn named(&self, error: ApiError) -> ApiError {
        named(&self.caller, error)
    }

    /// Notes how a request to `endpoint` ended, and with what it was tried once more, if it was.
    pub fn note<T>(&self, endpoint: &Url, outcome: &Result<T, ApiError>, again: Option<&Pass>) {
        let refusal = match (outcome, again) {
            (Ok(_), _) => None,
            (Err(error @ ApiError::Unauthorized { .. }), Some(pass)) => Some((pass, error)),
            (Err(_), _) => return,
        };
        match &self.kind {
            Kind::Token(token) => token.note(refusal),
            Kind::User(logins) => logins.note(endpoint, refusal),
        }
    }
}

pub(super) fn named(caller: &Caller, error: ApiError) -> ApiError {
    match error {
        ApiError::Unauthorized { endpoint, problem } => ApiError::Unauthorized {
            endpoint,
            problem: format!("{caller}: {problem}"),
        },
        error => error,
    }
}

/// A token. It is good for every endpoint.
struct Token {
    config: Cluster,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    pass: Option<Pass>,
    rest: Rest,
}

impl Token {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pass(&self, endpoint: &Url) -> Result<Pass, ApiError> {
        let mut state = self.lock();
        self.end_rest_of_replaced(&mut state, endpoint);
        state.rest.check(self.clock.now())?;
        match &state.pass {
            Some(pass) => Ok(pass.clone()),
            None => {
                let pass = self.read(endpoint, 0)?;
                state.pass = Some(pass.clone());
                Ok(pass)
            }
        }
    }

    fn pass_after(&self, refused: &Pass, endpoint: &Url) -> Result<Pass, ApiError> {
        let mut state = self.lock();
        state.rest.check(self.clock.now())?;
        match &state.pass {
            Some(newer) if newer.number != refused.number => Ok(newer.clone()),
            _ => {
                let pass = self
                    .read(endpoint, refused.number + 1)
                    .inspect_err(|error| state.rest.begin(self.clock.now(), REST, error))?;
                state.pass = Some(pass.clone());
                Ok(pass)
            }
        }
    }

    fn note(&self, refusal: Option<(&Pass, &ApiError)>) {
        let (mut state, now) = (self.lock(), self.clock.now());
        match refusal {
            // The secret may have been corrected while PVE let this request wait.
            Some((refused, error)) if state.pass.as_ref().is_none_or(|pass| pass.header == refused.header) => {
                state.rest.begin(now, REST, error);
            }
            Some(_) => {}
            None => state.rest.answered(now),
        }
    }

    /// Ends the rest when the secret is another one by now: whoever has corrected it must not wait for 15 minutes.
    fn end_rest_of_replaced(&self, state: &mut State, endpoint: &Url) {
        if !state.rest.has_begun() {
            return;
        }
        let refused = state.pass.as_ref().map_or(0, |pass| pass.number);
        if let Ok(pass) = self.read(endpoint, refused + 1)
            && state.pass.as_ref().is_none_or(|refused| refused.header != pass.header)
        {
            *state = State {
                pass: Some(pass),
                ..State::default()
            };
        }
    }

    fn read(&self, endpoint: &Url, number: u64) -> Result<Pass, ApiError> {
        let unauthorized = |problem: String| ApiError::Unauthorized {
            endpoint: endpoint.to_string(),
            problem,
        };
        let secret = self.config.secret().map_err(|error| unauthorized(error.to_string()))?;
        let text = format!(
            "PVEAPIToken={}={}",
            escaped(self.config.caller.as_str()),
            escaped(secret.expose())
        );
        let mut value = HeaderValue::from_str(&text)
            .map_err(|_| unauthorized("the token has characters that no HTTP header can carry".to_owned()))?;
        value.set_sensitive(true);
        Ok(Pass {
            header: (AUTHORIZATION, value),
            csrf: None,
            number,
        })
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
    use crate::config::SecretSource;

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
            SecretSource::file(&path),
        );
        let authorization = Authorization::new(config, Clock::default());
        let refusal = || -> Result<(), ApiError> {
            Err(ApiError::Unauthorized {
                endpoint: endpoint.to_string(),
                problem: String::new(),
            })
        };
        let pass = async || match authorization.entrance(&endpoint, LogIn::IfDue).await {
            Ok(Entrance::Open(pass)) => Some(pass),
            _ => None,
        };
        let wrong = pass().await.unwrap();
        authorization.note(&endpoint, &refusal(), Some(&wrong));
        assert!(pass().await.is_none(), "it rests");

        write("right");
        let right = pass().await.unwrap();
        authorization.note(&endpoint, &refusal(), Some(&wrong));
        assert!(pass().await.is_some());
        authorization.note(&endpoint, &refusal(), Some(&right));
        assert!(pass().await.is_none());
    }

    #[test]
    fn odd_characters_survive_the_way_to_pve() {
        assert_eq!(escaped("exporter@pve!prometheus"), "exporter@pve!prometheus");
        assert_eq!(escaped("50%é"), "50%25%C3%A9");
    }
}
