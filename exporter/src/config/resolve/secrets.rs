//! Who asks each cluster, and where the secret or password for it comes from.

use std::path::{Path, PathBuf};

use super::super::cluster::ClusterTable;
use super::super::keys;
use super::super::layers::variable_of;
use super::super::problem::{Place, Problem};
use super::super::secret::{SecretFile, SecretSource};
use super::super::user_id::Caller;
use super::{CREDENTIALS_DIRECTORY, Resolver};

/// The keys that say where a secret comes from.
struct SecretKeys {
    /// What it is, in messages.
    what: &'static str,
    file: &'static str,
    credential: &'static str,
    /// The key that the environment alone may set; it also ends the name of a cluster's credential.
    variable: &'static str,
    /// What a table says under the keys of a file and of a credential.
    of: fn(&ClusterTable) -> (Option<&Path>, Option<&str>),
}

const TOKEN: SecretKeys = SecretKeys {
    what: "secret",
    file: "token_file",
    credential: "token_credential",
    variable: "token",
    of: |table| (table.token_file.as_deref(), table.token_credential.as_deref()),
};

const PASSWORD: SecretKeys = SecretKeys {
    what: "password",
    file: "password_file",
    credential: "password_credential",
    variable: "password",
    of: |table| (table.password_file.as_deref(), table.password_credential.as_deref()),
};

impl Resolver<'_> {
    /// Who asks: a token or a user, and nothing beside it that belongs to the other.
    pub(super) fn caller(&mut self, name: &str, table: &ClusterTable) -> Option<Caller> {
        let (caller, other) = match (&table.token_id, &table.user) {
            (Some(id), None) => (Caller::Token(id.clone()), PASSWORD),
            (None, Some(id)) => (Caller::User(id.clone()), TOKEN),
            (Some(_), Some(_)) => {
                self.complain(
                    &["clusters", name, "user"],
                    "stands beside token_id; keep one of the two",
                );
                return None;
            }
            (None, None) => {
                let path = ["clusters", name, "token_id"];
                let remedy = keys::find(&path).map_or_else(String::new, |key| key.kind.remedy());
                self.complain(&path, format!("is missing; {remedy}, or user and password_file"));
                return None;
            }
        };
        let variable = self.layers.secrets.get(&(name.to_owned(), other.variable));
        let misplaced = variable.map(|(variable, _)| (Place::Variable(variable.clone()), other.variable));
        let misplaced = misplaced.or_else(|| {
            let (file, credential) = (other.of)(table);
            let key = file.map(|_| other.file).or(credential.map(|_| other.credential))?;
            Some((self.place(&["clusters", name, key]), key))
        });
        if let Some((place, key)) = misplaced {
            let message = format!("is of no use to {caller}; remove it");
            self.problems
                .push(Problem::new(place, keys::dotted(&["clusters", name, key]), message));
            return None;
        }
        Some(caller)
    }

    /// Where the secret comes from: exactly one of three ways, or the credential named after the cluster.
    pub(super) fn secret(&mut self, name: &str, table: &ClusterTable, caller: &Caller) -> Option<SecretSource> {
        let keys = match caller {
            Caller::Token(_) => TOKEN,
            Caller::User(_) => PASSWORD,
        };
        let variable = self.layers.secrets.get(&(name.to_owned(), keys.variable));
        let (file, credential) = (keys.of)(table);
        let ways: Vec<&str> = [
            file.map(|_| keys.file),
            credential.map(|_| keys.credential),
            variable.map(|(variable, _)| variable.as_str()),
        ]
        .into_iter()
        .flatten()
        .collect();
        if ways.len() > 1 {
            let message = format!(
                "the {} is given more than once, by {}; keep one",
                keys.what,
                ways.join(" and ")
            );
            self.complain(&["clusters", name], message);
            return None;
        }
        if let Some((variable, secret)) = variable {
            return Some(SecretSource::Environment {
                variable: variable.clone(),
                secret: secret.clone(),
            });
        }
        if let Some(path) = file {
            let key = ["clusters", name, keys.file];
            let path = self.relative_to_its_file(&key, path);
            return Some(self.secret_file(path, keys.file, self.place(&key)));
        }
        if let Some(credential) = credential {
            let key = ["clusters", name, keys.credential];
            if credential.is_empty() || credential.contains('/') || credential.starts_with('.') {
                self.complain(&key, format!("{credential:?} is not the name of a credential; write a file name without \"/\", such as \"main.{}\"", keys.variable));
                return None;
            }
            let Some(directory) = &self.credentials_directory else {
                self.complain(
                    &key,
                    format!("${CREDENTIALS_DIRECTORY} is not set; run under systemd with LoadCredential={credential}:/PATH or use {}", keys.file),
                );
                return None;
            };
            return Some(self.secret_file(directory.join(credential), keys.credential, self.place(&key)));
        }
        let by_name = self
            .credentials_directory
            .as_ref()
            .map(|directory| directory.join(format!("{name}.{}", keys.variable)));
        if let Some(path) = by_name.filter(|path| path.exists()) {
            return Some(self.secret_file(path, keys.credential, Place::Variable(CREDENTIALS_DIRECTORY.to_owned())));
        }
        let message = format!(
            "has no {}; write {} = \"/PATH\", or {} = \"NAME\" for a file in ${CREDENTIALS_DIRECTORY}, or set the environment variable {}",
            keys.what,
            keys.file,
            keys.credential,
            variable_of(&["clusters", name, keys.variable])
        );
        self.complain(&["clusters", name], message);
        None
    }

    fn secret_file(&self, path: PathBuf, key: &'static str, place: Place) -> SecretSource {
        let file = SecretFile::new(path).trusting(self.credentials_directory.clone());
        SecretSource::File(file.named_by(key, place))
    }
}
