//! Who asks PVE: the names of users, and of their tokens.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::token_id::{TokenId, is_owner};

/// The full name of a user: `user@realm`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct UserId(String);

/// Why a text is not a [`UserId`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserIdError {
    /// `user@realm!name`.
    #[error("names an API token, not a user; write it as token_id, and its secret into token_file")]
    Token,
    /// Anything else.
    #[error("{text:?} is not the name of a user; write \"user@realm\", such as \"exporter@pve\"")]
    Malformed {
        /// What was written.
        text: String,
    },
}

impl UserId {
    /// The name, as PVE writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UserId {
    type Err = UserIdError;

    fn from_str(text: &str) -> Result<Self, UserIdError> {
        if text.contains('!') {
            return Err(UserIdError::Token);
        }
        is_owner(text)
            .then(|| Self(text.to_owned()))
            .ok_or_else(|| UserIdError::Malformed { text: text.to_owned() })
    }
}

impl TryFrom<String> for UserId {
    type Error = UserIdError;

    fn try_from(text: String) -> Result<Self, UserIdError> {
        text.parse()
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// An API token, with its secret.
    Token(TokenId),
    /// A user, who logs in with a password.
    User(UserId),
}

impl Caller {
    /// The name, as PVE writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Token(id) => id.as_str(),
            Self::User(id) => id.as_str(),
        }
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Token(_) => "token",
            Self::User(_) => "user",
        };
        write!(f, "{kind} {}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users() {
        for right in ["exporter@pve", "root@pam", "me@example.org@ldap-1"] {
            assert_eq!(right.parse::<UserId>().unwrap().as_str(), right);
        }
        for wrong in ["", "exporter", "@pve", "a@", "a b@pve", "a/b@pve", "a@1x"] {
            let error = wrong.parse::<UserId>().unwrap_err().to_string();
            assert!(error.contains("user@realm"), "{wrong:?}: {error}");
        }
        let error = "exporter@pve!prometheus".parse::<UserId>().unwrap_err();
        assert!(error.to_string().contains("token_id"));
    }
}
