//! Secrets: where they are read from, and which of them are refused.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::problem::Place;
use super::token_id::TokenId;
use super::user_id::Caller;

/// Real secrets are UUIDs of 36 bytes; a whole certificate put here by mistake is not read.
const LONGEST: usize = 4096;

/// Container runtimes mount secrets here for the container's user alone, yet with permissive modes.
const SECRETS_DIRECTORY: &str = "/run/secrets";

/// A secret. It implements neither `Debug` nor `Display`, so that it cannot end up in a log or message by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` as it is.
    #[must_use]
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself, for the one place that sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// Why there is no secret. No variant holds any part of one.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file is missing or cannot be read.
    #[error("{path}: {source}; write the secret alone into this file, with `chmod 600`, owned by the exporter's user")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A directory, a device, a pipe.
    #[error("{path} is not a regular file; write the secret into one")]
    NotRegular {
        /// What is no file.
        path: PathBuf,
    },
    /// Others than the owner may read or write the file.
    #[error("{path} has mode {mode:04o} and is open to its group or to others; run `chmod 600 {path}`")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Nothing but white space.
    #[error("{origin} is empty; write the secret into it")]
    Empty {
        /// The file or variable.
        origin: String,
    },
    /// More than any secret.
    #[error("{origin} holds more than {LONGEST} bytes; write the secret alone into it")]
    TooLong {
        /// The file or variable.
        origin: String,
    },
    /// White space or other characters that no secret has.
    #[error("{origin} holds white space or characters that no secret has; write the secret alone into it, on one line")]
    Malformed {
        /// The file or variable.
        origin: String,
    },
    /// A password of more than one line.
    #[error("{origin} holds more than one line, or control characters; write the password alone into it")]
    SeveralLines {
        /// The file or variable.
        origin: String,
    },
    /// The secret of another token.
    #[error(
        "{origin} holds the secret of token {found}, but token_id is {expected}; write the matching secret or correct token_id"
    )]
    OtherToken {
        /// The file or variable.
        origin: String,
        /// The token that the secret is for.
        found: TokenId,
        /// The configured token.
        expected: TokenId,
    },
}

/// A file that holds the secret of a token, or a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretFile {
    path: PathBuf,
    /// `$CREDENTIALS_DIRECTORY`, whose files systemd hands to this service alone.
    credentials_directory: Option<PathBuf>,
    /// The key and the place that named the file, for messages.
    pub(super) key: &'static str,
    pub(super) place: Place,
}

impl SecretFile {
    /// The file at `path`.
    #[must_use]
    pub const fn new(path: PathBuf) -> Self {
        Self {
            path,
            credentials_directory: None,
            key: "token_file",
            place: Place::Nowhere,
        }
    }

    /// The same file, with the permissions of files below `directory` left unchecked.
    #[must_use]
    pub fn trusting(mut self, directory: Option<PathBuf>) -> Self {
        self.credentials_directory = directory;
        self
    }

    /// The same file, named by `key` at `place`.
    pub(super) fn named_by(mut self, key: &'static str, place: Place) -> Self {
        self.key = key;
        self.place = place;
        self
    }

    fn read(&self) -> Result<String, SecretError> {
        let unreadable = |source| SecretError::Unreadable {
            path: self.path.clone(),
            source,
        };
        // Asked before opening too: opening a pipe would wait for its writer.
        self.check(&fs::metadata(&self.path).map_err(unreadable)?)?;
        let file = File::open(&self.path).map_err(unreadable)?;
        self.check(&file.metadata().map_err(unreadable)?)?;
        let mut bytes = Vec::new();
        let limit = u64::try_from(LONGEST).unwrap_or(u64::MAX).saturating_add(1);
        file.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() > LONGEST {
            return Err(SecretError::TooLong { origin: self.origin() });
        }
        String::from_utf8(bytes).map_err(|_| SecretError::Malformed { origin: self.origin() })
    }

    fn check(&self, metadata: &Metadata) -> Result<(), SecretError> {
        if !metadata.is_file() {
            return Err(SecretError::NotRegular {
                path: self.path.clone(),
            });
        }
        let mode = metadata.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 && !self.is_mounted_secret() {
            return Err(SecretError::Exposed {
                path: self.path.clone(),
                mode,
            });
        }
        Ok(())
    }

    /// Whether the file lies where only this service can come, whatever its mode. Symbolic links are followed first: Kubernetes
    /// mounts by them, and a link that leads out of these directories must not count.
    fn is_mounted_secret(&self) -> bool {
        let Ok(path) = self.path.canonicalize() else {
            return false;
        };
        [
            self.credentials_directory.as_deref(),
            Some(Path::new(SECRETS_DIRECTORY)),
        ]
        .into_iter()
        .flatten()
        .filter_map(|directory| directory.canonicalize().ok())
        // A careless CREDENTIALS_DIRECTORY=/ must not switch the check off.
        .filter(|directory| directory.parent().is_some())
        .any(|directory| path.starts_with(directory))
    }

    fn origin(&self) -> String {
        self.path.display().to_string()
    }
}

/// Where the secret of a cluster's token comes from, or the password of its user.
#[derive(Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// A file, read again after PVE has refused the secret.
    File(SecretFile),
    /// An environment variable.
    Environment {
        /// The name of the variable.
        variable: String,
        /// Its value.
        secret: Secret,
    },
    /// A configuration that holds the secret itself.
    Given {
        /// Where it stands there, for messages.
        origin: String,
        /// The secret.
        secret: Secret,
    },
}

