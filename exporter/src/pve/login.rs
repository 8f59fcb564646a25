//! Logins with a password. Each writes a line to the cluster's log, so one ticket serves all requests, and is renewed before it ends.
//!
//! A ticket is good for every endpoint of the cluster. One that refuses it all the same, because its clock or its key is another one,
//! gets a ticket of its own: what is wrong there must not cost the others theirs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{COOKIE, HeaderValue};
use url::{Url, form_urlencoded};

use crate::clock::Clock;
use crate::config::{Cluster, Secret};
use crate::pve::api::access_ticket;
use crate::pve::authorization::{LogIn, Pass, REST, Rest, named};
use crate::pve::error::ApiError;

/// Where a password is exchanged for a ticket.
pub const PATH: &str = "/access/ticket";

/// PVE takes a ticket for two hours; the clocks of its nodes may differ a little.
const LIFETIME: Duration = Duration::from_secs(2 * 3600 - 60);

/// The age at which a ticket is renewed, which leaves time for many attempts, and the time between two of them.
const RENEWED_AFTER: Duration = Duration::from_secs(90 * 60);
const BETWEEN_RENEWALS: Duration = Duration::from_secs(60);

/// How long an endpoint whose login failed, other than by a refusal, gets no other one, the first time and at most.
const REST_AFTER_FAILURE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// The logins of one user.
pub struct Logins {
    config: Cluster,
    clock: Clock,
    doors: Mutex<Doors>,
    /// Held by the one that logs in, for those without a ticket.
    gate: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Doors {
    by_endpoint: HashMap<Url, Door>,
    logins: u64,
}

/// What is known of one endpoint.
#[derive(Default)]
struct Door {
    ticket: Option<Ticket>,
    /// Whether it has refused a ticket. It gets its own ones from then on.
    alone: bool,
    /// After a login that failed, and after one whose ticket was refused as well: while either lasts there is no other one.
    after_login: Rest,
    after_ticket: Rest,
    /// The password of the last login.
    password: Option<Secret>,
    /// When the last login failed, by the time that no test moves.
    failed: Option<(Instant, ApiError)>,
}

struct Ticket {
    pass: Pass,
    since: Instant,
    renewal: Instant,
    /// Whether a renewal has failed, and was told.
    failing: bool,
}

/// How a request gets in.
pub enum Entrance<'a> {
    /// By showing this.
    Open(Pass),
    /// By a login first.
    Login(Box<Login<'a>>),
}

/// A login that is to be made.
pub struct Login<'a> {
    logins: &'a Logins,
    password: Secret,
    endpoint: Url,
    /// The endpoint whose ticket it replaces.
    kept_for: Url,
    /// The pass that it renews.
    in_place_of: Option<Pass>,
    /// Where there is no pass, the others wait for this one.
    _alone: Option<tokio::sync::MutexGuard<'a, ()>>,
}

/// What there is to show.
enum AtHand {
    Ticket(Pass),
    /// One that the login at the endpoint named here has to replace soon.
    Ending(Pass, Url),
    Nothing,
}

impl Login<'_> {
    /// The form that is posted.
    #[must_use]
    pub fn form(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .append_pair("username", self.logins.config.caller.as_str())
            .append_pair("password", self.password.expose())
            .finish()
    }

    /// What it brings. One that renews a ticket never fails.
    ///
    /// # Errors
    /// That of the `answer`, or what keeps it from being a ticket.
    pub fn ended(self, answer: Result<Bytes, ApiError>) -> Result<Pass, ApiError> {
        let logins = self.logins;
        let outcome = match answer {
            Ok(body) => logins.read(&body, &self.endpoint),
            Err(error) => Err(named(&logins.config.caller, without(error, &self.password))),
        };
        let (mut doors, now) = (logins.lock(), logins.clock.now());
        doors.door(&self.endpoint).password = Some(self.password);
        let error = match outcome {
            Ok(pass) => {
                doors.door(&self.endpoint).after_login = Rest::default();
                return Ok(doors.keep(pass, &self.kept_for, now));
            }
            Err(error) => error,
        };
        doors.door(&self.endpoint).note_failed(now, &error);
        let Some(pass) = self.in_place_of else {
            return Err(error);
        };
        if let Some(ticket) = &mut doors.door(&self.kept_for).ticket
            && !std::mem::replace(&mut ticket.failing, true)
        {
            tracing::warn!(problem = %error, "the login is not renewed; what it gave lasts for half an hour yet");
        }
        Ok(pass)
    }
}

