//! Files of /proc and /sys that stay open: one `pread` brings the kernel's present answer.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};

/// How long a file that does not exist is left alone: modules bring some of them later.
const RETRY: Duration = Duration::from_secs(30);
/// The kernel fills a page at a time with whole rows: a shorter answer than this is the last one, since no row is as long.
const SHORT_READ: usize = 2048;
/// What the buffer starts with; it grows with the longest file.
const BUFFER: usize = 16 * 1024;
/// A file longer than this is not what it should be.
const MAX_FILE: usize = 16 << 20;

/// How the kernel hands a file out.
#[derive(Clone, Copy)]
pub(super) enum Shape {
    /// In one piece, if the buffer holds it.
    Whole,
    /// In rows, about a page of them at a time.
    Rows,
    /// The same; what comes up to here may already hold all that is wanted.
    RowsUntil(fn(&[u8]) -> bool),
    /// In rows of any length.
    LongRows,
}

/// The buffer that all files are read into, one after the other, and the moment of the sample.
pub(super) struct Reading {
    buffer: Vec<u8>,
    now: Instant,
}

impl Reading {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            buffer: vec![0; BUFFER],
            now,
        }
    }

    /// Begins the sample of this moment.
    pub(super) fn begin(&mut self, now: Instant) {
        self.now = now;
    }

    pub(super) fn now(&self) -> Instant {
        self.now
    }

    /// Opens, reads and closes a file that is wanted rarely. `None` if it cannot be read or is empty.
    pub(super) fn once(&mut self, path: PathBuf) -> Option<&[u8]> {
        let file = File::open(path).ok()?;
        let length = self.fill(&file, Shape::Rows).ok()?;
        self.buffer.get(..length).filter(|contents| !contents.is_empty())
    }

    /// The same for a file in an open directory: the way to a device in /sys is long.
    pub(super) fn once_in(&mut self, directory: &File, name: &str) -> Option<&[u8]> {
        let file = rustix::fs::openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let length = self.fill(&File::from(file), Shape::Rows).ok()?;
        self.buffer.get(..length).filter(|contents| !contents.is_empty())
    }

    fn fill(&mut self, file: &File, shape: Shape) -> rustix::io::Result<usize> {
        let mut length = 0;
        loop {
            if length == self.buffer.len() {
                if length >= MAX_FILE {
                    return Err(rustix::io::Errno::FBIG);
                }
                self.buffer.resize(length * 2, 0);
            }
            let room = self.buffer.get_mut(length..).unwrap_or_default();
            let wanted = room.len();
            let count = rustix::io::pread(file, room, length as u64)?;
            length += count;
            let ended = match shape {
                Shape::Whole => count < wanted,
                Shape::Rows => is_last(count, wanted),
                Shape::RowsUntil(is_enough) => {
                    is_last(count, wanted) || is_enough(self.buffer.get(..length).unwrap_or_default())
                }
                Shape::LongRows => false,
            };
            if ended || count == 0 {
                return Ok(length);
            }
        }
    }
}

fn is_last(count: usize, wanted: usize) -> bool {
    count < SHORT_READ && count < wanted
}

/// One file that is read in every sample.
pub(super) struct Source {
    path: PathBuf,
    shape: Shape,
    state: State,
}

enum State {
    Open(File),
    Missing { until: Option<Instant> },
}

impl Source {
    pub(super) fn new(path: PathBuf, shape: Shape) -> Self {
        Self {
            path,
            shape,
            state: State::Missing { until: None },
        }
    }

    /// What the file says now; `None` where it is missing, empty or refused.
    pub(super) fn read<'a>(&mut self, reading: &'a mut Reading) -> Option<&'a [u8]> {
        self.read_list(reading).filter(|contents| !contents.is_empty())
    }

    /// The same for a list, which may have no row.
    pub(super) fn read_list<'a>(&mut self, reading: &'a mut Reading) -> Option<&'a [u8]> {
        // The device behind an open file may have gone, and another one of its name come: once more with a new one.
        for _ in 0..2 {
            let opened = self.open(reading.now);
            let State::Open(file) = &self.state else { return None };
            if let Ok(length) = reading.fill(file, self.shape) {
                return reading.buffer.get(..length);
            }
            self.state = State::Missing {
                until: opened.then_some(reading.now + RETRY),
            };
        }
        None
    }

    /// The open file, for those who wait for changes of it.
    pub(super) fn file(&self) -> Option<&File> {
        match &self.state {
            State::Open(file) => Some(file),
            State::Missing { .. } => None,
        }
    }

    /// Whether it was opened by this call.
    fn open(&mut self, now: Instant) -> bool {
        let State::Missing { until } = self.state else {
            return false;
        };
        if until.is_some_and(|until| now < until) {
            return false;
        }
        self.state = match File::open(&self.path) {
            Ok(file) => State::Open(file),
            Err(_) => State::Missing {
                until: Some(now + RETRY),
            },
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(length: usize) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        std::fs::write(&path, vec![b'x'; length]).unwrap();
        (directory, path)
    }

    #[test]
    fn files_of_any_length_come_whole() {
        for length in [1, SHORT_READ, BUFFER - 1, BUFFER, BUFFER + 1, 3 * BUFFER + 7] {
            for shape in [Shape::Whole, Shape::Rows, Shape::LongRows, Shape::RowsUntil(|_| false)] {
                let (_directory, path) = written(length);
                let mut reading = Reading::new(Instant::now());
                let mut source = Source::new(path, shape);
                assert_eq!(source.read(&mut reading).unwrap().len(), length);
                assert_eq!(source.read(&mut reading).unwrap().len(), length);
            }
        }
    }

    #[test]
    fn a_missing_file_is_looked_for_again() {
        let (_directory, path) = written(1);
        std::fs::remove_file(&path).unwrap();
        let now = Instant::now();
        let mut reading = Reading::new(now);
        let mut source = Source::new(path.clone(), Shape::Whole);
        assert!(source.read(&mut reading).is_none());
        std::fs::write(&path, "there").unwrap();
        assert!(source.read(&mut reading).is_none());
        reading.begin(now + RETRY);
        assert_eq!(source.read(&mut reading), Some(&b"there"[..]));
    }

    #[test]
    fn a_directory_or_an_empty_file_says_nothing() {
        let (directory, path) = written(0);
        let mut reading = Reading::new(Instant::now());
        assert!(Source::new(path, Shape::Whole).read(&mut reading).is_none());
        let mut source = Source::new(directory.path().to_owned(), Shape::Whole);
        assert!(source.read(&mut reading).is_none());
        assert!(source.read(&mut reading).is_none());
    }
}
