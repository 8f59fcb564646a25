//! The body of a scrape's answer: chunks made when the client takes them, so that a slow client costs one chunk of memory.

use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body, Frame};
use tokio::sync::OwnedSemaphorePermit;

use crate::metrics::exposition::{CHUNK_BYTES, Exposition};

/// Room behind a chunk's limit for the row that passes it.
const SLACK: usize = 4 * 1024;

/// An exposition as a body, compressed where the client wants that.
pub(super) struct ExpositionBody {
    exposition: Exposition,
    gzip: Option<GzEncoder<Vec<u8>>>,
    plain: Vec<u8>,
    /// The place among the scrapes under way, held until the last byte is written.
    _permit: OwnedSemaphorePermit,
}

impl ExpositionBody {
    pub(super) fn new(exposition: Exposition, gzip: bool, permit: OwnedSemaphorePermit) -> Self {
        let gzip = gzip.then(|| GzEncoder::new(Vec::new(), Compression::fast()));
        Self {
            exposition,
            gzip,
            plain: Vec::new(),
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
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next().map(|chunk| Ok(Frame::data(chunk))))
    }
}
