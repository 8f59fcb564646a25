//! What is wrong with a configuration, told so that the reader can put it right.

use std::fmt;
use std::path::PathBuf;

use figment::{Metadata, Source};

/// Where a setting was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A configuration file.
    File(PathBuf),
    /// An environment variable.
    Variable(String),
    /// A command-line flag, with its dashes.
    Flag(String),
    /// Nowhere that the operator could look: a default, or a configuration built in code.
    Nowhere,
}

const VARIABLE: &str = "environment variable";
const FLAG: &str = "flag";

impl Place {
    /// The form in which figment carries a place along with the values that came from it.
    pub(super) fn to_metadata(&self) -> Metadata {
        match self {
            Self::File(path) => Metadata::from("file", path.as_path()),
            Self::Variable(name) => Metadata::from(VARIABLE, name.clone()),
            Self::Flag(name) => Metadata::from(FLAG, name.clone()),
            Self::Nowhere => Metadata::default(),
        }
    }

    /// The inverse of [`Self::to_metadata`].
    pub(super) fn from_metadata(metadata: &Metadata) -> Self {
        match (&*metadata.name, &metadata.source) {
            (_, Some(Source::File(path))) => Self::File(path.clone()),
            (VARIABLE, Some(Source::Custom(name))) => Self::Variable(name.clone()),
            (FLAG, Some(Source::Custom(name))) => Self::Flag(name.clone()),
            _ => Self::Nowhere,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "{VARIABLE} {name}"),
            Self::Flag(name) => write!(f, "{FLAG} {name}"),
            Self::Nowhere => f.write_str("configuration"),
        }
    }
}

/// One thing that is wrong: where, which key, what, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the offending text stands.
    pub place: Place,
    /// The key as it would be written with dots; empty where no single key is at fault.
    pub key: String,
    /// What is wrong, and the remedy.
    pub message: String,
}

impl Problem {
    pub(crate) fn new(place: Place, key: impl Into<String>, message: impl fmt::Display) -> Self {
        Self {
            place,
            key: key.into(),
            message: message.to_string(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Everything that keeps a configuration from being used.
#[derive(Debug, thiserror::Error)]
#[error("{}", describe(.problems))]
pub struct ConfigError {
    problems: Vec<Problem>,
}

impl ConfigError {
    /// The error for `problems`, or nothing to complain about.
    pub(crate) fn unless_empty(problems: Vec<Problem>) -> Result<(), Self> {
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Self { problems })
        }
    }

    /// The single problems, in the order of layers and sections.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

fn describe(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
    lines.join("\n")
}
