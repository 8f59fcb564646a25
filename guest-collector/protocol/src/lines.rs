//! Bytes become lines.

use crate::MAX_LINE_BYTES;

/// What [`LineBuffer`] finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A line without its newline; never empty, and at most [`MAX_LINE_BYTES`] with it.
    Line(&'a [u8]),
    /// A line was longer than allowed; what follows up to the next newline is thrown away.
    TooLong,
}

/// Finds the lines in bytes that come in any portions. Holds at most one line that is not complete.
#[derive(Debug, Default)]
pub struct LineBuffer {
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    /// The rest of a line that is too long is on its way.
    discarding: bool,
}

impl LineBuffer {
    /// Takes bytes, and gives each line that they complete to `each`. Empty lines are skipped.
    pub fn push(&mut self, bytes: &[u8], mut each: impl FnMut(Piece<'_>)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            match piece.split_last() {
                Some((b'\n', line)) => self.end(line, &mut each),
                _ => self.begin(piece, &mut each),
            }
        }
    }

    /// Forgets the line that was begun: the connection on which it would have gone on is closed.
    pub fn reset(&mut self) {
        self.begun = Vec::new();
        self.discarding = false;
    }

    fn begin(&mut self, piece: &[u8], each: &mut impl FnMut(Piece<'_>)) {
        if self.discarding {
        } else if self.begun.len() + piece.len() < MAX_LINE_BYTES {
            self.begun.extend_from_slice(piece);
        } else {
            self.discarding = true;
            self.begun.clear();
            each(Piece::TooLong);
        }
    }

    fn end(&mut self, line: &[u8], each: &mut impl FnMut(Piece<'_>)) {
        if std::mem::take(&mut self.discarding) {
        } else if self.begun.len() + line.len() >= MAX_LINE_BYTES {
            each(Piece::TooLong);
        } else if self.begun.is_empty() {
            if !line.is_empty() {
                each(Piece::Line(line));
            }
        } else {
            self.begun.extend_from_slice(line);
            each(Piece::Line(&self.begun));
        }
        self.begun.clear();
    }
}
