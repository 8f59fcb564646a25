//! The body of a scrape's answer: chunks made when the client takes them, so that a slow client costs one chunk of memory.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body, Frame};
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;

use crate::compat::text::Page;
use crate::metrics::exposition::{CHUNK_BYTES, Exposition};

/// How long a client may take for the whole answer. Without a limit, clients that take a few bytes now and then would keep
/// all places among the scrapes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

/// Room behind a chunk's limit for the row that passes it.
const SLACK: usize = 4 * 1024;

/// The client took too long for the answer.
#[derive(Debug, Error)]
#[error("the client took longer than {ANSWER_TIMEOUT:?} for the answer")]
pub(super) struct TooSlow;

/// What gives itself out in chunks.
pub(super) trait Chunks: Send {
    /// Appends the next chunk to `out`; false when there was nothing left.
    fn next_chunk(&mut self, out: &mut Vec<u8>) -> bool;
}

impl Chunks for Exposition {
    fn next_chunk(&mut self, out: &mut Vec<u8>) -> bool {
        Self::next_chunk(self, out)
    }
}

impl Chunks for Page {
    fn next_chunk(&mut self, out: &mut Vec<u8>) -> bool {
        Self::next_chunk(self, CHUNK_BYTES, out)
    }
}

/// An exposition as a body, compressed where the client wants that.
pub(super) struct ExpositionBody {
    exposition: Box<dyn Chunks>,
    gzip: Option<GzEncoder<Vec<u8>>>,
    plain: Vec<u8>,
    deadline: Instant,
    /// The place among the scrapes under way, held until the last chunk is handed over.
    _permit: OwnedSemaphorePermit,
}

impl ExpositionBody {
    pub(super) fn new(exposition: impl Chunks + 'static, gzip: bool, permit: OwnedSemaphorePermit) -> Self {
        let gzip = gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
        Self {
            exposition: Box::new(exposition),
            gzip,
            plain: Vec::new(),
            deadline: Instant::now() + ANSWER_TIMEOUT,
            _permit: permit,
        }
    }

    fn next(&mut self) -> Option<Bytes> {
        loop {
            self.plain.clear();
            self.plain.reserve(CHUNK_BYTES + SLACK);
            let more = self.exposition.next_chunk(&mut self.plain);
            let Some(gzip) = &mut self.gzip else {
                return more.then(|| std::mem::take(&mut self.plain).into());
            };
            // Writing to a Vec does not fail.
            if more {
                drop(gzip.write_all(&self.plain));
                if gzip.get_ref().len() >= CHUNK_BYTES {
                    return Some(std::mem::take(gzip.get_mut()).into());
                }
            } else {
                let rest = self.gzip.take().and_then(|gzip| gzip.finish().ok())?;
                return Some(rest.into());
            }
        }
    }
}

impl Body for ExpositionBody {
    type Data = Bytes;
    type Error = TooSlow;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, TooSlow>>> {
        if Instant::now() > self.deadline {
            return Poll::Ready(Some(Err(TooSlow)));
        }
        Poll::Ready(self.next().map(|chunk| Ok(Frame::data(chunk))))
    }
}
