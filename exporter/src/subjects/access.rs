//! Users and tokens of a cluster, in numbers.

use crate::metrics::labels::Identity;
use crate::metrics::table::{Metric, Subject, Unit};

/// The users and tokens that PVE lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `pve_cluster`.
    pub identity: Identity,
    /// Users.
    pub users: u64,
    /// Users that are switched on.
    pub users_enabled: u64,
    /// Users whose time is over.
    pub users_expired: u64,
    /// Users who have tried too many wrong second factors.
    pub users_locked: u64,
    /// Tokens of all users.
    pub tokens: u64,
    /// Tokens whose time, or whose user's, is over.
    pub tokens_expired: u64,
    /// Unix seconds of the next expiry of a token or of a user that is switched on.
    pub next_expiry: Option<u64>,
    /// Unix seconds at which the exporter's own token or its user expires.
    pub own_expiry: Option<u64>,
}

impl Subject for Access {
    const NAME: &'static str = "access";
    const ROWS: &'static str = "one per cluster that lists users to the token";
    const LABELS: &'static [&'static str] = &["pve_cluster"];
    const TABLE: &'static [Metric<Self>] = &[
        Metric::gauge(
            "pve_access_users",
            Unit::None,
            "Users, those switched off among them; /access/users.",
            |access| Some(access.users.into()),
        ),
        Metric::gauge(
            "pve_access_users_enabled",
            Unit::None,
            "Users that are switched on, expired or not; /access/users enable.",
            |access| Some(access.users_enabled.into()),
        ),
        Metric::gauge(
            "pve_access_users_expired",
            Unit::None,
            "Users that have expired; /access/users expire.",
            |access| Some(access.users_expired.into()),
        ),
        Metric::gauge(
            "pve_access_users_locked",
            Unit::None,
            "Users whose second factors are not accepted at the moment, since too many wrong ones have been tried; PVE 8 and later; /access/users totp-locked, tfa-locked-until.",
            |access| Some(access.users_locked.into()),
        ),
        Metric::gauge(
            "pve_access_tokens",
            Unit::None,
            "API tokens of all users; /access/users?full=1 tokens.",
            |access| Some(access.tokens.into()),
        ),
        Metric::gauge(
            "pve_access_tokens_expired",
            Unit::None,
            "API tokens that have expired, or whose user has; /access/users?full=1 expire.",
            |access| Some(access.tokens_expired.into()),
        ),
        Metric::gauge(
            "pve_access_expiry_next_timestamp_seconds",
            Unit::Seconds,
            "When the next user that is switched on, or token of one, expires; absent when none will; /access/users?full=1 expire.",
            |access| access.next_expiry.map(Into::into),
        ),
        Metric::gauge(
            "pve_access_own_token_expiry_timestamp_seconds",
            Unit::Seconds,
            "When the token that the exporter uses expires, or its user if that is earlier; absent when neither does; /access/users?full=1 expire.",
            |access| access.own_expiry.map(Into::into),
        ),
    ];

    fn identity(&self) -> &Identity {
        &self.identity
    }
}