impl Door {
    fn check(&self, now: Instant) -> Result<(), ApiError> {
        self.after_login.check(now).and_then(|()| self.after_ticket.check(now))
    }

    /// Shows a refused ticket no more; false where there is a newer one already.
    fn forget(&mut self, refused: &Pass) -> bool {
        let is_newest = self
            .ticket
            .as_ref()
            .is_none_or(|ticket| ticket.pass.number == refused.number);
        if is_newest {
            (self.ticket, self.alone) = (None, true);
        }
        is_newest
    }

    fn note_failed(&mut self, now: Instant, error: &ApiError) {
        match error {
            ApiError::Unauthorized { .. } => self.after_login.begin(now, REST, error),
            // The endpoint itself rests.
            ApiError::Unreachable { .. } | ApiError::Tls { .. } => {}
            _ => self.after_login.begin(now, REST_AFTER_FAILURE, error),
        }
        self.failed = Some((Instant::now(), error.clone()));
    }
}

impl Doors {
    /// The ticket for `endpoint` and the endpoint that it is kept for.
    fn ticket(&self, endpoint: &Url, now: Instant) -> Option<(&Url, &Ticket)> {
        let alone = self.by_endpoint.get(endpoint).is_some_and(|door| door.alone);
        let tickets = self
            .by_endpoint
            .iter()
            .filter_map(|(url, door)| Some((url, door.ticket.as_ref()?)));
        tickets
            .filter(|(url, ticket)| {
                (*url == endpoint || !alone) && now.saturating_duration_since(ticket.since) < LIFETIME
            })
            .max_by_key(|(url, ticket)| (*url == endpoint, ticket.since))
    }

    /// Numbers a new ticket and keeps it.
    fn keep(&mut self, mut pass: Pass, kept_for: &Url, now: Instant) -> Pass {
        self.logins += 1;
        pass.number = self.logins;
        self.door(kept_for).ticket = Some(Ticket {
            pass: pass.clone(),
            since: now,
            renewal: now + RENEWED_AFTER,
            failing: false,
        });
        pass
    }

    fn door(&mut self, endpoint: &Url) -> &mut Door {
        self.by_endpoint.entry(endpoint.clone()).or_default()
    }
}

impl Logins {
    pub(super) fn new(config: Cluster, clock: Clock) -> Self {
        Self {
            config,
            clock,
            doors: Mutex::default(),
            gate: tokio::sync::Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Doors> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn entrance(&self, endpoint: &Url, may: LogIn) -> Result<Entrance<'_>, ApiError> {
        match self.at_hand(endpoint) {
            AtHand::Ending(pass, kept_for) if may == LogIn::IfDue && self.puts_renewal_off(endpoint, &kept_for) => {
                // The others go on with the old one meanwhile, and so does this one where it fails.
                Ok(match self.password(endpoint) {
                    Err(_) => Entrance::Open(pass),
                    Ok(password) => Entrance::Login(Box::new(Login {
                        logins: self,
                        password,
                        endpoint: endpoint.clone(),
                        kept_for,
                        in_place_of: Some(pass),
                        _alone: None,
                    })),
                })
            }
            AtHand::Ticket(pass) | AtHand::Ending(pass, _) => Ok(Entrance::Open(pass)),
            AtHand::Nothing if may == LogIn::Never => {
                let error = self.unauthorized(endpoint, "has to log in first".to_owned());
                Err(ApiError::Resting(Box::new(error)))
            }
            AtHand::Nothing => self.login_of_one(endpoint).await,
        }
    }

    pub(super) async fn entrance_after(&self, refused: &Pass, endpoint: &Url) -> Result<Entrance<'_>, ApiError> {
        self.lock().door(endpoint).forget(refused);
        self.login_of_one(endpoint).await
    }

    pub(super) fn note(&self, endpoint: &Url, refusal: Option<(&Pass, &ApiError)>) {
        let (mut doors, now) = (self.lock(), self.clock.now());
        let door = doors.door(endpoint);
        match refusal {
            Some((refused, error)) if door.forget(refused) => door.after_ticket.begin(now, REST, error),
            Some(_) => {}
            None => door.after_ticket.answered(now),
        }
    }

    fn at_hand(&self, endpoint: &Url) -> AtHand {
        let now = self.clock.now();
        match self.lock().ticket(endpoint, now) {
            Some((kept_for, ticket)) if ticket.renewal <= now => AtHand::Ending(ticket.pass.clone(), kept_for.clone()),
            Some((_, ticket)) => AtHand::Ticket(ticket.pass.clone()),
            None => AtHand::Nothing,
        }
    }

