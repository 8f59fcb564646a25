//! `/access/users?full=1`: how many users and tokens there are, and when they expire. Nobody's name is kept.

use crate::metrics::labels::Identity;
use crate::pve::api;
use crate::pve::client::{Client, Request};
use crate::pve::error::{ApiError, DecodeError};
use crate::subjects::access::Access;

const PATH: &str = "/access/users?full=1";

/// Users and tokens, without names.
#[derive(Debug, Default)]
pub struct AccessUsers {
    users: Vec<User>,
    tokens: Vec<Token>,
    /// When the exporter's own token or user expires, if ever and if PVE lists it.
    own: Option<u64>,
    /// Rows that could not be read.
    pub damaged_rows: u64,
}

#[derive(Debug)]
struct User {
    enabled: bool,
    expires: Option<u64>,
    locked: bool,
    locked_until: Option<u64>,
}

#[derive(Debug)]
struct Token {
    /// Whether its user is switched on.
    enabled: bool,
    /// When it expires, if ever: no later than its user.
    expires: Option<u64>,
}

/// Reads them. `own` is the name of the exporter's token or user.
///
/// # Errors
/// Every [`ApiError`].
pub async fn fetch(client: &Client, own: &str) -> Result<AccessUsers, ApiError> {
    client
        .get(&Request::entry(PATH))
        .await?
        .decode(PATH, |body| convert(body, own))
}

fn convert(body: &[u8], own: &str) -> Result<AccessUsers, DecodeError> {
    let (owner, own) = own.rsplit_once('!').unwrap_or((own, ""));
    let (mut access, mut unusable) = (AccessUsers::default(), 0);
    let expiry = |seconds: Option<u64>| seconds.filter(|seconds| *seconds > 0);
    access.damaged_rows = api::access_users::decode(body, |row| {
        if row.userid.is_empty() {
            unusable += 1;
            return;
        }
        let user = User {
            enabled: row.enable == Some(true),
            expires: expiry(row.expire),
            locked: row.totp_locked == Some(true),
            locked_until: row.tfa_locked_until,
        };
        if row.userid == owner && own.is_empty() {
            access.own = user.expires;
        }
        for token in row.tokens {
            let Some(token) = token else {
                unusable += 1;
                continue;
            };
            let expires = expiry(token.expire).into_iter().chain(user.expires).min();
            if row.userid == owner && token.tokenid == own {
                access.own = expires;
            }
            access.tokens.push(Token {
                enabled: user.enabled,
                expires,
            });
        }
        access.users.push(user);
    })?;
    access.damaged_rows += unusable;
    Ok(access)
}