impl SecretSource {
    /// The secret in the file at `path`.
    #[must_use]
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::File(SecretFile::new(path.into()))
    }

    /// Reads what `caller` needs: of a token, the secret alone or `token_id=secret` as PVE shows it in places; of a user, the
    /// password.
    ///
    /// This blocks for the time of reading a small file.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or when what is there should not be or cannot be what this caller needs.
    pub fn read(&self, caller: &Caller) -> Result<Secret, SecretError> {
        let (text, origin) = match self {
            Self::File(file) => (file.read()?, file.origin()),
            Self::Environment { variable, secret } => {
                (secret.expose().to_owned(), format!("environment variable {variable}"))
            }
            Self::Given { origin, secret } => (secret.expose().to_owned(), origin.clone()),
        };
        match caller {
            Caller::Token(token_id) => accept(&text, token_id, &origin),
            Caller::User(_) => accept_password(&text, &origin),
        }
    }
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
            Self::Environment { variable, secret: _ } => f
                .debug_struct("Environment")
                .field("variable", variable)
                .finish_non_exhaustive(),
            Self::Given { origin, secret: _ } => {
                f.debug_struct("Given").field("origin", origin).finish_non_exhaustive()
            }
        }
    }
}

fn accept(text: &str, token_id: &TokenId, origin: &str) -> Result<Secret, SecretError> {
    let origin = || origin.to_owned();
    if text.len() > LONGEST {
        return Err(SecretError::TooLong { origin: origin() });
    }
    let mut secret = text.trim_end();
    if let Some((name, rest)) = secret.split_once('=')
        && let Ok(found) = name.parse::<TokenId>()
    {
        if found != *token_id {
            return Err(SecretError::OtherToken {
                origin: origin(),
                found,
                expected: token_id.clone(),
            });
        }
        secret = rest;
    }
    if secret.is_empty() {
        return Err(SecretError::Empty { origin: origin() });
    }
    // It becomes part of an HTTP header.
    if !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(SecretError::Malformed { origin: origin() });
    }
    Ok(Secret::new(secret.to_owned()))
}

/// A password may hold anything that can be typed, blanks at its end too, but what ends the line is not part of it.
fn accept_password(text: &str, origin: &str) -> Result<Secret, SecretError> {
    let origin = || origin.to_owned();
    if text.len() > LONGEST {
        return Err(SecretError::TooLong { origin: origin() });
    }
    let line = text.strip_suffix('\n').unwrap_or(text);
    let password = line.strip_suffix('\r').unwrap_or(line);
    if password.is_empty() {
        return Err(SecretError::Empty { origin: origin() });
    }
    if password.contains(char::is_control) {
        return Err(SecretError::SeveralLines { origin: origin() });
    }
    Ok(Secret::new(password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_id() -> TokenId {
        "exporter@pve!prometheus".parse().unwrap()
    }

    fn refusal(text: &str) -> String {
        accept(text, &token_id(), "/token").err().unwrap().to_string()
    }

    #[test]
    fn the_secret_alone_or_with_its_id() {
        for text in [
            "aaaa-bbbb",
            "aaaa-bbbb\n",
            "aaaa-bbbb\r\n",
            "exporter@pve!prometheus=aaaa-bbbb\n",
        ] {
            assert_eq!(accept(text, &token_id(), "").ok().unwrap().expose(), "aaaa-bbbb");
        }
        // An equals sign alone does not make the text a full token.
        assert_eq!(accept("a=b", &token_id(), "").ok().unwrap().expose(), "a=b");
    }

    #[test]
    fn a_password_is_one_line_of_anything() {
        for (text, password) in [
            ("hunter2", "hunter2"),
            ("hunter2\n", "hunter2"),
            ("hunter2\r\n", "hunter2"),
            (" two  words \n", " two  words "),
            ("50%&é=a@pve!x=y\n", "50%&é=a@pve!x=y"),
        ] {
            assert_eq!(accept_password(text, "").ok().unwrap().expose(), password);
        }
        let refusal = |text: &str| accept_password(text, "/password").err().unwrap().to_string();
        assert!(refusal("\n").contains("/password is empty"));
        assert!(refusal(&"a".repeat(5000)).contains("more than 4096 bytes"));
        for text in ["hunter2\n\n", "hunter2\nhunter3", "hunter2\0"] {
            let refusal = refusal(text);
            assert!(refusal.contains("more than one line") && !refusal.contains("hunter2"));
        }
    }

    #[test]
    fn what_is_no_secret() {
        assert!(refusal("\n").contains("/token is empty"));
        assert!(refusal("exporter@pve!prometheus=").contains("/token is empty"));
        for text in ["aaaa bbbb", "aaaa\nbbbb", " aaaa", "äöü", "a\0b"] {
            assert!(refusal(text).contains("the secret alone"), "{text:?}");
        }
        assert!(refusal(&"a".repeat(5000)).contains("more than 4096 bytes"));
        let other = refusal("other@pam!name=hunter2");
        assert!(other.contains("token other@pam!name") && other.contains("exporter@pve!prometheus"));
        assert!(!other.contains("hunter2"));
    }
}