    /// Puts the next renewal off for whoever begins this one; false where there is none to begin.
    fn puts_renewal_off(&self, endpoint: &Url, kept_for: &Url) -> bool {
        let (mut doors, now) = (self.lock(), self.clock.now());
        self.end_rest_of_replaced(doors.door(endpoint));
        let may = doors.door(endpoint).check(now).is_ok();
        let ticket = doors.door(kept_for).ticket.as_mut();
        let due = ticket.filter(|ticket| may && ticket.renewal <= now);
        due.map(|ticket| ticket.renewal = now + BETWEEN_RENEWALS).is_some()
    }

    /// A login, unless somebody else is at one: then what comes of that is shared.
    async fn login_of_one(&self, endpoint: &Url) -> Result<Entrance<'_>, ApiError> {
        let asked = Instant::now();
        let alone = self.gate.lock().await;
        if let AtHand::Ticket(pass) | AtHand::Ending(pass, _) = self.at_hand(endpoint) {
            return Ok(Entrance::Open(pass));
        }
        {
            let mut doors = self.lock();
            let door = doors.door(endpoint);
            if let Some((_, error)) = door.failed.as_ref().filter(|(ended, _)| *ended > asked) {
                return Err(error.clone());
            }
            self.end_rest_of_replaced(door);
            door.check(self.clock.now())?;
        }
        Ok(Entrance::Login(Box::new(Login {
            logins: self,
            password: self.password(endpoint)?,
            endpoint: endpoint.clone(),
            kept_for: endpoint.clone(),
            in_place_of: None,
            _alone: Some(alone),
        })))
    }

    /// Ends the rest when the password is another one by now: whoever has corrected it must not wait for 15 minutes.
    fn end_rest_of_replaced(&self, door: &mut Door) {
        if door.check(self.clock.now()).is_err()
            && let Some(last) = &door.password
            && self.config.secret().is_ok_and(|password| password != *last)
        {
            (door.after_login, door.after_ticket) = (Rest::default(), Rest::default());
        }
    }

    fn password(&self, endpoint: &Url) -> Result<Secret, ApiError> {
        let password = self.config.secret();
        password.map_err(|error| self.unauthorized(endpoint, error.to_string()))
    }

    /// Reads the answer to a login.
    fn read(&self, body: &[u8], endpoint: &Url) -> Result<Pass, ApiError> {
        let answer = access_ticket::decode(body).map_err(|problem| ApiError::Decode {
            path: PATH.to_owned(),
            problem,
        })?;
        if answer.need_tfa == Some(true) {
            let problem = "PVE wants a second factor, which an exporter cannot give; make an API token for it, or a user without one";
            return Err(self.unauthorized(endpoint, problem.to_owned()));
        }
        let sensitive = |text: &str| {
            let mut value = HeaderValue::from_str(text).ok()?;
            value.set_sensitive(true);
            Some(value)
        };
        let ticket: String = form_urlencoded::byte_serialize(answer.ticket.as_bytes()).collect();
        let cookie = sensitive(&format!("PVEAuthCookie={ticket}")).filter(|_| !ticket.is_empty());
        let cookie = cookie
            .ok_or_else(|| self.unauthorized(endpoint, "PVE has answered the login without a ticket".to_owned()))?;
        Ok(Pass {
            header: (COOKIE, cookie),
            csrf: sensitive(&answer.csrf_prevention_token),
            number: 0,
        })
    }

    fn unauthorized(&self, endpoint: &Url, problem: String) -> ApiError {
        let error = ApiError::Unauthorized {
            endpoint: endpoint.to_string(),
            problem,
        };
        named(&self.config.caller, error)
    }
}

/// The error without what the server said where that repeats the password.
fn without(error: ApiError, password: &Secret) -> ApiError {
    let password = password.expose();
    let escaped: String = form_urlencoded::byte_serialize(password.as_bytes()).collect();
    let hidden = |problem: String| {
        if problem.contains(password) || problem.contains(&escaped) {
            "its words are not shown, since they repeat the password".to_owned()
        } else {
            problem
        }
    };
    match error {
        ApiError::Unauthorized { endpoint, problem } => ApiError::Unauthorized {
            endpoint,
            problem: hidden(problem),
        },
        ApiError::Forbidden { path, problem } => ApiError::Forbidden {
            path,
            problem: hidden(problem),
        },
        ApiError::Status { path, status, problem } => ApiError::Status {
            path,
            status,
            problem: hidden(problem),
        },
        error => error,
    }
}
