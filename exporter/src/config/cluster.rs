//! One cluster: where it is, who asks, whom to trust and how long to wait.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::endpoint::{Endpoint, Proxy};
use super::fingerprint::Fingerprint;
use super::guests::GuestFilter;
use super::quantity;
use super::secret::{Secret, SecretError, SecretSource};
use super::settings::SourceSettings;
use super::token_id::TokenId;
use super::user_id::{Caller, UserId};
use crate::compat::config::allow;
use crate::compat::targets::Allowed;
use crate::sources::name::SourceName;

/// `[clusters.<name>]`: a cluster, or a node that stands alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The API's URLs, in the order in which they are tried.
    pub endpoints: Vec<Url>,
    /// Who asks: a token or a user.
    pub caller: Caller,
    /// Where its secret or password comes from.
    pub secret: SecretSource,
    /// The certificates to trust, whoever signed them; empty for those that an authority vouches for.
    pub fingerprints: Vec<Fingerprint>,
    /// The authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether any certificate will do.
    pub insecure_skip_verify: bool,
    /// The HTTP proxy to go through.
    pub proxy: Option<Url>,
    /// Whether PVE is asked to compress its answers.
    pub compression: bool,
    /// The time to establish a connection.
    pub connect_timeout: Duration,
    /// The time for one answer.
    pub request_timeout: Duration,
    /// The time for a whole refresh of a source, all its requests together.
    pub refresh_timeout: Duration,
    /// The bytes of the largest answer that is read.
    pub body_limit: u64,
    /// The guests that are reported on.
    pub guests: GuestFilter,
    /// The tag of guests that should run, beside those that HA or their own configuration starts.
    pub expected_up_tag: Option<String>,
    /// The hosts that `/pve` may ask with this token, beside the endpoints.
    pub allow_targets: Allowed,
    /// What differs from `[sources]` for this cluster.
    pub sources: BTreeMap<SourceName, SourceSettings>,
}

impl Cluster {
    /// A cluster that a token asks, with defaults for all that can have one.
    #[must_use]
    pub fn new(endpoints: Vec<Url>, token_id: TokenId, token: SecretSource) -> Self {
        Self::asked_by(endpoints, Caller::Token(token_id), token)
    }

    /// The same that a user asks.
    #[must_use]
    pub fn with_user(endpoints: Vec<Url>, user: UserId, password: SecretSource) -> Self {
        Self::asked_by(endpoints, Caller::User(user), password)
    }

    fn asked_by(endpoints: Vec<Url>, caller: Caller, secret: SecretSource) -> Self {
        Self {
            endpoints,
            caller,
            secret,
            fingerprints: Vec::new(),
            ca_file: None,
            insecure_skip_verify: false,
            proxy: None,
            compression: false,
            connect_timeout: connect_timeout(),
            request_timeout: request_timeout(),
            refresh_timeout: refresh_timeout(),
            body_limit: body_limit(),
            guests: GuestFilter::default(),
            expected_up_tag: None,
            allow_targets: Allowed::default(),
            sources: BTreeMap::new(),
        }
    }

    /// Reads the secret of the cluster's token or the password of its user, from its file each time.
    ///
    /// # Errors
    ///
    /// As [`SecretSource::read`].
    pub fn secret(&self) -> Result<Secret, SecretError> {
        self.secret.read(&self.caller)
    }
}

const fn connect_timeout() -> Duration {
    Duration::from_secs(3)
}

/// More than the 30 s after which PVE's own proxy gives a node up, so that its answer about the failure arrives.
const fn request_timeout() -> Duration {
    Duration::from_secs(35)
}

const fn refresh_timeout() -> Duration {
    Duration::from_secs(60)
}

const fn body_limit() -> u64 {
    64 << 20
}

fn tag<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    let tag = String::deserialize(deserializer)?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '+' | '.');
    if tag.is_empty() || !tag.chars().all(allowed) {
        let problem = format!("{tag:?} is no tag; write one as PVE shows it, such as \"always-on\"");
        return Err(serde::de::Error::custom(problem));
    }
    Ok(Some(tag))
}

fn allowed<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Allowed, D::Error> {
    let mut allowed = Allowed::default();
    for entry in Vec::<String>::deserialize(deserializer)? {
        allow(&mut allowed, &entry).map_err(serde::de::Error::custom)?;
    }
    Ok(allowed)
}

/// A cluster as it is written, before its secret is located.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClusterTable {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) token_id: Option<TokenId>,
    pub(super) token_file: Option<PathBuf>,
    pub(super) token_credential: Option<String>,
    pub(super) user: Option<UserId>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) password_credential: Option<String>,
    #[serde(default)]
    pub(super) fingerprints: Vec<Fingerprint>,
    pub(super) ca_file: Option<PathBuf>,
    #[serde(default)]
    pub(super) insecure_skip_verify: bool,
    proxy: Option<Proxy>,
    #[serde(default)]
    compression: bool,
    #[serde(default = "connect_timeout", deserialize_with = "quantity::timeout")]
    connect_timeout: Duration,
    #[serde(default = "request_timeout", deserialize_with = "quantity::timeout")]
    request_timeout: Duration,
    #[serde(default = "refresh_timeout", deserialize_with = "quantity::timeout")]
    refresh_timeout: Duration,
    #[serde(default = "body_limit", deserialize_with = "quantity::body_limit")]
    body_limit: u64,
    #[serde(default)]
    guests: GuestFilter,
    #[serde(default, deserialize_with = "tag")]
    expected_up_tag: Option<String>,
    #[serde(default, deserialize_with = "allowed")]
    pub(super) allow_targets: Allowed,
    #[serde(default)]
    sources: BTreeMap<SourceName, SourceSettings>,
}

impl ClusterTable {
    /// The cluster that `caller` asks, with a secret that comes from `token`.
    pub(super) fn asked_by(self, caller: Caller, secret: SecretSource, ca_file: Option<PathBuf>) -> Cluster {
        Cluster {
            endpoints: self.endpoints.into_iter().map(|Endpoint(url)| url).collect(),
            caller,
            secret,
            fingerprints: self.fingerprints,
            ca_file,
            insecure_skip_verify: self.insecure_skip_verify,
            proxy: self.proxy.map(|Proxy(url)| url),
            compression: self.compression,
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
            refresh_timeout: self.refresh_timeout,
            body_limit: self.body_limit,
            guests: self.guests,
            expected_up_tag: self.expected_up_tag,
            allow_targets: self.allow_targets,
            sources: self.sources,
        }
    }
}
