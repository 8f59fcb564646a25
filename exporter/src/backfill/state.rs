//! The directory of a backfill, and what is done of it.
//!
//! What stands under its final name is whole: everything is written beside it first and then renamed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::backfill::BackfillError;
use crate::backfill::plan::{Object, Selection};

const STATE: &str = "state.json";
const LOCK: &str = "lock";
const HISTORIES: &str = "histories";
const PARTIAL: &str = ".partial";

/// Another one means that the files of a directory are another program's.
const FORMAT: u32 = 1;

/// What was asked for, as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The cluster.
    pub cluster: String,
    /// `--since`.
    pub since: String,
    /// `--until`.
    pub until: String,
    /// `--resolution`.
    pub resolution: String,
    /// `--nodes`.
    pub nodes: Selection,
    /// `--guests`.
    pub guests: Selection,
    /// `--storages`.
    pub storages: Selection,
    /// `--label`.
    pub labels: Vec<(String, String)>,
}

impl fmt::Display for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cluster,
            since,
            until,
            resolution,
            ..
        } = self;
        write!(
            formatter,
            "--cluster {cluster} --since {since} --until {until} --resolution {resolution}"
        )?;
        for (flag, selection) in [
            ("nodes", &self.nodes),
            ("guests", &self.guests),
            ("storages", &self.storages),
        ] {
            if !selection.0.is_empty() {
                write!(formatter, " --{flag} {}", selection.0.join(","))?;
            }
        }
        self.labels
            .iter()
            .try_for_each(|(name, value)| write!(formatter, " --label {name}={value}"))
    }
}

/// What is known of a file that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// How many objects were there when it was written.
    pub objects: usize,
    /// How many samples are in it; there is no file without any.
    pub samples: u64,
}

/// How far a backfill is. The histories that are there stand in files of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    format: u32,
    /// What was asked for.
    pub asked: Asked,
    /// The first second, as it was when the backfill began.
    pub since: u64,
    /// The last second.
    pub until: u64,
    /// The objects; the position of one is the name of its history.
    pub objects: Vec<Object>,
    /// The metrics: those that the configuration did not leave out when the backfill began.
    pub metrics: Vec<String>,
    /// The files, by month.
    pub months: BTreeMap<String, Written>,
    /// Whether nothing is missing. Histories are gone then.
    pub complete: bool,
}

impl State {
    /// The state of a backfill that begins.
    #[must_use]
    pub fn new(asked: Asked, since: u64, until: u64, objects: Vec<Object>, metrics: Vec<String>) -> Self {
        Self {
            format: FORMAT,
            asked,
            since,
            until,
            objects,
            metrics,
            months: BTreeMap::new(),
            complete: false,
        }
    }
}

/// The directory, which no other backfill writes to.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    _lock: File,
}

impl Directory {
    /// Opens the directory of a backfill, or begins one in a directory that is empty or not there.
    ///
    /// # Errors
    /// When it holds something else, when another process writes to it, and when it cannot be written.
    pub fn open(path: &Path) -> Result<(Self, Option<State>), BackfillError> {
        let begun = path.join(STATE).exists();
        if path.exists() && !begun {
            refuse_foreign(path)?;
        }
        let directory = |path: &Path| {
            let made = DirBuilder::new().recursive(true).mode(0o750).create(path);
            made.map_err(|error| BackfillError::file(path, error))
        };
        directory(path)?;
        let lock_path = path.join(LOCK);
        let lock = created(&lock_path).map_err(|error| BackfillError::file(&lock_path, error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(BackfillError::Busy(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(BackfillError::file(&lock_path, error)),
        }
        let opened = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        let state = if begun { Some(opened.read()?) } else { None };
        if state.as_ref().is_none_or(|state| !state.complete) {
            directory(&path.join(HISTORIES))?;
        }
        Ok((opened, state))
    }

    fn read(&self) -> Result<State, BackfillError> {
        let path = self.path.join(STATE);
        let text = fs::read(&path).map_err(|error| BackfillError::file(&path, error))?;
        serde_json::from_slice::<State>(&text)
            .ok()
            .filter(|state| state.format == FORMAT)
            .ok_or_else(|| BackfillError::Foreign {
                directory: self.path.clone(),
                what: STATE.to_owned(),
            })
    }

    /// Notes the state.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, state: &State) -> Result<(), BackfillError> {
        self.whole(STATE, |file| {
            serde_json::to_writer_pretty(file, state).map_err(Into::into)
        })
        .map(drop)
    }

    /// Writes a file of this directory whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn whole<T>(
        &self,
        name: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> io::Result<T>,
    ) -> Result<T, BackfillError> {
        let (path, partial) = (self.path.join(name), self.path.join(format!("{name}{PARTIAL}")));
        let written = || -> io::Result<T> {
            let mut file = BufWriter::with_capacity(1 << 18, created(&partial)?);
            let result = write(&mut file)?;
            file.flush()?;
            file.get_ref().sync_all()?;
            fs::rename(&partial, &path)?;
            Ok(result)
        };
        written().map_err(|error| {
            // Best left to others: the disk may be full.
            drop(fs::remove_file(&partial));
            BackfillError::file(&path, error)
        })
    }

    /// Removes a file of this directory, if it is there.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), BackfillError> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BackfillError::file(&path, error)),
            _ => Ok(()),
        }
    }

    /// The name of an object's history in this directory.
    #[must_use]
    pub fn history(index: usize) -> String {
        format!("{HISTORIES}/{index:06}")
    }

    /// Forgets the histories.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub fn forget_histories(&self) -> Result<(), BackfillError> {
        let path = self.path.join(HISTORIES);
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BackfillError::file(&path, error)),
            _ => Ok(()),
        }
    }

    /// Where a file of this directory is.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

