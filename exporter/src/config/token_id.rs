//! The names of API tokens.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// The full name of an API token: `user@realm!name`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct TokenId(String);

/// Why a text is not a [`TokenId`].
///
/// The text is not repeated where it may hold the secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenIdError {
    /// `user@realm!name=secret`.
    #[error(
        "holds more than the name of the token (not shown here); write \"user@realm!name\" and put the secret into token_file"
    )]
    WithSecret,
    /// Anything else.
    #[error("{text:?} is not the name of an API token; write \"user@realm!name\", such as \"exporter@pve!prometheus\"")]
    Malformed {
        /// What was written.
        text: String,
    },
}

impl TokenId {
    /// The name, as PVE writes it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `text` is `user@realm`. The user's own name may hold an @, as the mail addresses of directory users do.
pub(super) fn is_owner(text: &str) -> bool {
    let Some((user, realm)) = text.rsplit_once('@') else {
        return false;
    };
    let user_is_valid = !user.is_empty()
        && user.chars().all(|c| c.is_ascii_graphic() || !c.is_ascii())
        && !user.contains([':', '/', '!'])
        && !user.contains(char::is_whitespace);
    user_is_valid && is_identifier(realm)
}

/// PVE's rule for realms and for token names.
fn is_identifier(text: &str) -> bool {
    text.len() >= 2
        && text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

impl FromStr for TokenId {
    type Err = TokenIdError;

    fn from_str(text: &str) -> Result<Self, TokenIdError> {
        if text.contains('=') {
            return Err(TokenIdError::WithSecret);
        }
        let malformed = || TokenIdError::Malformed { text: text.to_owned() };
        let (owner, name) = text.rsplit_once('!').ok_or_else(malformed)?;
        if is_owner(owner) && is_identifier(name) {
            Ok(Self(text.to_owned()))
        } else {
            Err(malformed())
        }
    }
}

impl TryFrom<String> for TokenId {
    type Error = TokenIdError;

    fn try_from(text: String) -> Result<Self, TokenIdError> {
        text.parse()
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tokens() {
        for right in [
            "exporter@pve!prometheus",
            "root@pam!a1",
            "me@example.org@ldap-1!my.token_2",
        ] {
            assert_eq!(right.parse::<TokenId>().unwrap().as_str(), right);
        }
        for wrong in [
            "",
            "exporter@pve",
            "exporter!name",
            "@pve!name",
            "a@pve!",
            "a@pve!1x",
            "a b@pve!name",
            "a@pve!na me",
        ] {
            assert!(
                wrong
                    .parse::<TokenId>()
                    .unwrap_err()
                    .to_string()
                    .contains("user@realm!name"),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn a_secret_is_not_repeated() {
        let error = "exporter@pve!prometheus=hunter2".parse::<TokenId>().unwrap_err();
        assert!(error.to_string().contains("token_file"));
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }
}