impl AccessUsers {
    /// Its row at the time `now`, in Unix seconds. None where PVE lists nobody, which is what it does for a token without the
    /// privilege: root is always there.
    #[must_use]
    pub fn row(&self, cluster: &str, now: u64) -> Option<Access> {
        let expired = |expires: Option<u64>| expires.is_some_and(|expires| expires <= now);
        let locked = |user: &&User| user.locked || user.locked_until.is_some_and(|until| until > now);
        let of_users = self.users.iter().filter(|user| user.enabled).map(|user| user.expires);
        let of_tokens = self
            .tokens
            .iter()
            .filter(|token| token.enabled)
            .map(|token| token.expires);
        let next = of_users.chain(of_tokens).flatten();
        (!self.users.is_empty()).then(|| Access {
            identity: Identity::new(&[("pve_cluster", cluster)]),
            users: self.users.len() as u64,
            users_enabled: self.users.iter().filter(|user| user.enabled).count() as u64,
            users_expired: self.users.iter().filter(|user| expired(user.expires)).count() as u64,
            users_locked: self.users.iter().filter(locked).count() as u64,
            tokens: self.tokens.len() as u64,
            tokens_expired: self.tokens.iter().filter(|token| expired(token.expires)).count() as u64,
            next_expiry: next.filter(|expires| *expires > now).min(),
            own_expiry: self.own,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Users, those enabled, those expired, tokens, those expired, and the next and the own expiry.
    fn row(access: &AccessUsers, now: u64) -> [Option<u64>; 7] {
        let row = access.row("main", now).unwrap();
        [
            Some(row.users),
            Some(row.users_enabled),
            Some(row.users_expired),
            Some(row.tokens),
            Some(row.tokens_expired),
            row.next_expiry,
            row.own_expiry,
        ]
    }

    #[test]
    fn recorded_users() {
        let body = include_bytes!("../../tests/fixtures/pve-9.2/access__users@full=1.json");
        let access = convert(body, "exporter@pve!expired").unwrap();
        let counts = [Some(5), Some(5), Some(0), Some(7), Some(1)];
        let [own, late] = [1_000_000_000, 1_700_000_000];
        assert_eq!(row(&access, late)[..5], counts);
        assert_eq!(row(&access, late)[5..], [None, Some(own)], "it has expired");
        assert_eq!(row(&access, own - 1)[4..], [Some(0), Some(own), Some(own)]);
        let access = convert(body, "exporter@pve!mon").unwrap();
        assert_eq!(row(&access, late)[6], None, "it never expires");
        let kept = format!("{access:?}");
        assert!(!kept.contains("pve") && !kept.contains("monitoring"), "{kept}");
    }

    #[test]
    fn constructed_users() {
        let body = include_bytes!("../../tests/fixtures/pve-9/access__users@full=1.json");
        let access = convert(body, "exporter@pve!prom").unwrap();
        let own = Some(1_798_761_600);
        assert_eq!(row(&access, 0), [Some(2), Some(2), Some(0), Some(1), Some(0), own, own]);
    }

    #[test]
    fn who_is_off_does_not_expire_next_and_a_user_takes_its_tokens_along() {
        let body = br#"{"data":[{"userid":"off@pve","enable":0,"expire":50},{"userid":"a!b@pve","enable":"1","expire":"70",
            "tokens":[{"tokenid":"own","expire":90},{"tokenid":"old","expire":20},7]},{"enable":1},null,{"userid":"root@pam"}]}"#;
        let access = convert(body, "a!b@pve!own").unwrap();
        assert_eq!(access.damaged_rows, 3);
        assert_eq!(
            row(&access, 60),
            [Some(3), Some(1), Some(1), Some(2), Some(1), Some(70), Some(70)]
        );
    }

    #[test]
    fn a_token_ends_with_its_user_and_those_of_a_user_who_is_off_are_not_waited_for() {
        let body = br#"{"data":[{"userid":"a@pve","enable":1,"expire":70,"tokens":[{"tokenid":"x","expire":0},{"tokenid":"y","expire":90}]},
            {"userid":"off@pve","enable":0,"tokens":[{"tokenid":"z","expire":65}]}]}"#;
        let access = convert(body, "a@pve!x").unwrap();
        assert_eq!(row(&access, 60)[4..], [Some(0), Some(70), Some(70)]);
        assert_eq!(row(&access, 80)[2..], [Some(1), Some(3), Some(3), None, Some(70)]);
    }

    #[test]
    fn a_user_who_logs_in_has_an_expiry_of_its_own() {
        let body = br#"{"data":[{"userid":"a@pve","enable":1,"expire":70,"tokens":[{"tokenid":"x","expire":50}]},
            {"userid":"b@pve","enable":1,"expire":60}]}"#;
        assert_eq!(row(&convert(body, "a@pve").unwrap(), 40)[5..], [Some(50), Some(70)]);
    }

    #[test]
    fn users_who_have_tried_too_many_second_factors_are_locked() {
        let body = br#"{"data":[{"userid":"a@pve","totp-locked":1},{"userid":"b@pve","tfa-locked-until":100},
            {"userid":"c@pve","tfa-locked-until":"50","totp-locked":0}]}"#;
        let access = convert(body, "").unwrap();
        let locked = |now| access.row("main", now).unwrap().users_locked;
        assert_eq!([locked(40), locked(60), locked(100)], [3, 2, 1]);
    }

    #[test]
    fn nobody_is_not_zero_users() {
        assert_eq!(convert(br#"{"data":[]}"#, "a@pve!b").unwrap().row("main", 0), None);
        assert!(convert(br#"{"data":null}"#, "a@pve!b").is_err());
    }
}