fn created(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o640)
        .open(path)
}

/// Refuses a directory in which anything stands but what an interrupted beginning leaves.
fn refuse_foreign(path: &Path) -> Result<(), BackfillError> {
    let entries = fs::read_dir(path).map_err(|error| BackfillError::file(path, error))?;
    for entry in entries {
        let name = entry.map_err(|error| BackfillError::file(path, error))?.file_name();
        let own = [LOCK, HISTORIES].iter().any(|own| name == *own) || name == *format!("{STATE}{PARTIAL}");
        if !own {
            return Err(BackfillError::Foreign {
                directory: path.to_owned(),
                what: name.to_string_lossy().into_owned(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn state() -> State {
        State::new(Asked::default(), 1, 2, Vec::new(), Vec::new())
    }

    #[test]
    fn a_state_is_found_again() {
        let outer = tempfile::tempdir().unwrap();
        let path = outer.path().join("new/backfill");
        let (directory, none) = Directory::open(&path).unwrap();
        assert_eq!(none, None);
        directory.save(&state()).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path) & 0o007, mode(&path.join(STATE)) & 0o137), (0, 0));
        assert!(matches!(Directory::open(&path), Err(BackfillError::Busy(_))));
        drop(directory);
        assert_eq!(Directory::open(&path).unwrap().1, Some(state()));
    }

    #[test]
    fn what_is_interrupted_leaves_nothing_under_its_name() {
        let outer = tempfile::tempdir().unwrap();
        let (directory, _) = Directory::open(outer.path()).unwrap();
        let broken = directory.whole("2026-01.om", |file| {
            file.write_all(b"# TYPE")?;
            file.flush()?;
            Err::<(), _>(io::Error::other("the disk is full"))
        });
        assert!(broken.unwrap_err().to_string().contains("the disk is full"));
        let exists = |name: &str| outer.path().join(name).exists();
        assert!(!exists("2026-01.om") && !exists("2026-01.om.partial"));
        directory
            .whole("2026-01.om", |file| file.write_all(b"# EOF\n"))
            .unwrap();
        assert_eq!(fs::read(outer.path().join("2026-01.om")).unwrap(), b"# EOF\n");
        assert!(!outer.path().join("2026-01.om.partial").exists());
    }

    #[test]
    fn a_directory_of_something_else_is_refused() {
        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join("photo.jpg"), "").unwrap();
        let problem = Directory::open(outer.path()).unwrap_err().to_string();
        assert!(problem.contains("photo.jpg"), "{problem}");
        assert!(!outer.path().join(LOCK).exists());

        let outer = tempfile::tempdir().unwrap();
        fs::write(outer.path().join(STATE), "{\"version\":7}").unwrap();
        assert!(matches!(
            Directory::open(outer.path()),
            Err(BackfillError::Foreign { .. })
        ));
    }

    #[test]
    fn an_interrupted_beginning_is_begun_again() {
        let outer = tempfile::tempdir().unwrap();
        drop(Directory::open(outer.path()).unwrap());
        assert_eq!(Directory::open(outer.path()).unwrap().1, None);
    }
}
