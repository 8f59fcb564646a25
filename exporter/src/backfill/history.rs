//! The history of one object in a file, column by column, so that no more than one column of one object is ever in memory
//! while months are written.
//!
//! A mark, the number of moments (8 bytes), their times (8 bytes each), then the values of each column (8 bytes each), all of
//! it little-endian.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::backfill::merge::Moment;

const MARK: &[u8; 8] = b"pve-bf1\n";
const WORD: u64 = 8;

/// The file as bytes.
#[must_use]
pub fn encode(moments: &[Moment], columns: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity((moments.len() * (columns + 1) + 2) * 8);
    bytes.extend_from_slice(MARK);
    bytes.extend_from_slice(&(moments.len() as u64).to_le_bytes());
    for moment in moments {
        bytes.extend_from_slice(&moment.time.to_le_bytes());
    }
    for column in 0..columns {
        for moment in moments {
            let value = moment.values.get(column).copied().unwrap_or(f64::NAN);
            bytes.extend_from_slice(&value.to_le_bytes());
        }
    }
    bytes
}

/// A file that was written before.
#[derive(Debug)]
pub struct History {
    path: PathBuf,
    moments: u64,
}

impl History {
    /// Opens a file that has this many columns.
    ///
    /// # Errors
    /// When it cannot be read or is another one.
    pub fn open(path: PathBuf, columns: usize) -> io::Result<Self> {
        let file = File::open(&path)?;
        let mut head = [0; 16];
        file.read_exact_at(&mut head, 0)?;
        let (mark, moments) = head.split_at(8);
        let moments = word(moments);
        let length = moments
            .checked_mul(columns as u64 + 1)
            .and_then(|words| (words + 2).checked_mul(WORD));
        if mark != MARK || length != Some(file.metadata()?.len()) {
            let problem = "it is no history of this version of the program; remove it";
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        Ok(Self { path, moments })
    }

    /// The times.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn times(&self) -> io::Result<Vec<u64>> {
        words(&File::open(&self.path)?, 2, 0..self.moments, word)
    }

    /// Times and values of one column, those that are known.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn column(&self, column: usize, moments: &Range<u64>) -> io::Result<Vec<(u64, f64)>> {
        let file = File::open(&self.path)?;
        let first = 2 + self.moments * (column as u64 + 1);
        let values = words(&file, first, moments.clone(), |bytes| f64::from_bits(word(bytes)))?;
        if values.iter().all(|value| value.is_nan()) {
            return Ok(Vec::new());
        }
        let times = words(&file, 2, moments.clone(), word)?;
        let known = |(_, value): &(u64, f64)| !value.is_nan();
        Ok(times.into_iter().zip(values).filter(known).collect())
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn words<T>(file: &File, first: u64, range: Range<u64>, read: impl Fn(&[u8]) -> T) -> io::Result<Vec<T>> {
    let count = usize::try_from((range.end - range.start) * WORD).map_err(io::Error::other)?;
    let mut bytes = vec![0; count];
    file.read_exact_at(&mut bytes, (first + range.start) * WORD)?;
    Ok(bytes.chunks_exact(8).map(read).collect())
}

fn word(bytes: &[u8]) -> u64 {
    bytes.try_into().map_or(0, u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("h");
        let moment = |time, values: [f64; 2]| Moment {
            time,
            values: values.to_vec(),
        };
        let moments = [
            moment(60, [1.0, f64::NAN]),
            moment(120, [2.0, 5.0]),
            moment(180, [f64::NAN, 6.0]),
        ];
        std::fs::write(&path, encode(&moments, 2)).unwrap();
        let history = History::open(path.clone(), 2).unwrap();
        assert_eq!(history.times().unwrap(), [60, 120, 180]);
        assert_eq!(history.column(0, &(0..3)).unwrap(), [(60, 1.0), (120, 2.0)]);
        assert_eq!(history.column(1, &(1..3)).unwrap(), [(120, 5.0), (180, 6.0)]);
        assert!(history.column(1, &(0..1)).unwrap().is_empty());
        assert!(History::open(path.clone(), 3).is_err());
        let mut cut = encode(&moments, 2);
        cut.pop();
        std::fs::write(&path, cut).unwrap();
        assert!(History::open(path, 2).is_err());
    }
}
